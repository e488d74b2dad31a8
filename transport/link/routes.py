"""The sockets of a link: each packet goes to the one that owns its socket, and what owners ask for goes out again.

A socket belongs to a path (the relay leg's or a direct one's) as :attr:`Multipath.owners` says, and otherwise to the
traversal agent, whose STUN checks also go on on the sockets of direct paths.
"""

import random

from transport.link.events import Command, LinkConfig
from transport.net.sockets import CloseSocket, DatagramReceived, SocketFailed, SocketOpened
from transport.path.events import DirectLost, LegBound, LegRefused, PathChanged, SendControl, SendUnreliable
from transport.path.path import Path
from transport.path.paths import Multipath
from transport.traversal import events as traversal
from transport.traversal.agent import AgentConfig, MakeAgent
from transport.wire.demux import PacketKind, packet_kind

RouteResult = LegBound | LegRefused | SendControl | SendUnreliable | traversal.SendToPeer


class Routes:
    """Paths and traversal agent of one link. Whatever they ask for goes to ``out``, but for what the link itself has to
    do: that is what :meth:`take` returns."""

    __slots__ = ("_agent", "_out", "_pending", "paths", "phases")

    def __init__(self, config: LinkConfig, rng: random.Random, make_agent: MakeAgent, out: list[Command]) -> None:
        self.paths = Multipath(config.leg, rng, follows=config.role == "callee")
        self._agent = make_agent(
            AgentConfig(
                controlling=config.role == "caller",
                stun=config.stun,
                hosts=config.hosts,
                new_socket=self.paths.new_socket,
                enabled=bool(config.hosts) and not config.always_relay,
                profile=config.profile,
                low_ttl=config.low_ttl,
                limits=config.limits,
                try_harder=config.try_harder,
                recall=config.recall,
                mapped=config.mapped,
            ),
            rng,
        )
        self.phases = self._agent.phases
        """All that the agent has tried, in order."""
        self._out = out
        self._pending: list[RouteResult] = []

    def next_deadline(self) -> float | None:
        """When the timer is due, of the paths or of the agent."""
        deadlines = (self.paths.next_deadline(), self._agent.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def received(self, event: DatagramReceived, now: float) -> Path | None:
        """A UDP payload came. Returns the path that it came by when it is a packet for QUIC."""
        kind = packet_kind(event.data)
        path = self.paths.owners.get(event.socket)
        if kind is PacketKind.STUN and path is not self.paths.relay:
            self.traverse(event, now)
        elif path is None:
            self.paths.foreign_dropped += 1
        elif self.paths.received(path, event, kind, now):
            return path
        return None

    def socket_changed(self, event: SocketOpened | SocketFailed, now: float) -> None:
        """A socket was opened, or is gone."""
        if event.socket not in self.paths.owners:
            self.traverse(event, now)
        elif isinstance(event, SocketOpened):
            self.paths.opened(event, now)
        else:
            self.paths.failed(event, now)

    def interfaces_changed(self, event: traversal.InterfacesChanged, now: float) -> None:
        """The machine has other addresses now."""
        self.paths.network_changed({host.ip for host in event.hosts}, now)
        self._settle(now)
        self.traverse(event, now)

    def echo_answered(self, sequence: int, now: float) -> None:
        """The peer has answered an echo request."""
        self.paths.echo_answered(sequence, now)
        relay = self.paths.relay.measured
        if relay.round_trip.smoothed is not None:
            trip = traversal.RelayRoundTrip(relay.round_trip.smoothed, relay.round_trip.variation, relay.loss.share())
            self.traverse(trip, now)

    def traverse(self, event: traversal.AgentEvent, now: float) -> None:
        """Something that concerns the traversal agent alone."""
        for command in self._agent.handle(event, now):
            match command:
                case traversal.DirectFound(socket, local, remote, via, rtt_s):
                    self.paths.add_direct(socket, local, remote, via, rtt_s, now)
                    self._settle(now)
                case traversal.SendToPeer():
                    self._pending.append(command)
                case _:
                    self._out.append(command)

    def take(self, now: float) -> list[RouteResult]:
        """What the link has to do, in order."""
        self._settle(now)
        pending, self._pending = self._pending, []
        return pending

    def _settle(self, now: float) -> None:
        for command in self.paths.take():
            match command:
                case LegBound() | LegRefused() | SendControl() | SendUnreliable():
                    self._pending.append(command)
                case DirectLost():
                    self.traverse(traversal.PathLost(), now)
                case CloseSocket(socket):
                    self._agent.path_closed(socket)
                    self._out.append(command)
                case PathChanged("relay", _, _, "suspect" | "validating" | "dead"):
                    self._out.append(command)
                    # What the traversal agent sends may be the cause.
                    self.traverse(traversal.RelayTrouble(), now)
                case _:
                    self._out.append(command)
