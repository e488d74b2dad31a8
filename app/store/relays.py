"""The certificates of relays that were met, so that each is known again. Written through by the store."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.store.database import Row, Statement
from transport.wire.addresses import RelayAddress, parse_relay
from transport.wire.errors import WireError

# Own relay, trial relay, and those of the people one calls; the longest unused is forgotten.
MAX_RELAYS = 500


@dataclass(frozen=True, slots=True)
class KnownRelay:
    """A relay. ``certificate`` is the DER form that matched the address's pin; ``seen_at`` in Unix seconds."""

    address: RelayAddress
    certificate: bytes
    seen_at: float


class RelayCertificates:
    """All of them, by ``host:port``."""

    QUERY = "SELECT endpoint, pin, certificate, seen_at FROM relays"

    __slots__ = ("_changed", "_clock", "_relays")

    def __init__(self, changed: Callable[[Iterable[str]], None], clock: Callable[[], float]) -> None:
        self._relays: dict[str, KnownRelay] = {}
        self._changed = changed
        self._clock = clock

    def get(self, address: RelayAddress) -> KnownRelay | None:
        """What is known of the relay at this host and port, whatever the pin in ``address``."""
        return self._relays.get(_endpoint(address))

    def remember(self, address: RelayAddress, certificate: bytes) -> None:
        """The relay at ``address`` showed ``certificate``, and it matched."""
        key = _endpoint(address)
        self._relays[key] = KnownRelay(address, certificate, self._clock())
        changed = [key]
        if len(self._relays) > MAX_RELAYS:
            others = (other for other in self._relays if other != key)
            oldest = min(others, key=lambda other: self._relays[other].seen_at)
            del self._relays[oldest]
            changed.append(oldest)
        self._changed(changed)

    def forget(self, address: RelayAddress) -> None:
        """Forget the relay at this host and port."""
        if self._relays.pop(_endpoint(address), None) is not None:
            self._changed([_endpoint(address)])

    def all_keys(self) -> list[str]:
        """All endpoints."""
        return list(self._relays)

    def load(self, rows: Iterable[Row], newer: set[str]) -> int:
        """Take over what is stored, except where memory is ``newer``. Returns how many rows made no sense."""
        senseless = 0
        for endpoint, pin, certificate, seen_at in rows:
            try:
                address = parse_relay(f"{endpoint}#{pin}" if pin else str(endpoint))
                if _endpoint(address) != endpoint or not isinstance(certificate, bytes):
                    raise WireError("not a relay")
                if not isinstance(seen_at, float):
                    raise WireError("not a time")
            except WireError:
                senseless += 1
                continue
            if endpoint not in newer:
                self._relays[endpoint] = KnownRelay(address, certificate, seen_at)
        return senseless

    def statement(self, key: str) -> Statement:
        """What makes the stored row equal to what is in memory."""
        known = self._relays.get(key)
        if known is None:
            return "DELETE FROM relays WHERE endpoint = ?", (key,)
        return (
            "INSERT OR REPLACE INTO relays VALUES (?, ?, ?, ?)",
            (key, known.address.pin, known.certificate, known.seen_at),
        )


def _endpoint(address: RelayAddress) -> str:
    return str(RelayAddress(address.host, address.port))
