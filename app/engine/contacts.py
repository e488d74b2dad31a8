"""What windows may change about contacts, history, keys and notices."""

from collections.abc import Callable

from app.engine.view import Notices
from app.ipc import messages
from app.store import Store
from app.system.errors import AppError
from transport.wire.addresses import PersonAddress, parse_person


class ContactCommands:
    """Applies the commands that touch only the local data. ``people_changed`` is called when the list has changed."""

    def __init__(self, store: Store, notices: Notices, people_changed: Callable[[], None]) -> None:
        self._store = store
        self._notices = notices
        self._people_changed = people_changed

    def handle(self, message: messages.WindowMessage) -> None:
        """Do it. Raises :class:`AppError` or :class:`transport.wire.errors.WireError`, and then changed nothing."""
        match message:
            case messages.AddContact(address, alias):
                self.add(parse_person(address), alias)
            case messages.RemoveContact(address):
                self._store.people.remove(parse_person(address))
                self._people_changed()
            case messages.BlockContact(address, blocked):
                self.block(parse_person(address), blocked)
            case messages.UnblockKey(key):
                self._store.blocked_keys.lift(key)
            case messages.EraseHistory():
                self._store.calls.erase()
            case messages.DismissNotice(number):
                self._notices.dismiss(number)
            case _:
                raise AppError("unknown-command")

    def block(self, person: PersonAddress, blocked: bool) -> None:
        """Block an address and the keys that were met at it, or let them ring again."""
        people, keys = self._store.people, self._store.blocked_keys
        people.set_blocked(person, blocked)
        known = people.get(person)
        if not blocked:
            keys.lift_of(person.short)
        elif known is not None:
            for key in filter(None, (known.pin.key, known.pin.offered_key)):
                keys.add(key, person.short, vouched=True)

    def add(self, person: PersonAddress, alias: str) -> None:
        """Put somebody into the list."""
        self._store.people.add(person, alias)
        self._people_changed()
