"""A relay's media port: the relay's own legs, limits and STUN on a virtual host."""

from relay.events import LegGrant
from relay.legs import LegTable
from relay.limits import Limiter, RelayLimits
from relay.media_port import DatagramHandler
from tests.natsim.network import Address, Host
from transport.path.relay_leg import LegAccess

MEDIA_PORT = 7851


class RelayNode:
    """Forwards between two legs, and can be stopped, restarted with an empty memory, and given new grants."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.restart()
        host.open(self._received, MEDIA_PORT)

    @property
    def address(self) -> Address:
        return self.host.ip, MEDIA_PORT

    def grant(self, call_id: str, tag: str = "", hosts: tuple[str, str] = ("", "")) -> tuple[LegAccess, LegAccess]:
        """Make the two legs of a call: the caller's and the callee's access. ``hosts`` is where they are logged in
        from; else each leg is bound by NONCE."""
        caller = LegGrant(f"caller-{call_id[:8]}{tag}", f"secret-of-the-caller{tag}")
        callee = LegGrant(f"callee-{call_id[:8]}{tag}", f"secret-of-the-callee{tag}")
        self.legs.create(call_id, caller, callee, self.host.network.clock.now)
        for leg, host in zip((caller, callee), hosts, strict=True):
            self.legs.place(leg.username, host)
        return (
            LegAccess(self.address, caller.username, caller.password),
            LegAccess(self.address, callee.username, callee.password),
        )

    def stop(self) -> None:
        """Killed: everything that comes is lost."""
        self.running = False

    def restart(self) -> None:
        """Back, and knows nobody."""
        limits = RelayLimits()
        self.legs = LegTable(limits.leg_packets, b"secret")
        self._handler = DatagramHandler(self.legs, Limiter(limits))
        self.running = True

    def _received(self, data: bytes, source: Address) -> None:
        if self.running:
            for (_, target), answer in self._handler.media(data, (0, source), self.host.network.clock.now):
                self.host.send(MEDIA_PORT, (target[0], target[1]), bytes(answer))
