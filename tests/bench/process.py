"""What Linux counts for a process (proc(5))."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of all threads so far; in steps of 10 ms (fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@dataclass(frozen=True, slots=True)
class Memory:
    """``rss_mb``: what is resident; ``pss_mb``: the same, with what is shared divided among its users."""

    rss_mb: float
    pss_mb: float

    def __str__(self) -> str:
        return f"{self.rss_mb:.0f} / {self.pss_mb:.0f} MB"


def memory(pid: int) -> Memory:
    """As of now (smaps_rollup)."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        kilobytes[name] = int(rest.split()[0])
    return Memory(kilobytes["Rss"] / 1024, kilobytes["Pss"] / 1024)


class CpuShare:
    """What processes use of one core between two moments."""

    def __init__(self, *pids: int) -> None:
        self._since = time.monotonic()
        self._before = {pid: cpu_s(pid) for pid in pids}

    def percent(self, pid: int) -> float:
        """Of one core, since this was made."""
        return 100.0 * (cpu_s(pid) - self._before[pid]) / (time.monotonic() - self._since)
