"""The router: sessions, who they are, and what they may ask for; without I/O.

    SessionOpened -> Challenge -> Authenticate -> Welcome -> register, look up, watch, call -> SessionClosed

A session that breaks the protocol or a limit of sessions gets the reason and is closed. Everything else that is refused
leaves the session as it was.
"""

import random
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass

from relay import events as ev
from relay.call_table import CallCommand, CallMessage, CallTable, SendToKey, State
from relay.directory import Directory
from relay.limits import CallPlaces, Limiter, address_subject
from relay.registry import Registry
from relay.session import Refusals, Session, carries_key
from transport.identity.keys import verify
from transport.identity.statements import session_statement
from transport.net.machine import TimerFired
from transport.net.token_bucket import TokenBucket
from transport.wire import relay_messages as wire

# A client answers the challenge within one round trip and a signature.
AUTHENTICATE_WITHIN_S = 10.0
NONCE_BYTES = 32
# NATs keep an idle UDP mapping for 30 s and more in practice (RFC 4787 REQ-5 asks for 120 s).
PING_EVERY_S = 15.0
# "Ended" messages kept for clients that are away when their call ends: so many each, for so many clients.
MAX_MISSED_PER_KEY = 8
MAX_MISSED_KEYS = 1_024


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What the router must know of its relay. ``stun`` is for clients (see ``Welcome``)."""

    certificate: bytes
    media_port: int
    stun: tuple[tuple[str, int], ...]
    leg_lifetime_s: float
    software: str = "segue"


class Router:
    """See the module's text. ``rng`` makes nonces and credentials: give it a :class:`random.SystemRandom`."""

    def __init__(self, config: RouterConfig, registry: Registry, limiter: Limiter, rng: random.Random) -> None:
        self._config = config
        self._limiter = limiter
        self._limits = limiter.limits
        self._rng = rng
        self._sessions: dict[ev.SessionId, Session] = {}
        self._by_key: dict[bytes, Session] = {}
        self._per_subject: Counter[str] = Counter()
        self._logged_in: Counter[str] = Counter()
        self._unproven: deque[tuple[float, ev.SessionId]] = deque()
        self._missed: OrderedDict[bytes, list[wire.Ended]] = OrderedDict()
        self._drain_until_s: float | None = None
        self._stopped = False
        self.calls = CallTable(config.media_port, config.leg_lifetime_s, rng, limiter.limits)
        self._places = CallPlaces(limiter.limits)
        self._refusals = Refusals()
        self._directory = Directory(config.certificate, registry, limiter, self._refusals)

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    @property
    def authenticated_count(self) -> int:
        return len(self._by_key)

    def is_validated(self, subject: str) -> bool:
        """Whether somebody is logged in from an address (:func:`relay.limits.address_subject`)."""
        return subject in self._logged_in

    @property
    def name_count(self) -> int:
        return len(self._directory)

    @property
    def refusals(self) -> Counter[str]:
        """How often something was refused, by code."""
        return self._refusals.counts

    @property
    def is_draining(self) -> bool:
        return self._drain_until_s is not None

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due."""
        if self._stopped:
            return None
        deadlines = [self.calls.next_deadline(), self._drain_until_s]
        if self._unproven:
            deadlines.append(self._unproven[0][0])
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle(self, event: ev.RouterEvent, now: float) -> list[ev.RouterCommand]:
        """Take one event. Never raises, whatever a client has sent."""
        if self._stopped:
            return []
        match event:
            case ev.SessionOpened():
                commands = self._opened(event, now)
            case ev.MessageArrived():
                commands = self._arrived(event, now)
            case ev.GarbageArrived():
                session = self._sessions.get(event.session)
                commands = self._expel(session, "bad-message", event.problem, now) if session else []
            case ev.SessionClosed():
                session = self._sessions.get(event.session)
                commands = self._forget(session, now) if session else []
            case ev.NameStored():
                commands = self._directory.stored(event, self._sessions)
            case ev.LegsIdle():
                commands = self._legs_idle(event, now)
            case ev.DrainRequested():
                commands = self._drain(event, now)
            case TimerFired():
                commands = self._tick(now)
        if self._drain_until_s is not None and (now >= self._drain_until_s or not self.calls.legs_held):
            commands += self._stop(now)
        return commands

    # -- sessions

    def _opened(self, event: ev.SessionOpened, now: float) -> list[ev.RouterCommand]:
        if event.session in self._sessions:
            return []
        subject = address_subject(event.source[0])
        wait_s = self._limiter.take("session", subject, now)
        too_many = self._per_subject[subject] >= self._limits.sessions_per_address
        if wait_s or too_many or len(self._sessions) >= self._limits.sessions:
            text = "too many connections" + (" from your address" if wait_s or too_many else "")
            return self._refusal(event.session, "limit", text, wait_s or 30.0, close=True)
        nonce = self._rng.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
        self._per_subject[subject] += 1
        self._sessions[event.session] = Session(
            event.session, event.source, subject, nonce, TokenBucket(self._limits.messages, now), opened_with=nonce
        )
        self._unproven.append((now + AUTHENTICATE_WITHIN_S, event.session))
        return [
            ev.SendMessage(event.session, wire.Challenge(wire.CONTROL_VERSION, nonce, self._config.certificate)),
        ]

    def _arrived(self, event: ev.MessageArrived, now: float) -> list[ev.RouterCommand]:
        session = self._sessions.get(event.session)
        if session is None:
            return []
        wait_s = session.bucket.take(self._limits.messages, now)
        if wait_s:
            return self._expel(session, "limit", "too many messages", now, wait_s)
        message = event.message
        if isinstance(message, wire.Authenticate):
            return self._authenticate(session, message, now)
        if not session.is_authenticated:
            return self._expel(session, "bad-message", "prove your key first", now)
        match message:
            case wire.Register():
                return self._directory.register(session, message, now)
            case wire.Lookup():
                return self._directory.look_up(session, message, now)
            case wire.Watch():
                return self._directory.watch(session, message, now)
            case wire.Invite():
                return self._invite(session, message, now)
            case wire.Ring() | wire.Answer() | wire.Decline() | wire.HangUp():
                return self._call_message(session, message, now)
            case wire.Resume():
                return self._resume(session, message, now)
            case wire.Ping():
                return [ev.SendMessage(session.number, wire.Pong(message.request))]

    def _authenticate(self, session: Session, message: wire.Authenticate, now: float) -> list[ev.RouterCommand]:
        nonce, session.nonce = session.nonce, None
        if nonce is None:
            return self._expel(session, "bad-message", "this session has proved its key already", now)
        if message.version != wire.CONTROL_VERSION:
            text = f"this relay speaks version {wire.CONTROL_VERSION} of the protocol, you {message.version}"
            return self._expel(session, "version", text, now)
        wait_s = self._limiter.peek("failed-proof", session.subject, now)
        if wait_s:
            return self._expel(session, "limit", "too many failed logins from your address", now, wait_s)
        statement = session_statement(nonce, self._config.certificate)
        if not carries_key(message.certificate, message.key) or not verify(message.key, statement, message.signature):
            self._limiter.take("failed-proof", session.subject, now)
            return self._expel(session, "bad-proof", "the proof of your key does not hold", now)
        if message.name:
            entry = self._directory.owner(message.name)
            if entry is None or entry.key != message.key:
                self._limiter.take("failed-proof", session.subject, now)
                text = f"“{message.name}” is not registered to your key here"
                return self._expel(session, "not-registered", text, now)
        commands = self._replace(message.key, message.name, now)
        session.key = message.key
        session.certificate = message.certificate
        session.home = "" if message.name else message.home
        self._by_key[session.key] = session
        self._logged_in[session.subject] += 1
        commands.append(
            ev.SendMessage(
                session.number,
                wire.Welcome(
                    message.name, session.source, list(self._config.stun), PING_EVERY_S, self._config.software
                ),
            )
        )
        if message.name:
            commands += self._directory.take_name(session, message.name)
        if self._drain_until_s is not None:
            commands.append(ev.SendMessage(session.number, wire.Draining(max(0.0, self._drain_until_s - now))))
        commands += self._place_legs(session.key)
        missed = self._missed.pop(session.key, [])
        commands += [ev.SendMessage(session.number, ended) for ended in missed]
        return commands + self._deliver(self.calls.came(session.key))

    def _replace(self, key: bytes, name: str, now: float) -> list[ev.RouterCommand]:
        """Newer sessions win: after a change of networks the older one is the one that is dead."""
        older = self._by_key.get(key)
        if older is None:
            return []
        commands: list[ev.RouterCommand] = [ev.SendMessage(older.number, wire.Replaced())]
        commands += self._forget(older, now, keeps_name=name)
        commands.append(ev.CloseSession(older.number, "another session of the same identity took over"))
        return commands

    def _forget(self, session: Session, now: float, keeps_name: str = "") -> list[ev.RouterCommand]:
        """Drop a session. Its calls live on for now; ``keeps_name`` is one that its successor takes at once."""
        del self._sessions[session.number]
        _release(self._per_subject, session.subject)
        if session.is_authenticated:
            _release(self._logged_in, session.subject)
            del self._by_key[session.key]
            self.calls.went(session.key, now)
        return self._directory.forget(session, keeps_name) + self._place_legs(session.key)

    # -- calls

    def _invite(self, session: Session, message: wire.Invite, now: float) -> list[ev.RouterCommand]:
        known = self.calls.get(message.call_id)
        callee = self._directory.session(message.callee)
        if known is not None and known.caller.key == session.key and known.callee.name == message.callee:
            return self._deliver(self.calls.again(known))
        problem = self._invite_problem(session, message, callee, now)
        if problem is not None or callee is None:
            reason, text = problem or ("offline", "")
            self.calls.outcomes[reason] += 1
            return [ev.SendMessage(session.number, wire.Ended(message.call_id, reason, text))]
        self._places.take(message.call_id, session.source[0])
        return self._deliver(self.calls.invite(message.call_id, session.person(), callee.person(), now))

    def _invite_problem(
        self, session: Session, message: wire.Invite, callee: Session | None, now: float
    ) -> tuple[wire.EndReason, str] | None:
        wait_s = self._limiter.take("invite", session.key, now) or self._limiter.take(
            "invite-address", session.subject, now
        )
        if wait_s:
            return "limit", f"too many calls; try again in {wait_s:.0f} s"
        if self.is_draining:
            return "draining", "the relay is about to stop"
        if self.calls.is_known(message.call_id):
            return "failed", "this call id is in use"
        if callee is None:
            if self._directory.owner(message.callee) is None:
                return "unknown-name", f"nobody is registered as “{message.callee}” here"
            return "offline", f"{message.callee} is not connected"
        if callee.key == session.key:
            return "failed", "one cannot call oneself"
        if len(self.calls.of_key(session.key)) >= self._limits.calls_per_caller:
            return "limit", "you are in too many calls at once"
        if len(self.calls.of_key(callee.key)) >= self._limits.calls_per_callee:
            return "limit", f"too many people are calling {message.callee} at once"
        if self._places.is_full(session.source[0]):
            return "limit", "too many calls from your network at once"
        if self.calls.legs_held >= self._limits.calls:
            return "limit", "this relay carries all the calls it can"
        return None

    def _resume(self, session: Session, message: wire.Resume, now: float) -> list[ev.RouterCommand]:
        wait_s = self._limiter.take("invite", session.key, now) or self._limiter.take(
            "invite-address", session.subject, now
        )
        if wait_s or self.is_draining:
            code: wire.RefusalCode = "limit" if wait_s else "draining"
            return self._refusal(session.number, code, "this call cannot be resumed now", wait_s)
        is_full = self.calls.legs_held >= self._limits.calls or self._places.is_full(session.source[0])
        is_new = self.calls.get(message.call_id) is None
        if is_new and is_full:
            return self._refusal(session.number, "limit", "this relay carries all the calls it can", 1.0)
        commands = self.calls.resume(message.call_id, session.person(), message.peer, session.source[0], now)
        if is_new and self.calls.get(message.call_id) is not None:
            self._places.take(message.call_id, session.source[0])
        return self._deliver(commands)

    def _call_message(self, session: Session, message: CallMessage, now: float) -> list[ev.RouterCommand]:
        return self._deliver(self.calls.message(session.key, message, now))

    def _legs_idle(self, event: ev.LegsIdle, now: float) -> list[ev.RouterCommand]:
        call = self.calls.get(event.call_id)
        if call is None or call.state is not State.ANSWERED:
            return []  # a call that rings has an end of its own
        both = [call.caller.key, call.callee.key]
        # Whoever is there may be talking on a direct path while UDP to the relay is blocked: the call goes on without
        # the relay, and both can ask for legs again.
        notified = [] if any(key in self._by_key for key in both) else both
        text = "nothing has come from either side for too long"
        return self._deliver(self.calls.end(call, "failed", text, notified, now))

    def _deliver(self, commands: list[CallCommand]) -> list[ev.RouterCommand]:
        """Find the sessions of those whom messages are for; an end is kept for who is away."""
        delivered: list[ev.RouterCommand] = []
        for command in commands:
            if not isinstance(command, SendToKey):
                delivered.append(command)
                if isinstance(command, ev.DestroyLegs):
                    self._places.release(command.call_id)
                call = self.calls.get(command.call_id) if isinstance(command, ev.CreateLegs) else None
                if call is not None:
                    delivered += self._place_legs(call.caller.key) + self._place_legs(call.callee.key)
                continue
            session = self._by_key.get(command.key)
            if session is not None:
                delivered.append(ev.SendMessage(session.number, command.message))
            elif isinstance(command.message, wire.Ended):
                self._miss(command.key, command.message)
        return delivered

    def _place_legs(self, key: bytes) -> list[ev.RouterCommand]:
        """Where the holder of a key is logged in from is where their legs are bound from without being asked twice."""
        session = self._by_key.get(key)
        host = session.source[0] if session is not None else ""
        return [ev.PlaceLeg(call.grant(key).username, host, key) for call in self.calls.of_key(key)]

    def _miss(self, key: bytes, ended: wire.Ended) -> None:
        missed = self._missed.setdefault(key, [])
        missed.append(ended)
        del missed[:-MAX_MISSED_PER_KEY]
        self._missed.move_to_end(key)
        if len(self._missed) > MAX_MISSED_KEYS:
            self._missed.popitem(last=False)

    # -- time and the end

    def _tick(self, now: float) -> list[ev.RouterCommand]:
        commands: list[ev.RouterCommand] = []
        while self._unproven and self._unproven[0][0] <= now:
            session = self._sessions.get(self._unproven.popleft()[1])
            if session is not None and not session.is_authenticated:
                commands += self._expel(session, "bad-proof", "no proof of a key came in time", now)
        return commands + self._deliver(self.calls.tick(now))

    def _drain(self, event: ev.DrainRequested, now: float) -> list[ev.RouterCommand]:
        until_s = now + max(0.0, event.seconds)
        if self._drain_until_s is not None:
            until_s = min(until_s, self._drain_until_s)
        self._drain_until_s = until_s
        left_s = until_s - now
        return [ev.SendMessage(session.number, wire.Draining(left_s)) for session in self._by_key.values()]

    def _stop(self, now: float) -> list[ev.RouterCommand]:
        commands = self._deliver(self.calls.end_all("draining", "the relay has stopped", now))
        commands += [ev.CloseSession(number, "the relay has stopped") for number in self._sessions]
        self._sessions.clear()
        self._by_key.clear()
        self._logged_in.clear()
        self._directory.clear()
        self._stopped = True
        return [*commands, ev.StopRelay()]

    # -- refusals

    def _expel(
        self, session: Session, code: wire.RefusalCode, text: str, now: float, retry_after_s: float = 0.0
    ) -> list[ev.RouterCommand]:
        refusal = self._refusal(session.number, code, text, retry_after_s, close=True)
        return refusal + self._forget(session, now)

    def _refusal(
        self,
        session: ev.SessionId,
        code: wire.RefusalCode,
        text: str,
        retry_after_s: float = 0.0,
        *,
        close: bool = False,
    ) -> list[ev.RouterCommand]:
        commands: list[ev.RouterCommand] = [self._refusals.make(session, 0, code, text, retry_after_s)]
        if close:
            commands.append(ev.CloseSession(session, text[:300]))
        return commands


def _release(counts: Counter[str], subject: str) -> None:
    counts[subject] -= 1
    if not counts[subject]:
        del counts[subject]
