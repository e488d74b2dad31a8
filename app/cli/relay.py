"""``segue relay``: run a relay and print the one line that scripts wait for."""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.model.exit_status import ExitStatus
from app.system.data_dir import find_home
from app.system.output import complain, say, say_json
from app.system.parent_watch import watch_parent
from relay.config import DRAIN_S, Ready, RelayConfig
from relay.errors import RelayError
from relay.server import relay_loop_factory, run_relay


def run(
    *,
    data: Path | None,
    binds: Sequence[str],
    stun_ports: Sequence[int] | None,
    drain_s: float | None,
    as_json: bool,
    with_parent: bool,
    **settings: Any,
) -> ExitStatus:
    """Run until the operator, or the program that started it, stops it. ``settings`` are fields of RelayConfig."""
    data_dir = data.expanduser().resolve() if data is not None else find_home().folder / "relay"
    ports = None if stun_ports is None else tuple(stun_ports)
    drain = DRAIN_S if drain_s is None else drain_s
    config = RelayConfig(data_dir, binds=tuple(binds), stun_ports=ports, drain_s=drain, **settings)
    try:
        with asyncio.Runner(loop_factory=relay_loop_factory()) as runner:
            runner.run(_run(config, as_json=as_json, with_parent=with_parent))
    except RelayError as error:
        complain(str(error))
        return ExitStatus.FAILED
    return ExitStatus.OK


async def _run(config: RelayConfig, *, as_json: bool, with_parent: bool) -> None:
    if with_parent:
        watch_parent(lambda: signal.raise_signal(signal.SIGTERM))
    await run_relay(config, lambda ready: _announce(ready, as_json=as_json))


def _announce(ready: Ready, *, as_json: bool) -> None:
    for notice in ready.notices:
        complain(notice)
    if as_json:
        stun = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ready.stun]
        fields: dict[str, object] = {"address": str(ready.address), "pin": ready.address.pin, "stun": stun}
        if ready.metrics is not None:
            fields["metrics"] = f"http://{ready.metrics[0]}:{ready.metrics[1]}/metrics"
        say_json(fields)
    else:
        say(f"ready {ready.address}")
