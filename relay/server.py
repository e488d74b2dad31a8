"""The relay as a process part: sockets, store, metrics and signals around the pure machines.

Everything runs in one event loop and, but for two waits in :func:`run_relay`, without tasks: callbacks feed the
router and the legs and carry out what they ask for. Only the store and the metrics server have threads.
"""

import asyncio
import contextlib
import ipaddress
import random
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from relay.certificate import own_identity
from relay.config import Ready, RelayConfig
from relay.errors import RelayError
from relay.events import (
    CloseSession,
    CreateLegs,
    DestroyLegs,
    DrainRequested,
    GarbageArrived,
    LegsIdle,
    MessageArrived,
    NameStored,
    RouterCommand,
    RouterEvent,
    SendMessage,
    SessionClosed,
    SessionId,
    SessionOpened,
    StopRelay,
    StoreName,
)
from relay.gc_policy import collect_when_quiet, no_full_collections
from relay.legs import IDLE_S, LegTable
from relay.limits import Limiter
from relay.media_port import DatagramHandler
from relay.metrics import MetricsServer, Snapshot, SnapshotCollector
from relay.registry import Registry
from relay.router import Router, RouterConfig
from relay.sockets import DatagramSockets
from relay.store import NameStore, StoreThread
from relay.stun_origins import Origins
from transport.identity.keys import certificate_fingerprint
from transport.io.stop_signals import on_stop_signals
from transport.io.tasks import Tasks
from transport.net.machine import TimerFired
from transport.quic.relay_channel import CloseCode, ControlChannel
from transport.quic.relay_channel_server import ControlServer, bind_udp
from transport.wire.addresses import PIN_HEX, RelayAddress
from transport.wire.errors import WireError
from transport.wire.relay_messages import decode_client_message

if sys.platform != "win32":
    import uvloop

# What was sent just before a session is closed has this long to arrive, and the client to close by itself.
LINGER_S = 1.0
# How often a free pair of ports is looked for when the system chooses: another program may hold the second one.
_PORT_ATTEMPTS = 20
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - a relay is there for everybody
# Discard prefix (RFC 6666) and TEST-NET-1 (RFC 5737): nothing is ever sent there, the kernel only picks a source.
_ELSEWHERE = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("100::1", 9)}


