"""The carriage of sealed packets: sockets, the relay leg, the direct paths and the path manager together.

The link above hands it sealed packets and gets sealed packets from it; by which sockets and to which addresses they
travel is decided here, packet by packet. Nothing that arrives is believed here but authenticated STUN, and bytes that
QUIC has found authentic before.
"""

import ipaddress
import random
from collections.abc import Collection

from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.path.direct_paths import DirectPath, DirectPaths, is_gone
from transport.path.events import (
    AskEcho,
    CopyArrived,
    DirectLost,
    MultipathCommand,
    MultipathReady,
    MultipathRefused,
    PacketReceived,
    PathChanged,
    Reconnected,
    Reconnecting,
    SendControl,
    SendUnreliable,
)
from transport.path.manager import PathManager
from transport.path.probes import Echoes
from transport.path.receiver_reports import Reports
from transport.path.relay_leg import (
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
from transport.path.retransmit import Arrivals, Sent
from transport.path.state import (
    AddPath,
    ConnectivityLost,
    ConnectivityRestored,
    Echoed,
    Forgotten,
    ManagerEvent,
    MediaSent,
    PacketSeen,
    PathClosed,
    PathCounted,
    PathGone,
    PathMoved,
    PathOpened,
    PathRefuted,
    PathState,
    PathTimer,
    PathValidated,
    PeerCounted,
    PeerReportsSilence,
    PeerUses,
    ReportSilence,
    Revalidate,
    SendAgain,
    StateChanged,
)
from transport.path.stats import PathKind, PathVia, RoundTrip, milliseconds
from transport.wire import call_messages as messages
from transport.wire.datagrams import RtpPosition
from transport.wire.demux import PacketKind, packet_kind

# A socket that could not be opened is tried again this often, until the call is lost.
REOPEN_S = 1.0
RELAY_PATH = 0


class Multipath:
    """Begins with :meth:`open`; ends when its owner closes :attr:`sockets` and forgets it."""

    __slots__ = (
        "_arrivals",
        "_direct",
        "_echo_numbers",
        "_echoes",
        "_had_direct",
        "_leg",
        "_local",
        "_next_path",
        "_next_socket",
        "_out",
        "_relay",
        "_reopen_at",
        "_reports",
        "_said_in_use",
        "_sent",
        "_socket",
        "foreign_dropped",
        "garbage_dropped",
        "paths",
    )

    def __init__(self, access: LegAccess, rng: random.Random, *, follows: bool) -> None:
        self._relay = access.relay
        self._leg = RelayLeg(access, rng)
        self.paths = PathManager(follows=follows)
        """Owned here: others read it, and feed the measurements of its paths."""
        self._socket: int | None = None
        self._local: Address | None = None
        self._next_socket = 0
        self._next_path = RELAY_PATH + 1
        self._reopen_at: float | None = None
        self._direct = DirectPaths()
        self._arrivals = Arrivals()
        self._sent = Sent()
        self._echoes = Echoes()
        self._echo_numbers: dict[int, int] = {}
        """The newest echo request of the peer by each path."""
        self._reports = Reports()
        self._said_in_use: PathKind = "relay"
        self._had_direct = False
        self._out: list[MultipathCommand] = []
        self.foreign_dropped = 0
        self.garbage_dropped = 0

    @property
    def sockets(self) -> tuple[int, ...]:
        """The sockets that are open, or being opened."""
        own = () if self._socket is None else (self._socket,)
        return (*own, *self._direct.sockets)

    @property
    def reflexive(self) -> Address | None:
        """Our address as the relay sees it."""
        return self._leg.reflexive

    @property
    def relay_round_trip(self) -> RoundTrip:
        """Measured by binding and keeping the leg bound."""
        return self._leg.round_trip

    def new_socket(self) -> int:
        """A number for a socket that nobody else has; the link's sockets share one space of numbers."""
        self._next_socket += 1
        return self._next_socket - 1

    def is_relay_socket(self, socket: int) -> bool:
        """Whether it is the relay leg's."""
        return socket == self._socket

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        deadlines = (
            self._reopen_at,
            self._leg.next_deadline(),
            self.paths.next_deadline(),
            self._echoes.next_deadline(self.paths.echo_paces, self._main()),
            self._reports.next_deadline(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # -- sockets and paths ---------------------------------------------------------------------------------------

    def open(self, now: float) -> list[MultipathCommand]:
        """Begin with the relay path."""
        self._manage(AddPath(RELAY_PATH, "relay", "relay", self._relay), now)
        self._open_socket()
        return self._take()

    def opened(self, event: SocketOpened, now: float) -> list[MultipathCommand]:
        """A socket is there."""
        if event.socket == self._socket:
            self._local = event.local
            self._manage(PathOpened(RELAY_PATH, event.local), now)
            self._run_leg(self._leg.handle(StartBinding(), now), now)
        return self._take()

    def failed(self, event: SocketFailed, now: float) -> list[MultipathCommand]:
        """A socket could not be opened, or has died."""
        if event.socket == self._socket:
            self._socket_gone(now)
            self._reopen_at = now + REOPEN_S
        for path in self._direct.on_socket(event.socket):
            self._manage(PathGone(path), now)
        return self._take()

    def replace_leg(self, access: LegAccess, now: float) -> list[MultipathCommand]:
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
            self._rebind(self._socket, now)
        return self._take()

    def add_direct(
        self, socket: int, local: Address, remote: Address, via: PathVia, rtt_s: float, now: float
    ) -> list[MultipathCommand]:
        """A checked pair: from now on its socket is ours. A new remote address on the socket of a path moves it."""
        if socket == self._socket or self._direct.path_of(socket, remote) is not None:
            return []
        known = next(iter(self._direct.on_socket(socket)), None)
        if known is not None:
            self._direct.move(known, remote)
            self._manage(PathMoved(known, remote), now)
            return self._take()
        path = self._next_path
        self._next_path += 1
        self._direct.add(path, DirectPath(socket, local, remote, via))
        for event in (AddPath(path, "direct", via, remote), PathOpened(path, local)):
            self._manage(event, now)
        quality = self.paths.quality(path)
        if quality is not None:
            quality.round_trip.sample(rtt_s)
        self._manage(PathValidated(path), now)
        return self._take()

    def network_changed(self, hosts: Collection[str], now: float) -> list[MultipathCommand]:
        """These are the machine's IP addresses now. Paths from addresses that are gone die at once, the relay leg
        gets another socket then; nothing else is disturbed."""
        for path in self._direct.without_host(hosts):
            self._manage(PathGone(path), now)
        if self._socket is not None:
            if is_gone(self._local, hosts):
                self._rebind(self._socket, now)
            else:
                self._run_leg(self._leg.handle(CheckBinding(), now), now)
        return self._take()

    # -- packets -------------------------------------------------------------------------------------------------

    def arrived(self, event: DatagramReceived, now: float) -> list[MultipathCommand]:
        """A UDP payload came, no check of the traversal's. Only the addresses of the paths are listened to."""
        if event.socket == self._socket and event.source == self._relay:
            path: int | None = RELAY_PATH
        else:
            path = self._direct.path_of(event.socket, event.source)
        quality = None if path is None else self.paths.quality(path)
        if path is None or quality is None:
            self.foreign_dropped += 1
            return []
        quality.received(len(event.data))
        kind = packet_kind(event.data)
        if kind is PacketKind.QUIC:
            return self._sealed(path, event.data, now)
        if kind is PacketKind.STUN and path == RELAY_PATH:
            self._run_leg(self._leg.handle(StunArrived(event.data), now), now)
        else:
            self.garbage_dropped += 1
        return self._take()

    def authentic(self, path: int, data: bytes, position: RtpPosition | None, now: float) -> list[MultipathCommand]:
        """QUIC found new and authentic traffic of the peer in ``data``, which came by ``path``."""
        if self._direct:
            self._arrivals.remember(data, path, position, now)
        self._came(path, position, now)
        return self._take()

    def send(self, data: bytes, now: float) -> list[MultipathCommand]:
        """Send one sealed packet on every path that carries now; on none it is lost, as on any network."""
        carriers = self.paths.carriers
        for path in carriers:
            self._send_on(path, data)
        if self._direct:
            self._sent.remember(data, carriers, now)
        return self._take()

    def send_by(self, path: int, data: bytes) -> list[MultipathCommand]:
        """Send one sealed packet by this path alone."""
        self._send_on(path, data)
        return self._take()

    def media_sent(self, now: float) -> list[MultipathCommand]:
        """A frame of voice is about to be sent."""
        self._echoes.sent(now)
        if self._direct:
            self._manage(MediaSent(), now)
        return self._take()

    def timer(self, now: float) -> list[MultipathCommand]:
        """Do what is due; harmless when nothing is."""
        if self._reopen_at is not None and now >= self._reopen_at:
            self._open_socket()
        self._run_leg(self._leg.handle(LegTimer(), now), now)
        self._manage(PathTimer(), now)
        main = self._main()
        for path in self._echoes.due(self.paths.echo_paces, main, now):
            self._out.append(AskEcho(path, self._echoes.request(path, path == main, now)))
        self._report(self._reports.due(now))
        return self._take()

    # -- between the two ends ------------------------------------------------------------------------------------

    def start_echoes(self, now: float) -> None:
        """The peer expects traffic from now on."""
        self._echoes.start(now)

    def stop_echoes(self) -> None:
        """The peer does not any more."""
        self._echoes.stop()

    def echo_came(self, sequence: int, path: int) -> None:
        """An echo request of the peer came by ``path``."""
        self._echo_numbers[path] = sequence

    def echo_answered(self, sequence: int, now: float) -> list[MultipathCommand]:
        """An answer of the peer came."""
        path, rtt = self._echoes.answered(sequence, now) or (None, 0.0)
        quality = None if path is None else self.paths.quality(path)
        if path is not None and quality is not None:
            quality.round_trip.sample(rtt)
            self._manage(Echoed(path, rtt), now)
        return self._take()

    def peer_said(
        self, message: messages.PathQuality | messages.PathSilent | messages.PathInUse, now: float
    ) -> list[MultipathCommand]:
        """The peer speaks of the paths."""
        if isinstance(message, messages.PathInUse):
            self._manage(PeerUses(message.kind), now)
            return self._take()
        if isinstance(message, messages.PathSilent):
            path = self._echoes.path_of(message.echo)
            if path is not None:
                self._manage(PeerReportsSilence(path, message.silent_ms / 1_000), now)
            return self._take()
        counted = ((self._echoes.path_of(count.echo), count) for count in message.paths)
        counts = tuple(
            PathCounted(path, count.frames, count.expected, count.behind_ms / 1_000)
            for path, count in counted
            if path is not None
        )
        self._manage(PeerCounted(counts), now)
        return self._take()

    # -- inside --------------------------------------------------------------------------------------------------

    def _take(self) -> list[MultipathCommand]:
        out, self._out = self._out, []
        return out

    def _main(self) -> int | None:
        carriers = self.paths.carriers
        return carriers[0] if carriers else None

    def _open_socket(self) -> None:
        self._reopen_at = None
        self._socket = self.new_socket()
        version = ipaddress.ip_address(self._relay[0]).version
        wildcard = "0.0.0.0" if version == 4 else "::"  # noqa: S104
        self._out.append(OpenSocket(self._socket, wildcard, self._relay))

    def _rebind(self, socket: int, now: float) -> None:
        self._out.append(CloseSocket(socket))
        self._socket_gone(now)
        self._open_socket()

    def _socket_gone(self, now: float) -> None:
        self._socket = self._local = None
        self._run_leg(self._leg.handle(StopLeg(), now), now)
        self._manage(PathClosed(RELAY_PATH), now)

    def _send_on(self, path: int, data: bytes) -> None:
        quality = self.paths.quality(path)
        direct = self._direct.get(path)
        if quality is None:
            return
        if direct is not None:
            self._out.append(SendDatagram(direct.socket, direct.remote, data))
        elif path == RELAY_PATH and self._socket is not None:
            self._out.append(SendDatagram(self._socket, self._relay, data))
        else:
            return
        quality.sent(len(data))

    def _sealed(self, path: int, data: bytes, now: float) -> list[MultipathCommand]:
        if not self._direct or not self._arrivals.is_known(data):
            return [PacketReceived(path, data)]
        copy = self._arrivals.copy(data, path)
        if copy is not None:
            quality = self.paths.quality(path)
            if copy.position is not None and quality is not None:
                quality.lagged(now - copy.first_at)
                self._out.append(CopyArrived(copy.position))
            self._came(path, copy.position, now)
        return self._take()

    def _came(self, path: int, position: RtpPosition | None, now: float) -> None:
        """Something authentic came by the path, for the first time by this one."""
        quality = self.paths.quality(path)
        if quality is not None and position is not None:
            quality.media(position, now)
            if self._direct:
                self._reports.came(path, now)
        self._manage(PacketSeen(path), now)

    def _report(self, paths: list[int]) -> None:
        counts = []
        for path in paths:
            quality, number = self.paths.quality(path), self._echo_numbers.get(path)
            if quality is not None and number is not None:
                counts.append(
                    messages.PathCount(
                        echo=number,
                        frames=quality.tally.frames,
                        expected=quality.tally.expected,
                        jitter_ms=milliseconds(quality.jitter.value) or 0.0,
                        behind_ms=milliseconds(quality.behind) or 0.0,
                    )
                )
        if counts:
            self._out.append(SendUnreliable(messages.PathQuality(counts[: messages.MAX_PATHS_REPORTED])))

    def _run_leg(self, commands: list[LegCommand], now: float) -> None:
        for command in commands:
            match command:
                case SendToRelay(data):
                    if self._socket is not None:
                        self._out.append(SendDatagram(self._socket, self._relay, data))
                case LegBound():
                    self._manage(PathValidated(RELAY_PATH), now)
                    self._out.append(MultipathReady())
                case LegLost():
                    self._manage(PathRefuted(RELAY_PATH), now)
                case LegRefused(code):
                    self._out.append(MultipathRefused(code))

    def _manage(self, event: ManagerEvent, now: float) -> None:
        for command in self.paths.handle(event, now):
            match command:
                case StateChanged(path, state):
                    self._state_changed(path, state)
                case Revalidate():
                    # Of the relay leg, whichever path is silent: it has to be there when a direct path dies.
                    self._run_leg(self._leg.handle(CheckBinding(), now), now)
                case SendAgain():
                    self._send_again(command, now)
                case ReportSilence(path, silent_s):
                    number = self._echo_numbers.get(path)
                    if number is not None:
                        self._out.append(SendUnreliable(messages.PathSilent(number, silent_s * 1_000)))
                case Forgotten(path):
                    self._forget(path)
                case ConnectivityLost(since):
                    self._out.append(Reconnecting(since))
                case ConnectivityRestored():
                    self._out.append(Reconnected())
        if self._had_direct and not self.paths.has_direct:
            self._out.append(DirectLost())
        self._had_direct = self.paths.has_direct

    def _state_changed(self, path: int, state: PathState) -> None:
        direct = self._direct.get(path)
        if direct is None:
            self._out.append(PathChanged("relay", "relay", self._relay, state.value))
        else:
            self._out.append(PathChanged("direct", direct.via, direct.remote, state.value))
        if state is PathState.ACTIVE:
            kind: PathKind = "relay" if direct is None else "direct"
            if kind != self._said_in_use:
                self._said_in_use = kind
                self._out.append(SendControl(messages.PathInUse(kind)))

    def _send_again(self, again: SendAgain, now: float) -> None:
        """Byte for byte: QUIC drops what had arrived, so nothing sent into a dead path is lost, only late."""
        for data in self._sent.again(again.lost_on, again.onto, again.since, now):
            self._send_on(again.onto, data)

    def _forget(self, path: int) -> None:
        direct = self._direct.forget(path)
        self._echoes.forget(path)
        self._reports.forget(path)
        self._echo_numbers.pop(path, None)
        if direct is not None:
            self._out.append(CloseSocket(direct.socket))
