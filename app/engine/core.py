"""What the engine decides about calls, without I/O: placing one, taking one, whom to trust, busy and blocked.

Windows and relay sessions come in as events; what has to be done goes out as commands, which
:mod:`app.engine.runner` carries out with sockets and devices and the simulator of the tests with virtual ones. People,
history and settings are called directly: they are kept in memory and written through.
"""

from typing import Literal

from app.account.status import AccountStatus, State, own_address
from app.call import events as ev
from app.call.session import CallSession, SessionSetup
from app.engine.archive import between_networks, missed_call, recent_call
from app.engine.events import (
    BeginCall,
    CallCommand,
    CallOver,
    CoreCommand,
    CoreConfig,
    CoreEvent,
    FromCall,
    FromRelay,
    LocalData,
    PresenceChanged,
    RelayReached,
    RelayRoute,
    ReleaseRoute,
    ToCall,
    ToRelay,
)
from app.ipc import messages
from app.model.end_reasons import end_reason
from app.model.key_pinning import Pin, Trust, decide, same_key
from app.model.terms import KeyTrust, Values
from app.network.recall import KnownNetworks
from app.system.errors import AppError
from transport.quic.session_events import Connected, Disconnected, Rejected, RelayEvent, RelayMessageReceived
from transport.wire import relay_messages
from transport.wire.addresses import GUEST_PREFIX, PersonAddress, parse_person
from transport.wire.errors import AddressError, WireError

CALL_ID_BYTES = 16
# Of a guest's key, in the name that is shown for somebody who has none.
GUEST_HEX = 8


