"""The directory: who holds which name, where they are connected, and who watches whom."""

from collections.abc import Mapping

from relay.events import NameStored, RouterCommand, SendMessage, SessionId
from relay.limits import Limiter
from relay.presence import WatchLists
from relay.registry import Entry, Registry
from relay.session import Refusals, Session, carries_key
from transport.identity.keys import verify
from transport.identity.statements import registration_statement
from transport.wire.addresses import GUEST_PREFIX
from transport.wire.relay_messages import Found, Lookup, Presence, RefusalCode, Register, Registered, Watch


class Directory:
    """Answers what sessions ask about names. ``certificate`` is the relay's own."""

    def __init__(self, certificate: bytes, registry: Registry, limiter: Limiter, refusals: Refusals) -> None:
        self._certificate = certificate
        self._registry = registry
        self._limiter = limiter
        self._refusals = refusals
        self._watch_lists = WatchLists()
        self._by_name: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._registry)

    def owner(self, name: str) -> Entry | None:
        """Who has registered a name."""
        return self._registry.get(name)

    def session(self, name: str) -> Session | None:
        """Where the holder of a name is connected."""
        return self._by_name.get(name)

    def clear(self) -> None:
        """Nobody is connected any more."""
        self._by_name.clear()

    def forget(self, session: Session, keeps_name: str) -> list[RouterCommand]:
        """A session is gone; ``keeps_name`` is one that its successor takes at once."""
        self._watch_lists.forget(session.number)
        if not session.name:
            return []
        del self._by_name[session.name]
        return [] if session.name == keeps_name else self._announce(session.name, online=False)

    def take_name(self, session: Session, name: str) -> list[RouterCommand]:
        session.name = name
        session.home = ""
        self._by_name[name] = session
        return self._announce(name, online=True)

    def _announce(self, name: str, *, online: bool) -> list[RouterCommand]:
        return [SendMessage(number, Presence(name, online)) for number in self._watch_lists.watchers(name)]

    def watch(self, session: Session, message: Watch, now: float) -> list[RouterCommand]:
        """Each name is a question, whether it was asked before or not."""
        count = len(message.names)
        if not session.name and count > self._limiter.limits.watched_by_guest:
            text = f"a guest may watch {self._limiter.limits.watched_by_guest} people"
            return self._refuse(session.number, 0, "limit", text)
        if len(self._watch_lists) - len(self._watch_lists.of(session.number)) + count > self._limiter.limits.watched:
            return self._refuse(session.number, 0, "limit", "this relay watches all the people it can", 60.0)
        wait_s = self._limiter.take("watch", session.key, now, count) or self._limiter.take(
            "watch-address", session.subject, now, count
        )
        if wait_s:
            return self._refuse(session.number, 0, "limit", "too many people watched", wait_s)
        names = self._watch_lists.watch(session.number, message.names)
        return [SendMessage(session.number, Presence(name, name in self._by_name)) for name in names]

    def register(self, session: Session, message: Register, now: float) -> list[RouterCommand]:
        wait_s = self._limiter.take("registration", session.key, now) or self._limiter.take(
            "registration-address", session.subject, now
        )
        if wait_s:
            return self._refuse(session.number, message.request, "limit", "too many registrations", wait_s)
        statement = registration_statement(session.opened_with, self._certificate, message.name, message.certificate)
        if not carries_key(message.certificate, session.key) or not verify(session.key, statement, message.signature):
            return self._refuse(session.number, message.request, "bad-proof", "the signature does not hold")
        if message.name.startswith(GUEST_PREFIX):
            text = f"names that begin with “{GUEST_PREFIX}” are kept for those who have none"
            return self._refuse(session.number, message.request, "name-taken", text)
        if not self._registry.is_free_for(message.name, session.key):
            text = f"“{message.name}” belongs to somebody else here"
            return self._refuse(session.number, message.request, "name-taken", text)
        if len(self._registry) >= self._limiter.limits.names and self._registry.get(message.name) is None:
            return self._refuse(session.number, message.request, "limit", "this relay's directory is full")
        entry = Entry(session.key, message.certificate)
        return [self._registry.claim(message.name, entry, session.number, message.request)]

    def stored(self, event: NameStored, sessions: Mapping[SessionId, Session]) -> list[RouterCommand]:
        write = self._registry.settle(event.ticket, not event.problem)
        session = sessions.get(write.session) if write is not None else None
        if write is None or session is None:
            return []
        if event.problem:
            text = f"the relay could not write it down: {event.problem}"
            return self._refuse(session.number, write.request, "storage", text)
        commands: list[RouterCommand] = [SendMessage(session.number, Registered(write.request, write.name))]
        if session.name in ("", write.name):
            session.certificate = write.entry.certificate
        if not session.name:
            commands += self.take_name(session, write.name)
        return commands

    def look_up(self, session: Session, message: Lookup, now: float) -> list[RouterCommand]:
        wait_s = self._limiter.take("lookup", session.key, now) or self._limiter.take(
            "lookup-address", session.subject, now
        )
        if wait_s:
            return self._refuse(session.number, message.request, "limit", "too many look-ups", wait_s)
        entry = self._registry.get(message.name)
        if entry is None:
            text = f"nobody is registered as “{message.name}” here"
            return self._refuse(session.number, message.request, "unknown-name", text)
        online = self._by_name.get(message.name)
        certificate = online.certificate if online is not None else entry.certificate
        found = Found(message.request, message.name, entry.key, certificate, online is not None)
        return [SendMessage(session.number, found)]

    def _refuse(
        self, session: SessionId, request: int, code: RefusalCode, text: str, retry_after_s: float = 0.0
    ) -> list[RouterCommand]:
        return [self._refusals.make(session, request, code, text, retry_after_s)]
