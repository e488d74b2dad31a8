"""A relay's media port: the relay's own leg table on a virtual host."""

from relay.events import LegGrant
from relay.legs import LegTable
from relay.limits import RelayLimits
from tests.natsim.network import Address, Host
from transport.path.leg import LegAccess
from transport.wire import WireError, stun
from transport.wire.demux import PacketKind, packet_kind

MEDIA_PORT = 7851


class RelayNode:
    """Forwards between two legs, and can be stopped, restarted with an empty memory, and given new grants."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.legs = LegTable(RelayLimits().leg_packets)
        self.running = True
        host.open(self._received, MEDIA_PORT)

    @property
    def address(self) -> Address:
        return self.host.ip, MEDIA_PORT

    def grant(self, call_id: str, tag: str = "") -> tuple[LegAccess, LegAccess]:
        """Make the two legs of a call: the caller's and the callee's access."""
        caller = LegGrant(f"caller-{call_id[:8]}{tag}", f"secret-of-the-caller{tag}")
        callee = LegGrant(f"callee-{call_id[:8]}{tag}", f"secret-of-the-callee{tag}")
        self.legs.create(call_id, caller, callee, self.host.network.clock.now)
        return (
            LegAccess(self.address, caller.username, caller.password),
            LegAccess(self.address, callee.username, callee.password),
        )

    def stop(self) -> None:
        """Killed: everything that comes is lost."""
        self.running = False

    def restart(self) -> None:
        """Back, and knows nobody."""
        self.legs = LegTable(RelayLimits().leg_packets)
        self.running = True

    def _received(self, data: bytes, source: Address) -> None:
        if not self.running:
            return
        now = self.host.network.clock.now
        if packet_kind(data) is not PacketKind.STUN:
            target = self.legs.forward(data, (0, source), now)
            if target is not None:
                self._send((target[1][0], target[1][1]), data)
            return
        try:
            request = stun.parse(data)
        except WireError:
            return
        answers = self.legs.bind(request, (0, source), now)
        if answers is None:
            error = stun.binding_error(request, stun.UNAUTHENTICATED, "unknown leg")
            self._send(source, error)
            return
        for (_, target), answer in answers:
            self._send((target[0], target[1]), bytes(answer))

    def _send(self, destination: Address, data: bytes) -> None:
        self.host.send(MEDIA_PORT, destination, data)
