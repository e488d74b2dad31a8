"""The engine: owns network, audio and local data, and does what windows and commands ask (DESIGN D6).

It only wires. What a call does is decided by :mod:`app.call.machine` and carried out by :mod:`app.call.session`;
whom we know is in
:mod:`app.store`, changed by :mod:`app.engine.contacts`; names and relays are :mod:`app.account.account`; sound is
:mod:`app.engine.audio`.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.account.account import Account
from app.account.key_store import load_identity_of
from app.account.relay_sessions import RelaySessions, Route
from app.call import events as ev
from app.call.media import MediaConfig
from app.call.session import CallSession, SessionSetup
from app.engine import view as state
from app.engine.archive import CallArchive, between_networks, missed_call, recent_call
from app.engine.audio import EngineAudio
from app.engine.call_runner import CallRunner
from app.engine.contacts import ContactCommands
from app.engine.sound_system import SoundPlan
from app.ipc import engine_state, messages
from app.ipc.server import LocalServer
from app.model.end_reasons import end_reason
from app.model.key_pinning import Trust, decide
from app.network.nat_monitor import NatWatch
from app.network.port_mapping import PortMapping
from app.network.recall import KnownNetworks
from app.store import Store
from app.system.data_dir import Home, HomeLock, prepare
from app.system.errors import AppError, Finding
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.io.host_lock import HostLock
from transport.io.network_watch import NetworkWatch
from transport.io.tasks import Tasks
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address
from transport.portmap.status import MappingStatus
from transport.quic.session_events import Connected, Disconnected, Rejected, RelayEvent, RelayMessageReceived
from transport.traversal.events import InterfacesChanged
from transport.wire import relay_messages
from transport.wire.addresses import GUEST_PREFIX, PersonAddress, parse_person
from transport.wire.errors import AddressError, WireError

_log = logging.getLogger(__name__)

# A picture for the windows at most this often; a person sees no difference, and bursts cost one.
PICTURE_EVERY_S = 0.02
SAMPLE_EVERY_S = 0.2
LEVELS_EVERY_S = 1 / 15
# What could not be written to a full disk is tried again so often.
STORE_RETRY_S = 10.0
# When the last window has gone, a restarted one has this long to attach.
WITHOUT_WINDOW_S = 5.0
# A thread that computes gives up the GIL to the audio callback after this long at the latest (DESIGN D6).
SWITCH_INTERVAL_S = 0.0005
CALL_ID_BYTES = 16
# Of a guest's key, in the name that is shown for somebody who has none.
GUEST_HEX = 8

Answer = Callable[[messages.EngineMessage], None]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """``report``, ``trace``: where those of the newest call are written, the trace without addresses and names unless
    ``trace_addresses``; ``always_relay`` overrides the setting.

    ``follows_windows``: end when the last window has gone (the window's engine); otherwise run until closed.
    """

    home: Home
    sound: SoundPlan
    report: Path | None = None
    trace: Path | None = None
    trace_addresses: bool = False
    always_relay: bool = False
    follows_windows: bool = False


class Engine:
    """``await start()``, then :meth:`command` and :meth:`subscribe`; :attr:`ended` is set when it wants to stop."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._wall_offset_s = time.time() - self._loop.time()
        self._tasks = Tasks("engine")
        self._rng = random.SystemRandom()
        self._limits = HostLimits(lock=HostLock())
        self._subscribers: list[Answer] = []
        self._picture = state.ViewInputs(data_place=str(config.home.folder))
        self._picture_due: asyncio.TimerHandle | None = None
        self._without_window: asyncio.TimerHandle | None = None
        self._call: CallRunner | None = None
        self._is_vouched = True
        self._is_met = False
        self._route: Route | None = None
        self._closing = False
        self._lock = HomeLock(config.home)
        self._notices = state.Notices()
        self._papers = CallArchive(
            config.report,
            config.trace,
            trace_addresses=config.trace_addresses,
            complain=lambda error: self._notify(Finding("error", error.code, error.values)),
        )
        self._server = LocalServer(config.home.folder, self.command, self._windows_changed)
        self.state = messages.EngineState()
        self.ended = asyncio.Event()
        prepare(config.home)
        self._lock.acquire()
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            loaded = load_identity_of(config.home)
            self._store = Store(config.home.database)
            undo.callback(self._store.close)
            self._audio = EngineAudio(config.sound, self._store.documents.settings, self.changed)
            undo.pop_all()
        self._identity = loaded.identity
        self._find(*loaded.findings)
        self._known = KnownNetworks(self._store.networks, self._identity.secret, self._wall_offset_s)
        self._numbers = state.SafetyNumbers(self._identity.key)
        self._relays = RelaySessions(self._identity, self._store, self._rng, self._relay_says)
        self._network = NetworkWatch(self._network_changed)
        self._nat = NatWatch(self._network.hosts, self._stun_servers, self._nat_measured, self._rng)
        self._door = PortMapping(self._store.documents, self._door_changed, self._rng)
        self._membership = Account(config.home, self._store, self._relays, self._picture, self.changed, self._notify)
        self._book = ContactCommands(self._store, self._notices, self._people_changed)
        self._picture.me = engine_state.Me(key=self._identity.key.hex(), key_place=loaded.place)

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Come up. Raises :class:`app.system.errors.AppError` in words for the person."""
        await self._server.open()
        self._membership.resume()
        self._tasks.start(self._housekeeping(), name="housekeeping")
        self._tasks.start(self._figures(), name="figures")
        self._network.start()
        self._door.allow(self._wants_door())
        self._picture.ready = True
        if self._config.follows_windows:
            self._windows_changed(0)
        self._publish()
        # What lives until now lives for good; the collector need not look at it again in mid-call (DESIGN D6).
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def close(self) -> None:
        """End the call, say goodbye, write what is left. Nothing of the engine runs afterwards."""
        self._closing = True
        if self._call is not None:
            self._call.submit(ev.UserHungUp())
            await self._call.leave()
        for timer in (self._picture_due, self._without_window):
            if timer is not None:
                timer.cancel()
        await self._tasks.close()
        await self._network.close()
        await self._door.close()
        await self._nat.close()
        await self._membership.close()
        await self._relays.close()
        await self._loop.run_in_executor(None, self._audio.close)
        await self._server.close()
        self._store.close()
        self._lock.release()
        gc.unfreeze()

    def subscribe(self, told: Answer) -> None:
        """Hear what windows hear, in this process."""
        self._subscribers.append(told)
        told(self.state)

    # -- commands --------------------------------------------------------------------------------------------------

    def command(self, message: messages.WindowMessage, answer: Answer) -> None:
        """Do what a window asks. What cannot be done is answered with :class:`app.ipc.messages.CommandFailed`."""
        try:
            self._do(message, answer)
        except AppError as error:
            answer(messages.CommandFailed(type(message).__name__, error.code, error.values))
        except AddressError as error:
            answer(messages.CommandFailed(type(message).__name__, error.code, {"part": error.part}, "address"))
        self.changed()

    def _do(self, message: messages.WindowMessage, answer: Answer) -> None:
        match message:
            case messages.PlaceCall(address):
                self._place(parse_person(address))
            case messages.AnswerCall(call_id):
                self._to_call(call_id, ev.UserAnswered())
            case messages.DeclineCall(call_id):
                self._to_call(call_id, ev.UserDeclined())
            case messages.HangUpCall(call_id):
                self._to_call(call_id, ev.UserHungUp())
            case messages.DismissCall(call_id):
                self._dismiss(call_id)
            case messages.SetMuted(muted):
                if self._call is not None:
                    self._call.submit(ev.UserMuted(muted))
            case messages.RegisterName() | messages.TryHere() | messages.SignOff():
                self._in_no_call()
                self._membership.handle(message, answer)
            case messages.TrustKey(address, verified):
                self._trust(parse_person(address), verified=verified)
            case messages.ChangeSettings(settings):
                self._store.documents.change_settings(settings)
                self._audio.use(settings)
                self._door.allow(self._wants_door())
            case messages.EraseNetworks():
                self._known.erase()
            case messages.MeterMicrophone(on):
                self._audio.meter(on)
            case messages.TestRecording(on):
                self._audio.test_recording(on)
            case messages.RefreshDevices():
                self._audio.refresh()
            case messages.GetReport(call_id):
                answer(self._papers.report(self._session, call_id, self._loop.time()))
            case messages.SaveTrace():
                answer(self._papers.save_trace(self._session, message, self._loop.time()))
            case messages.EndEngine():
                self.ended.set()
            case messages.Attach():
                pass
            case _:
                self._book.handle(message)

    # -- calls -----------------------------------------------------------------------------------------------------

    @property
    def _session(self) -> CallSession | None:
        return None if self._call is None else self._call.session

    def _place(self, person: PersonAddress) -> None:
        self._in_no_call()
        known = self._store.people.get(person)
        if known is not None and not person.relay.pin:
            person = known.address  # with the pin that was given when they were added
        own = self._membership.own_address
        if own is not None and own.short == person.short:
            raise AppError("own-address")
        route = self._relays.route_to(person.relay, str(own) if own is not None else "")
        call = self._begin(route, person)
        call.submit(ev.Placed(secrets.token_hex(CALL_ID_BYTES), str(person), person.name))
        if route.client.is_connected:
            call.submit(_connected(route))
        elif route.is_home and self._picture.me.relay == "offline":
            call.submit(ev.InviteFailed("relay-unreachable"))
        elif route.is_home and (refusal := self._membership.refusal) is not None:
            call.submit(ev.InviteFailed(end_reason(refusal.code), refusal.text))

    def _arrives(self, route: Route, incoming: relay_messages.Incoming) -> None:
        if self._session is not None and self._session.is_call(incoming.call_id):
            return  # a relay repeats what a client that reconnects may have missed
        person = self._caller_address(route, incoming.caller)
        if person is None or self._store.people.is_blocked(person, incoming.caller.key):
            # A blocked caller leaves no trace: no page, no line in the history, no report in place of the last one.
            route.client.send(relay_messages.Decline(incoming.call_id, "declined"))
            return
        if self._session is not None and not self._session.call.finished:
            route.client.send(relay_messages.Decline(incoming.call_id, "busy"))
            self._store.calls.add(missed_call(incoming.call_id, person, time.time()))
            return
        known = self._store.people.get(person)
        trust = known.pin.trust if known is not None else "unknown"
        if known is not None and decide(known.pin.key, incoming.caller.key) is Trust.CHANGED:
            trust = "changed"
        first_call = not self._store.people.knows_key(incoming.caller.key)
        call = self._begin(route, person, first_call=first_call)
        # A guest's address is only what they say: their key is compared with it, but not kept for it.
        self._is_vouched = bool(incoming.caller.name)
        if self._is_vouched and trust == "changed":
            self._store.people.meet(person, incoming.caller.key, incoming.caller.certificate)
        call.submit(ev.CallArrived(incoming.call_id, str(person), incoming.caller, incoming.leg, trust))

    def _begin(self, route: Route, person: PersonAddress, *, first_call: bool = False) -> CallRunner:
        self._forget_session(keep=route)
        own = self._membership.own_address
        known = self._store.people.get(person)
        setup = SessionSetup(
            identity=self._identity,
            home_address=str(own) if own is not None else "",
            person=person,
            title=known.alias if known is not None and known.alias else person.name,
            first_call=first_call,
            pump=self._audio.pump,
            # Echo gives back what it was given: the caller's own program has processed it.
            media=MediaConfig(processing=None) if self._config.sound.echo else MediaConfig(),
            relay=_connected(route),
            rng=self._rng,
            always_relay=self._config.always_relay or self._store.documents.settings.always_relay,
            limits=self._limits,
            cpu=time.thread_time,
            try_harder=self._store.documents.settings.try_harder,
            is_contact=known is not None and known.listed and known.pin.trust in ("first-use", "verified"),
            hosts=self._network.hosts,
            profile=self._nat.profile,
            mapped=self._door.ports,
            mapping=self._door.status,
            recall=self._known.recall,
        )
        session = CallSession(setup, self._loop.time())
        self._call = CallRunner(session, route.client, self._audio, self._call_changed, self._finished)
        self._route = route
        self._is_vouched, self._is_met = True, False
        if self._door.status is not None:
            self._door.call_begins()
        self._nat.renew()
        return self._call

    def _call_changed(self) -> None:
        session = self._session
        if session is not None and session.times.answered is not None and self._is_vouched and not self._is_met:
            self._is_met = True
            view = session.call.view
            self._store.people.meet(session.person, view.key, view.certificate)
        self.changed()

    def _caller_address(self, route: Route, caller: relay_messages.DirectoryEntry) -> PersonAddress | None:
        """Where the caller is at home: vouched for by the relay, or, for a guest, what they say, if anything."""
        if caller.name:
            return PersonAddress(caller.name, route.address)
        if not caller.home:
            return PersonAddress(GUEST_PREFIX + caller.key.hex()[:GUEST_HEX], route.address)
        try:
            return parse_person(caller.home)
        except WireError:
            return None

    def _finished(self, finished: ev.Finished) -> None:
        session = self._session
        if session is None:
            return
        self._nat.learnt(session.record.nats["local"])
        self._store.calls.add(recent_call(session, finished, self._wall_offset_s))
        if (seen := between_networks(session, self._wall_offset_s, self._loop.time())) is not None:
            self._known.note(*seen)
        self._papers.finished(session, finished)
        if self._config.follows_windows and self._server.windows == 0:
            self._windows_changed(0)

    def _to_call(self, call_id: str, event: ev.SessionEvent) -> None:
        if self._call is not None and self._call.session.is_call(call_id):
            self._call.submit(event)

    def _dismiss(self, call_id: str) -> None:
        session = self._session
        if session is not None and session.call.finished and session.call.view.call_id == call_id:
            self._forget_session()

    def _forget_session(self, keep: Route | None = None) -> None:
        call, route = self._call, self._route
        self._call = self._route = None
        if call is not None:
            self._tasks.start(call.leave(), name="leave-call")
        if route is not None and route is not keep:
            self._relays.release(route)

    def _in_no_call(self) -> None:
        if self._session is not None and not self._session.call.finished:
            raise AppError("in-call")

    def _trust(self, person: PersonAddress, *, verified: bool) -> None:
        session = self._session if self._session is not None and self._session.person.short == person.short else None
        if session is not None and session.call.view.trust == "changed" and not verified:
            # Also a guest's key, which nobody but the user can vouch for.
            self._store.people.meet(person, session.call.view.key, session.call.view.certificate)
        self._book.trust(person, verified=verified)
        known = self._store.people.get(person)
        if session is not None and known is not None:
            self._to_call(session.call.view.call_id, ev.KeyAccepted(known.pin.trust))

    # -- relays ----------------------------------------------------------------------------------------------------

    def _relay_says(self, route: Route, event: RelayEvent) -> None:
        call = self._call if self._route is route else None
        match event:
            case Connected():
                if route.client.certificate is not None:
                    self._store.relays.remember(route.address, route.client.certificate)
                self._nat.renew()
                self._door.relay_reached(route.client.host_ip)
                if call is not None:
                    call.submit(_connected(route))
            case Disconnected() if call is not None:
                call.submit(ev.RelayDisconnected("relay-unreachable", event.reason))
            case Rejected() if call is not None:
                call.submit(ev.InviteFailed(end_reason(event.code), event.text))
            case RelayMessageReceived(message):
                self._relay_message(route, call, message)
        if route.is_home:
            self._membership.home_says(event)
            if isinstance(event, Connected):
                self._relays.watch([person.address for person in self._store.people.contacts()])
        self.changed()

    def _relay_message(self, route: Route, call: CallRunner | None, message: relay_messages.RelayMessage) -> None:
        match message:
            case relay_messages.Incoming():
                self._arrives(route, message)
            case relay_messages.Presence(name, online):
                person = PersonAddress(name, route.address)
                if route.is_home and self._store.people.get(person) is not None:
                    self._picture.online[person.short] = online
            case relay_messages.Granted(call_id, callee, leg) if call is not None and call.session.is_call(call_id):
                person = call.session.person
                self._store.people.meet(person, callee.key, callee.certificate)
                known = self._store.people.get(person)
                call.submit(ev.CalleeFound(callee, leg, known.pin.trust if known is not None else "unknown"))
            case relay_messages.Ringing(call_id) if call is not None and call.session.is_call(call_id):
                call.submit(ev.RemoteRings())
            case relay_messages.Resumed(call_id, leg) if call is not None and call.session.is_call(call_id):
                call.submit(ev.LegGranted(leg))
            case relay_messages.Ended(call_id, reason, text) if call is not None and call.session.is_call(call_id):
                call.submit(ev.RelayEnded(reason, text))
            case relay_messages.Refused(request, code, text) if request == 0 and call is not None:
                call.submit(ev.InviteFailed(code, text))

    def _stun_servers(self) -> tuple[tuple[Address, ...], str]:
        """Whom to ask about our NAT, and at which relay; nobody where no direct path is ever looked for."""
        if self._config.always_relay or self._store.documents.settings.always_relay:
            return (), ""
        clients = (route.client for route in (self._relays.home, self._route) if route is not None)
        return next(((client.stun, client.host_ip) for client in clients if client.is_connected), ((), ""))

    def _wants_door(self) -> bool:
        settings = self._store.documents.settings
        return settings.port_mapping and not (self._config.always_relay or settings.always_relay)

    def _door_changed(self, ports: tuple[MappedPort, ...], mapping: MappingStatus) -> None:
        if self._call is not None and not self._call.session.call.finished:
            self._call.submit(ev.PortMappingChanged(ports, mapping))
        self.changed()

    def _nat_measured(self) -> None:
        profile = self._nat.profile
        if profile is not None and profile.reflexive is not None:
            self._door.reflexive_seen(profile.reflexive[0])
        self.changed()

    def _network_changed(self, hosts: tuple[HostAddress, ...]) -> None:
        self._door.network_changed()
        self._nat.network_changed(hosts)
        self._relays.network_changed()
        if self._call is not None:
            self._call.submit(InterfacesChanged(hosts))

    # -- telling ---------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something that windows show is different; they are told soon."""
        if self._picture_due is None and not self._closing:
            self._picture_due = self._loop.call_later(PICTURE_EVERY_S, self._publish)

    def _publish(self) -> None:
        self._picture_due = None
        self._find(*self._store.take_findings())
        self._picture.audio = self._audio.view
        self._picture.nat = self._nat.profile
        self._picture.mapping = self._door.status
        self._picture.known = self._known.shown(self._nat.profile)
        self.state = state.build(
            self._picture,
            self._store,
            self._session,
            self._notices,
            self._numbers,
            self._wall_offset_s,
            self._loop.time(),
        )
        self._tell(self.state)
        if self._numbers.incomplete:
            self.changed()

    def _tell(self, message: messages.EngineMessage) -> None:
        self._server.tell(message)
        for told in self._subscribers:
            told(message)

    def _people_changed(self) -> None:
        self._relays.watch([person.address for person in self._store.people.contacts()])

    def _find(self, *findings: Finding) -> None:
        for finding in findings:
            self._notices.add(finding)

    def _notify(self, finding: Finding) -> None:
        self._notices.add(finding)
        self.changed()

    # -- clocks ----------------------------------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(STORE_RETRY_S)
            self._store.retry()

    async def _figures(self) -> None:
        """Samples and levels while there is somebody to see them."""
        next_sample = 0.0
        while True:
            await asyncio.sleep(LEVELS_EVERY_S)
            if not (self._server.watched or self._subscribers):
                continue
            if self._audio.is_open:
                self._tell(self._audio.levels())
            if self._session is not None and self._loop.time() >= next_sample:
                next_sample = self._loop.time() + SAMPLE_EVERY_S
                sample = self._session.sample(self._loop.time())
                if sample is not None:
                    self._tell(sample)

    def _windows_changed(self, count: int) -> None:
        if not self._config.follows_windows or self._closing:
            return
        if self._without_window is not None:
            self._without_window.cancel()
            self._without_window = None
        if count == 0:
            self._without_window = self._loop.call_later(WITHOUT_WINDOW_S, self._alone)

    def _alone(self) -> None:
        """The window is gone for good: keep a call if that is wanted, else end."""
        self._without_window = None
        in_call = self._session is not None and not self._session.call.finished
        if not (in_call and self._store.documents.settings.keep_call_without_window):
            self.ended.set()


def _connected(route: Route) -> ev.RelayConnected:
    return ev.RelayConnected(route.client.host_ip, route.client.stun)


def raise_priority() -> None:
    """Ask for what PulseAudio asks for (nice −11): a call should not stutter because something compiles."""
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -11)
        except OSError as error:
            _log.debug("no higher priority: %s", error)
