"""What documents, docstrings and comments point at exists: sections, decisions, files, modules and names."""

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from functools import cache

from tests.arch.source import PACKAGES, ROOT, sources
from tests.arch.test_tree import tracked

# Written by programs, and what earlier versions were.
NOT_READ = {"docs/results.md", "CHANGELOG.md"}
CITED = re.compile(r"DESIGN((?:[\s,]|and|§[0-9]+(?:\.[0-9]+)?|D[0-9]+\b)+)")
ITEM = re.compile(r"§([0-9]+)(?:\.([0-9]+))?|D([0-9]+)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc):`~?([\w.]+)`")
QUOTED = re.compile(r"`([^`\s]+)`")
# relay.example is a host, relay.pem a file.
MODULE = re.compile(rf"(?!relay\.(?:example|pem))(?:{'|'.join(PACKAGES)})(?:\.\w+)+(?::[\w.]+)?")
TREES = ("app/", "transport/", "media/", "relay/", "tests/", "docs/", "packaging/")


@cache
def texts() -> tuple[tuple[str, str], ...]:
    found = []
    for file in tracked():
        name = file.relative_to(ROOT).as_posix()
        if file.suffix in (".py", ".md", ".sh", ".toml") and name not in NOT_READ:
            found.append((name, file.read_text(encoding="utf-8")))
    return tuple(found)


def pages() -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in texts() if name.endswith(".md"))


def test_every_citation_of_the_design_resolves() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([0-9]+)\. [^\n]*\n(.*?)(?=^## |\Z)", design, re.MULTILINE | re.DOTALL))
    decisions = set(re.findall(r"^\*\*D([0-9]+) ", design, re.MULTILINE))

    def exists(section: str, item: str, decision: str) -> bool:
        if decision:
            return decision in decisions
        return section in sections and (
            not item or re.search(rf"^{item}\. ", sections[section], re.MULTILINE) is not None
        )

    wrong = [
        f"{name}: {match[0].strip()}"
        for name, text in texts()
        for match in CITED.finditer(text)
        if not all(exists(*found) for found in ITEM.findall(match[1]))
    ]
    assert not wrong


def test_links_between_pages_lead_somewhere() -> None:
    wrong = [
        f"{name}: {target}"
        for name, text in pages()
        for target in LINK.findall(text)
        if "://" not in target and not ((ROOT / name).parent / target).exists()
    ]
    assert not wrong


def test_paths_that_pages_and_docstrings_name_exist() -> None:
    quoted = re.compile(r"`(" + "|".join(map(re.escape, TREES)) + r")([^`\s]*)`")
    wrong = [
        f"{name}: {match[1]}{match[2]}"
        for name, text in texts()
        for match in quoted.finditer(text)
        if not all(any(ROOT.glob(path.rstrip("/"))) for path in expanded(match[1] + match[2]))
    ]
    assert not wrong


def expanded(path: str) -> list[str]:
    """``a/{b,c}.py`` as the shell reads it; ``a/b.py:name`` and ``a/b.py::test`` are the file."""
    path = path.partition(":")[0]
    braces = re.search(r"\{([^}]*)\}", path)
    if not braces:
        return [path]
    return [path[: braces.start()] + part + path[braces.end() :] for part in braces[1].split(",")]


def test_modules_that_pages_name_exist() -> None:
    wrong = [
        f"{name}: {word}"
        for name, text in pages()
        for word in QUOTED.findall(text)
        if MODULE.fullmatch(word) and not resolves(word.replace(":", "."))
    ]
    assert not wrong


def test_what_docstrings_refer_to_exists() -> None:
    known = frozenset().union(*(names_in(source.tree) for source in sources()))
    wrong = []
    for source in sources():
        for match in ROLE.finditer(source.text):
            first = match[1].partition(".")[0]
            is_own = first in PACKAGES and "." in match[1]
            if not (resolves(match[1]) if is_own else first in known or importable(match[1])):
                wrong.append(f"{source.path}:{source.text.count(chr(10), 0, match.start()) + 1} {match[1]}")
    assert not wrong


def names_in(tree: ast.Module) -> set[str]:
    """Every name that the module defines or imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in names}
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
    return found


@cache
def resolves(target: str) -> bool:
    """A module, or a name in one, or an attribute of that."""
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        if path.is_dir() or path.with_suffix(".py").exists():
            thing: object = importlib.import_module(".".join(parts[:count])) if count < len(parts) else None
            for attribute in parts[count:]:
                if not hasattr(thing, attribute) and attribute not in getattr(thing, "__annotations__", {}):
                    return False
                thing = getattr(thing, attribute, None)
            return True
    return False


@cache
def importable(target: str) -> bool:
    """Something of the standard library or of a library."""
    if hasattr(builtins, target):
        return True
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for attribute in parts[count:]:
            if not hasattr(thing, attribute):
                return False
            thing = getattr(thing, attribute)
        return True
    return False


def test_this_looks_where_it_should() -> None:
    assert len(texts()) > 200 and any(name == "README.md" for name, _ in pages())
    assert resolves("transport.net.machine.Machine") and not resolves("transport.net.machine.Nothing")
    assert expanded("a/{b,c}.py") == ["a/b.py", "a/c.py"]
