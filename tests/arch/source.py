"""The product's source files, parsed; shared by the tests of this folder."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "transport", "media", "relay")


@dataclass(frozen=True, slots=True)
class Source:
    path: str
    """Relative to the root, with slashes."""
    module: str
    text: str
    tree: ast.Module


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the product, in the order of their paths."""
    found: list[Source] = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT)
            names = path.with_suffix("").parts
            module = ".".join(names[:-1] if names[-1] == "__init__" else names)
            text = file.read_text(encoding="utf-8")
            found.append(Source(path.as_posix(), module, text, ast.parse(text, filename=str(path))))
    return tuple(found)
