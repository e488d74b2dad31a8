"""Who may import whom, beyond what import-linter can say: modules that are to come, and the one-file programs."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from typing import Any

import grimp
import pytest

from app.cli.main import COMMANDS
from tests.arch.source import PACKAGES, ROOT, sources

PURE_CONTRACT = "pure modules have no clock, no sockets, no threads, no event loop and no window"
PURE_PACKAGES = {
    *("transport.ice", "transport.identity", "transport.link", "transport.nat", "transport.net", "transport.path"),
    *("transport.portmap", "transport.traversal", "transport.wire", "app.model", "app.report"),
    "app.text",
}
"""What decides, and therefore does no I/O: it runs under the virtual clock of tests/natsim."""
SAYS_PURE = re.compile(r"\(pure\b|\bPure\b")
WINDOW_ONLY = ("PySide6", "qasync")


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True)


def contract(name: str) -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tables: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    [found] = [table for table in tables if table["name"] == name]
    return found


@cache
def pure() -> frozenset[str]:
    return frozenset(contract(PURE_CONTRACT)["source_modules"])


def is_pure(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in pure())


def test_whatever_calls_itself_pure_is_held_to_it() -> None:
    claims = {source.module for source in sources() if SAYS_PURE.search(ast.get_docstring(source.tree) or "")}
    assert {name for name in claims if not is_pure(name)} == set(), "add to the contract in pyproject.toml"
    assert pure() >= PURE_PACKAGES
    assert not {name for name in pure() if name not in graph().modules}


def test_pure_modules_reach_no_io_even_through_others() -> None:
    forbidden = contract(PURE_CONTRACT)["forbidden_modules"]
    chains = [
        " -> ".join(chain)
        for name in pure()
        for bad in forbidden
        if bad in graph().modules
        for chain in graph().find_shortest_chains(name, bad, as_packages=True)
    ]
    assert not chains


def test_pure_modules_take_randomness_and_the_date_as_arguments() -> None:
    """Of ``random`` only the class Random is theirs, to name the type of what they are given."""
    wrong: list[str] = []
    for source in sources():
        if not is_pure(source.module):
            continue
        for node in ast.walk(source.tree):
            place = f"{source.path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and node.module in ("random", "secrets"):
                wrong += [f"{place} {alias.name}" for alias in node.names if alias.name != "Random"]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                use = (node.value.id, node.attr)
                if (use[0] in ("random", "secrets") and use[1] != "Random") or use == ("os", "urandom"):
                    wrong.append(f"{place} {use[0]}.{use[1]}")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("random.Random", "Random"):
                wrong.append(f"{place} makes its own Random")
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
                owner = ast.unparse(node.value)
                if owner.split(".")[-1] in ("datetime", "date"):
                    wrong.append(f"{place} {owner}.{node.attr}")
    assert not wrong


def test_the_window_imports_nothing_of_segue_but_its_state_and_the_bridge() -> None:
    allowed = ("app.ui", "app.ipc.engine_state", "app.ipc.messages", "app.model", "app.text")
    wrong = [
        f"{module} -> {imported}"
        for module in graph().modules
        if (module == "app.ui" or module.startswith("app.ui.")) and module not in ("app.ui.bridge", "app.ui.run")
        for imported in graph().find_modules_directly_imported_by(module)
        if imported.split(".")[0] in PACKAGES
        and not any(imported == name or imported.startswith(f"{name}.") for name in allowed)
    ]
    assert not wrong


def test_within_transport_only_io_and_quic_have_sockets_and_an_event_loop() -> None:
    drivers = ("transport.io", "transport.quic")
    wrong = [
        f"{module} -> {imported}"
        for module in graph().modules
        if module.startswith("transport.") and not module.startswith(drivers)
        for imported in graph().find_modules_directly_imported_by(module)
        if imported in ("asyncio", "socket", "threading", "select", "selectors", "uvloop")
    ]
    assert not wrong


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "window"])
def test_no_command_but_the_window_reaches_a_window_library(name: str) -> None:
    module = COMMANDS[name].runs.partition(":")[0]
    chains = [
        " -> ".join(chain)
        for bad in WINDOW_ONLY
        if bad in graph().modules
        for chain in graph().find_shortest_chains(module, bad, as_packages=True)
    ]
    assert not chains


@pytest.mark.process
def test_the_command_line_runs_where_the_window_libraries_are_not_installed() -> None:
    script = (
        "import sys\n"
        f"for name in {WINDOW_ONLY!r}: sys.modules[name] = None  # importing it raises ImportError\n"
        "from app.cli.main import COMMANDS, main\n"
        "for name, command in COMMANDS.items():\n"
        "    name == 'window' or __import__(command.runs.partition(':')[0])\n"
        "sys.argv = ['segue', *sys.argv[1:]]\n"
        "main()\n"
    )

    def segue(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    helped = segue("--help")
    assert helped.returncode == 0, helped.stderr
    assert "relay" in helped.stdout and "listen" in helped.stdout
    window = segue()
    assert window.returncode == 5 and window.stderr.startswith("The window needs PySide6"), window.stderr
