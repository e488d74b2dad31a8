"""What the techniques of one call share: its two NATs, sockets, limits, and what earlier calls have shown (pure)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from msgspec import structs

from transport.ice.candidates import HostAddress, acceptable, is_private
from transport.ice.pacing import HostLimits
from transport.nat.compatibility import Strategy, strategy, would_help
from transport.nat.profile import NatProfile
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address
from transport.traversal.events import AgentCommand
from transport.traversal.sockets import SocketTable
from transport.wire.call_messages import Candidates, WireProfile
from transport.wire.stun import IceRole

ROUNDS_PER_ATTEMPT = 16
"""Numbers of rounds that belong to one attempt; each technique has a stretch of them of its own."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What earlier calls between the same two networks have shown. Networks change behind their addresses, so a hint
    may change the order and the timeouts of an attempt, and nothing that is held for true.

    ``first``: the technique that brought the last direct path, which came ``after_s`` seconds after the answer;
    ``None``: nothing ever did. ``hopeless_until`` (the agent's clock): nothing did so often in a row that until then
    one attempt is enough."""

    first: str | None = None
    after_s: float | None = None
    hopeless_until: float | None = None


Recall = Callable[[str, str], Hints]
"""From our address and the peer's, as servers see them. Asked as soon as both are known."""


@dataclass(slots=True)
class TraversalContext:
    """What the techniques of one call know together. ``relay_rtt_s``: to the peer over the relay, there and back.
    ``peer_public``: the IPv4 addresses that the peer says servers see of it. ``limits`` are the host's.
    ``try_harder``: the person here has asked for what takes minutes, ``peer_tries_harder``: the other one, too.
    ``mapped``: what routers map for us; ``peer_maps``: the peer has sent a mapped candidate. ``commands`` leave by the
    agent, in order."""

    role: IceRole
    stun: tuple[Address, ...]
    hosts: tuple[HostAddress, ...]
    new_socket: Callable[[], int]
    rng: Random
    low_ttl: bool
    local: NatProfile | None = None
    remote: NatProfile | None = None
    relay_rtt_s: float | None = None
    peer_public: tuple[Address, ...] = ()
    limits: HostLimits = field(default_factory=HostLimits)
    try_harder: bool = False
    peer_tries_harder: bool = False
    hints: Hints = field(default_factory=Hints)
    mapped: tuple[MappedPort, ...] = ()
    peer_maps: bool = False
    commands: list[AgentCommand] = field(default_factory=list)
    sockets: SocketTable = field(init=False)

    def __post_init__(self) -> None:
        self.sockets = SocketTable(self.new_socket, self.commands)

    @property
    def has_mapped_port(self) -> bool:
        """One side can be reached from everywhere, as a router says: that is tried before what costs a lot."""
        return self.peer_maps or any(port.is_public and ":" not in port.external[0] for port in self.mapped)

    @property
    def public_ips(self) -> tuple[str, ...]:
        """Our IPv4 address as servers see it, where it is known."""
        return () if self.local is None or self.local.reflexive is None else (self.local.reflexive[0],)

    @property
    def strategy(self) -> Strategy:
        """What fits both NATs, as far as they are known."""
        return strategy(self.local, self.remote, try_harder=self.try_harder and self.peer_tries_harder)

    @property
    def may_learn(self) -> bool:
        """Whether another look at the NATs may show a technique that fits."""
        return would_help(self.local, self.remote, try_harder=self.try_harder and self.peer_tries_harder)

    @property
    def wire_profile(self) -> WireProfile | None:
        """What the peer is sent of our NAT."""
        return None if self.local is None else structs.replace(self.local.to_wire(), try_harder=self.try_harder)

    def note_candidates(self, message: Candidates) -> None:
        """What every technique learns of the peer's candidates."""
        if message.profile is not None:
            self.peer_tries_harder = message.profile.try_harder
        accepted = acceptable(message.candidates, self.hosts, self.public_ips)
        seen = tuple((one.ip, one.port) for one in accepted if one.kind == "server-reflexive" and ":" not in one.ip)
        self.peer_public = seen or self.peer_public
        self.peer_maps = any(one.kind == "mapped" and not is_private(one.ip) for one in accepted)
