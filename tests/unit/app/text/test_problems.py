"""app.text.problems: every code that the product raises, or finds, has a sentence."""

import ast
from pathlib import Path

import pytest

from app.system import errors
from app.text.problems import CAUSES, NOTICES, PROBLEMS, notice_text, problem_text

ROOT = Path(__file__).parents[4]
VALUES: dict[str, str | int] = {
    "path": "/home/a/segue",
    "kept": "/home/a/old",
    "name": "segue.db",
    "names": "theme",
    "part": "x y",
    "address": "ann@relay.example:7850",
    "limit": 10_000,
    "count": 2,
    "detail": "no WAV",
    "variable": "SEGUE_KEY_PLACE",
}


def codes(called: tuple[str, ...], place: int) -> dict[str, str]:
    """The codes that calls of these constructors are given, with where."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).split(".")[-1] in called
                and len(node.args) > place
            ):
                code = node.args[place]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    found[code.value] = str(path)
    return found


ERRORS = ("AppError", "HomeError", "AlreadyRunning", "EngineUnreachable", "LocalSocketError", "LocalRelayError")
KEYS = ("KeyUnreadable", "KeyringLocked", "KeyNotSaved", "ListFull")


def test_every_error_has_a_sentence() -> None:
    raised = codes((*ERRORS, *KEYS), 0)
    assert len(raised) > 20
    assert not {code: place for code, place in raised.items() if code not in PROBLEMS}


def test_every_finding_has_a_title_and_a_sentence() -> None:
    found = {**codes(("Finding",), 1), **codes(("_find",), 1)}
    assert len(found) > 8
    special = {"entries-unreadable", "relay-refused", "no-local-relay"}
    assert not {code: place for code, place in found.items() if code not in {*NOTICES, *special}}


def test_every_cause_has_a_sentence() -> None:
    stores = {**codes(("StoreDamaged", "StoreReadOnly", "StoreFull", "StoreBusy", "StoreError"), 0)}
    assert stores and not set(stores) - set(CAUSES)
    assert not {cause for cause in errors._CAUSES.values() if cause not in CAUSES}


@pytest.mark.parametrize("code", PROBLEMS)
@pytest.mark.parametrize("cause", ["", "disk-full", "something strange"])
def test_a_problem_is_a_few_sentences(code: str, cause: str) -> None:
    text = problem_text(code, {**VALUES, **({"cause": cause} if cause else {})})
    assert text[0].isupper() or text[0] == "“" or text.startswith("segue.db")
    assert ("The disk is full." in text) == (cause == "disk-full")
    assert ("The system says: “something strange”." in text) == (cause == "something strange")


@pytest.mark.parametrize("code", [*NOTICES, "entries-unreadable"])
def test_a_notice_has_a_title(code: str) -> None:
    title, text = notice_text(code, {**VALUES, "cause": "damaged"})
    assert title and not title.endswith(".") and text.endswith(".")


def test_notices_of_relays_say_which() -> None:
    values = {"problem": "wrong-pin", "relay": "relay.example:7850#" + "ab" * 16, "detail": ""}
    assert notice_text("relay-refused", values)[1].startswith(  # type: ignore[arg-type]
        "A different relay than the one you chose answers at relay.example:7850."
    )
    title, text = notice_text("no-local-relay", {"code": "echo-not-started"})
    assert (title, text) == ("The private relay is not running", "Echo did not start.")


def test_a_code_of_a_relay_is_a_reason_of_a_call() -> None:
    assert (
        problem_text("name-taken", {"detail": ""}) == "Somebody else has this name at that relay. Choose another name."
    )
