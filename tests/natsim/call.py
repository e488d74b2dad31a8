"""Two people, one relay: the smallest whole call."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.driver import SimDriver
from tests.natsim.network import Network
from tests.natsim.relay import RelayNode
from tests.natsim.wire import Wire
from transport.identity.keys import Identity, new_identity
from transport.link.events import (
    Command,
    LinkConfig,
    LinkEnded,
    MediaReceived,
    Open,
    PeerMessageReceived,
    PeerProven,
    SendMedia,
)
from transport.link.link import Link
from transport.path.relay_leg import LegAccess
from transport.wire.call_messages import PeerMessage

RELAY_IP = "192.0.2.1"
CALLER_IP = "198.51.100.1"
CALLEE_IP = "203.0.113.1"
FRAME_S = 0.02
FRAME_SAMPLES = 960


@cache
def identity(seed: int) -> Identity:
    """A person's identity, the same for the same seed."""
    rng = random.Random(seed)
    return new_identity(rng.randbytes(32), rng.getrandbits(100) + 1)


def rtp(index: int, payload: bytes = b"\x00" * 60) -> bytes:
    """The RTP packet of frame number ``index``; the payload begins with that number."""
    header = bytes([0x80, 111]) + (index & 0xFFFF).to_bytes(2, "big")
    header += (index * FRAME_SAMPLES & 0xFFFFFFFF).to_bytes(4, "big") + b"ssrc"
    return header + index.to_bytes(8, "big") + payload


def frame_index(packet: bytes) -> int:
    """The frame number in a packet of :func:`rtp`."""
    return int.from_bytes(packet[12:20], "big")


@dataclass
class Side:
    """One person's end of the call, and everything that their link has commanded."""

    driver: SimDriver
    clock: VirtualClock
    commands: list[tuple[float, Command]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    sent: int = 0
    last_packet: bytes = b""
    _talking: Timer | None = None

    def take(self, command: Command) -> None:
        if isinstance(command, MediaReceived):
            self.last_packet = command.data
            self.frames.append(frame_index(command.data))
        else:
            self.commands.append((self.clock.now, command))

    def of(self, kind: type[Command]) -> list[Command]:
        return [command for _, command in self.commands if isinstance(command, kind)]

    def when(self, kind: type[Command]) -> float | None:
        """When the link first gave a command of this kind."""
        return next((at for at, command in self.commands if isinstance(command, kind)), None)

    @property
    def proven(self) -> bool:
        return bool(self.of(PeerProven))

    @property
    def ended(self) -> LinkEnded | None:
        last = self.commands[-1][1] if self.commands else None
        return last if isinstance(last, LinkEnded) else None

    @property
    def messages(self) -> list[PeerMessage]:
        return [command.message for command in self.of(PeerMessageReceived) if isinstance(command, PeerMessageReceived)]

    def talk(self, payload: bytes = b"\x00" * 60) -> None:
        """Send a frame each 20 ms from now on."""
        self.driver.submit(SendMedia(rtp(self.sent, payload)))
        self.sent += 1
        self._talking = self.clock.after(FRAME_S, lambda: self.talk(payload))

    def be_silent(self) -> None:
        if self._talking is not None:
            self._talking.cancelled = True


Change = Callable[[LinkConfig], LinkConfig]


class Call:
    """A relay and two links on three hosts. ``wire`` makes one direction of one host's access."""

    def __init__(
        self,
        seed: int = 1,
        wire: Callable[[], Wire] = Wire,
        *,
        caller: Change = lambda config: config,
        callee: Change = lambda config: config,
        capture: bool = False,
        make_link: Callable[[LinkConfig, random.Random], Link] = Link,
        hosts: tuple[str, str] = (CALLER_IP, CALLEE_IP),
    ) -> None:
        """``hosts`` is where the relay's sessions with the two come from."""
        self._make_link = make_link
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.network = Network(self.clock, self.rng, capture=capture)
        # The relay's own access is perfect, so that a path has exactly two wires each way.
        self.relay = RelayNode(self.network.host(RELAY_IP, Wire(delay=0), Wire(delay=0)))
        self.call_id = self.rng.randbytes(16).hex()
        self.caller_identity, self.callee_identity = identity(1), identity(2)
        legs = self.relay.grant(self.call_id, hosts=hosts)
        self.caller = self._side(CALLER_IP, caller(self._config("caller", legs[0])), wire)
        self.callee = self._side(CALLEE_IP, callee(self._config("callee", legs[1])), wire)
        self.sides = (self.caller, self.callee)

    def _config(self, role: str, leg: LegAccess) -> LinkConfig:
        mine, theirs = self.caller_identity, self.callee_identity
        if role == "callee":
            mine, theirs = theirs, mine
        return LinkConfig(
            role="caller" if role == "caller" else "callee",
            call_id=self.call_id,
            identity=mine,
            peer_key=theirs.key,
            peer_certificate=theirs.certificate,
            leg=leg,
        )

    def _side(self, ip: str, config: LinkConfig, wire: Callable[[], Wire]) -> Side:
        host = self.network.host(ip, wire(), wire())
        link = self._make_link(config, random.Random(self.rng.getrandbits(64)))
        driver = SimDriver(link, host, lambda command: side.take(command))
        side = Side(driver, self.clock)
        return side

    def open(self) -> "Call":
        for side in self.sides:
            side.driver.submit(Open())
        return self

    def connect(self, seconds: float = 30.0) -> "Call":
        """Open both links and run until both are proven."""
        self.open()
        assert self.clock.run(seconds, lambda: all(side.proven for side in self.sides)), [
            s.commands for s in self.sides
        ]
        return self

    def run(self, seconds: float) -> "Call":
        self.clock.run(seconds)
        return self

    def run_until_ended(self, seconds: float = 60.0) -> "Call":
        assert self.clock.run(seconds, lambda: all(side.ended for side in self.sides)), [s.commands for s in self.sides]
        return self
