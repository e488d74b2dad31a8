"""What it costs to ask the command line for help, in units of starting Python itself."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence

from tests.bench.figures import Figure, Section

COMMANDS = ((), ("netcheck",), ("call",), ("relay",))
# In turn, as a shared machine slows everything down for a while; the least is the truest.
REPEATS = 10


def cpu_s(arguments: Sequence[str]) -> float:
    """CPU time of ``python ARGUMENTS``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True, env=dict(os.environ))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(*, repeats: int = REPEATS) -> Section:
    """Help of the program and of some commands."""
    figures = []
    for command in COMMANDS:
        pairs = [(cpu_s(("-m", "app", *command, "--help")), cpu_s(("-c", "pass"))) for _ in range(repeats)]
        asked, nothing = (min(side) for side in zip(*pairs, strict=True))
        figures.append(
            Figure(
                " ".join(["segue", *command, "--help"]),
                f"{asked / nothing:.1f} × the CPU time of “python -c pass”",
                f"least of {repeats}, in turn; {1000 * asked:.0f} ms",
            )
        )
    return Section("Asking for help", tuple(figures))


if __name__ == "__main__":
    print(run().markdown())
