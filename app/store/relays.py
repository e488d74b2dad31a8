"""The certificates of relays that were met, so that each is known again. Written through by the store."""

from dataclasses import dataclass

from app.store.collection import Collection
from app.store.database import Row
from transport.wire.addresses import RelayAddress, parse_relay

# Own relay, trial relay, and those of the people one calls; the longest unused is forgotten.
MAX_RELAYS = 500


@dataclass(frozen=True, slots=True)
class KnownRelay:
    """A relay. ``certificate`` is the DER form that matched the address's pin; ``seen_at`` in Unix seconds."""

    address: RelayAddress
    certificate: bytes
    seen_at: float


class RelayCertificates(Collection[KnownRelay]):
    """All of them, by ``host:port``."""

    TABLE, KEY = "relays", "endpoint"
    QUERY = "SELECT endpoint, pin, certificate, seen_at FROM relays"

    def get(self, address: RelayAddress) -> KnownRelay | None:
        """What is known of the relay at this host and port, whatever the pin in ``address``."""
        return self._items.get(_endpoint(address))

    def remember(self, address: RelayAddress, certificate: bytes) -> None:
        """The relay at ``address`` showed ``certificate``, and it matched."""
        key = _endpoint(address)
        self._items[key] = KnownRelay(address, certificate, self._clock())
        changed = [key]
        if len(self._items) > MAX_RELAYS:
            others = (other for other in self._items if other != key)
            oldest = min(others, key=lambda other: self._items[other].seen_at)
            del self._items[oldest]
            changed.append(oldest)
        self._changed(changed)

    def _read(self, row: Row) -> tuple[str, KnownRelay]:
        endpoint, pin, certificate, seen_at = row
        address = parse_relay(f"{endpoint}#{pin}" if pin else str(endpoint))
        if _endpoint(address) != endpoint or not isinstance(certificate, bytes) or not isinstance(seen_at, float):
            raise TypeError("not a relay")
        return _endpoint(address), KnownRelay(address, certificate, seen_at)

    def _write(self, item: KnownRelay) -> Row:
        return item.address.pin, item.certificate, item.seen_at


def _endpoint(address: RelayAddress) -> str:
    return str(RelayAddress(address.host, address.port))
