"""The tables of the state machines have one form, and docs/state-machines.md shows them as they are."""

import pytest

from tests.arch.source import ROOT
from tests.arch.state_machines import COMMAND, Machine, machines, page

TABLES = machines()


def test_the_page_is_current() -> None:
    current = (ROOT / "docs" / "state-machines.md").read_text(encoding="utf-8")
    assert current == page(), f"write it anew: .venv/bin/{COMMAND}"


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: str(machine.module))
def test_a_table_has_one_kind_of_state_and_reaches_them_all(machine: Machine) -> None:
    reached = {machine.states[0]}
    while more := {after for before, _, after in machine.rows() if before in reached} - reached:
        reached |= more
    assert reached == set(machine.states), "a state that nothing leads to"
    assert {trigger for _, trigger, _ in machine.rows()} == set(machine.triggers), "a trigger that nothing uses"
    assert all(text == text.strip() and "\n" not in text for text in (machine.title, machine.module))
