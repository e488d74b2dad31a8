"""Several paths under one connection: the sockets of a link, the relay leg, the direct paths and the path manager.

The link above hands it encrypted packets and gets encrypted packets from it; by which sockets and to which addresses
they travel is decided here, packet by packet. Nothing that arrives is believed here but authenticated STUN, and bytes
that QUIC has found authentic before.
"""

import ipaddress
import random
from collections.abc import Collection

from transport.net import sockets
from transport.path import events, relay_leg
from transport.path.manager import Changes, PathManager
from transport.path.path import Path, State
from transport.path.probes import Echoes
from transport.path.receiver_reports import Reports
from transport.path.relay_leg import LegAccess, RelayLeg
from transport.path.retransmit import Arrivals, Sent
from transport.path.stats import PathKind, PathVia, milliseconds
from transport.wire import call_messages as messages
from transport.wire.datagrams import EchoRequest, RtpPosition
from transport.wire.demux import PacketKind

# A socket that could not be opened is tried again this often, until the call is lost.
REOPEN_S = 1.0
RELAY_PATH = 0


class Multipath:
    """Begins with :meth:`open`; ends when the link closes the sockets in :attr:`owners` and forgets it. Whoever calls
    a method takes the commands that follow from it with :meth:`take`."""

    __slots__ = (
        "_announced",
        "_arrivals",
        "_echo_numbers",
        "_echoes",
        "_next_path",
        "_next_socket",
        "_out",
        "_reopen_at",
        "_reports",
        "_sent",
        "foreign_dropped",
        "garbage_dropped",
        "leg",
        "manager",
        "owners",
        "relay",
    )

    def __init__(self, access: LegAccess, rng: random.Random, *, follows: bool) -> None:
        self.relay = Path(RELAY_PATH, "relay", "relay", access.relay)
        self.leg = RelayLeg(access, rng)
        self.manager = PathManager(follows=follows)
        self.owners: dict[int, Path] = {}
        """The path that each socket belongs to, open or being opened. All others are the traversal agent's."""
        self._next_socket = 0
        self._next_path = RELAY_PATH + 1
        self._reopen_at: float | None = None
        self._arrivals = Arrivals()
        self._sent = Sent()
        self._echoes = Echoes()
        self._echo_numbers: dict[int, int] = {}
        """The newest echo request of the peer by each path."""
        self._reports = Reports()
        self._announced: PathKind = "relay"
        """The kind of path that the peer knows us to send by."""
        self._out: list[events.MultipathCommand] = []
        self.foreign_dropped = 0
        self.garbage_dropped = 0

    def take(self) -> list[events.MultipathCommand]:
        """The commands that have come up since the last call, in order."""
        out, self._out = self._out, []
        return out

    def new_socket(self) -> int:
        """A number for a socket that no other socket of the link has or had."""
        self._next_socket += 1
        return self._next_socket - 1

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        deadlines = (
            self._reopen_at,
            self.leg.next_deadline(),
            self.manager.next_deadline(),
            self._echoes.next_deadline(self.manager.echo_paces, self._main()),
            self._reports.next_deadline(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # -- sockets and paths ---------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Begin with the relay path."""
        self._apply(self.manager.add(self.relay, now), now)
        self._open_socket()

    def opened(self, event: sockets.SocketOpened, now: float) -> None:
        """A socket is there."""
        if event.socket == self.relay.socket:
            self.relay.local = event.local
            self._apply(self.manager.opened(self.relay, now), now)
            self._ask_relay(self.leg.opened(now))

    def failed(self, event: sockets.SocketFailed, now: float) -> None:
        """A socket could not be opened, or has died."""
        path = self.owners.pop(event.socket, None)
        if path is self.relay:
            self._relay_closed(now)
            self._reopen_at = now + REOPEN_S
        elif path is not None:
            self._apply(self.manager.closed(path, now, forget=True), now)

    def replace_leg(self, access: LegAccess, now: float) -> None:
        """Use a new grant. One whose relay is not an IP address is ignored."""
        try:
            family = ipaddress.ip_address(access.relay[0]).version
        except ValueError:
            return
        is_same_family = ipaddress.ip_address(self.relay.remote[0]).version == family
        self.relay.move_to(access.relay)
        self._ask_relay(self.leg.replace(access, now))
        if not is_same_family:
            self._rebind(now)

    def add_direct(
        self, socket: int, local: sockets.Address, remote: sockets.Address, via: PathVia, rtt_s: float, now: float
    ) -> None:
        """A checked pair: from now on its socket is ours. A new remote address on the socket of a path moves it."""
        known = self.owners.get(socket)
        if known is not None:
            if known is not self.relay and not known.accepts(remote):
                known.move_to(remote)
            return
        path = Path(self._next_path, "direct", via, remote)
        self._next_path += 1
        path.socket, path.local = socket, local
        path.measured.round_trip.sample(rtt_s)
        self.owners[socket] = path
        for step in (self.manager.add, self.manager.opened, self.manager.validated):
            self._apply(step(path, now), now)

    def network_changed(self, hosts: Collection[str], now: float) -> None:
        """These are the machine's IP addresses now. Paths from addresses that are gone die at once, the relay leg
        gets another socket then; nothing else is disturbed."""
        for path in list(self.owners.values()):
            if path is not self.relay and path.is_without_host(hosts):
                self._apply(self.manager.closed(path, now, forget=True), now)
        if self.relay.is_without_host(hosts):
            self._rebind(now)
        else:
            self._ask_relay(self.leg.check(now))

    # -- packets -------------------------------------------------------------------------------------------------

    def received(self, path: Path, event: sockets.DatagramReceived, kind: PacketKind, now: float) -> bool:
        """A UDP payload came on the socket of ``path``, no check of the traversal agent's. Whether it is a packet for
        QUIC, which finds out if it is authentic; it is not if a copy of it came before."""
        if not path.accepts(event.source):
            self.foreign_dropped += 1
            return False
        path.measured.packets_received += 1
        if kind is PacketKind.QUIC:
            if not (self.manager.has_direct and self._arrivals.is_known(event.data)):
                return True
            self._copied(path, event.data, now)
            return False
        if kind is PacketKind.STUN and path is self.relay:
            self._relay_answered(event.data, now)
        else:
            self.garbage_dropped += 1
        return False

    def authentic(self, path: Path, data: bytes, position: RtpPosition | None, now: float) -> None:
        """QUIC found new and authentic traffic of the peer in ``data``, which came by ``path``."""
        if self.manager.has_direct:
            self._arrivals.remember(data, path.number, position, now)
        self._came(path, position, now)

    def send(self, data: bytes, now: float) -> None:
        """Send one encrypted packet on every path that carries now; on none it is lost, as on any network."""
        carriers = self.manager.carriers
        for path in carriers:
            self.send_by(path, data)
        if self.manager.has_direct:
            self._sent.remember(data, tuple(path.number for path in carriers), now)

    def send_by(self, path: Path, data: bytes) -> None:
        """Send one encrypted packet by this path alone."""
        if path.socket is not None:
            self._out.append(sockets.SendDatagram(path.socket, path.remote, data))
            path.measured.packets_sent += 1

    def media_sent(self, now: float) -> None:
        """A frame of voice is about to be sent."""
        self._echoes.sent(now)
        if self.manager.has_direct:
            self._apply(self.manager.media_sent(now), now)

    def timer(self, now: float) -> list[tuple[Path | None, EchoRequest]]:
        """Do what is due. Returns the echo requests to send, each by its path alone; None is whatever carries."""
        if self._reopen_at is not None and now >= self._reopen_at:
            self._open_socket()
        was_checking = self.leg.state is relay_leg.State.CHECKING
        self._ask_relay(self.leg.timer(now))
        if was_checking and self.leg.state is relay_leg.State.BINDING:
            self._apply(self.manager.refuted(self.relay, now), now)
        self._apply(self.manager.timer(now), now)
        main = self._main()
        requests = [
            (None if number is None else self.manager.path(number), self._echoes.request(number, number == main, now))
            for number in self._echoes.due(self.manager.echo_paces, main, now)
        ]
        self._report(self._reports.due(now))
        return requests

    # -- between the two ends ------------------------------------------------------------------------------------

    def start_echoes(self, now: float) -> None:
        """The peer expects traffic from now on."""
        self._echoes.start(now)

    def stop_echoes(self) -> None:
        """The peer does not any more."""
        self._echoes.stop()

    def echo_requested(self, sequence: int, path: Path) -> None:
        """An echo request of the peer came by ``path``."""
        self._echo_numbers[path.number] = sequence

    def echo_answered(self, sequence: int, now: float) -> None:
        """An answer of the peer came."""
        number, rtt_s = self._echoes.answered(sequence, now) or (None, 0.0)
        path = None if number is None else self.manager.path(number)
        if path is not None:
            path.measured.round_trip.sample(rtt_s)
            self._apply(self.manager.echoed(path, rtt_s, now), now)

    def peer_reported(
        self, message: messages.PathQuality | messages.PathSilent | messages.PathInUse, now: float
    ) -> None:
        """The peer speaks of the paths."""
        match message:
            case messages.PathInUse(kind):
                self._apply(self.manager.peer_uses(kind), now)
            case messages.PathSilent(echo, silent_ms):
                path = self._asked_by(echo)
                if path is not None:
                    self._apply(self.manager.peer_reports_silence(path, silent_ms / 1_000, now), now)
            case messages.PathQuality(counts):
                known = ((self._asked_by(count.echo), count) for count in counts)
                counted = [(path, count) for path, count in known if path is not None]
                self._apply(self.manager.peer_counted(counted, now), now)

    # -- inside --------------------------------------------------------------------------------------------------

    def _main(self) -> int | None:
        carriers = self.manager.carriers
        return carriers[0].number if carriers else None

    def _asked_by(self, echo: int) -> Path | None:
        """The path by which our echo request with this number was sent."""
        number = self._echoes.path_of(echo)
        return None if number is None else self.manager.path(number)

    def _open_socket(self) -> None:
        self._reopen_at = None
        socket = self.relay.socket = self.new_socket()
        self.owners[socket] = self.relay
        version = ipaddress.ip_address(self.relay.remote[0]).version
        wildcard = "0.0.0.0" if version == 4 else "::"  # noqa: S104
        self._out.append(sockets.OpenSocket(socket, wildcard, self.relay.remote))

    def _rebind(self, now: float) -> None:
        if self.relay.socket is not None:
            self._out.append(sockets.CloseSocket(self.relay.socket))
            del self.owners[self.relay.socket]
            self._relay_closed(now)
            self._open_socket()

    def _relay_closed(self, now: float) -> None:
        self.relay.socket = self.relay.local = None
        self.leg.closed()
        self._apply(self.manager.closed(self.relay, now), now)

    def _ask_relay(self, request: bytes | None) -> None:
        if request is not None and self.relay.socket is not None:
            self._out.append(sockets.SendDatagram(self.relay.socket, self.relay.remote, request))

    def _relay_answered(self, data: bytes, now: float) -> None:
        match self.leg.received(data, now):
            case bytes(request):
                self._ask_relay(request)
            case relay_leg.Trigger.ANSWERED:
                self._apply(self.manager.validated(self.relay, now), now)
                self._out.append(events.LegBound())
            case relay_leg.Trigger.REFUSED if self.leg.refusal_code is not None:
                self._out.append(events.LegRefused(self.leg.refusal_code))

    def _copied(self, path: Path, data: bytes, now: float) -> None:
        """The same bytes came before; by another path they are as authentic."""
        copy = self._arrivals.copy(data, path.number)
        if copy is not None:
            if copy.position is not None:
                path.measured.lagged(now - copy.first_at)
                self._out.append(events.CopyArrived(copy.position))
            self._came(path, copy.position, now)

    def _came(self, path: Path, position: RtpPosition | None, now: float) -> None:
        """Something authentic came by the path, for the first time by this one."""
        if position is not None:
            path.measured.media(position, now)
            if self.manager.has_direct:
                self._reports.came(path.number, now)
        self._apply(self.manager.received(path, now), now)

    def _report(self, numbers: list[int]) -> None:
        counts = []
        for number in numbers:
            path, echo = self.manager.path(number), self._echo_numbers.get(number)
            if path is not None and echo is not None:
                measured = path.measured
                counts.append(
                    messages.PathCount(
                        echo=echo,
                        frames=measured.tally.frames,
                        expected=measured.tally.expected,
                        jitter_ms=milliseconds(measured.jitter.value) or 0.0,
                        behind_ms=milliseconds(measured.lag_s) or 0.0,
                    )
                )
        if counts:
            self._out.append(events.SendUnreliable(messages.PathQuality(counts[: messages.MAX_PATHS_REPORTED])))

    def _apply(self, changes: Changes, now: float) -> None:
        for path, state in changes.states:
            self._state_changed(path, state)
        if changes.revalidate:
            # Of the relay leg, whichever path is silent: it has to be there when a direct path dies.
            self._ask_relay(self.leg.check(now))
        for resend in changes.resend:
            # Byte for byte: QUIC drops what had arrived, so nothing sent into a dead path is lost, only late.
            for data in self._sent.again(resend.lost_on.number, resend.onto.number, resend.since, now):
                self.send_by(resend.onto, data)
        for path, silent_s in changes.silent:
            echo = self._echo_numbers.get(path.number)
            if echo is not None:
                self._out.append(events.SendUnreliable(messages.PathSilent(echo, silent_s * 1_000)))
        for path in changes.forgotten:
            self._forget(path)
        if changes.silent_since is not None:
            self._out.append(events.Reconnecting(changes.silent_since))
        if changes.silence_ended:
            self._out.append(events.Reconnected())
        if changes.direct_lost:
            self._out.append(events.DirectLost())

    def _state_changed(self, path: Path, state: State) -> None:
        self._out.append(events.PathChanged(path.kind, path.via, path.remote, state.value))
        if state is State.ACTIVE and path.kind != self._announced:
            self._announced = path.kind
            self._out.append(events.SendControl(messages.PathInUse(path.kind)))

    def _forget(self, path: Path) -> None:
        self._echoes.forget(path.number)
        self._reports.forget(path.number)
        self._echo_numbers.pop(path.number, None)
        if path.socket is not None:
            self.owners.pop(path.socket, None)
            self._out.append(sockets.CloseSocket(path.socket))
            path.socket = None
