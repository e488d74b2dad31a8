"""Bitrate, FEC and breaker in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.codec import DEFAULT_BITRATE_BPS
from media.rate_control import (
    BREAKER_S,
    LEAST_BITRATE_WITH_FEC_BPS,
    AdaptationCommand,
    Break,
    BreakerReason,
    RateControl,
    Reported,
    ReportsOverdue,
    SetBitrate,
    SetExpectedLoss,
)


class Talk:
    """Reports once a second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.control = RateControl(self.now)
        self.sent = self.received = 0
        self.commands: list[AdaptationCommand] = []

    def seconds(self, count: int, loss: float, rtt: float = 0.05) -> list[AdaptationCommand]:
        new: list[AdaptationCommand] = []
        for _ in range(count):
            self.now += 1
            self.sent += 50
            self.received += round(50 * (1 - loss))
            new += self.control.handle(Reported(loss, self.received, self.sent, rtt), self.now)
        self.commands += new
        return new


def test_a_clean_path_changes_nothing() -> None:
    assert Talk().seconds(60, 0.0) == []


def test_one_bad_second_changes_no_bitrate() -> None:
    talk = Talk()
    commands = talk.seconds(1, 0.3) + talk.seconds(4, 0.0)
    assert not [command for command in commands if isinstance(command, SetBitrate)]


def test_lasting_loss_lowers_the_bitrate_to_where_fec_still_works_and_raises_fec() -> None:
    talk = Talk()
    talk.seconds(20, 0.2)
    rates = [command.bits_per_second for command in talk.commands if isinstance(command, SetBitrate)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == LEAST_BITRATE_WITH_FEC_BPS
    percents = [command.percent for command in talk.commands if isinstance(command, SetExpectedLoss)]
    assert percents == [10, 15, 20]


def test_it_recovers_slowly_and_does_not_flutter() -> None:
    talk = Talk()
    talk.seconds(20, 0.2)
    back = talk.seconds(60, 0.0)
    rates = [command.bits_per_second for command in back if isinstance(command, SetBitrate)]
    assert rates == [26_000, 28_000, 30_000, 32_000]
    steady = Talk()
    steady.seconds(10, 0.06)
    assert not steady.seconds(30, 0.05) + steady.seconds(30, 0.07)


def test_no_reports_break_at_the_deadline() -> None:
    talk = Talk()
    talk.seconds(3, 0.0)
    deadline = talk.control.next_deadline()
    assert deadline == talk.now + BREAKER_S
    assert talk.control.handle(ReportsOverdue(), deadline - 0.1) == []
    assert talk.control.handle(ReportsOverdue(), deadline) == [Break(BreakerReason.NO_REPORTS)]
    assert talk.control.next_deadline() is None
    assert talk.control.handle(ReportsOverdue(), deadline + 1) == []


def test_rounding_does_not_put_the_breaker_off() -> None:
    began = 1_009.1
    assert (began + BREAKER_S) - began < BREAKER_S
    control = RateControl(began)
    deadline = control.next_deadline()
    assert deadline is not None
    assert control.handle(ReportsOverdue(), deadline) == [Break(BreakerReason.NO_REPORTS)]


def test_nothing_arriving_breaks() -> None:
    talk = Talk()
    talk.seconds(3, 0.0)
    assert [c for c in talk.seconds(20, 1.0) if isinstance(c, Break)] == [Break(BreakerReason.NOTHING_ARRIVES)]


def test_heavy_loss_on_a_long_path_breaks_and_on_a_short_one_does_not() -> None:
    long = Talk()
    assert [c for c in long.seconds(20, 0.5, rtt=0.6) if isinstance(c, Break)] == [Break(BreakerReason.CONGESTION)]
    short = Talk()
    assert not [c for c in short.seconds(60, 0.3, rtt=0.02) if isinstance(c, Break)]


@given(
    st.lists(
        st.one_of(
            st.builds(ReportsOverdue),
            st.builds(Reported, st.floats(0, 1), st.integers(0, 2**53), st.integers(0, 2**53), st.floats(0, 600)),
        ),
        max_size=80,
    ),
    st.floats(0, 20),
)
def test_any_events_keep_every_setting_in_range(events: list[Reported | ReportsOverdue], step: float) -> None:
    now = 0.0
    control = RateControl(now)
    breaks = 0
    for event in events:
        now += step
        for command in control.handle(event, now):
            match command:
                case SetBitrate(bits_per_second=rate):
                    assert LEAST_BITRATE_WITH_FEC_BPS <= rate <= DEFAULT_BITRATE_BPS
                case SetExpectedLoss(percent=percent):
                    assert 5 <= percent <= 40
                case Break():
                    breaks += 1
        deadline = control.next_deadline()
        assert deadline is None or deadline >= now - BREAKER_S
    assert breaks <= 1


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2, 1.0])
def test_no_stuck_state(loss: float) -> None:
    talk = Talk()
    talk.seconds(100, loss)
    assert talk.control.broken == (loss == 1.0)
