"""The product's own processes in the kernel laboratory: a relay in the middle, people behind the NATs."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.netlab.lab import MID, KernelWorld
from tests.processes import SEGUE, Running, program, read_report

SPEECH = Path(__file__).parents[1] / "data" / "speech.wav"
RELAY_PORT = 7850


@dataclass
class Person:
    """One side's program, and what it says. Its files are in ``folder``."""

    world: KernelWorld
    side: int
    name: str
    folder: Path
    sound: Path = SPEECH
    program: Sequence[str] = tuple(SEGUE)
    output: list[str] = field(default_factory=list)

    @property
    def report(self) -> dict[str, Any]:
        """What the program wrote about its last call."""
        return read_report(self.folder / "report.json")

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def recording(self) -> Path:
        return self.folder / "recording.wav"

    def start(self, *arguments: str) -> contextlib.AbstractContextManager[Running]:
        """``segue ARGUMENTS`` with this person's home, in the namespace of the host."""
        inside = self.world.held.prefix(self.world.host(self.side))
        return program(*inside, *self.program, *arguments, "--home", str(self.home))

    def start_talking(self, *arguments: str) -> contextlib.AbstractContextManager[Running]:
        """The same for a command that carries a voice: it is sent; a recording and a report are kept."""
        files = (
            "--play",
            str(self.sound),
            "--record",
            str(self.recording),
            "--report",
            str(self.folder / "report.json"),
        )
        return self.start(*arguments, *files)


def register(relay: str, *people: Person) -> list[str]:
    """All claim their names at once; gives the full addresses."""
    addresses = [f"{person.name}@{relay}" for person in people]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(person.start("register", address))
            for person, address in zip(people, addresses, strict=True)
        ]
        for each in started:
            assert each.wait() == 0, each.output
    return addresses


@contextlib.contextmanager
def relay_in(world: KernelWorld, folder: Path) -> Iterator[str]:
    """A relay on every address and STUN port of the scenario; gives its address with pin."""
    spec = world.scenario.relay
    binds = [argument for ip in spec.addresses for argument in ("--bind", ip)]
    ports = [argument for port in spec.stun_ports for argument in ("--stun-port", str(port))]
    command = ("relay", "--port", str(RELAY_PORT), "--data", str(folder), "--drain", "0", *binds, *ports)
    with program(*world.held.prefix(MID), *SEGUE, *command) as running:
        yield running.wait_for("ready ").removeprefix("ready ")


@contextlib.contextmanager
def in_call(
    world: KernelWorld,
    folder: Path,
    seconds: float,
    *options: str,
    sound: Path = SPEECH,
    programs: tuple[Sequence[str], Sequence[str]] = (SEGUE, SEGUE),
    ring_s: float = 0.2,
    caller_options: Sequence[str] = (),
) -> Iterator[tuple[Person, Person]]:
    """Side 0 calls side 1 over a relay; within the block they talk, and after it both have hung up and reported.

    ``options`` are both programs', ``sound`` is what both say, ``programs`` are the caller's and the callee's, which
    takes the call after ``ring_s``."""
    caller = Person(world, 0, "alice", folder / "alice", sound, programs[0])
    callee = Person(world, 1, "bob", folder / "bob", sound, programs[1])
    for person in (caller, callee):
        person.folder.mkdir()
    with relay_in(world, folder / "relay") as relay:
        bob, _ = register(relay, callee, caller)
        with callee.start_talking("listen", "--once", "--answer-after", str(ring_s), *options) as listening:
            listening.wait_for("listening as bob@")
            with caller.start_talking("call", bob, "--for", str(seconds), *options, *caller_options) as calling:
                listening.wait_for("talking")
                yield caller, callee
                assert calling.wait() == 0, calling.output
            assert listening.wait() == 0, listening.output
            caller.output, callee.output = calling.lines, listening.lines
