"""What the techniques of one call share: its two NATs, sockets, limits, and what earlier calls have shown (pure)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.nat.compatibility import Strategy, strategy, would_help
from transport.nat.profile import NatProfile
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address
from transport.wire.stun import IceRole


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
    """What the phases of one call know together. ``relay_rtt_s``: to the peer over the relay, there and back.
    ``peer_public``: the IPv4 addresses that the peer says servers see of it. ``allowance`` is the machine's.
    ``try_harder``: the person here has asked for what takes minutes, ``peer_tries_harder``: the other one, too.
    ``hints``: what is remembered of the two networks. ``mapped``: what routers map for us; ``peer_maps``: the peer
    has told a mapped candidate."""

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
    allowance: HostLimits = field(default_factory=HostLimits)
    try_harder: bool = False
    peer_tries_harder: bool = False
    hints: Hints = field(default_factory=Hints)
    mapped: tuple[MappedPort, ...] = ()
    peer_maps: bool = False

    @property
    def has_door(self) -> bool:
        """One side can be reached from everywhere, as a router says: that is tried before what costs a lot."""
        return self.peer_maps or any(port.is_public and ":" not in port.external[0] for port in self.mapped)

    @property
    def strategy(self) -> Strategy:
        """What fits both NATs, as far as they are known."""
        return strategy(self.local, self.remote, try_harder=self.try_harder and self.peer_tries_harder)

    @property
    def may_learn(self) -> bool:
        """Whether another look at the NATs may show a technique that fits."""
        return would_help(self.local, self.remote, try_harder=self.try_harder and self.peer_tries_harder)
