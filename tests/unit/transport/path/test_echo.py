import pytest

from transport.path.echo import ECHO_EVERY_S, MAX_OUTSTANDING, PROMISE_S, Echoes


def test_nothing_is_due_before_the_start_nor_after_the_stop() -> None:
    echoes = Echoes()
    assert echoes.next_deadline() is None
    echoes.start(1.0)
    assert echoes.next_deadline() == 1.0
    echoes.stop()
    assert echoes.next_deadline() is None


def test_silence_is_filled_and_media_is_measured_now_and_then() -> None:
    echoes = Echoes()
    echoes.start(0.0)
    echoes.request(0, 0.0)
    assert echoes.next_deadline() == PROMISE_S
    echoes.sent(0.09)
    assert echoes.next_deadline() == pytest.approx(0.09 + PROMISE_S)
    echoes.sent(0.2)
    assert echoes.next_deadline() == ECHO_EVERY_S


def test_an_answer_counts_once_and_only_for_what_was_asked() -> None:
    echoes = Echoes()
    asked = echoes.request(3, 1.0)
    assert echoes.answered(asked.sequence + 1, 1.1) is None
    assert echoes.answered(asked.sequence, 1.25) == (3, 0.25)
    assert echoes.answered(asked.sequence, 1.3) is None


def test_unanswered_requests_are_forgotten() -> None:
    echoes = Echoes()
    first = echoes.request(0, 0.0)
    for index in range(MAX_OUTSTANDING):
        echoes.request(0, index)
    assert echoes.answered(first.sequence, 50.0) is None
