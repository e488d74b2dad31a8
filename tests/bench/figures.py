"""What a benchmark found: a section of figures, each with its unit and how it was measured; as a table and as text."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. ``value`` holds the unit."""

    what: str
    value: str
    how: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One table."""

    title: str
    figures: tuple[Figure, ...]

    def table(self) -> Table:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        table.add_column("what", min_width=30)
        table.add_column("figure", justify="right", no_wrap=True)
        table.add_column("how", style="dim")
        for figure in self.figures:
            table.add_row(figure.what, figure.value, figure.how)
        return table

    def markdown(self) -> str:
        """For a page."""
        lines = [f"## {self.title}", "", "| what | figure | how |", "|---|---:|---|"]
        return "\n".join([*lines, *(f"| {figure.what} | {figure.value} | {figure.how} |" for figure in self.figures)])


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with columns of its own; each row has as many cells, the first of which says what it is about."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def table(self) -> Table:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for number, column in enumerate(self.columns):
            # Folded, as half a name could be that of another NAT.
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a page."""
        rule = "|---|" + "---:|" * (len(self.columns) - 1)
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, *self.rows)]
        return "\n".join([f"## {self.title}", "", lines[0], rule, *lines[1:]])


def spread(values: Sequence[float], unit: str, digits: int = 0) -> str:
    """Median and 95th percentile."""
    return f"{quantile(values, 0.5):.{digits}f} / {quantile(values, 0.95):.{digits}f} {unit}"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of all lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def machine() -> str:
    """Processor, cores, kernel, Python, and what else the machine is doing, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(names, model).rpartition(":")[2].strip()
    load = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}{load}"
    )
