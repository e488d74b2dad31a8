"""The command line (DESIGN §10): a contract that scripts rely on.

Exit status: 0 the call was answered and ended normally (or the command did what it was asked); 2 wrong usage; 3 not
reachable; 4 declined or busy; 5 failed. Nobody is shown a traceback: what can go wrong has words.
"""

import importlib.util
import logging
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli import headless
from app.cli import relay as relay_command
from app.demo import run as demo
from app.demo.namespaces import Nat
from app.engine.process import run_engine_process
from app.model.exit_status import ExitStatus
from app.system.data_dir import find_home
from app.system.errors import AppError
from app.system.logs import log_level
from app.system.own_stderr import keep_stderr
from relay.config import DRAIN_S, RelayConfig
from transport.wire.addresses import DEFAULT_PORT, PersonAddress, parse_person
from transport.wire.errors import WireError

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Voice calls that start on a relay at once. Without a command: the window.",
)

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder of name, key, contacts and settings.", show_default=False)
]
PlayOption = Annotated[
    Path | None, typer.Option("--play", help="WAV (48 kHz, mono, 16-bit) instead of the microphone.")
]
RecordOption = Annotated[Path | None, typer.Option("--record", help="WAV to write instead of the speaker.")]
ReportOption = Annotated[Path | None, typer.Option("--report", help="Write the call's report (JSON) here.")]
TraceOption = Annotated[
    Path | None, typer.Option("--trace", help="Write the call's trace (JSON) here, without addresses and names.")
]
TraceAddressesOption = Annotated[
    bool, typer.Option("--trace-addresses", help="Leave addresses and names in the trace.")
]
AlwaysRelayOption = Annotated[
    bool, typer.Option("--always-relay", help="Hide this machine's IP address from the peer.")
]
NatOption = Annotated[
    Nat,
    typer.Option(
        "--nat",
        help="home: two home routers; strict: Bob's takes a random port for each destination; both-strict: both do; "
        "none: no routers, all on loopback.",
    ),
]
WithParentOption = Annotated[bool, typer.Option("--with-parent", hidden=True)]


@cli.callback(invoke_without_command=True)
def root(context: typer.Context, home: HomeOption = None) -> None:
    """Start the window when no command is given."""
    if context.invoked_subcommand is None:
        _open_window([] if home is None else ["--home", str(home)])


@cli.command()
def window(
    home: HomeOption = None,
    try_here: Annotated[
        bool, typer.Option("--try-here", help="Start a private relay and Echo on this machine if nothing is set up.")
    ] = False,
) -> None:
    """The window."""
    _open_window([*([] if home is None else ["--home", str(home)]), *(["--try-here"] if try_here else [])])


@cli.command()
def register(address: str, home: HomeOption = None) -> None:
    """Claim NAME@HOST[:PORT][#PIN] for this installation's key."""
    _leave(headless.register(find_home(home), _person(address)))


@cli.command()
def listen(
    home: HomeOption = None,
    answer_after: Annotated[float, typer.Option(min=0, max=60, help="Let it ring this many seconds.")] = 0.0,
    once: Annotated[bool, typer.Option("--once", help="End after the first call.")] = False,
    play: PlayOption = None,
    record: RecordOption = None,
    report: ReportOption = None,
    trace: TraceOption = None,
    trace_addresses: TraceAddressesOption = False,
    always_relay: AlwaysRelayOption = False,
    with_parent: WithParentOption = False,
) -> None:
    """Wait for calls and answer them."""
    plan = headless.Plan(
        find_home(home), play, record, report, always_relay, trace, trace_addresses, with_parent=with_parent
    )
    _leave(headless.listen(plan, answer_after_s=answer_after, once=once))


@cli.command()
def call(
    address: str,
    home: HomeOption = None,
    for_s: Annotated[float | None, typer.Option("--for", min=0, help="Hang up after so many seconds of talk.")] = None,
    play: PlayOption = None,
    record: RecordOption = None,
    report: ReportOption = None,
    trace: TraceOption = None,
    trace_addresses: TraceAddressesOption = False,
    always_relay: AlwaysRelayOption = False,
    with_parent: WithParentOption = False,
) -> None:
    """Call NAME@HOST[:PORT][#PIN]."""
    plan = headless.Plan(
        find_home(home), play, record, report, always_relay, trace, trace_addresses, with_parent=with_parent
    )
    _leave(headless.call(plan, _person(address), for_s=for_s))


@cli.command()
def echo(home: HomeOption = None, with_parent: WithParentOption = False) -> None:
    """Answer every call and send the caller's voice back."""
    _leave(headless.echo(headless.Plan(find_home(home), with_parent=with_parent)))


@cli.command()
def netcheck(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine's network and its way to the relay."""
    _leave(headless.netcheck(find_home(home), as_json=as_json))


@cli.command("demo")
def demo_command(nat: NatOption = Nat.HOME) -> None:
    """A relay, two people and two NATs on this machine, a call between them shown live, then its report. No devices.

    Exit status 0: the call was answered, went direct and lost nothing.
    """
    _leave(demo.run(nat))


@cli.command("relay")
def relay_command_(
    bind: Annotated[list[str] | None, typer.Option("--bind", help="IP address to listen on; repeatable.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Control port; 0 picks one.")] = DEFAULT_PORT,
    stun_port: Annotated[
        list[int] | None, typer.Option("--stun-port", min=0, max=65535, help="STUN port; repeatable; two by default.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the directory and the relay's key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ready line as JSON.")] = False,
    host: Annotated[str, typer.Option("--host", help="Public host name, for the ready line.")] = "",
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="Prometheus metrics on loopback.")
    ] = None,
    drain: Annotated[
        float, typer.Option("--drain", min=0, max=3600, help="Seconds for running calls at stop.")
    ] = DRAIN_S,
    with_parent: WithParentOption = False,
) -> None:
    """Run a relay."""
    config = RelayConfig(
        data_dir=data.expanduser().resolve() if data is not None else find_home().folder / "relay",
        binds=tuple(bind or ()),
        port=port,
        stun_ports=None if stun_port is None else tuple(stun_port),
        public_host=host,
        metrics_port=metrics_port,
        drain_s=drain,
    )
    _leave(relay_command.run(relay_command.RelayPlan(config, as_json=as_json, with_parent=with_parent)))


@cli.command(hidden=True)
def engine(home: HomeOption = None) -> None:
    """The process behind the window."""
    _leave(run_engine_process(find_home(home)))


def _person(address: str) -> PersonAddress:
    try:
        return parse_person(address)
    except WireError as error:
        raise typer.BadParameter(f"{error}.") from error


def _leave(status: ExitStatus) -> None:
    raise typer.Exit(int(status))


def _open_window(arguments: list[str]) -> None:
    if importlib.util.find_spec("PySide6") is None:
        typer.echo("The window needs PySide6, which is not installed; “segue --help” lists the rest.", err=True)
        raise typer.Exit(ExitStatus.FAILED)
    # As `python -m app.ui.run` would: the command line itself must run where Qt is not installed.
    sys.argv = ["segue", *arguments]
    runpy.run_module("app.ui.run", run_name="__main__")


def main() -> None:
    """Entry point of the ``segue`` program."""
    keep_stderr()
    logging.basicConfig(level=log_level(logging.ERROR), format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        cli()
    except AppError as error:
        typer.echo(str(error), err=True)
        sys.exit(ExitStatus.FAILED)
    except WireError as error:  # an address in the local data that no version of Segue would write
        typer.echo(f"{error}.", err=True)
        sys.exit(ExitStatus.FAILED)
