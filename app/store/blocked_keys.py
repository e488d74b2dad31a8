"""Keys that may not ring, whatever address they come with. Written through by the store, and never forgotten.

A key blocked together with an address (a relay vouched for both) is let ring again with it; a guest's, whose address
is only what they say, by itself.
"""

from dataclasses import dataclass

from app.store.collection import Collection
from app.store.database import Row

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """``address``: under which it was met, without the relay's pin. ``vouched``: that address is blocked with it."""

    key: bytes
    address: str
    vouched: bool
    blocked_at: float


class BlockedKeys(Collection[BlockedKey]):
    """All of them, by key in hex."""

    TABLE, KEY = "blocked_keys", "key"
    QUERY = "SELECT key, address, vouched, blocked_at FROM blocked_keys"

    def __contains__(self, key: bytes) -> bool:
        return key.hex() in self._items

    def of_guests(self) -> tuple[BlockedKey, ...]:
        """Those that no blocked address stands for, newest first."""
        guests = (blocked for blocked in self._items.values() if not blocked.vouched)
        return tuple(sorted(guests, key=lambda blocked: -blocked.blocked_at))

    def add(self, key: bytes, address: str, *, vouched: bool) -> None:
        """Block a key."""
        self._items[key.hex()] = BlockedKey(key, address, vouched, self._clock())
        self._changed([key.hex()])

    def lift(self, key: str) -> None:
        """Let this key (hex) ring again."""
        if self._items.pop(key, None) is not None:
            self._changed([key])

    def lift_of(self, address: str) -> None:
        """Let the keys ring again that were blocked together with this address."""
        for key in [key for key, one in self._items.items() if one.vouched and one.address == address]:
            self.lift(key)

    def _read(self, row: Row) -> tuple[str, BlockedKey]:
        key, address, vouched, blocked_at = row
        if not (isinstance(key, bytes) and len(key) == _KEY_BYTES and isinstance(blocked_at, float)):
            raise TypeError("not a blocked key")
        return key.hex(), BlockedKey(key, str(address), bool(vouched), blocked_at)

    def _write(self, item: BlockedKey) -> Row:
        return item.address, item.vouched, item.blocked_at

    def _column(self, key: str) -> object:
        return bytes.fromhex(key)
