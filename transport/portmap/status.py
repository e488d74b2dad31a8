"""How a port mapping stands, for people and reports: one outcome and one reason of several clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transport.ice.candidates import is_private
from transport.net.port_mapping import MappedPort, MappingProtocol
from transport.portmap.client import MappingClient, State

# The reason that somebody can do most about comes first.
_BY_IMPORTANCE = (
    "permanent-lease-only",
    "not-authorized",
    "no-resources",
    "conflict",
    "lease-too-short",
    "no-external-address",
    "address-mismatch",
    "refused",
    "unsupported",
    "silent",
    "no-socket",
)


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """How it stands, as one row of a panel. ``reason`` is a code.

    Of "won": "" or, where calls need luck with a further NAT, "second-nat" (the external address is a private one) or
    "other-address" (servers see another), or "ipv6-only" (a pinhole, and no IPv4).

    Of "failed": "no-gateway", "silent", "unsupported", "refused", "not-authorized", "no-resources", "conflict",
    "permanent-lease-only", "lease-too-short", "no-external-address", "address-mismatch", "no-socket"."""

    outcome: Literal["waiting", "trying", "won", "failed"]
    reason: str = ""
    protocol: MappingProtocol | None = None


def mapping_status(
    ports: Sequence[MappedPort], clients: Sequence[MappingClient] | None, *, is_early: bool
) -> MappingStatus:
    """The status of what is mapped. ``clients`` are those of the default IPv4 gateway, None without one; ``is_early``:
    some of them may still answer."""
    four = [port for port in ports if ":" not in port.external[0]]
    best = next((port for port in four if port.is_public), None) or next(iter(four), None)
    if best is not None:
        reason = "" if best.is_public else "second-nat" if is_private(best.external[0]) else "other-address"
        return MappingStatus("won", reason, best.protocol)
    if clients is None:
        return MappingStatus("won", "", ports[0].protocol) if ports else MappingStatus("failed", "no-gateway")
    if is_early and any(client.state in (State.ASKING, State.READY) for client in clients):
        return MappingStatus("trying")
    if ports:
        return MappingStatus("won", "ipv6-only", ports[0].protocol)
    reasons = {client.reason or "silent" for client in clients}
    return MappingStatus("failed", next((code for code in _BY_IMPORTANCE if code in reasons), min(reasons)))
