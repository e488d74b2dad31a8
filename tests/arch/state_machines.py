"""Writes docs/state-machines.md from every ``TRANSITIONS`` table of the product.

``python -m tests.arch.state_machines docs/state-machines.md``
"""

import ast
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.arch.source import Source, sources

COMMAND = "python -m tests.arch.state_machines docs/state-machines.md"
_HEAD = f"""\
# State machines

Written by `{COMMAND}` from the tables in the code; do not edit.

Each `TRANSITIONS` table is the one that its machine uses at run time: the machine looks up its state and what happened,
and ignores a pair that is not in the table. The first state is the one a machine starts in.
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One table."""

    title: str
    module: str
    transitions: Mapping[tuple[Enum, Enum], Enum]

    @property
    def states(self) -> list[Enum]:
        """In the order of their class; a machine begins in the first."""
        [kind] = {type(state) for state, _ in self.transitions} | {type(state) for state in self.transitions.values()}
        return list(kind)

    @property
    def triggers(self) -> list[Enum]:
        """In the order of their class."""
        [kind] = {type(trigger) for _, trigger in self.transitions}
        return list(kind)

    def rows(self) -> Iterator[tuple[Enum, Enum, Enum]]:
        """State, trigger, next state."""
        for state in self.states:
            for trigger in self.triggers:
                after = self.transitions.get((state, trigger))
                if after is not None:
                    yield state, trigger, after

    def markdown(self) -> str:
        """The machine's section of the page."""
        return "\n".join(
            [
                f"## {self.title}",
                "",
                f"`{self.module}`",
                "",
                "```mermaid",
                "stateDiagram-v2",
                *(f"    {line}" for line in self._diagram()),
                "```",
                "",
                "| state | what happens | next state |",
                "|---|---|---|",
                *(" | ".join(("", *map(_words, row), "")).strip() for row in self.rows()),
            ]
        )

    def _diagram(self) -> Iterator[str]:
        for state in self.states:
            if _words(state) != _name(state):
                yield f'state "{_words(state)}" as {_name(state)}'
        yield f"[*] --> {_name(self.states[0])}"
        labels: dict[tuple[Enum, Enum], list[str]] = {}
        for state, trigger, after in self.rows():
            labels.setdefault((state, after), []).append(_words(trigger))
        for (state, after), triggers in labels.items():
            yield f"{_name(state)} --> {_name(after)} : {', '.join(triggers)}"
        left = {state for state, _ in self.transitions}
        for state in self.states:
            if state not in left:
                yield f"{_name(state)} --> [*]"


def machines() -> list[Machine]:
    """Every table of the product, in the order of the modules."""
    found = []
    for source in sources():
        if _defines_table(source):
            docstring = ast.get_docstring(source.tree) or source.module
            title = docstring.split("\n")[0].rstrip(".")
            found.append(Machine(title, source.module, importlib.import_module(source.module).TRANSITIONS))
    return found


def page() -> str:
    """The whole page."""
    return "\n\n".join([_HEAD.rstrip("\n"), *(machine.markdown() for machine in machines())]) + "\n"


def _defines_table(source: Source) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == "TRANSITIONS"
        for node in source.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )


def _words(item: Enum) -> str:
    text = item.value if isinstance(item.value, str) else item.name.lower()
    return text.replace("_", " ")


def _name(state: Enum) -> str:
    return state.name.lower()


def main() -> None:
    """Write the page."""
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
