"""``segue relay``: run a relay and print the one line that scripts wait for."""

import asyncio
import json
import signal
import sys
from dataclasses import dataclass

import typer

from app.model.exit_status import ExitStatus
from app.system.parent_watch import watch_parent
from relay.config import Ready, RelayConfig
from relay.errors import RelayError
from relay.server import relay_loop_factory, run_relay


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """What the options say, and how to print."""

    config: RelayConfig
    as_json: bool
    with_parent: bool


def run(plan: RelayPlan) -> ExitStatus:
    """Run until the operator, or the program that started it, stops it."""
    try:
        with asyncio.Runner(loop_factory=relay_loop_factory()) as runner:
            runner.run(_run(plan))
    except RelayError as error:
        typer.echo(str(error), err=True)
        return ExitStatus.FAILED
    return ExitStatus.OK


async def _run(plan: RelayPlan) -> None:
    if plan.with_parent:
        watch_parent(lambda: signal.raise_signal(signal.SIGTERM))
    await run_relay(plan.config, lambda ready: _announce(plan, ready))


def _announce(plan: RelayPlan, ready: Ready) -> None:
    for notice in ready.notices:
        typer.echo(notice, err=True)
    if plan.as_json:
        stun = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ready.stun]
        told: dict[str, object] = {"address": str(ready.address), "pin": ready.address.pin, "stun": stun}
        if ready.metrics is not None:
            told["metrics"] = f"http://{ready.metrics[0]}:{ready.metrics[1]}/metrics"
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"ready {ready.address}")
    sys.stdout.flush()
