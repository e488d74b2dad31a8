"""Asks one gateway for one port by NAT-PMP (RFC 6886 §3): first for its external address, then for the mapping."""

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from transport.ice.candidates import is_believable_reflexive
from transport.net.port_mapping import MappingProtocol
from transport.net.sockets import Address, SendDatagram
from transport.portmap import natpmp
from transport.portmap.client import ClientCommand, DatagramClient, Retransmission, State, Trigger
from transport.portmap.lease import LEASE_S, MIN_REMAP_S, Epoch, Lease
from transport.wire.errors import WireError

# RFC 6886 §3.1: 250 ms, doubling, nine times.
FIRST_WAIT_S, MAX_TRIES = 0.25, 9
# RFC 6886 §3.6: how far clocks may differ.
_EPOCH_TOLERANCE = 1 / 8

_REASONS: dict[int, str] = {
    natpmp.NatPmpResult.UNSUPPORTED_VERSION: "unsupported",
    natpmp.NatPmpResult.NOT_AUTHORIZED: "not-authorized",
    natpmp.NatPmpResult.NETWORK_FAILURE: "no-external-address",
    natpmp.NatPmpResult.OUT_OF_RESOURCES: "no-resources",
    natpmp.NatPmpResult.UNSUPPORTED_OPCODE: "unsupported",
}


@dataclass(frozen=True, slots=True)
class NatPmpTask:
    """``suggested_port`` is the external port that is best. ``tries``: how often a request is sent."""

    socket: int
    server: Address
    internal_port: int
    suggested_port: int
    lease_s: int = LEASE_S
    tries: int = MAX_TRIES


class NatPmpClient(DatagramClient[natpmp.Answer]):
    """The mapping is requested once :meth:`map` has been called. See :mod:`transport.portmap.client`."""

    protocol: ClassVar[MappingProtocol] = "nat-pmp"

    def __init__(self, task: NatPmpTask, rng: Random) -> None:
        retransmission = Retransmission(FIRST_WAIT_S, FIRST_WAIT_S * 2 ** (MAX_TRIES - 1), task.tries)
        super().__init__(task.socket, task.server, retransmission, Epoch(_EPOCH_TOLERANCE), rng)
        self.task = task
        self._external_ip: str | None = None
        self._wants_mapping = False
        self._has_forgotten = False
        """The gateway has forgotten the mapping, and it was too soon to ask again."""

    def map(self, now: float) -> list[ClientCommand]:
        """A mapping is wanted from now on."""
        if self._wants_mapping:
            return []
        self._wants_mapping = True
        return self._ask_mapping(now) if self.state is State.READY and self._request is None else []

    def drop_stale(self, internal_port: int) -> list[ClientCommand]:
        """Delete a mapping that an earlier run has left."""
        if not self._is_open or self.is_leaving:
            return []
        return [SendDatagram(self.socket, self._server, natpmp.map_request(internal_port, 0, 0))]

    def _ask_first(self, now: float) -> list[ClientCommand]:
        return self._send(self._watch_request(), now, is_mapping=False)

    def _map_request(self, *, delete: bool = False) -> bytes:
        if delete:
            return natpmp.map_request(self.task.internal_port, 0, 0)
        suggested = self.task.suggested_port if self.lease is None else self.lease.external[1]
        return natpmp.map_request(self.task.internal_port, suggested, self.task.lease_s)

    def _watch_request(self) -> bytes:
        return natpmp.public_address_request()

    def _parse(self, data: bytes) -> natpmp.Answer | None:
        try:
            answer = natpmp.parse(data)
        except WireError:
            return None
        if isinstance(answer, natpmp.NatPmpMapped) and answer.internal_port != self.task.internal_port:
            return None
        return answer

    def _is_about_mapping(self, answer: natpmp.Answer) -> bool:
        return isinstance(answer, natpmp.NatPmpMapped | natpmp.NatPmpRefused)

    def _on_answer(self, answer: natpmp.Answer, now: float) -> list[ClientCommand]:
        has_forgotten = self._epoch.lost(answer.epoch_s, now) or self._has_forgotten
        match answer:
            case natpmp.PublicAddress(_, ip):
                return self._on_address(ip, has_forgotten, now)
            case natpmp.NatPmpMapped() if self._is_mapping and self._request is not None:
                self._has_forgotten = False
                self._grant((self._external_ip or "0.0.0.0", answer.external_port), answer.lifetime_s, now)  # noqa: S104
            case natpmp.NatPmpRefused(_, result, is_mapping) if (
                self._request is not None and is_mapping is self._is_mapping
            ):
                self._request = None
                if has_forgotten:
                    self.lease = None
                self._refuse(_REASONS.get(result, "refused"), now)
        return []

    def _on_address(self, ip: str, has_forgotten: bool, now: float) -> list[ClientCommand]:
        if not self._is_mapping:
            self._answered()
        if not is_believable_reflexive((ip, self.task.internal_port)):
            self._request = self.lease = None
            self._refuse("no-external-address", now)
            return []
        self._external_ip = ip
        if self.lease is not None:
            if self.lease.external[0] != ip:
                self.lease = Lease((ip, self.lease.external[1]), self.lease.since, self.lease.lifetime_s)
            if not has_forgotten:
                return []
            if self._mapped_at is not None and self._is_too_soon(now):
                self._has_forgotten = True
                self._watch_at = self._mapped_at + MIN_REMAP_S
                return []
        elif not self._is_mapping or self._request is None:
            self._move(Trigger.ANSWERED)
            self.reason = ""
        if self._request is not None:
            return []
        return self._ask_mapping(now) if self._wants_mapping else []