class EngineCore:
    """A machine without timers: calls have their own. One call at a time; ``session`` is the newest, which is shown
    until it is dismissed or another one begins."""

    def __init__(self, config: CoreConfig, store: LocalData, known: KnownNetworks, account: AccountStatus) -> None:
        self.session: CallSession | None = None
        self.route: RelayRoute | None = None
        self._config = config
        self._store = store
        self._known = known
        self._account = account
        self._is_vouched = True
        """Whether a verified relay says that the peer's key belongs to the person of the call."""
        self._is_met = False
        """Whether the peer's key has been noted as theirs."""
        self._out: list[CoreCommand] = []

    @property
    def in_call(self) -> bool:
        """Whether a call is going on."""
        return self.session is not None and not self.session.call.finished

    @property
    def always_relay(self) -> bool:
        """Whether no direct path is ever looked for."""
        return self._config.always_relay or self._store.documents.settings.always_relay

    def handle(self, event: CoreEvent, now: float) -> list[CoreCommand]:
        """Take one event. What a window asks and cannot be done is answered with ``CommandFailed``."""
        try:
            match event:
                case FromRelay(route, relay_event):
                    self._from_relay(route, relay_event, now)
                case FromCall(session, ev.Finished() as finished) if session is self.session:
                    self._finished(session, finished, now)
                case FromCall(session) if session is self.session:
                    self._keep_key(session)
                case FromCall():
                    pass
                case _:
                    self._command(event, now)
        except AppError as error:
            self._out.append(messages.CommandFailed(type(event).__name__, error.code, error.values))
        except AddressError as error:
            values: Values = {"part": error.part}
            self._out.append(messages.CommandFailed(type(event).__name__, error.code, values, "address"))
        self._out.append(ev.ViewChanged())
        out, self._out = self._out, []
        return out

    def refuse_in_call(self) -> None:
        """Raise :class:`AppError` while a call goes on."""
        if self.in_call:
            raise AppError("in-call")

    # -- windows ---------------------------------------------------------------------------------------------------

    def _command(self, message: CallCommand, now: float) -> None:
        match message:
            case messages.PlaceCall(address):
                self._place(parse_person(address), now)
            case messages.AnswerCall(call_id):
                self._to_call(call_id, ev.UserAnswered())
            case messages.DeclineCall(call_id):
                self._to_call(call_id, ev.UserDeclined())
            case messages.HangUpCall(call_id):
                self._to_call(call_id, ev.UserHungUp())
            case messages.DismissCall(call_id):
                if self.session is not None and self.session.call.finished and self.session.is_call(call_id):
                    self._forget_call()
            case messages.SetMuted(muted):
                if self.session is not None:
                    self._out.append(ToCall(self.session, ev.UserMuted(muted)))
            case messages.BlockCaller(call_id):
                if self.session is not None and self.session.is_call(call_id):
                    self._block(self.session)
            case messages.TrustKey(address, key, verified):
                self._trust(parse_person(address), key, verified=verified)

    def _place(self, person: PersonAddress, now: float) -> None:
        self.refuse_in_call()
        known = self._store.people.get(person)
        if known is not None and not person.relay.pin:
            person = known.address  # with the pin that was given when they were added
        own = own_address(self._store.documents.profile)
        if own is not None and own.short == person.short:
            raise AppError("own-address")
        route = self._config.route_to(person.relay, str(own) if own is not None else "")
        session = self._begin(route, person, now)
        call_id = self._config.rng.randbytes(CALL_ID_BYTES).hex()
        self._out.append(ToCall(session, ev.Placed(call_id, str(person), person.name)))
        if route.session.is_connected:
            self._out.append(ToCall(session, _connected(route)))
        elif route.is_home and self._account.state is State.OFFLINE:
            self._out.append(ToCall(session, ev.InviteFailed("relay-unreachable")))
        elif route.is_home and (rejected := self._account.rejection) is not None:
            reason = end_reason(rejected.code)
            self._out.append(ToCall(session, ev.InviteFailed(reason, rejected.text)))

    def _to_call(self, call_id: str, event: ev.SessionEvent) -> None:
        if self.session is not None and self.session.is_call(call_id):
            self._out.append(ToCall(self.session, event))

    def _trust(self, person: PersonAddress, seen: str, *, verified: bool) -> None:
        """The user decided on the key ``seen`` (hex), and on no other that may have come meanwhile. Only a key that was
        proven to belong to the address is ever offered (:mod:`app.model.key_pinning`): never a guest's."""
        people, session = self._store.people, self.session
        known = people.get(person)
        pin, key = known.pin if known is not None else Pin(), _key(seen)
        if verified and same_key(pin.key, key) and not pin.offered_key:
            people.mark_verified(person)
        elif not verified and same_key(pin.offered_key, key):
            people.accept_changed_key(person)
        elif session is not None and not session.vouched and same_key(session.call.view.key, key):
            raise AppError("key-not-vouched", address=person.short)
        else:
            raise AppError("key-not-offered")
        if session is not None and session.person.short == person.short and same_key(session.call.view.key, key):
            self._out.append(ToCall(session, ev.KeyAccepted("verified" if verified else "first-use")))

    def _block(self, session: CallSession) -> None:
        """Block the key of this call, and its address only where that is more than a claim: another person may be at
        home there."""
        key, person = session.call.view.key, session.person
        known = self._store.people.get(person)
        is_theirs = self._is_vouched or (known is not None and same_key(known.pin.key, key))
        if is_theirs:
            self._store.people.set_blocked(person, True)
        if key:
            self._store.blocked_keys.add(key, person.short, vouched=is_theirs)
        if not session.call.finished:
            self._out.append(ToCall(session, ev.UserHungUp()))

    # -- calls -----------------------------------------------------------------------------------------------------

    def _begin(
        self,
        route: RelayRoute,
        person: PersonAddress,
        now: float,
        *,
        key: bytes | None = None,
        first_call: bool = False,
        vouched: bool = True,
    ) -> CallSession:
        """``key`` is that of a caller, who may not be the one at the address they give."""
        self._forget_call(keep=route)
        config, network = self._config, self._config.network()
        own = own_address(self._store.documents.profile)
        known = self._store.people.get(person)
        # What the user calls somebody is for that person's key alone.
        is_theirs = known is not None and (key is None or same_key(known.pin.key, key))
        setup = SessionSetup(
            identity=config.identity,
            home_address=str(own) if own is not None else "",
            person=person,
            title=known.alias if known is not None and known.alias and is_theirs else person.name,
            first_call=first_call,
            vouched=vouched,
            pump=config.pump,
            media=config.media,
            relay=_connected(route),
            rng=config.rng,
            always_relay=self.always_relay,
            limits=config.limits,
            cpu=config.cpu,
            try_harder=self._store.documents.settings.try_harder,
            contact_key=known.pin.key
            if known is not None and known.listed and known.pin.trust in ("first-use", "verified")
            else b"",
            hosts=network.hosts,
            profile=network.profile,
            mapped=network.mapped,
            mapping=network.mapping,
            recall=self._known.recall,
        )
        session = self.session = CallSession(setup, now)
        self.route = route
        self._is_vouched, self._is_met = True, False
        self._out.append(BeginCall(session, route))
        return session

    def _forget_call(self, keep: RelayRoute | None = None) -> None:
        session, route = self.session, self.route
        self.session = self.route = None
        if session is not None:
            self._out.append(ToCall(session, ev.UserLeft()))
        if route is not None and route is not keep:
            self._out.append(ReleaseRoute(route))

    def _keep_key(self, session: CallSession) -> None:
        """Once they talk, the key of a person for whom a relay vouches is noted as theirs."""
        if session.times.answered is not None and self._is_vouched and not self._is_met:
            self._is_met = True
            view = session.call.view
            self._store.people.meet(session.person, view.key, view.certificate)

    def _finished(self, session: CallSession, finished: ev.Finished, now: float) -> None:
        offset_s = self._config.wall_offset_s
        self._store.calls.add(recent_call(session, finished, offset_s))
        if (seen := between_networks(session, offset_s, now)) is not None:
            self._known.note(*seen)
        self._out.append(CallOver(session, finished))

    # -- relays ----------------------------------------------------------------------------------------------------

    def _from_relay(self, route: RelayRoute, event: RelayEvent, now: float) -> None:
        session = self.session if self.route is route else None
        match event:
            case Connected():
                if route.session.certificate is not None:
                    self._store.relays.remember(route.address, route.session.certificate)
                self._out.append(RelayReached(route.session.host_ip))
                if session is not None:
                    self._out.append(ToCall(session, _connected(route)))
            case Disconnected(reason) if session is not None:
                self._out.append(ToCall(session, ev.RelayDisconnected("relay-unreachable", reason)))
            case Rejected(code, text) if session is not None:
                self._out.append(ToCall(session, ev.InviteFailed(end_reason(code), text)))
            case RelayMessageReceived(relay_messages.Incoming() as incoming):
                self._arrives(route, incoming, now)
            case RelayMessageReceived(relay_messages.Presence(name, online)):
                person = PersonAddress(name, route.address)
                if route.is_home and self._store.people.get(person) is not None:
                    self._out.append(PresenceChanged(person.short, online))
            case RelayMessageReceived(message) if session is not None:
                self._about_call(session, message)

    def _about_call(self, session: CallSession, message: relay_messages.RelayMessage) -> None:
        event: ev.SessionEvent
        match message:
            case relay_messages.Granted(call_id, callee, leg) if session.is_call(call_id):
                self._store.people.meet(session.person, callee.key, callee.certificate)
                known = self._store.people.get(session.person)
                event = ev.CalleeFound(callee, leg, known.pin.trust if known is not None else "unknown")
            case relay_messages.Ringing(call_id) if session.is_call(call_id):
                event = ev.RemoteRings()
            case relay_messages.Resumed(call_id, leg) if session.is_call(call_id):
                event = ev.LegGranted(leg)
            case relay_messages.Ended(call_id, reason, text) if session.is_call(call_id):
                event = ev.RelayEnded(reason, text)
            case relay_messages.Refused(0, code, text):
                event = ev.InviteFailed(code, text)
            case _:
                return
        self._out.append(ToCall(session, event))

    def _arrives(self, route: RelayRoute, incoming: relay_messages.Incoming, now: float) -> None:
        call_id, caller, people = incoming.call_id, incoming.caller, self._store.people
        if self.session is not None and self.session.is_call(call_id):
            return  # a relay repeats what a client that reconnects may have missed
        person = _caller_address(route, caller)
        if person is None or caller.key in self._store.blocked_keys or people.is_blocked(person, caller.key):
            # A blocked caller leaves no trace: no page, no line in the history, no report in place of the last one.
            self._out.append(ToRelay(route, relay_messages.Decline(call_id, "declined")))
            return
        known = people.get(person)
        pin = known.pin if known is not None else Pin()
        # A guest's address is only what they say: their key is compared with it, but not kept for it.
        is_claim = not caller.name and bool(caller.home)
        vouched = not is_claim or same_key(pin.key, caller.key) or same_key(pin.offered_key, caller.key)
        is_contact = people.is_contact(person, caller.key, vouched=bool(caller.name))
        if is_contact:
            self._yield_to_contact(now)
        is_unwanted = self._store.documents.settings.contacts_only and not is_contact
        if self.in_call or is_unwanted:
            reason: Literal["declined", "busy"] = "declined" if is_unwanted else "busy"
            self._out.append(ToRelay(route, relay_messages.Decline(call_id, reason)))
            at = now + self._config.wall_offset_s
            self._store.calls.add(missed_call(call_id, person, at, caller.key, vouched=vouched))
            return
        first_call = not people.knows_key(caller.key)
        session = self._begin(route, person, now, key=caller.key, first_call=first_call, vouched=vouched)
        self._is_vouched = bool(caller.name)
        trust = _trust_in(pin, caller.key)
        if self._is_vouched and (trust == "changed" or pin.offered_key):
            people.meet(person, caller.key, caller.certificate)
        self._out.append(ToCall(session, ev.CallArrived(call_id, str(person), caller, incoming.leg, trust)))

    def _yield_to_contact(self, now: float) -> None:
        """A stranger who rings keeps no contact from ringing: for the stranger the user is busy."""
        session = self.session
        if session is None or session.call.view.phase != "incoming":
            return
        view, is_vouched = session.call.view, self._is_vouched
        if self._store.people.is_contact(session.person, view.key, vouched=is_vouched):
            return
        self._out.append(ToCall(session, ev.UserDeclined("busy")))
        at = now + self._config.wall_offset_s
        self._store.calls.add(missed_call(view.call_id, session.person, at, view.key, vouched=session.vouched))
        self._forget_call()


def _key(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _trust_in(pin: Pin, key: bytes) -> KeyTrust:
    """What the caller's key is, whatever other key may be offered beside the pinned one."""
    match decide(pin.key, key):
        case Trust.FIRST_USE:
            return "unknown"
        case Trust.CHANGED:
            return "changed"
    return "verified" if pin.verified else "first-use"


def _connected(route: RelayRoute) -> ev.RelayConnected:
    return ev.RelayConnected(route.session.host_ip, route.session.stun)


def _caller_address(route: RelayRoute, caller: relay_messages.DirectoryEntry) -> PersonAddress | None:
    """Where the caller is at home: vouched for by the relay, or, for a guest, what they say, if anything."""
    if caller.name:
        return PersonAddress(caller.name, route.address)
    if not caller.home:
        return PersonAddress(GUEST_PREFIX + caller.key.hex()[:GUEST_HEX], route.address)
    try:
        home = parse_person(caller.home)
    except WireError:
        return None
    # Whoever is at home on this relay logs in to it by name, and is vouched for by it.
    return None if home.relay.endpoint == route.address.endpoint else home
