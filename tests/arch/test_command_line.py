"""The command line starts light: what only running a command needs is imported when it runs, by one table."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

from app.cli.main import COMMANDS, parse
from relay.config import DRAIN_S
from tests.arch.source import PACKAGES, ROOT, sources
from tests.arch.test_imports import graph

DEFERRED = {
    "app/cli/main.py": "the command table",
    "transport/io/upnp.py": "the loader of UPnP",
}
"""The only places that import by name."""

LIGHT = {
    *("app", "app.__main__", "app.cli", "app.cli.main", "app.cli.options"),
    *("app.demo", "app.demo.networks", "app.model", "app.model.exit_status", "app.model.sanitize"),
    *("app.system", "app.system.core_dumps", "app.system.errors", "app.system.logs", "app.system.output"),
    *(
        "transport",
        "transport.net",
        "transport.net.token_bucket",
        "transport.wire",
        "transport.wire.addresses",
        "transport.wire.errors",
    ),
}
"""What help may load of Segue; of the rest, the standard library alone."""

ADDRESS = "bob@relay.example"


def imports_by_name(tree: ast.Module) -> list[int]:
    """Lines that import by name: importlib.import_module, __import__, runpy, pkgutil.resolve_name, exec and eval."""
    lines = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="__import__" | "import_module" | "runpy" | "exec" | "eval"):
                lines.append(node.lineno)
            case ast.Attribute(attr="import_module" | "__import__" | "resolve_name" | "load_module" | "exec_module"):
                lines.append(node.lineno)
            case ast.ImportFrom(module="importlib", names=names) if any(name.name == "import_module" for name in names):
                lines.append(node.lineno)
            case ast.Import(names=names) | ast.ImportFrom(names=names) if any(name.name == "runpy" for name in names):
                lines.append(node.lineno)
    return lines


def test_imports_by_name_stand_where_they_are_listed() -> None:
    found = {source.path: lines for source in sources() if (lines := imports_by_name(source.tree))}
    assert set(found) == set(DEFERRED), found


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module('sounddevice')",
        "from importlib import import_module as load",
        "__import__('sounddevice')",
        "import runpy",
        "exec('import sounddevice')",
    ],
)
def test_imports_by_name_are_found(text: str) -> None:
    assert imports_by_name(ast.parse(text))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_a_function_that_takes_its_options(name: str) -> None:
    command = COMMANDS[name]
    module, _, function = command.runs.partition(":")
    needs_address = any(item.parameter == "address" for item in command.options)
    parsed, options = parse([name, *([ADDRESS] if needs_address else [])])
    assert parsed == name
    inspect.signature(getattr(importlib.import_module(module), function)).bind(**options)


def test_help_names_the_drain_time_that_the_relay_has() -> None:
    [drain] = [item for item in COMMANDS["relay"].options if item.parameter == "drain_s"]
    assert f"[default: {DRAIN_S:g}]" in drain.settings["help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_loads_upnp_before_a_router_is_asked(name: str) -> None:
    module = COMMANDS[name].runs.partition(":")[0]
    chains = [
        " -> ".join(chain)
        for library in ("aiohttp", "async_upnp_client")
        for chain in graph().find_shortest_chains(module, library, as_packages=True)
    ]
    assert not chains


def test_help_needs_nothing_of_what_runs() -> None:
    reached, left = set(), {"app.__main__"}
    while left:
        reached |= left
        left = {name for module in left for name in graph().find_modules_directly_imported_by(module)} - reached
    outside = {name for name in reached if name.partition(".")[0] not in {*sys.stdlib_module_names, *PACKAGES}}
    assert not outside
    assert not {name for name in reached if name.partition(".")[0] in PACKAGES} - LIGHT


@pytest.mark.process
@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_loads_nothing_of_what_runs(command: tuple[str, ...]) -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\n"
        f"sys.argv = ['segue', *{command!r}, '--help']\n"
        "from app.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted(set(sys.modules) - before), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
    loaded = done.stderr.split()
    assert "app.cli.main" in loaded
    foreign = {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, *PACKAGES}}
    assert not foreign
    assert "asyncio" not in loaded
    assert not {name for name in loaded if name.partition(".")[0] in PACKAGES} - LIGHT
