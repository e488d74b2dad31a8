"""The carriage of sealed packets: sockets, the relay leg and the path manager together.

The link above hands it sealed packets and gets sealed packets from it; by which socket and which address they
travel is decided here, packet by packet. Nothing that arrives is believed here but authenticated STUN.
"""

import ipaddress
import random
from dataclasses import dataclass

from transport.path.leg import (
    CheckBinding,
    LegAccess,
    LegBound,
    LegCommand,
    LegLost,
    LegRefused,
    LegTimer,
    RelayLeg,
    ReplaceGrant,
    SendToRelay,
    StartBinding,
    StopLeg,
    StunArrived,
)
from transport.path.manager import (
    AddPath,
    AllSilent,
    Heard,
    HeardAgain,
    ManagerEvent,
    PathClosed,
    PathManager,
    PathMoved,
    PathOpened,
    PathRefuted,
    PathTimer,
    PathValidated,
    Revalidate,
    StateChanged,
)
from transport.path.sockets import (
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.path.stats import PathKind, PathVia, RoundTrip
from transport.wire.demux import PacketKind, packet_kind
from transport.wire.stun import Address

# A socket that could not be opened is tried again this often, until the call is lost.
REOPEN_S = 1.0
RELAY_PATH = 0


@dataclass(frozen=True, slots=True)
class PathChanged:
    """A path is in another state (:class:`transport.path.manager.PathState`, by value)."""

    kind: PathKind
    via: PathVia
    remote: Address
    state: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The peer has not been heard since ``since`` (in the machine's clock) on any path."""

    since: float


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The peer is heard again."""


@dataclass(frozen=True, slots=True)
class SealedArrived:
    """A packet for QUIC came by this path. Whether it is authentic, QUIC finds out."""

    path: int
    data: bytes


@dataclass(frozen=True, slots=True)
class CarriageReady:
    """There is a path to send on. Said each time that the leg is bound."""


@dataclass(frozen=True, slots=True)
class CarriageRefused:
    """The relay does not accept the grant (STUN error ``code``); it is asked again until it does."""

    code: int


CarriageCommand = (
    OpenSocket
    | CloseSocket
    | SendDatagram
    | PathChanged
    | Reconnecting
    | Reconnected
    | SealedArrived
    | CarriageReady
    | CarriageRefused
)


class Carriage:
    """Begins with :meth:`open`; ends when its owner closes :attr:`sockets` and forgets it."""

    __slots__ = (
        "_leg",
        "_next_socket",
        "_out",
        "_relay",
        "_reopen_at",
        "_socket",
        "foreign_dropped",
        "garbage_dropped",
        "paths",
    )

    def __init__(self, access: LegAccess, rng: random.Random) -> None:
        self._relay = access.relay
        self._leg = RelayLeg(access, rng)
        self.paths = PathManager()
        """Owned here: others read it, and feed the measurements of its paths."""
        self._socket: int | None = None
        self._next_socket = 0
        self._reopen_at: float | None = None
        self._out: list[CarriageCommand] = []
        self.foreign_dropped = 0
        self.garbage_dropped = 0

    @property
    def sockets(self) -> tuple[int, ...]:
        """The sockets that are open, or being opened."""
        return () if self._socket is None else (self._socket,)

    @property
    def reflexive(self) -> Address | None:
        """Our address as the relay sees it."""
        return self._leg.reflexive

    @property
    def relay_round_trip(self) -> RoundTrip:
        """Measured by binding and keeping the leg bound."""
        return self._leg.round_trip

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        deadlines = (self._reopen_at, self._leg.next_deadline(), self.paths.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def open(self, now: float) -> list[CarriageCommand]:
        """Begin with the relay path."""
        self._manage(AddPath(RELAY_PATH, "relay", "relay", self._relay), now)
        self._open_socket()
        return self._take()

    def opened(self, event: SocketOpened, now: float) -> list[CarriageCommand]:
        """A socket is there."""
        if event.socket == self._socket:
            self._manage(PathOpened(RELAY_PATH, event.local), now)
            self._run_leg(self._leg.handle(StartBinding(), now), now)
        return self._take()

    def failed(self, event: SocketFailed, now: float) -> list[CarriageCommand]:
        """A socket could not be opened, or has died."""
        if event.socket == self._socket:
            self._socket_gone(now)
            self._reopen_at = now + REOPEN_S
        return self._take()

    def replace_leg(self, access: LegAccess, now: float) -> list[CarriageCommand]:
        """Use a new grant. One whose relay is not an IP address is ignored."""
        try:
            family = ipaddress.ip_address(access.relay[0]).version
        except ValueError:
            return []
        same_family = ipaddress.ip_address(self._relay[0]).version == family
        self._relay = access.relay
        self._manage(PathMoved(RELAY_PATH, access.relay), now)
        self._run_leg(self._leg.handle(ReplaceGrant(access), now), now)
        if not same_family and self._socket is not None:
            self._out.append(CloseSocket(self._socket))
            self._socket_gone(now)
            self._open_socket()
        return self._take()

    def arrived(self, event: DatagramReceived, now: float) -> list[CarriageCommand]:
        """A UDP payload came. Only the relay's own address is listened to."""
        quality = self.paths.quality(RELAY_PATH)
        if event.socket != self._socket or event.source != self._relay or quality is None:
            self.foreign_dropped += 1
            return []
        quality.received(len(event.data))
        kind = packet_kind(event.data)
        if kind is PacketKind.QUIC:
            return [SealedArrived(RELAY_PATH, event.data)]
        if kind is PacketKind.STUN:
            self._run_leg(self._leg.handle(StunArrived(event.data), now), now)
        else:
            self.garbage_dropped += 1
        return self._take()

    def heard(self, path: int, now: float) -> list[CarriageCommand]:
        """QUIC found authentic traffic of the peer in what came by ``path``."""
        self._manage(Heard(path), now)
        return self._take()

    def send(self, data: bytes) -> list[CarriageCommand]:
        """Send one sealed packet on every path that carries now; on none it is lost, as on any network."""
        for path in self.paths.carriers:
            quality = self.paths.quality(path)
            if self._socket is not None and quality is not None:
                quality.sent(len(data))
                self._out.append(SendDatagram(self._socket, self._relay, data))
        return self._take()

    def timer(self, now: float) -> list[CarriageCommand]:
        """Do what is due; harmless when nothing is."""
        if self._reopen_at is not None and now >= self._reopen_at:
            self._open_socket()
        self._run_leg(self._leg.handle(LegTimer(), now), now)
        self._manage(PathTimer(), now)
        return self._take()

    def _take(self) -> list[CarriageCommand]:
        out, self._out = self._out, []
        return out

    def _open_socket(self) -> None:
        self._reopen_at = None
        self._socket = self._next_socket
        self._next_socket += 1
        version = ipaddress.ip_address(self._relay[0]).version
        wildcard = "0.0.0.0" if version == 4 else "::"  # noqa: S104
        self._out.append(OpenSocket(self._socket, wildcard, self._relay))

    def _socket_gone(self, now: float) -> None:
        self._socket = None
        self._run_leg(self._leg.handle(StopLeg(), now), now)
        self._manage(PathClosed(RELAY_PATH), now)

    def _run_leg(self, commands: list[LegCommand], now: float) -> None:
        for command in commands:
            match command:
                case SendToRelay(data):
                    if self._socket is not None:
                        self._out.append(SendDatagram(self._socket, self._relay, data))
                case LegBound():
                    self._manage(PathValidated(RELAY_PATH), now)
                    self._out.append(CarriageReady())
                case LegLost():
                    self._manage(PathRefuted(RELAY_PATH), now)
                case LegRefused(code):
                    self._out.append(CarriageRefused(code))

    def _manage(self, event: ManagerEvent, now: float) -> None:
        for command in self.paths.handle(event, now):
            match command:
                case StateChanged(_, state):
                    self._out.append(PathChanged("relay", "relay", self._relay, state.value))
                case Revalidate():
                    self._run_leg(self._leg.handle(CheckBinding(), now), now)
                case AllSilent(since):
                    self._out.append(Reconnecting(since))
                case HeardAgain():
                    self._out.append(Reconnected())
