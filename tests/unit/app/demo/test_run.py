"""The demo's story and verdict, and the commands that make its networks."""

import msgspec
import pytest

from app.demo.namespaces import build_script
from app.demo.narration import MAX_LINES, TALK_LINE_EVERY_S, Story, verdict
from app.demo.networks import HOUSEHOLDS, RELAY_IPS, Nat
from app.ipc.engine_state import CallStatus, NatSummary, PathSpan, TraversalStep
from app.ipc.messages import CallSample, EngineState
from app.report.report import CallReport, MediaReport, Times
from app.text import traversal

TALK = CallStatus("id", "talking", True, "bob@relay", "bob", answered=1.0, path="relay")


def report(**changes: object) -> CallReport:
    base = CallReport(
        version=1,
        call_id="id",
        role="caller",
        peer="bob@relay",
        outcome="answered",
        times=Times(answered=1.0, direct=1.25, ended=13.0),
        media=MediaReport(frames_sent=600, frames_received=600, samples_played=576_000),
    )
    return msgspec.structs.replace(base, **changes)


def both(**changes: object) -> list[tuple[str, CallReport]]:
    return [("Alice", report()), ("Bob", report(**changes))]


def test_a_good_call() -> None:
    judged = verdict(both(), may_stay=False)
    assert judged.is_good
    assert judged.lines == ("Direct 0.25 s after the answer.", "Not one of 1,152,000 samples was lost.")


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "no-answer"},
        {"times": Times(answered=1.0, ended=13.0)},
        {"media": MediaReport(frames_lost=1)},
        {"media": MediaReport(samples_concealed=1)},
    ],
)
def test_a_call_that_is_not(changes: dict[str, object]) -> None:
    judged = verdict(both(**changes), may_stay=False)
    assert not judged.is_good and not any("Not one" in line for line in judged.lines)


def test_it_says_what_is_missing_and_whose_fault_that_is() -> None:
    lost = verdict(both(media=MediaReport(frames_lost=2, samples_concealed=1_920)), may_stay=False)
    assert lost.lines[1] == "Bob: 1,920 samples did not arrive and 0 came too late; 1,920 were concealed."
    busy = verdict(both(media=MediaReport(samples_concealed=960, underruns=3)), may_stay=False)
    assert busy.lines[1].startswith(
        "Bob: every sample arrived in time, and yet 960 were concealed: this machine was too"
    )


def test_a_report_is_missing() -> None:
    assert not verdict(both()[:1], may_stay=True).is_good


def test_without_nats_the_relay_is_good_enough() -> None:
    assert verdict(both(times=Times(answered=1.0, ended=13.0)), may_stay=True).is_good


def test_it_says_why_a_call_stayed_on_the_relay() -> None:
    relayed = both(times=Times(answered=1.0, ended=13.0))
    line = "The call stayed on the relay. Both ports are random."
    judged = verdict(relayed, may_stay=False, why="Both ports are random.")
    assert (judged.is_good, judged.lines) == (False, (line,))
    judged = verdict(relayed, may_stay=True, why="Both ports are random.")
    assert (judged.is_good, judged.lines) == (True, (line, "Not one of 1,152,000 samples was lost."))


def test_why_is_the_reason_of_the_callers_hardest_technique() -> None:
    story, change = Story(), msgspec.structs.replace
    assert story.why_relayed() == ""
    punch = TraversalStep("punch", "failed", reason="no-answer")
    skipped = TraversalStep("prediction", "skipped", reason="not-needed")
    search = TraversalStep("birthday", "failed", reason="both-random")
    for mapping in ("trying", "failed"):
        techniques = (TraversalStep("port_mapping", mapping, reason="silent"), punch, search, skipped)
        story.state("Alice", EngineState(call=change(TALK, phases=techniques)), 2.0)
        assert story.why_relayed() == traversal.REASONS["both-random"]
    story.state("Bob", EngineState(call=change(TALK, phases=(punch,))), 2.0)
    assert story.why_relayed() == traversal.REASONS["both-random"], "the caller's reasons alone"


def test_the_story_of_a_call() -> None:
    story = Story()

    def alice(talk: CallStatus) -> None:
        story.state("Alice", EngineState(call=talk), 2.0)

    change = msgspec.structs.replace
    story.add(0.5, "ready")
    alice(change(TALK, phase="calling", answered=None, path=None))
    story.state("Bob", EngineState(call=change(TALK, phase="incoming", answered=None, path=None)), 2.0)
    known = change(TALK, local_nat=NatSummary("port-restricted"))
    alice(change(known, phases=(TraversalStep("punch", "trying"),)))
    won = change(known, phases=(TraversalStep("punch", "won"),))
    alice(won)
    direct = change(won, path="direct", spans=(PathSpan("relay", "relay", 0, 0.25), PathSpan("direct", "punch", 0.25)))
    alice(direct)
    alice(direct)
    alice(change(direct, phase="ended", end_reason="hung-up"))
    assert story.lines == [
        "  0.5 s  ready",
        "  2.0 s  Alice calls Bob",
        "  2.0 s  Bob's phone rings; both programs are already connected over the relay, end-to-end encrypted",
        "  2.0 s  Bob answers",
        "  2.0 s  Alice's network: Home router. It uses one port for all destinations: easy to connect.",
        "  2.0 s  Alice's voice goes over the relay",
        f"  2.0 s  Alice, punch: {traversal.TRYING['punch']}",
        f"  2.0 s  Alice, punch won: {traversal.WON}",
        "  2.0 s  Alice's voice moves to the direct path, 0.25 s after the answer",
        "  2.0 s  Alice hangs up",
    ]


def test_concealed_samples_of_both_sides_are_counted_now_and_then() -> None:
    story = Story()
    quiet = CallSample("id", 1.0, (), 1.0, 0.0, None, 0.0, 40.0, 20.0, 20.0, "", 0.0)
    story.sample("Bob", msgspec.structs.replace(quiet, concealed_ms=20.0), 3.0)
    assert not story.lines
    for _ in range(2):
        story.sample("Alice", msgspec.structs.replace(quiet, at=TALK_LINE_EVERY_S), 4.0)
    assert story.lines == ["  4.0 s  3 s of conversation: samples lost in both directions 960"]
    for _ in range(2 * MAX_LINES):
        story.add(5.0, "more")
    assert len(story.lines) == MAX_LINES


@pytest.mark.parametrize(("nat", "randoms"), [(Nat.HOME, 0), (Nat.STRICT, 1), (Nat.BOTH_STRICT, 2)])
def test_the_networks(nat: Nat, randoms: int) -> None:
    script = build_script(nat)
    assert script.count("masquerade") == 2 and script.count("fully-random") == randoms
    assert all(ip in script for ip in RELAY_IPS)
    assert all(script.count(f"ip netns add {house.name}\n") == 1 for house in HOUSEHOLDS)
