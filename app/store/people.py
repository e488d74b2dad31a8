"""Everybody whose address or key is known: the contact list, and those who are only remembered.

In memory; :class:`app.store.store.Store` writes through what changes. An address counts without the pin of its
relay, so that one person is not two.
"""

from dataclasses import dataclass, field, replace

from app.model import key_pinning
from app.model.key_pinning import Pin, Trust, same_key
from app.model.sanitize import one_line
from app.store.collection import Collection
from app.store.database import Row
from app.store.errors import ListFull
from transport.wire.addresses import PersonAddress, RelayAddress, parse_person
from transport.wire.errors import WireError

# Ten thousand people are listed in a few milliseconds; nobody types more.
MAX_LISTED = 10_000
# Strangers cause these by calling; the oldest are forgotten first. A block is never forgotten.
MAX_REMEMBERED = 1_000
MAX_ALIAS_CHARS = 100


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """Somebody. ``listed``: in the contact list. Times are Unix seconds."""

    address: PersonAddress
    alias: str = ""
    listed: bool = False
    blocked: bool = False
    added_at: float = 0.0
    seen_at: float = 0.0
    pin: Pin = field(default_factory=Pin)


class People(Collection[KnownPerson]):
    """All of them, by address."""

    TABLE, KEY = "people", "address"
    QUERY = (
        "SELECT address, relay_pin, alias, listed, blocked, added_at, seen_at, key, certificate, verified, "
        "offered_key, offered_certificate FROM people"
    )

    # -- asking ----------------------------------------------------------------------------------------------------

    def get(self, address: PersonAddress) -> KnownPerson | None:
        """Who is known at this address."""
        return self._items.get(address.short)

    def contacts(self) -> tuple[KnownPerson, ...]:
        """The contact list by name, and whoever is blocked, so that a block can be seen and lifted."""
        shown = (person for person in self._items.values() if person.listed or person.blocked)
        return tuple(sorted(shown, key=lambda person: (person.alias or person.address.name).casefold()))

    def is_blocked(self, address: PersonAddress, key: bytes) -> bool:
        """Whether this address is blocked, or this key under any address. ``key`` may be empty: not known yet."""
        known = self._items.get(address.short)
        if known is not None and known.blocked:
            return True
        return any(person.blocked and same_key(person.pin.key, key) for person in self._items.values())

    def is_contact(self, address: PersonAddress, key: bytes, *, vouched: bool) -> bool:
        """Whether a caller is in the contact list: by their key, or by an address that a relay vouches for."""
        known = self._items.get(address.short)
        if vouched and known is not None and known.listed:
            return True
        return any(person.listed and same_key(person.pin.key, key) for person in self._items.values())

    def knows_key(self, key: bytes) -> bool:
        """Whether anybody was met with this key before."""
        return any(same_key(person.pin.key, key) for person in self._items.values())

    # -- changing --------------------------------------------------------------------------------------------------

    def add(self, address: PersonAddress, alias: str = "") -> KnownPerson:
        """Put somebody into the list, or change their alias or their relay's pin. Raises :class:`ListFull`."""
        known = self._known(address)
        if not known.listed and sum(person.listed for person in self._items.values()) >= MAX_LISTED:
            raise ListFull("list-full", limit=MAX_LISTED)
        pinned = address if address.relay.pin else known.address
        return self._keep(replace(known, address=pinned, alias=one_line(alias, MAX_ALIAS_CHARS), listed=True))

    def remove(self, address: PersonAddress) -> None:
        """Take somebody out of the list. Their key stays pinned, and a block stays."""
        known = self.get(address)
        if known is not None and known.listed:
            self._keep(replace(known, listed=False, alias="", seen_at=self._clock()))

    def set_blocked(self, address: PersonAddress, blocked: bool) -> None:
        """Block somebody, known or not, or let them ring again."""
        self._keep(replace(self._known(address), blocked=blocked))

    def meet(self, address: PersonAddress, key: bytes, certificate: bytes) -> Trust:
        """Somebody proved this key under this address: see :func:`app.model.key_pinning.meet`."""
        known = self._known(address)
        verdict, pin = key_pinning.meet(known.pin, key, certificate)
        self._keep(replace(known, pin=pin, seen_at=self._clock()))
        return verdict

    def accept_changed_key(self, address: PersonAddress) -> None:
        """The user takes the offered key as theirs."""
        known = self.get(address)
        if known is not None:
            self._keep(replace(known, pin=key_pinning.accept_changed_key(known.pin)))

    def mark_verified(self, address: PersonAddress) -> None:
        """The user has compared the safety number."""
        known = self.get(address)
        if known is not None:
            self._keep(replace(known, pin=key_pinning.mark_verified(known.pin)))

    def _known(self, address: PersonAddress) -> KnownPerson:
        now = self._clock()
        return self._items.get(address.short) or KnownPerson(address, added_at=now, seen_at=now)

    def _keep(self, person: KnownPerson) -> KnownPerson:
        key = person.address.short
        if self._items.get(key) != person:
            self._items[key] = person
            self._changed([key, *self._forget_oldest(person)])
        return person

    def _forget_oldest(self, kept: KnownPerson) -> list[str]:
        spare = [p for p in self._items.values() if not (p.listed or p.blocked or p is kept)]
        if len(spare) < MAX_REMEMBERED:
            return []
        oldest = min(spare, key=lambda person: person.seen_at).address.short
        del self._items[oldest]
        return [oldest]

    # -- rows ------------------------------------------------------------------------------------------------------

    def _read(self, row: Row) -> tuple[str, KnownPerson]:
        person = _person(row)
        return person.address.short, person

    def _write(self, item: KnownPerson) -> Row:
        pin = item.pin
        return (
            item.address.relay.pin,
            item.alias,
            item.listed,
            item.blocked,
            item.added_at,
            item.seen_at,
            pin.key,
            pin.certificate,
            pin.verified,
            pin.offered_key,
            pin.offered_certificate,
        )


def _person(row: Row) -> KnownPerson:
    address, relay_pin, alias, listed, blocked, added_at, seen_at, key, certificate, verified, *offered = row
    parsed = parse_person(str(address))
    if parsed.short != address:
        raise WireError("an address that is not written the one way")
    if relay_pin:
        relay = RelayAddress(parsed.relay.host, parsed.relay.port, str(relay_pin))
        parsed = parse_person(str(PersonAddress(parsed.name, relay)))
    if not (isinstance(added_at, float) and isinstance(seen_at, float)):
        raise WireError("a time that is none")
    offered_key, offered_certificate = offered
    pin = Pin(_blob(key), _blob(certificate), bool(verified), _blob(offered_key), _blob(offered_certificate))
    return KnownPerson(parsed, str(alias), bool(listed), bool(blocked), added_at, seen_at, pin)


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a key that is not bytes")
    return value
