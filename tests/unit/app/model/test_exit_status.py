"""app.model.exit_status: what scripts learn of a call's end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.exit_status import ExitStatus, exit_status
from app.text.calls import ENDED


@pytest.mark.parametrize(
    ("reason", "answered", "status"),
    [
        ("hung-up", True, 0),
        ("peer-left", True, 0),
        ("lost", True, 5),
        ("failed", True, 5),
        ("offline", False, 3),
        ("unknown-name", False, 3),
        ("no-answer", False, 3),
        ("relay-unreachable", False, 3),
        ("wrong-pin", False, 3),
        ("declined", False, 4),
        ("busy", False, 4),
        ("key-changed", False, 5),
        ("bad-proof", False, 5),
        ("hung-up", False, 5),
        ("", False, 5),
    ],
)
def test_exit_status(reason: str, answered: bool, status: int) -> None:
    assert exit_status(reason, answered=answered) == status


@given(st.one_of(st.sampled_from(sorted(ENDED)), st.text()), st.booleans())
def test_only_an_answered_call_is_a_success(reason: str, answered: bool) -> None:
    status = exit_status(reason, answered=answered)
    assert status in (ExitStatus.OK, ExitStatus.UNREACHABLE, ExitStatus.DECLINED, ExitStatus.FAILED)
    if status is ExitStatus.OK:
        assert answered
