"""A router in virtual time, with every message and command of it written down."""

import random

from relay.events import (
    CloseSession,
    CreateLegs,
    DestroyLegs,
    MessageArrived,
    NameStored,
    RouterCommand,
    RouterEvent,
    SendMessage,
    SessionClosed,
    SessionOpened,
    StopRelay,
    StoreName,
)
from relay.limits import Limiter, RelayLimits
from relay.registry import Entry, Registry
from relay.router import Router, RouterConfig
from tests.unit.relay.people import authenticate, person
from transport.identity.keys import Identity
from transport.net.machine import TimerFired
from transport.wire.relay_messages import Challenge, ClientMessage, RelayMessage

RELAY = person(1_000)
NAMES = {"ann": 1, "bob": 2, "cy": 3}
"""Registered from the start: name -> number of the person."""


class World:
    def __init__(self, limits: RelayLimits | None = None) -> None:
        registry = Registry(
            (name, Entry(person(number).key, person(number).certificate)) for name, number in NAMES.items()
        )
        config = RouterConfig(RELAY.certificate, 7851, (("", 7851),), 60.0)
        self.router = Router(config, registry, Limiter(limits or RelayLimits()), random.Random(7))
        self.now = 0.0
        self.sent: dict[int, list[RelayMessage]] = {}
        self.closed: set[int] = set()
        self.stores: list[StoreName] = []
        self.legs: set[str] = set()
        self.stopped = False
        self._next_session = 1

    def feed(self, event: RouterEvent) -> list[RouterCommand]:
        commands = self.router.handle(event, self.now)
        for command in commands:
            match command:
                case SendMessage(session, message):
                    assert session not in self.closed, "a word to a session that the router has closed"
                    self.sent.setdefault(session, []).append(message)
                case CloseSession(session):
                    self.closed.add(session)
                case StoreName():
                    self.stores.append(command)
                case CreateLegs(call_id):
                    assert call_id not in self.legs
                    self.legs.add(call_id)
                case DestroyLegs(call_id):
                    self.legs.remove(call_id)
                case StopRelay():
                    assert not self.stopped
                    self.stopped = True
        return commands

    def say(self, session: int, message: ClientMessage) -> list[RelayMessage]:
        """Send as a client; returns what that client receives because of it."""
        before = len(self.sent.get(session, []))
        self.feed(MessageArrived(session, message))
        return self.sent.get(session, [])[before:]

    def received(self, session: int) -> list[RelayMessage]:
        """What a session has received since this was last called."""
        return self.sent.pop(session, [])

    def open(self, host: str = "192.0.2.1") -> int:
        session = self._next_session
        self._next_session += 1
        self.feed(SessionOpened(session, (host, 1000 + session)))
        return session

    def challenge(self, session: int) -> Challenge:
        [challenge] = [message for message in self.sent[session] if isinstance(message, Challenge)]
        return challenge

    def login(self, who: Identity, name: str = "", home: str = "", host: str = "192.0.2.1") -> int:
        """A session that is logged in, with its greeting forgotten."""
        session = self.open(host)
        self.say(session, authenticate(self.challenge(session), who, name, home))
        assert session not in self.closed, self.sent[session]
        self.received(session)
        return session

    def named(self, name: str) -> int:
        return self.login(person(NAMES[name]), name)

    def close(self, session: int) -> None:
        self.feed(SessionClosed(session))

    def store(self, problem: str = "") -> None:
        """The disk answers the oldest write."""
        self.feed(NameStored(self.stores.pop(0).ticket, problem))

    def wait(self, seconds: float) -> None:
        """Let time pass, with every timer on its time."""
        end = self.now + seconds
        while (due := self.router.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.feed(TimerFired())
            again = self.router.next_deadline()
            assert again is None or again > self.now, "a timer that is due again at once never ends"
        self.now = end
