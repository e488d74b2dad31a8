"""What happens in the demo's call, line by line, and the verdict at its end (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.ipc import engine_state, messages
from app.report.report import CallReport, MediaReport
from app.text.calls import end_text
from app.text.networks import detail, headline
from app.text.traversal import step_text

# The newest of them stand under the live page.
MAX_LINES = 200
# Between two lines that only say that all is well.
TALK_LINE_EVERY_S = 3.0
_SAMPLES_PER_MS = 48
_FRAME_SAMPLES = 960
_CALLER, _CALLEE = "Alice", "Bob"
_NOT_KNOWN = "unknown"
_PHASES = {"port_mapping": "port mapping"}
_FAILED = ("failed", "skipped")
_NO_REASON = ("not-needed", "call-over")
_OUTCOMES = {"won": "won", "failed": "no", "skipped": "not tried", "cancelled": "stopped"}


@dataclass(slots=True)
class _Shown:
    """What the story already holds about one person, without which it would repeat itself."""

    phase: str = ""
    path: str = ""
    nat: str = ""
    techniques: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    line_at: float = 0.0
    concealed: float = 0.0


class Story:
    """Turns what both engines report into lines for a person. ``at`` is in seconds since the demo began."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._shown: dict[str, _Shown] = {}

    def add(self, at: float, text: str) -> list[str]:
        """A line of the demo's own; returns it with its time."""
        return self._keep([f"{at:5.1f} s  {text}"])

    def state(self, name: str, state: messages.EngineState, at: float) -> list[str]:
        """What is new in a state of ``name``'s engine, as lines."""
        talk = state.call
        if talk is None:
            return []
        shown = self._shown.setdefault(name, _Shown())
        return self._keep([f"{at:5.1f} s  {line}" for line in _news(name, talk, shown)])

    def sample(self, name: str, sample: messages.CallSample, at: float) -> list[str]:
        """The figures of ``name``'s side of the call."""
        shown = self._shown.setdefault(name, _Shown())
        shown.concealed = sample.concealed_ms
        if name != _CALLER or sample.at - shown.line_at < TALK_LINE_EVERY_S:
            return []
        shown.line_at = sample.at
        lost = sum(round(side.concealed * _SAMPLES_PER_MS) for side in self._shown.values())
        return self.add(at, f"{sample.at:.0f} s of conversation: samples lost in both directions {lost:,}")

    def why_relayed(self) -> str:
        """Why the caller's hardest technique failed or was left out; empty where there is no such reason."""
        shown = self._shown.get(_CALLER)
        return "" if shown is None else shown.failure

    def _keep(self, lines: list[str]) -> list[str]:
        self.lines += lines
        del self.lines[:-MAX_LINES]
        return lines


def _news(name: str, talk: engine_state.CallStatus, shown: _Shown) -> Iterator[str]:
    phase, shown.phase = shown.phase, talk.phase
    if talk.phase != phase:
        if (name, talk.phase) == (_CALLER, "calling"):
            yield f"{_CALLER} calls {_CALLEE}"
        elif (name, talk.phase) == (_CALLEE, "incoming"):
            yield f"{_CALLEE}'s phone rings; both programs are already connected over the relay, end-to-end encrypted"
        elif (name, talk.phase) == (_CALLER, "talking") and phase != "reconnecting":
            yield f"{_CALLEE} answers"
        elif talk.phase == "reconnecting":
            yield f"{name}: no connection, reconnecting"
        elif (talk.phase, phase) == ("talking", "reconnecting"):
            yield f"{name}: connected again"
        elif (name, talk.phase) == (_CALLER, "ended"):
            yield f"{name} hangs up" if talk.end_reason == "hung-up" else f"the call is over: {end_text(talk)}"
    if talk.local_nat.kind not in ("", _NOT_KNOWN) and headline(talk.local_nat.kind) != shown.nat:
        shown.nat = headline(talk.local_nat.kind)
        yield f"{name}'s network: {shown.nat}. {detail(talk.local_nat.kind)}"
    if talk.answered is not None and talk.phase != "ended":
        path, shown.path = shown.path, talk.path or ""
        if shown.path and shown.path != path:
            yield _moved(name, talk, from_relay=path == "relay")
    for step in talk.phases:
        before, shown.techniques[step.name] = shown.techniques.get(step.name, "waiting"), step.outcome
        if step.outcome not in (before, "waiting"):
            outcome = "" if step.outcome == "trying" else f" {_OUTCOMES[step.outcome]}"
            yield f"{name}, {_PHASES.get(step.name, step.name)}{outcome}: {step_text(step, talk)}"
    # The hardest one says the most; which of them ended last says nothing.
    failures = [step for step in talk.phases if step.outcome in _FAILED and step.reason not in _NO_REASON]
    shown.failure = step_text(failures[-1], talk) if failures else ""


def _moved(name: str, talk: engine_state.CallStatus, *, from_relay: bool) -> str:
    if talk.path != "direct":
        return f"{name}'s voice is back on the relay" if talk.spans[1:] else f"{name}'s voice goes over the relay"
    since = next((span.start for span in reversed(talk.spans) if span.kind == "direct"), 0.0)
    return (
        f"{name}'s voice {'moves to the direct path' if from_relay else 'goes direct'}, {since:.2f} s after the answer"
    )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the demo showed what it is for, and why, in lines for a person."""

    is_good: bool
    lines: tuple[str, ...]


def verdict(reports: list[tuple[str, CallReport]], *, may_stay: bool, why: str = "") -> Judgement:
    """Judge the call by both reports. ``may_stay``: nothing direct can be had (or there are no NATs), so that a call on
    the relay is as it should be; ``why``: the reason that the caller sees."""
    if len(reports) != 2 or any(report.outcome != "answered" for _, report in reports):
        return Judgement(False, ("The call did not end as it should: it was not answered, or a report is missing.",))
    lines, is_good = [], True
    times = [report.times for _, report in reports]
    directs = [at.direct - at.answered for at in times if at.direct is not None and at.answered is not None]
    if len(directs) == len(reports):
        lines.append(f"Direct {max(0.0, *directs):.2f} s after the answer.")
    else:
        is_good = may_stay
        lines.append(f"The call stayed on the relay. {why}".rstrip())
    for name, report in reports:
        if report.media.frames_lost or report.media.samples_concealed:
            is_good = False
            lines.append(_what_is_missing(name, report.media))
    if is_good:
        played = sum(report.media.samples_played for _, report in reports)
        lines.append(f"Not one of {played:,} samples was lost.")
    return Judgement(is_good, tuple(lines))


def _what_is_missing(name: str, media: MediaReport) -> str:
    if media.frames_lost or media.frames_late:
        lost = media.frames_lost * _FRAME_SAMPLES
        return (
            f"{name}: {lost:,} samples did not arrive and {media.frames_late * _FRAME_SAMPLES:,} came too late; "
            f"{media.samples_concealed:,} were concealed."
        )
    return (
        f"{name}: every sample arrived in time, and yet {media.samples_concealed:,} were concealed: this machine was "
        f"too busy to play them ({media.underruns} underruns). Try again when it does less."
    )
