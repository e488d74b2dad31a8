"""Numbers for Prometheus, on loopback only: they tell who is busy when, and need no protection there."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

METRICS_HOST = "127.0.0.1"
# A scrape that the event loop does not answer by then gets nothing, which is an alarm by itself.
SNAPSHOT_TIMEOUT_S = 5.0

Snapshot = dict[str, float | dict[str, float]]
"""Name of the number -> its value, or label value -> value. Names that end in ``_total`` only grow."""

_TEXTS = {
    "sessions": ("Control sessions that are open", ""),
    "authenticated": ("Identities that are connected", ""),
    "names": ("Names in the directory", ""),
    "calls": ("Calls that are not over", ""),
    "legs": ("Legs that exist", ""),
    "invites_total": ("Calls that began to be set up", ""),
    "answers_total": ("Calls that were answered", ""),
    "call_ends_total": ("Calls that ended or never came to be", "reason"),
    "refusals_total": ("Requests refused", "code"),
    "media_packets_total": ("Packets forwarded between legs", ""),
    "media_bytes_total": ("Bytes forwarded between legs, without IP and UDP headers", ""),
    "datagrams_received_total": ("Datagrams received on media and STUN ports", ""),
    "media_drops_total": ("Datagrams on legs not forwarded", "reason"),
    "stun_total": ("Plain Binding requests", "outcome"),
    "send_failures_total": ("Datagrams that the kernel did not take", "reason"),
}


class SnapshotCollector(Collector):
    """Turns snapshots into metrics. ``take`` runs in the event loop, so it sees no half-done change."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[], Snapshot]) -> None:
        self._loop = loop
        self._take = take

    def collect(self) -> Iterator[Metric]:
        """Called in a thread of the metrics server for each scrape."""
        answer: Future[Snapshot] = Future()
        self._loop.call_soon_threadsafe(self._answer, answer)
        for name, value in answer.result(SNAPSHOT_TIMEOUT_S).items():
            text, label = _TEXTS[name]
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"segue_relay_{name}", text, labels=[label] if label else [])
            for label_value, number in value.items() if isinstance(value, dict) else [("", value)]:
                family.add_metric([label_value] if label else [], number)
            yield family

    def describe(self) -> list[Metric]:
        """Nothing is known before the first scrape; asking here would wait for a loop that is not free."""
        return []

    def _answer(self, answer: "Future[Snapshot]") -> None:
        answer.set_result(self._take())


class MetricsServer:
    """The HTTP server with its thread. Raises :class:`OSError` when the port is taken."""

    def __init__(self, port: int, collector: SnapshotCollector) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self._server: WSGIServer
        self._thread: threading.Thread
        self._server, self._thread = start_http_server(port, METRICS_HOST, registry)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return METRICS_HOST, self._server.server_port

    def close(self) -> None:
        """Stop serving and join the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
