"""app.cli.headless: what the command line tells of a running call."""

import pytest

from app.cli.headless import _Narrator
from app.ipc.messages import CallState, EngineState, TraversalStep


def test_phases_are_told_once_and_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = _Narrator()

    def told(*phases: TraversalStep, call: str = "a", phase: str = "talking", path: str = "relay") -> list[str]:
        state = CallState(call, phase, True, "bob@r", "Bob", answered=0.0, path=path, phases=phases)  # type: ignore[arg-type]
        narrator(EngineState(call=state))
        return capsys.readouterr().out.splitlines()

    waiting = TraversalStep("punch")
    punching = TraversalStep("punch", "trying", started=0.1)
    missed = TraversalStep("punch", "failed", started=0.1, ended=2.1, why="No packet came through.", reason="no-answer")
    idle = TraversalStep("prediction", "skipped", why="A punch is enough.", reason="not-needed")
    search = TraversalStep("birthday", "trying", started=1.0, tried=10, of=1_024, doors_there=1_024)
    further = TraversalStep("birthday", "trying", started=1.0, tried=300, of=1_024, doors_there=1_024)
    found = TraversalStep("birthday", "won", 1.0, 1.0, 5.7, 871, 1, "Door 871 was open.")

    assert told(waiting) == []
    assert told(punching, idle) == ["punch: both sides send at once"]
    assert told(punching, idle) == []
    # Phases overlap: each has its own line.
    assert told(punching, search) == ["birthday: trying 1,024 doors on their side"]
    assert told(missed, further) == ["punch: did not work after 2.0 s. No packet came through."]
    assert told(missed, found, path="direct") == ["direct", "birthday: worked after 4.7 s, 871 packets"]
    # Another climb, and another call, are told anew.
    assert told(punching, found, path="direct") == ["punch: both sides send at once"]
    assert told(punching, call="b") == ["punch: both sides send at once"]
    assert told(missed, call="b", phase="ended") == []