class Relay:
    """One relay. ``await start()``, then :attr:`stopped`, then ``await close()``."""

    def __init__(self, config: RelayConfig) -> None:
        self._config = config
        self._closers = contextlib.AsyncExitStack()
        self._channels: dict[SessionId, ControlChannel] = {}
        self._lingering: dict[SessionId, asyncio.TimerHandle] = {}
        self._next_session = 1
        self._events: deque[RouterEvent] = deque()
        self._is_handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = 0.0
        self._legs_timer: asyncio.TimerHandle | None = None
        self.stopped = asyncio.Event()
        self.ended_sessions = 0

    @property
    def legs_in_use(self) -> int:
        """Legs that exist, bound or not."""
        return len(self._legs)

    async def start(self) -> Ready:
        """Open everything. Raises :class:`RelayError` in the operator's words, and then nothing is left open."""
        try:
            return await self._start()
        except BaseException as error:
            await self._closers.aclose()
            if isinstance(error, OSError):
                raise RelayError(f"the relay cannot start: {error}") from error
            raise

    def drain(self, seconds: float | None = None) -> None:
        """Begin to stop: no new calls; :attr:`stopped` is set when the last call is over or the time is."""
        self._post(DrainRequested(self._config.drain_s if seconds is None else seconds))

    async def close(self) -> None:
        """Stop at once and give everything back."""
        self._post(DrainRequested(0.0))
        for timer in (self._timer, self._legs_timer, *self._lingering.values()):
            if timer is not None:
                timer.cancel()
        self._timer = self._legs_timer = None
        for number in list(self._lingering):
            self._close_channel(number, "the relay has stopped")
        await self._closers.aclose()

    def snapshot(self) -> Snapshot:
        """The relay in numbers (see :mod:`relay.metrics`)."""
        router, legs = self._router, self._legs
        return {
            "sessions": router.session_count,
            "authenticated": router.authenticated_count,
            "names": router.name_count,
            "calls": len(router.calls),
            "legs": len(legs),
            "invites_total": router.calls.invited,
            "answers_total": router.calls.answered,
            "call_ends_total": _plain(router.calls.outcomes),
            "refusals_total": _plain(router.refusals),
            "media_packets_total": legs.forwarded_packets,
            "media_bytes_total": legs.forwarded_bytes,
            "media_drops_total": _plain(legs.drops),
            "stun_total": _plain(self._datagrams.stun),
            "datagrams_received_total": self._sockets.received,
            "send_failures_total": _plain(self._sockets.send_failures),
        }

    # -- start

    async def _start(self) -> Ready:
        config, loop = self._config, asyncio.get_running_loop()
        self._loop = loop
        config.data_dir.mkdir(parents=True, exist_ok=True)
        identity = own_identity(config.data_dir)
        store = NameStore(config.data_dir)
        self._store = StoreThread(store, lambda stored: _call_soon(loop, self._post, stored))
        self._closers.callback(self._store.close)
        limiter = Limiter(config.limits)
        self._legs = LegTable(config.limits.leg_packets, IDLE_S)
        server = ControlServer(identity, self)
        self._closers.callback(server.close)
        hosts = config.binds or tuple(_available())
        with contextlib.ExitStack() as unowned:
            control, media = _bind_pairs(hosts, config.port, config.media_port, unowned)
            port, media_port = control[0].getsockname()[1], media[0].getsockname()[1]
            stun = _bind_stun(hosts, config, media_port, unowned)
            stun_ports = [udp.getsockname()[1] for udp in stun]
            endpoints = tuple(_stun_endpoints(hosts, media_port, stun_ports))
            self._router = Router(
                RouterConfig(identity.certificate, media_port, endpoints, IDLE_S),
                Registry(store.load()),
                limiter,
                random.SystemRandom(),
            )
            origins = Origins([udp.getsockname()[:2] for udp in (*media, *stun)])
            self._datagrams = DatagramHandler(self._legs, limiter, origins)
            self._sockets = DatagramSockets(self._datagrams)
            self._closers.callback(self._sockets.close)
            # In the order of their origins.
            for udp in media:
                self._sockets.add_media(udp)
            for udp in stun:
                self._sockets.add_stun(udp)
            for udp in control:
                await server.listen(udp)
            unowned.pop_all()
        metrics = None
        if config.metrics_port is not None:
            metrics_server = MetricsServer(config.metrics_port, SnapshotCollector(loop, self.snapshot))
            self._closers.push_async_callback(_in_thread, metrics_server.close)
            metrics = metrics_server.address
        host = config.public_host or _public_host(hosts)
        pin = certificate_fingerprint(identity.certificate).hex()[:PIN_HEX]
        shown = tuple((stun_host or host, stun_port) for stun_host, stun_port in endpoints)
        notices = (store.notice,) if store.notice else ()
        return Ready(RelayAddress(host, port, pin), media_port, shown, metrics, notices)

    # -- ChannelHandler

    def channel_open(self, channel: ControlChannel) -> None:
        """A client's handshake has come far enough to be spoken to."""
        channel.number = self._next_session
        self._next_session += 1
        self._channels[channel.number] = channel
        self._post(SessionOpened(channel.number, channel.remote))

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        """A client's message, to be decoded."""
        try:
            message = decode_client_message(document)
        except WireError as error:
            self._post(GarbageArrived(channel.number, str(error)))
            return
        self._post(MessageArrived(channel.number, message))

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        """A client is gone."""
        if self._channels.pop(channel.number, None) is not None:
            self.ended_sessions += 1
            self._post(SessionClosed(channel.number))
        linger = self._lingering.pop(channel.number, None)
        if linger is not None:
            linger.cancel()

    # -- the router's driver

    def _post(self, event: RouterEvent) -> None:
        """Feed the router; what carrying out its commands causes is fed after them, not within them."""
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                for command in self._router.handle(self._events.popleft(), self._loop.time()):
                    self._carry_out(command)
        finally:
            self._is_handling = False
        self._arm()

    def _carry_out(self, command: RouterCommand) -> None:
        match command:
            case SendMessage(session, message):
                channel = self._channels.get(session)
                if channel is not None:
                    channel.send(message)
            case CloseSession(session, reason):
                if session in self._channels and session not in self._lingering:
                    self._lingering[session] = self._loop.call_later(LINGER_S, self._close_channel, session, reason)
            case StoreName(ticket):
                if not self._store.put(command):
                    self._post(NameStored(ticket, "too many names wait to be written"))
            case CreateLegs(call_id, caller, callee):
                self._legs.create(call_id, caller, callee, self._loop.time())
                self._arm_legs()
            case DestroyLegs(call_id):
                self._legs.destroy(call_id)
            case StopRelay():
                self.stopped.set()

    def _close_channel(self, number: SessionId, reason: str) -> None:
        self._lingering.pop(number, None)
        channel = self._channels.get(number)
        if channel is not None:
            channel.end(CloseCode.DONE, reason)

    def _arm(self) -> None:
        due_s = self._router.next_deadline()
        if self._timer is not None:
            if due_s == self._timer_due_s:
                return
            self._timer.cancel()
            self._timer = None
        if due_s is not None:
            self._timer_due_s = due_s
            self._timer = self._loop.call_at(due_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._post(TimerFired())

    def _arm_legs(self) -> None:
        due_s = self._legs.next_deadline() if self._legs_timer is None else None
        if due_s is not None:
            self._legs_timer = self._loop.call_at(due_s, self._legs_due)

    def _legs_due(self) -> None:
        self._legs_timer = None
        for call_id in self._legs.idle(self._loop.time()):
            self._post(LegsIdle(call_id))
        self._arm_legs()


async def run_relay(config: RelayConfig, on_ready: Callable[[Ready], None], stop: asyncio.Event | None = None) -> None:
    """Run a relay until SIGTERM or SIGINT, or until ``stop`` is set, then drain; a second signal stops it at once.

    ``on_ready`` is called once it serves. Raises :class:`RelayError` when it cannot start. Run it in a loop of
    :func:`relay_loop_factory`.
    """
    relay = Relay(config)
    tasks = Tasks("relay")
    signals = 0

    def signalled() -> None:
        nonlocal signals
        signals += 1
        relay.drain(None if signals == 1 else 0.0)

    async def drain_on(event: asyncio.Event) -> None:
        await event.wait()
        signalled()

    ready = await relay.start()
    try:
        with on_stop_signals(signalled), no_full_collections():
            collecting = collect_when_quiet(lambda: relay.ended_sessions, lambda: relay.legs_in_use)
            tasks.start(collecting, name="garbage")
            if stop is not None:
                tasks.start(drain_on(stop), name="stop")
            on_ready(ready)
            await relay.stopped.wait()
            if signals < 2:
                # The good-byes are on their way; whoever has not left by then is closed below.
                await asyncio.sleep(LINGER_S / 2)
    finally:
        await tasks.close()
        await relay.close()


def relay_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes the fastest loop there is that can watch plain sockets; on Windows that is not the default one."""
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop
    return uvloop.new_event_loop


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    # The loop may have ended between the work of another thread and its report; there is nobody to tell then.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


def _plain(counter: Counter[Any]) -> dict[str, float]:
    return {str(label): float(count) for label, count in counter.items()}


def _available() -> Iterator[str]:
    for host in _ANY_ADDRESS:
        try:
            bind_udp(host, 0).close()
        except OSError:
            continue
        yield host


def _bind_pairs(
    hosts: tuple[str, ...], port: int, media_port: int | None, stack: contextlib.ExitStack
) -> tuple[list[socket.socket], list[socket.socket]]:
    """Control and media sockets, the same two ports on every address. Raises :class:`RelayError`."""
    attempts = _PORT_ATTEMPTS if 0 in (port, media_port) else 1
    while True:
        attempts -= 1
        with contextlib.ExitStack() as attempt:
            try:
                control = _bind_all(hosts, port, attempt)
                after = control[0].getsockname()[1] + 1 if port else 0
                media = _bind_all(hosts, after if media_port is None else media_port, attempt)
            except RelayError:
                if attempts == 0:
                    raise
                continue
            stack.push(attempt.pop_all())
            return control, media


def _bind_stun(
    hosts: tuple[str, ...], config: RelayConfig, media_port: int, stack: contextlib.ExitStack
) -> list[socket.socket]:
    """The ports for STUN alone. Raises :class:`RelayError` when one that the operator named cannot be had."""
    if config.stun_ports is not None:
        return [udp for number in config.stun_ports for udp in _bind_all(hosts, number, stack)]
    found: list[socket.socket] = []
    for number in (media_port + 1, media_port + 2):
        chosen = [number] if config.port and number < 2**16 else [0] * _PORT_ATTEMPTS
        for wanted in chosen:
            with contextlib.suppress(RelayError), contextlib.ExitStack() as attempt:
                found += _bind_all(hosts, wanted, attempt)
                stack.push(attempt.pop_all())
                break
    return found


def _bind_all(hosts: tuple[str, ...], port: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for host in hosts:
        try:
            udp = stack.enter_context(contextlib.closing(bind_udp(host, port)))
        except (OSError, OverflowError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            raise RelayError(f"the relay cannot listen on {host}, UDP port {port}: {problem}") from error
        sockets.append(udp)
        # Where the system chose, it chose for the first address; the others follow.
        port = udp.getsockname()[1]
    return sockets


async def _in_thread(function: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function)


def _stun_endpoints(hosts: tuple[str, ...], media_port: int, ports: list[int]) -> Iterator[tuple[str, int]]:
    """What clients get: an address of this machine where the operator named one, else "where you came to"."""
    named = dict.fromkeys("" if ipaddress.ip_address(host).is_unspecified else host for host in hosts)
    for port in dict.fromkeys((media_port, *ports)):
        for host in named:
            yield host, port


def _public_host(hosts: tuple[str, ...]) -> str:
    """The address that people will most likely use: the one that was named, or the one that leads elsewhere."""
    address = ipaddress.ip_address(hosts[0])
    if not address.is_unspecified:
        return hosts[0]
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(_ELSEWHERE[family])
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(udp.getsockname()[0])
