import pytest

from transport.path.probes import ECHO_EVERY_S, KEEPALIVE_S, MAX_NUMBERS, MAX_OUTSTANDING, Echoes

RELAY = {0: ECHO_EVERY_S}


def test_nothing_is_due_before_the_start_nor_after_the_stop() -> None:
    echoes = Echoes()
    assert echoes.next_deadline(RELAY, 0) is None and echoes.due(RELAY, 0, 9.0) == []
    echoes.start(1.0)
    assert echoes.due(RELAY, 0, 1.0) == [0]
    echoes.stop()
    assert echoes.next_deadline(RELAY, 0) is None


def test_silence_is_filled_and_media_is_measured_now_and_then() -> None:
    echoes = Echoes()
    echoes.start(0.0)
    echoes.request(0, True, 0.0)
    assert echoes.next_deadline(RELAY, 0) == KEEPALIVE_S
    echoes.sent(0.09)
    assert echoes.next_deadline(RELAY, 0) == pytest.approx(0.09 + KEEPALIVE_S)
    echoes.sent(0.2)
    assert echoes.next_deadline(RELAY, 0) == ECHO_EVERY_S


def test_every_path_is_asked_at_its_own_pace() -> None:
    echoes, now = Echoes(), 0.0
    paces = {0: 15.0, 1: 0.25, 2: 1.0}
    asked: dict[int | None, int] = {}
    echoes.start(now)
    while now < 30.0:
        echoes.sent(now)  # media keeps the path alive
        for path in echoes.due(paces, 1, now):
            echoes.request(path, path == 1, now)
            asked[path] = asked.get(path, 0) + 1
        now += 0.02
    assert asked[0] == 2
    assert asked[1] == pytest.approx(30 / 0.25, abs=12)
    assert asked[2] == pytest.approx(30, abs=2)


def test_the_path_in_use_alone_is_kept_alive() -> None:
    echoes = Echoes()
    echoes.start(0.0)
    for path in (0, 1):
        echoes.request(path, path == 1, 0.0)
    assert echoes.due({0: 15.0, 1: 0.25}, 1, KEEPALIVE_S) == [1]


def test_an_answer_counts_once_and_only_for_what_was_asked() -> None:
    echoes = Echoes()
    asked = echoes.request(3, False, 1.0)
    assert echoes.answered(asked.sequence + 1, 1.1) is None
    assert echoes.answered(asked.sequence, 1.25) == (3, 0.25)
    assert echoes.answered(asked.sequence, 1.3) is None
    # What it was sent by is known for longer: a report of the peer may name it.
    assert echoes.path_of(asked.sequence) == 3 and echoes.path_of(77) is None


def test_unanswered_requests_are_forgotten() -> None:
    echoes = Echoes()
    first = echoes.request(0, True, 0.0)
    for index in range(MAX_OUTSTANDING):
        echoes.request(0, True, index)
    assert echoes.answered(first.sequence, 50.0) is None
    assert echoes.path_of(first.sequence) == 0
    for index in range(MAX_NUMBERS):
        echoes.request(0, True, index)
    assert echoes.path_of(first.sequence) is None
