"""app.cli.headless: what the command line prints of a running call."""

import pytest

from app.cli.headless import _CallLines
from app.ipc.engine_state import CallStatus, TraversalStep
from app.ipc.messages import EngineState


def test_each_technique_is_printed_once_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _CallLines()

    def printed(*phases: TraversalStep, call: str = "a", phase: str = "talking", path: str = "relay") -> list[str]:
        state = CallStatus(call, phase, True, "bob@r", "Bob", answered=0.0, path=path, phases=phases)  # type: ignore[arg-type]
        lines(EngineState(call=state))
        return capsys.readouterr().out.splitlines()

    waiting = TraversalStep("punch")
    punching = TraversalStep("punch", "trying", started=0.1)
    missed = TraversalStep("punch", "failed", started=0.1, ended=2.1, reason="no-answer")
    idle = TraversalStep("prediction", "skipped", reason="not-needed")
    search = TraversalStep("birthday", "trying", started=1.0, tried=10, of=1_024)
    further = TraversalStep("birthday", "trying", started=1.0, tried=300, of=1_024)
    found = TraversalStep("birthday", "won", 1.0, 1.0, 5.7, 871, 1, tried=871)

    assert printed(waiting) == []
    assert printed(punching, idle) == ["punch: both sides send at once"]
    assert printed(punching, idle) == []
    # Phases overlap: each has its own line.
    assert printed(punching, search) == ["birthday: trying 1,024 ports on their side"]
    assert printed(missed, further) == ["punch: did not work after 2.0 s. No packet from the other side came through."]
    assert printed(missed, found, path="direct") == ["direct", "birthday: worked after 4.7 s, 871 packets"]
    # Another attempt, and another call, are printed anew.
    assert printed(punching, found, path="direct") == ["punch: both sides send at once"]
    assert printed(punching, call="b") == ["punch: both sides send at once"]
    assert printed(missed, call="b", phase="ended") == []
