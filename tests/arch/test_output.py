"""What strangers say reaches terminals and logs through one function each; nobody prints or formats logs elsewhere."""

import ast

import pytest

from tests.arch.source import sources

PRINTS = {"app/system/output.py": {"print"}, "app/demo/run.py": {"Console", ".print", ".print_json"}}
"""The demo's page is drawn by rich; its lines pass ``_Demo._say``."""
LOGS = {
    "app/system/logs.py": {".setFormatter", ".Formatter"},
    "app/cli/main.py": {".StreamHandler"},
    "app/engine/process.py": {".RotatingFileHandler"},
}
ALLOWED = {path: PRINTS.get(path, set()) | LOGS.get(path, set()) for path in PRINTS | LOGS}

NAMES = {"print", "pprint", "Console", "StreamHandler", "FileHandler", "RotatingFileHandler", "Formatter"}
ATTRIBUTES = {
    *("print", "print_json", "secho", "print_exc", "print_exception", "print_stack", "pprint"),
    *("basicConfig", "dictConfig", "fileConfig", "setFormatter", "addHandler", "lastResort"),
    *("StreamHandler", "FileHandler", "RotatingFileHandler", "TimedRotatingFileHandler", "SysLogHandler", "Formatter"),
}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
WRITES = {"write", "writelines", "buffer"}


def printing(tree: ast.AST) -> set[str]:
    """What in ``tree`` prints, or makes lines of log records."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in NAMES:
                found.add(name)
            case ast.Attribute(attr=name) if name in ATTRIBUTES:
                found.add("." + name)
            case ast.Attribute(attr=write, value=ast.Attribute(attr=stream)) if write in WRITES and stream in STREAMS:
                found.add(f"{stream}.{write}")
            case ast.Import(names=names) if any(name.name in ("typer", "click") for name in names):
                found.add("import")
            case ast.ImportFrom(module="typer" | "click"):
                found.add("import")
            case ast.ImportFrom(module="sys", names=names) if STREAMS & {name.name for name in names}:
                found.add("from sys")
            case ast.Call(func=ast.Attribute(attr="write", value=ast.Name(id="os")), args=[ast.Constant(), *_]):
                found.add("os.write")
    return found


def test_nobody_prints_elsewhere() -> None:
    found = {source.path: names for source in sources() if (names := printing(source.tree))}
    assert found == ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "print(text)",
        "print(text, file=stream)",
        "sys.stdout.write(text)",
        "sys.stderr.writelines([text])",
        "sys.stdout.buffer.write(data)",
        "from sys import stderr",
        "os.write(2, data)",
        "import typer",
        "from click import echo",
        "rich.print(text)",
        "Console().log(text)",
        "traceback.print_exc()",
        "logging.basicConfig()",
        "handler.setFormatter(logging.Formatter('%(message)s'))",
        "logging.getLogger().addHandler(handler)",
        "logging.FileHandler(path)",
    ],
)
def test_whoever_prints_is_found(text: str) -> None:
    assert printing(ast.parse(text))


def test_the_demo_prints_strangers_text_in_one_function() -> None:
    """A string that rich is given is drawn without its markup, but with its escape sequences."""
    [demo] = [source for source in sources() if source.path == "app/demo/run.py"]
    given = [
        ast.unparse(node.args[0])
        for node in ast.walk(demo.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "print"
    ]
    assert sorted(given) == ["Text(printable(line), style)", "screen.reports(reports)"]
