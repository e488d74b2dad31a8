"""What worked between two networks, and what did not: from calls that have ended to hints for the next ones (pure).

A network is known by the prefix of its outside address, and of that only a keyed hash is kept: whoever has the local
data, but not the identity's secret, learns no addresses from it.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from transport.nat.profile import NatKind, NatProfile
from transport.traversal.context import Hints
from transport.traversal.events import PhaseOutcome, PhaseStatus

# What providers give to neighbours; single addresses change with each dial-in.
IPV4_PREFIX_BITS = 24
# What RFC 6177 has sites get.
IPV6_PREFIX_BITS = 48
TAG_BYTES = 16
_PURPOSE = b"segue-networks/1"
# So often in a row without a direct path there is no hope for an hour, and twice as long after each further time.
HOPELESS_AFTER = 3
HOPELESS_S = 3_600.0
MAX_HOPELESS_S = 7 * 86_400.0
# Networks are rebuilt: what was learnt has no weight any more.
MAX_AGE_S = 90 * 86_400.0


class NetworkPair(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pair of networks: tags of ours and of theirs, their NATs' kinds when last seen, and how calls went.

    ``way``: the phase that brought the last direct path, ``seconds`` after the answer. ``failed_in_row``: since then.
    ``at``: the last call that is counted, in Unix seconds."""

    ours: bytes
    theirs: bytes
    our_kind: NatKind = NatKind.UNKNOWN
    their_kind: NatKind = NatKind.UNKNOWN
    way: str | None = None
    seconds: float | None = None
    worked: int = 0
    failed: int = 0
    failed_in_row: int = 0
    at: float = 0.0

    @property
    def key(self) -> str:
        """Names the pair among others."""
        return pair_key(self.ours, self.theirs)


@dataclass(frozen=True, slots=True)
class NetworkOutcome:
    """What a call showed. ``way`` is ``None`` where every phase came to its end without a path."""

    our_kind: NatKind
    their_kind: NatKind
    way: str | None
    seconds: float | None
    at: float


def pair_key(ours: bytes, theirs: bytes) -> str:
    """A name for a pair, from the tags of both."""
    return f"{ours.hex()}-{theirs.hex()}"


def tag_key(secret: bytes) -> bytes:
    """The key of all tags, from the identity's secret."""
    return hmac.digest(secret, _PURPOSE, hashlib.sha256)


def tag(key: bytes, address: str) -> bytes | None:
    """Of the network that ``address`` is seen with from outside; ``None`` where that is no address of the internet's.

    IPv4 addresses within IPv6 (RFC 4291 §2.5.5.2) are IPv4 addresses."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    bits = IPV4_PREFIX_BITS if ip.version == 4 else IPV6_PREFIX_BITS
    prefix = ipaddress.ip_network((ip, bits), strict=False)
    return hmac.digest(key, str(prefix).encode(), hashlib.sha256)[:TAG_BYTES]


def ended(
    statuses: Iterable[PhaseStatus],
    answered: float,
    local: NatProfile | None,
    remote: NatProfile | None,
    at: float,
) -> NetworkOutcome | None:
    """What a call showed, from all phases that it tried, in order; ``None`` where it ended before that was clear.

    ``answered`` in the clock of the phases, ``at`` in Unix seconds."""
    kinds = [NatKind.UNKNOWN if profile is None else profile.kind for profile in (local, remote)]
    tried = tuple(statuses)
    for status in tried:
        if status.outcome == "won" and status.ended is not None:
            return NetworkOutcome(kinds[0], kinds[1], status.name, max(0.0, status.ended - answered), at)
    attempts: list[set[PhaseOutcome]] = []
    for status in tried:
        # Each attempt begins with the same phase.
        if status.name == tried[0].name:
            attempts.append(set())
        attempts[-1].add(status.outcome)
    # One that was cut off says nothing: what was still to come might have succeeded.
    if not any(outcomes <= {"failed", "skipped"} for outcomes in attempts):
        return None
    return NetworkOutcome(kinds[0], kinds[1], None, None, at)


def updated(before: NetworkPair, call: NetworkOutcome) -> NetworkPair:
    """With one more call."""
    known = msgspec.structs.replace(
        before,
        our_kind=before.our_kind if call.our_kind is NatKind.UNKNOWN else call.our_kind,
        their_kind=before.their_kind if call.their_kind is NatKind.UNKNOWN else call.their_kind,
        at=max(before.at, call.at),
    )
    if call.way is None:
        return msgspec.structs.replace(known, failed=before.failed + 1, failed_in_row=before.failed_in_row + 1)
    return msgspec.structs.replace(known, way=call.way, seconds=call.seconds, worked=before.worked + 1, failed_in_row=0)


def is_forgotten(pair: NetworkPair, now: float) -> bool:
    """Too old to mean anything. ``now`` in Unix seconds, as everywhere here."""
    return now - pair.at > MAX_AGE_S


def hints(pair: NetworkPair | None, now: float, wall_offset_s: float) -> Hints:
    """For the next call of this pair. ``wall_offset_s`` turns the clock of the traversal into Unix seconds."""
    if pair is None or is_forgotten(pair, now):
        return Hints()
    if pair.failed_in_row < HOPELESS_AFTER:
        return Hints(pair.way, pair.seconds)
    doubled = min(pair.failed_in_row - HOPELESS_AFTER, 16)
    until = pair.at + min(MAX_HOPELESS_S, HOPELESS_S * 2**doubled)
    # A clock that was set back must not make it hopeless for years.
    until = min(until, now + MAX_HOPELESS_S)
    return Hints(pair.way, pair.seconds, until - wall_offset_s if until > now else None)
