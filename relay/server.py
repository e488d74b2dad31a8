"""The relay as a process part: sockets, store, metrics and signals around the pure machines.

Everything runs in one event loop and, but for two waits in :func:`run_relay`, without tasks: callbacks feed the
router (:mod:`relay.service`) and the legs. Only the store and the metrics server have threads.
"""

import asyncio
import contextlib
import random
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay.binding import available_hosts, bind_pairs, bind_stun, likely_host, stun_endpoints
from relay.certificate import IDENTITY_FILE, own_identity
from relay.config import Ready, RelayConfig
from relay.errors import RelayError
from relay.events import DrainRequested, NameStored
from relay.gc_policy import collect_when_quiet, no_full_collections
from relay.legs import IDLE_S, LegTable
from relay.limits import Limiter
from relay.media_port import DatagramHandler
from relay.metrics import MetricsServer, Snapshot, SnapshotCollector
from relay.registry import Registry
from relay.router import Router, RouterConfig
from relay.service import LINGER_S, RelayService
from relay.sockets import DatagramSockets
from relay.store import DATABASE_FILE, NameStore, StoreThread
from relay.stun_origins import Origins
from transport.identity.keys import certificate_fingerprint
from transport.io.private_files import close_to_others, database_files, find_exposure, make_private_folder
from transport.io.stop_signals import on_stop_signals
from transport.io.tasks import Tasks
from transport.quic.relay_channel_server import ControlServer
from transport.wire.addresses import PIN_HEX, RelayAddress

if sys.platform != "win32":
    import uvloop


class Relay:
    """One relay. ``await start()``, then :attr:`stopped`, then ``await close()``."""

    def __init__(self, config: RelayConfig) -> None:
        self._config = config
        self._closers = contextlib.AsyncExitStack()
        self._service: RelayService | None = None
        self.stopped = asyncio.Event()

    @property
    def ended_sessions(self) -> int:
        """Sessions that have come and gone."""
        return 0 if self._service is None else self._service.ended_sessions

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
        if self._service is not None:
            self._service.post(DrainRequested(self._config.drain_s if seconds is None else seconds))

    async def close(self) -> None:
        """Stop at once and give everything back."""
        if self._service is not None:
            self._service.close()
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
        notices = _prepare(config.data_dir)
        identity = own_identity(config.data_dir)
        store = NameStore(config.data_dir)
        writer = StoreThread(store, lambda stored: _call_soon(loop, self._stored, stored))
        self._closers.callback(writer.close)
        limiter = Limiter(config.limits)
        self._legs = LegTable(config.limits.leg_packets, secrets.token_bytes(32), IDLE_S)
        hosts = config.binds or tuple(available_hosts())
        with contextlib.ExitStack() as unowned:
            control, media = bind_pairs(hosts, config.port, config.media_port, unowned)
            port, media_port = control[0].getsockname()[1], media[0].getsockname()[1]
            stun = bind_stun(hosts, config, media_port, unowned)
            stun_ports = [udp.getsockname()[1] for udp in stun]
            endpoints = tuple(stun_endpoints(hosts, media_port, stun_ports))
            self._router = Router(
                RouterConfig(identity.certificate, media_port, endpoints, IDLE_S),
                Registry(store.load()),
                limiter,
                random.SystemRandom(),
            )
            origins = Origins([udp.getsockname()[:2] for udp in (*media, *stun)])
            self._datagrams = DatagramHandler(self._legs, limiter, origins, self._router.is_validated)
            self._sockets = DatagramSockets(self._datagrams)
            self._closers.callback(self._sockets.close)
            # In the order of their origins.
            for udp in media:
                self._sockets.add_media(udp)
            for udp in stun:
                self._sockets.add_stun(udp)
            self._service = RelayService(self._router, self._legs, loop, writer.put, self.stopped.set)
            server = ControlServer(identity, self._service)
            self._closers.callback(server.close)
            for udp in control:
                await server.listen(udp)
            unowned.pop_all()
        metrics = None
        if config.metrics_port is not None:
            metrics_server = MetricsServer(config.metrics_port, SnapshotCollector(loop, self.snapshot))
            self._closers.push_async_callback(_in_thread, metrics_server.close)
            metrics = metrics_server.address
        host = config.public_host or likely_host(hosts)
        pin = certificate_fingerprint(identity.certificate).hex()[:PIN_HEX]
        shown = tuple((stun_host or host, stun_port) for stun_host, stun_port in endpoints)
        notices += [store.notice] if store.notice else []
        return Ready(RelayAddress(host, port, pin), media_port, shown, metrics, tuple(notices))

    def _stored(self, stored: NameStored) -> None:
        if self._service is not None:
            self._service.post(stored)


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


def _prepare(data_dir: Path) -> list[str]:
    """Make the folder of the relay, or see to it that nobody else could have put a key there; returns notices. Raises
    :class:`RelayError` and :class:`OSError`."""
    make_private_folder(data_dir)
    exposure = find_exposure(data_dir, (IDENTITY_FILE, *database_files(DATABASE_FILE)))
    if exposure is not None and exposure.kind == "other-owner":
        raise RelayError(f"{exposure.path} belongs to another user, so nothing in it is trusted; give it to this one")
    if exposure is not None:
        raise RelayError(f"others can write to {exposure.path}, so nothing in it is trusted; “chmod go-w” closes it")
    closed = close_to_others(data_dir, (IDENTITY_FILE,))
    return [f"others could read the relay's key in {path}; now they cannot" for path in closed]


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    # The loop may have ended between the work of another thread and its report; there is nobody to tell then.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


def _plain(counter: Counter[Any]) -> dict[str, float]:
    return {str(label): float(count) for label, count in counter.items()}


async def _in_thread(function: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function)
