"""The ladders alone, behind every pair of NATs, in virtual time."""

import statistics

import pytest

from tests.natsim.climb import Climb
from tests.natsim.scenario import WireSpec, pair
from transport.traverse.ladder import LadderState

# DESIGN §8: what a direct path may take beyond the round trips.
SLACK_S = 0.05


def test_two_port_restricted_nats_are_punched_through() -> None:
    climb = Climb(pair("port-restricted", "port-restricted"))
    climb.answer()
    assert climb.run(1.0)
    assert all(climber.ladder.state is LadderState.DIRECT for climber in climb.sides)
    (_, mine), (_, theirs) = (climber.log.found[-1] for climber in climb.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)
    assert mine.via == theirs.via == "punch"


def test_they_are_direct_two_round_trips_after_the_first_check_of_a_side() -> None:
    took: list[float] = []
    for seed in range(40):
        delay_ms = 2.0 + 3.0 * seed
        climb = Climb(pair("port-restricted", "port-restricted", WireSpec(delay_ms=delay_ms / 2, jitter_ms=2.0)), seed)
        answered_at = climb.answer()
        assert climb.run(3.0)
        for climber in climb.sides:
            assert climber.log.direct_at is not None and climber.log.first_check_at is not None
            took.append(climber.log.direct_at - climber.log.first_check_at - 2 * climb.direct_rtt_s)
            since_answer = climber.log.direct_at - answered_at
            assert since_answer <= 1.5 * 2 * climb.one_way_s + 2 * climb.direct_rtt_s + SLACK_S
    assert statistics.median(took) <= SLACK_S


@pytest.mark.parametrize(
    ("one", "other"), [("symmetric-random", "symmetric-random"), ("symmetric-sequential", "block")]
)
def test_what_cannot_be_is_left_at_once(one: str, other: str) -> None:
    climb = Climb(pair(one, other))
    answered_at = climb.answer()
    climb.run(2.0)
    for climber in climb.sides:
        [status] = climber.ladder.phases()
        assert climber.ladder.state is LadderState.SETTLED
        assert (status.outcome, status.reason) == ("failed", "both-symmetric")
        assert status.ended is not None and status.ended - answered_at <= 2.0
        assert not any(sent.is_check for sent in climber.log.sent), "nothing is sprayed"
        assert not climber.ports, "every socket is closed"
