"""Runs the engine on asyncio: makes its parts, connects them, and carries out what the core decides.

Windows' commands come in by :meth:`Engine.command`; those about calls go to :class:`app.engine.core.EngineCore`, the
others to the part that they are about. What windows show leaves by :class:`app.engine.window_feed.WindowFeed`.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
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
from app.call.session import CallSession
from app.engine import view
from app.engine.archive import CallArchive
from app.engine.audio import EngineAudio
from app.engine.call_runner import CallRunner
from app.engine.contacts import ContactCommands
from app.engine.core import EngineCore
from app.engine.events import (
    BeginCall,
    CallOver,
    CoreConfig,
    CoreEvent,
    FromCall,
    FromRelay,
    LocalNetwork,
    PresenceChanged,
    RelayReached,
    ReleaseRoute,
    ToCall,
    ToRelay,
)
from app.engine.sound_system import SoundPlan
from app.engine.window_feed import WindowFeed
from app.ipc import engine_state, messages
from app.ipc.server import LocalServer
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
from transport.quic.session_events import Connected, RelayEvent
from transport.traversal.events import InterfacesChanged
from transport.wire.errors import AddressError

_log = logging.getLogger(__name__)

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
        self._inputs = view.ViewInputs(data_place=str(config.home.folder))
        self._without_window: asyncio.TimerHandle | None = None
        self._calls: dict[CallSession, CallRunner] = {}
        """The running one, and those that still say goodbye."""
        self._closing = False
        self._lock = HomeLock(config.home)
        self._notices = view.Notices()
        self._archive = CallArchive(
            config.report,
            config.trace,
            trace_addresses=config.trace_addresses,
            complain=lambda error: self._notify(Finding("error", error.code, error.values)),
        )
        self._server = LocalServer(config.home.folder, self.command, self._windows_changed)
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
        self._feed = WindowFeed(self._server, self._audio, self._build_state, lambda: self._core.session)
        self._identity = loaded.identity
        self._find(*loaded.findings)
        self._known = KnownNetworks(self._store.networks, self._identity.secret, self._wall_offset_s)
        self._numbers = view.SafetyNumbers(self._identity.key)
        self._relays = RelaySessions(self._identity, self._store, self._rng, self._from_relay)
        self._network = NetworkWatch(self._network_changed)
        self._nat = NatWatch(self._network.hosts, self._stun_servers, self._nat_measured, self._rng)
        self._port_mapping = PortMapping(self._store.documents, self._port_mapping_changed, self._rng)
        self._account = Account(config.home, self._store, self._relays, self._inputs, self.changed, self._notify)
        self._core = EngineCore(
            CoreConfig(
                identity=self._identity,
                pump=self._audio.pump,
                rng=self._rng,
                route_to=self._relays.route_to,
                network=self._network_facts,
                # Echo gives back what it was given: the caller's own program has processed it.
                media=MediaConfig(processing=None) if config.sound.echo else MediaConfig(),
                limits=HostLimits(lock=HostLock()),
                cpu=time.thread_time,
                always_relay=config.always_relay,
                wall_offset_s=self._wall_offset_s,
            ),
            self._store,
            self._known,
            self._account.status,
        )
        self._contacts = ContactCommands(self._store, self._notices, self._watch_contacts)
        self._inputs.me = engine_state.Me(key=self._identity.key.hex(), key_place=loaded.place)

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Come up. Raises :class:`app.system.errors.AppError` in words for the person."""
        await self._server.open()
        self._account.resume()
        self._tasks.start(self._housekeeping(), name="housekeeping")
        self._network.start()
        self._port_mapping.allow(self._wants_port_mapping())
        self._inputs.ready = True
        if self._config.follows_windows:
            self._windows_changed(0)
        self._feed.start()
        # What lives until now lives for good; the collector need not look at it again in mid-call (DESIGN D6).
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def close(self) -> None:
        """End the call, say goodbye, write what is left. Nothing of the engine runs afterwards."""
        self._closing = True
        await self._feed.close()
        for call in list(self._calls.values()):
            call.submit(ev.UserHungUp())
            await call.leave()
        if self._without_window is not None:
            self._without_window.cancel()
        await self._tasks.close()
        await self._network.close()
        await self._port_mapping.close()
        await self._nat.close()
        await self._account.close()
        await self._relays.close()
        await self._loop.run_in_executor(None, self._audio.close)
        await self._server.close()
        self._store.close()
        self._lock.release()
        gc.unfreeze()

    @property
    def state(self) -> messages.EngineState:
        """What windows were sent last."""
        return self._feed.state

    def subscribe(self, receive: Answer) -> None:
        """Receive what windows receive, in this process."""
        self._feed.subscribe(receive)

    def changed(self) -> None:
        """Something that windows show is different; they receive it soon."""
        self._feed.changed()

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
            case (
                messages.PlaceCall()
                | messages.AnswerCall()
                | messages.DeclineCall()
                | messages.HangUpCall()
                | messages.DismissCall()
                | messages.SetMuted()
                | messages.TrustKey()
                | messages.BlockCaller()
            ):
                self._to_core(message, answer)
            case messages.RegisterName() | messages.TryHere() | messages.SignOff():
                self._core.refuse_in_call()
                self._account.handle(message, answer)
            case messages.ChangeSettings(settings):
                self._store.documents.change_settings(settings)
                self._audio.use(settings)
                self._port_mapping.allow(self._wants_port_mapping())
            case messages.EraseNetworks():
                self._known.erase()
            case messages.MeterMicrophone(on):
                self._audio.meter(on)
            case messages.TestRecording(on):
                self._audio.test_recording(on)
            case messages.RefreshDevices():
                self._audio.refresh()
            case messages.GetReport(call_id):
                answer(self._archive.report(self._core.session, call_id, self._loop.time()))
            case messages.SaveTrace():
                answer(self._archive.save_trace(self._core.session, message, self._loop.time()))
            case messages.EndEngine():
                self.ended.set()
            case messages.Attach():
                pass
            case _:
                self._contacts.handle(message)

    # -- the core --------------------------------------------------------------------------------------------------

    def _to_core(self, event: CoreEvent, answer: Answer | None = None) -> None:
        for command in self._core.handle(event, self._loop.time()):
            match command:
                case ToCall(session, ev.UserLeft()):
                    self._tasks.start(self._leave(session), name="leave-call")
                case ToCall(session, call_event):
                    self._calls[session].submit(call_event)
                case BeginCall(session, Route() as route):
                    self._begin(session, route)
                case ToRelay(Route() as route, message):
                    route.client.send(message)
                case ReleaseRoute(Route() as route):
                    self._relays.release(route)
                case RelayReached(host_ip):
                    self._nat.renew()
                    self._port_mapping.relay_reached(host_ip)
                case PresenceChanged(short_address, online):
                    self._inputs.online[short_address] = online
                case CallOver(session, finished):
                    self._nat.learnt(session.record.nats["local"])
                    self._archive.finished(session, finished)
                    if self._config.follows_windows and self._server.windows == 0:
                        self._windows_changed(0)
                case messages.CommandFailed() if answer is not None:
                    answer(command)
                case ev.ViewChanged():
                    self.changed()

    def _begin(self, session: CallSession, route: Route) -> None:
        def says(event: ev.Finished | ev.ViewChanged) -> None:
            self._to_core(FromCall(session, event))

        self._calls[session] = CallRunner(session, route.client, self._audio, says)
        if self._port_mapping.status is not None:
            self._port_mapping.call_begins()
        self._nat.renew()

    async def _leave(self, session: CallSession) -> None:
        try:
            await self._calls[session].leave()
        finally:
            self._calls.pop(session).close()

    def _from_relay(self, route: Route, event: RelayEvent) -> None:
        self._to_core(FromRelay(route, event))
        if route.is_home:
            self._account.from_home(event)
            if isinstance(event, Connected):
                self._watch_contacts()

    def _watch_contacts(self) -> None:
        self._relays.watch([person.address for person in self._store.people.contacts()])

    # -- the network -----------------------------------------------------------------------------------------------

    def _network_facts(self) -> LocalNetwork:
        ports = self._port_mapping
        return LocalNetwork(self._network.hosts, self._nat.profile, ports.ports, ports.status)

    def _stun_servers(self) -> tuple[tuple[Address, ...], str]:
        """Whom to ask about our NAT, and at which relay; nobody where no direct path is ever looked for."""
        if self._core.always_relay:
            return (), ""
        routes = (route for route in (self._relays.home, self._core.route) if route is not None)
        sessions = (route.session for route in routes)
        return next(((session.stun, session.host_ip) for session in sessions if session.is_connected), ((), ""))

    def _wants_port_mapping(self) -> bool:
        return self._store.documents.settings.port_mapping and not self._core.always_relay

    def _port_mapping_changed(self, ports: tuple[MappedPort, ...], mapping: MappingStatus) -> None:
        if self._core.session is not None and self._core.in_call:
            self._calls[self._core.session].submit(ev.PortMappingChanged(ports, mapping))
        self.changed()

    def _nat_measured(self) -> None:
        profile = self._nat.profile
        if profile is not None and profile.reflexive is not None:
            self._port_mapping.reflexive_seen(profile.reflexive[0])
        self.changed()

    def _network_changed(self, hosts: tuple[HostAddress, ...]) -> None:
        self._port_mapping.network_changed()
        self._nat.network_changed(hosts)
        self._relays.network_changed()
        if self._core.session is not None:
            self._calls[self._core.session].submit(InterfacesChanged(hosts))

    # -- the view --------------------------------------------------------------------------------------------------

    def _build_state(self) -> messages.EngineState:
        self._find(*self._store.take_findings())
        inputs = self._inputs
        inputs.audio = self._audio.view
        inputs.nat = self._nat.profile
        inputs.mapping = self._port_mapping.status
        inputs.known = self._known.shown(self._nat.profile)
        now = self._loop.time()
        built = view.build(
            inputs, self._store, self._core.session, self._notices, self._numbers, self._wall_offset_s, now
        )
        if self._numbers.incomplete:
            self.changed()
        return built

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
        if not (self._core.in_call and self._store.documents.settings.keep_call_without_window):
            self.ended.set()


def raise_priority() -> None:
    """Ask for what PulseAudio asks for (nice −11): a call should not stutter because something compiles."""
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -11)
        except OSError as error:
            _log.debug("no higher priority: %s", error)
