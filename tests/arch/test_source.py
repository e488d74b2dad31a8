"""House rules that a parser can check without guessing."""

import ast
import statistics
from collections import Counter

from tests.arch.source import sources

MAX_MODULE_LINES = 500
MAX_MEDIAN_LINES = 150
MAX_FUNCTION_LINES = 80

TASK_MAKERS = ("create_task", "ensure_future", "run_coroutine_threadsafe", "TaskGroup")
TASK_HOME = "transport/io/tasks.py"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_modules_stay_readable() -> None:
    long = {source.path: lines for source in sources() if (lines := source.text.count("\n")) > MAX_MODULE_LINES}
    assert not long


def test_the_median_module_is_short() -> None:
    assert statistics.median(source.text.count("\n") for source in sources()) <= MAX_MEDIAN_LINES


# Every machine has its own, beside its TRANSITIONS (tests/arch/state_machines.py).
SHARED_NAMES = {"State", "Trigger"}


def test_a_class_name_means_one_thing() -> None:
    names = Counter(node.name for source in sources() for node in source.tree.body if isinstance(node, ast.ClassDef))
    twice = {name for name, count in names.items() if count > 1 and not name.startswith("_")}
    assert not twice - SHARED_NAMES


def test_functions_stay_readable() -> None:
    long = [
        f"{source.path}:{node.lineno} {node.name} {node.end_lineno - node.lineno + 1}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and node.end_lineno and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert not long


DEFERRED = {("media/devices/hardware.py", "media.devices.portaudio")}
"""(importer, imported) where the import itself does something: sounddevice initialises PortAudio."""


def test_imports_stand_at_the_top() -> None:
    hidden = [
        f"{source.path}:{inner.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, Function)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
        and (source.path, getattr(inner, "module", None)) not in DEFERRED
    ]
    assert not hidden


def test_tasks_start_in_one_place() -> None:
    """The event loop forgets a task that nobody holds; transport.io.tasks holds, names and ends them."""
    elsewhere = [
        f"{source.path}:{node.lineno} {node.attr}"
        for source in sources()
        if source.path != TASK_HOME
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in TASK_MAKERS
    ]
    assert not elsewhere


def test_nobody_reaches_into_another_packages_private_names() -> None:
    """``from package import _name`` and ``module._name``. Ruff's SLF001 has the attributes of objects."""
    wrong: list[str] = []
    for source in sources():
        modules: set[str] = set()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                modules |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                path = (node.module or "").split(".")
                names = [*path, *(alias.name for alias in node.names)]
                wrong += [f"{source.path}:{node.lineno} {name}" for name in names if is_private(name)]
        wrong += [
            f"{source.path}:{node.lineno} {node.value.id}.{node.attr}"
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
            and is_private(node.attr)
        ]
    assert not wrong


def is_private(name: str) -> bool:
    # sys._MEIPASS is how PyInstaller's documentation says that a program finds its own folder.
    return name.startswith("_") and not name.startswith("__") and name != "_MEIPASS"


def test_every_module_says_what_it_is_for() -> None:
    silent = [source.path for source in sources() if source.tree.body and not ast.get_docstring(source.tree)]
    assert not silent
