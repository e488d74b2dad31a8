"""Asks one gateway for one port by PCP (RFC 6887 §8.1, §11). The first request is the one for the mapping."""

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from transport.net.port_mapping import MappingProtocol
from transport.net.sockets import Address, SendDatagram, SocketOpened
from transport.portmap import pcp
from transport.portmap.client import ClientCommand, DatagramClient, Retransmission, State
from transport.portmap.lease import LEASE_S, MAX_RETRY_S, MIN_REMAP_S, Epoch
from transport.wire.errors import WireError

# RFC 6887 §8.1.1: IRT, MRT, RAND. NAT-PMP, asked beside it, makes up for a first packet that is lost.
# 3 + 6 + 12 + 24 s; then only every MAX_RETRY_S, since most gateways that are silent do not know the protocol.
RETRANSMISSION = Retransmission(first_wait_s=3.0, max_wait_s=1_024.0, tries=4, spread=0.1)
# RFC 6887 §8.5: how far clocks may differ.
_EPOCH_TOLERANCE = 1 / 16

_REASONS: dict[int, str] = {
    pcp.PcpResult.NOT_AUTHORIZED: "not-authorized",
    pcp.PcpResult.UNSUPP_OPCODE: "unsupported",
    pcp.PcpResult.UNSUPP_PROTOCOL: "unsupported",
    pcp.PcpResult.NETWORK_FAILURE: "no-external-address",
    pcp.PcpResult.NO_RESOURCES: "no-resources",
    pcp.PcpResult.USER_EX_QUOTA: "no-resources",
    pcp.PcpResult.CANNOT_PROVIDE_EXTERNAL: "conflict",
    pcp.PcpResult.ADDRESS_MISMATCH: "address-mismatch",
}


@dataclass(frozen=True, slots=True)
class PcpTask:
    """``client_ip`` is our address as the server sees it, "" for that of the interface that leads there; an IPv6 one
    is bound, since a packet from another address would ask for that one. ``suggested_port`` is the external port that
    is best, or 0; ``server`` may have a scope (``fe80::1%eth0``)."""

    socket: int
    server: Address
    client_ip: str
    internal_port: int
    nonce: bytes
    suggested_port: int = 0
    lease_s: int = LEASE_S


class PcpClient(DatagramClient[pcp.Answer]):
    """See the module's text and :mod:`transport.portmap.client`."""

    protocol: ClassVar[MappingProtocol] = "pcp"

    def __init__(self, task: PcpTask, rng: Random) -> None:
        super().__init__(task.socket, task.server, RETRANSMISSION, Epoch(_EPOCH_TOLERANCE), rng)
        self.task = task
        self._client_ip = task.client_ip

    @property
    def _host(self) -> str:
        return self.task.client_ip if ":" in self.task.server[0] else "0.0.0.0"  # noqa: S104

    @property
    def _may_stand(self) -> bool:
        return self._mapped_at is not None and self.state is not State.REFUSED

    def map(self, now: float) -> list[ClientCommand]:
        """Nothing: the mapping has been requested already."""
        return []

    def opened(self, event: SocketOpened, now: float) -> list[ClientCommand]:
        """The socket is there."""
        if event.socket == self.socket and not self._is_open:
            self._client_ip = self.task.client_ip or event.local[0]
        return super().opened(event, now)

    def drop_stale(self, internal_port: int, nonce: bytes) -> list[ClientCommand]:
        """Delete a mapping that an earlier run has left."""
        if not self._is_open or self.is_leaving or self._client_ip == "":
            return []
        anything = (pcp.unspecified(self._client_ip), 0)
        data = pcp.map_request(self._client_ip, nonce, internal_port, anything, 0)
        return [SendDatagram(self.socket, self._server, data)]

    def _ask_first(self, now: float) -> list[ClientCommand]:
        return self._ask_mapping(now)

    def _map_request(self, *, delete: bool = False) -> bytes:
        task = self.task
        suggested = (pcp.unspecified(self._client_ip), task.suggested_port)
        if ":" in self._client_ip:
            # A pinhole: the address stays as it is.
            suggested = (self._client_ip, task.internal_port)
        elif self.lease is not None:
            suggested = self.lease.external
        lease_s = 0 if delete else task.lease_s
        return pcp.map_request(self._client_ip, task.nonce, task.internal_port, suggested, lease_s)

    def _watch_request(self) -> bytes:
        return pcp.announce_request(self._client_ip)

    def _parse(self, data: bytes) -> pcp.Answer | None:
        try:
            answer = pcp.parse(data)
        except WireError:
            return None
        if isinstance(answer, pcp.PcpMapped | pcp.PcpRefused) and answer.nonce not in (b"", self.task.nonce):
            return None
        if isinstance(answer, pcp.PcpMapped) and answer.internal_port != self.task.internal_port:
            return None
        return answer

    def _is_about_mapping(self, answer: pcp.Answer) -> bool:
        return isinstance(answer, pcp.PcpMapped | pcp.PcpRefused)

    def _on_answer(self, answer: pcp.Answer, now: float) -> list[ClientCommand]:
        is_watching = self._request is not None and not self._is_mapping
        match answer:
            case pcp.PcpMapped():
                self._epoch.lost(answer.epoch_s, now)
                # Without a request for it, it is a copy of an answer that has come already.
                if self.lease is None or (self._request is not None and not is_watching):
                    self._grant(answer.external, answer.lifetime_s, now)
            case pcp.PcpAnnounced(epoch_s):
                if is_watching:
                    self._answered()
                return self._remap(now) if self._epoch.lost(epoch_s, now) else []
            case pcp.PcpRefused():
                return self._refused(answer, now, is_watching=is_watching)
            case pcp.PcpOtherVersion() if self.lease is None:
                self._request = None
                self._refuse("unsupported", now)
        return []

    def _remap(self, now: float) -> list[ClientCommand]:
        """The server has forgotten the mapping."""
        if self._mapped_at is not None and self._is_too_soon(now):
            # What is due while nothing waits for an answer is a request for the mapping.
            self._due = self._mapped_at + MIN_REMAP_S
            return []
        return self._ask_mapping(now)

    def _refused(self, answer: pcp.PcpRefused, now: float, *, is_watching: bool) -> list[ClientCommand]:
        has_forgotten = self._epoch.lost(answer.epoch_s, now)
        if is_watching:
            # It does not know ANNOUNCE, but its answer has the epoch.
            self._answered()
            return self._remap(now) if has_forgotten else []
        if self._request is not None:
            self._request = None
            if has_forgotten:
                self.lease = None
            self._refuse(_REASONS.get(answer.result, "refused"), now, min(answer.retry_s, MAX_RETRY_S))
        return []
