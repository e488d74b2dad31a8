"""A machine that sleeps for a while in a direct call, behind NATs: both are back on a direct path, and stay there."""

import pytest

from tests.natsim.nat_call import Ear, Machines
from tests.natsim.scenario_file import load
from transport.link.events import Command
from transport.path.events import PathChanged, Reconnecting

ASLEEP_S = 5.0
# A trial that the sleep has spoilt fails after 3 s, and the next may begin when the call has been on the relay for 2 s.
DIRECT_AGAIN_S = 6.0
WATCHED_S = 4.0


def since(ear: Ear, start: float, kind: type[Command]) -> list[tuple[float, Command]]:
    return [(at, command) for at, command in ear.commands if isinstance(command, kind) and at >= start]


@pytest.mark.parametrize("timer_first", [False, True], ids=["packets first", "timer first"])
def test_after_a_sleep_both_are_direct_again_and_stay(timer_first: bool) -> None:
    """What the sleeper looks at first decides whether its path has died for it, or only for the one who waited: then
    one of them has two paths and the other three, and they may come to talk by different ones."""
    machines = Machines(load("linux"))
    clock = machines.clock
    ears = waiting, sleeper = machines.call()
    machines.talk(ears)
    clock.run(2.0)
    first = [ear.path for ear in ears]
    assert [path is not None and path.kind for path in first] == ["direct", "direct"]
    start = clock.now
    sleeper.is_talking = False
    sleeper.driver.freeze()
    clock.run(ASLEEP_S)
    woken = clock.now
    sleeper.driver.thaw(timer_first=timer_first)
    sleeper.is_talking = True
    sleeper.speak()
    clock.run(DIRECT_AGAIN_S)
    settled = clock.now
    clock.run(WATCHED_S)
    assert len(since(waiting, start, Reconnecting)) == 1 and not since(sleeper, start, Reconnecting)
    lost = any(
        isinstance(command, PathChanged) and command.state == "dead"
        for _, command in since(sleeper, start, PathChanged)
    )
    assert lost is timer_first
    for ear in ears:
        assert ear.path is not None and (ear.path.kind, ear.path.state) == ("direct", "active")
        assert not since(ear, settled, PathChanged)
        # What is promised on a path while the peer talks by another one is asked for: hardly a silence is suspicious.
        changes = since(ear, woken, PathChanged)
        doubts = [at for at, command in changes if isinstance(command, PathChanged) and command.state == "suspect"]
        assert len(doubts) <= 2, doubts
