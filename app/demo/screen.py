"""What ``segue demo`` draws: two people side by side, and their reports at the end (pure; rich renders it)."""

from collections.abc import Callable, Iterable
from functools import partial

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from app.demo.networks import HOUSEHOLDS, RELAY_IPS, Nat
from app.demo.side import Side
from app.ipc import engine_state, messages
from app.model.sanitize import printable
from app.report.report import CallReport

_BARS = "▁▂▃▄▅▆▇█"
_HISTORY = 40
_WIDTH = 48
_STORY_LINES = 12
_KEEPS, _RANDOM = "keeps ports where it can", "a random port for each destination"
_ROUTERS = {Nat.HOME: (_KEEPS, _KEEPS), Nat.STRICT: (_KEEPS, _RANDOM), Nat.BOTH_STRICT: (_RANDOM, _RANDOM)}
_METER_CELLS = 24
# Label, field of a call sample, unit, and the factor from one to the other.
_FIGURES = (
    ("round trip", "rtt_ms", "ms", 1),
    ("jitter", "jitter_ms", "ms", 1),
    ("playout delay", "playout_delay_ms", "ms", 1),
    ("loss", "loss", "%", 100),
    ("concealed", "concealed_ms", "ms", 1),
    ("sending", "sent_kbps", "kbit/s", 1),
)
_COUNTS = (
    *("frames_sent", "frames_received", "frames_lost", "frames_late"),
    *("samples_concealed", "samples_stretched", "underruns"),
)
_PHASES = {
    "calling": "calling …",
    "ringing": "ringing …",
    "incoming": "incoming call …",
    "connecting": "connecting …",
    "talking": "talking",
    "reconnecting": "reconnecting …",
    "ended": "call ended",
}


def page(sides: Iterable[Side], lines: list[str]) -> RenderableType:
    """The live page: both people, and below them the newest lines of the story."""
    panels = Columns([_person(side) for side in sides], padding=(0, 1))
    return Group(panels, *(Text(printable(line), no_wrap=True) for line in lines[-_STORY_LINES:]))


def network(nat: Nat) -> str:
    """Who is where, one line each."""
    if nat is Nat.NONE:
        return "Alice and Bob are on 127.0.0.1, as is a relay that forwards encrypted packets it cannot read."
    lines = [
        f"{house.name.capitalize():<5}  {house.inside} ── {house.outside}  router with Linux masquerade, {behaviour}"
        for house, behaviour in zip(HOUSEHOLDS, _ROUTERS[nat], strict=True)
    ]
    lines.append(f"Relay  {' and '.join(RELAY_IPS)}  forwards encrypted packets that it cannot read")
    return "\n".join(lines)


def _person(side: Side) -> Panel:
    talk = side.state.call if side.state is not None else None
    lines = Table.grid(padding=(0, 1))
    lines.add_column(style="dim", width=14)
    lines.add_column(width=_WIDTH - 20)
    phase = _PHASES.get(talk.phase, talk.phase) if talk is not None else "waiting"
    if talk is not None and talk.answered is not None and side.sample is not None and talk.phase != "ended":
        phase += f"  {int(side.sample.at // 60)}:{int(side.sample.at % 60):02d}"
    lines.add_row("state", Text(phase, style="bold"))
    lines.add_row("path", _path(talk))
    sample = side.sample
    rtts = [item.rtt_ms for item in side.samples if item.rtt_ms is not None]
    for label, field, unit, factor in _FIGURES:
        value = None if sample is None else getattr(sample, field)
        trend = rtts if field == "rtt_ms" else []
        lines.add_row(label, _figure(None if value is None else value * factor, unit, trend))
    levels = side.levels or messages.Levels(0.0, 0.0)
    lines.add_row("microphone", _meter(levels.microphone))
    lines.add_row("speaker", _meter(levels.speaker))
    return Panel(lines, title=side.name, width=_WIDTH, box=box.ROUNDED, border_style=_colour(talk))


def _path(talk: engine_state.CallStatus | None) -> Text:
    if talk is None or talk.path is None:
        return Text("–", style="dim")
    return Text("● DIRECT" if talk.path == "direct" else "◆ RELAY", style=f"bold {_colour(talk)}")


def _colour(talk: engine_state.CallStatus | None) -> str:
    if talk is None or talk.path is None or talk.phase == "ended":
        return "dim"
    return "green" if talk.path == "direct" else "yellow"


def _figure(value: float | None, unit: str, history: list[float]) -> Text:
    if value is None:
        return Text("–", style="dim")
    return Text(f"{value:7.1f} {unit:<7}").append(_spark(history), style="cyan")


def _spark(values: list[float]) -> str:
    recent = values[-_HISTORY // 3 :]
    if not recent:
        return ""
    low, high = min(recent), max(recent)
    span = (high - low) or 1.0
    return "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in recent)


def _meter(level: float) -> Text:
    cells = round(min(max(level, 0.0), 1.0) * _METER_CELLS)
    return Text("█" * cells, style="green").append("░" * (_METER_CELLS - cells), style="dim")


def reports(sides: list[tuple[str, CallReport]]) -> RenderableType:
    """Both reports in one table."""
    table = Table(title="Report", box=box.SIMPLE_HEAVY, title_style="bold")
    table.add_column("")
    for name, _ in sides:
        table.add_column(name, justify="right")

    def row(label: str, value: Callable[[CallReport], str]) -> None:
        table.add_row(label, *(value(report) for _, report in sides))

    row("outcome", lambda report: report.outcome or "–")
    row("path", lambda report: " → ".join(path.kind for path in report.paths) or "–")
    for label, moment in (("sent", "first_audio_sent"), ("played", "first_audio_played")):
        row(f"answered → first audio {label}", partial(_after_answer, moment=moment, factor=1000, unit="ms"))
    row("duration", partial(_after_answer, moment="ended", factor=1, unit="s"))
    for name in _COUNTS:
        row(name.replace("_", " "), lambda report, name=name: f"{getattr(report.media, name):,}")  # type: ignore[misc]
    row(
        "playout delay p50 / p95",
        lambda report: f"{report.media.playout_delay_ms.p50:.0f} / {report.media.playout_delay_ms.p95:.0f} ms",
    )
    return table


def _playout_delay(report: CallReport) -> str:
    delay = report.media.playout_delay_ms
    return f"{delay.p50:.0f} / {delay.p95:.0f} ms"


def _after_answer(report: CallReport, *, moment: str, factor: int, unit: str) -> str:
    start, end = report.times.answered, getattr(report.times, moment)
    return "–" if start is None or end is None else f"{(end - start) * factor:.{0 if factor > 1 else 1}f} {unit}"
