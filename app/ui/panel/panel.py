"""The connection, opened up: the strip, the charts, the ladder and the two networks of one call."""

import time
from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from app.ipc.messages import CallSample, CallState, GetReport, NatProfile, PathFigures, Report, TraceSaved
from app.ui.commands import COPIED_SHOWN_MS, Send
from app.ui.panel.charts import Chart, Series
from app.ui.panel.export import TraceSaver
from app.ui.panel.path_strip import PathStrip
from app.ui.panel.traversal_steps import TraversalSteps
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.format import kilobits, milliseconds, percent, plain
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import card, column, copy_text, row, scrolled

# Scales do not shrink under these, so that small wobbles look small.
LEAST_RTT_MS = 50.0
LEAST_LOSS = 0.05
LEAST_DELAY_MS = 100.0
LEAST_KBPS = 50.0


class ConnectionPanel(QFrame):
    """The panel beside the call."""

    close_wanted = Signal()

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.setObjectName("connection_panel")
        self._send = send
        self._now = now
        self._call_id = ""
        self._asked_for = ""
        self._build()

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_call(self, call: CallState) -> None:
        """Bring strip, ladder and networks up to date."""
        if call.call_id != self._call_id:
            self._call_id = call.call_id
            self._trace.show_call(call.call_id)
            for chart in self._charts():
                chart.reset()
            self._codec.setText(self.tr("No figures yet. They come with the first sound."))
        self._strip.show_call(call, self._elapsed(call))
        self._waiting.setVisible(not call.spans)
        self._told.setVisible(bool(call.spans))
        for chart in self._charts():
            chart.set_marks(call.marks)
        self._ladder.show_phases(call.phases, self._elapsed(call))
        opened = (phase.why for phase in call.phases if phase.name == "port_mapping" and phase.outcome == "won")
        self._mine.show_profile(call.local_nat, door=next(opened, ""))
        self._theirs.show_profile(call.remote_nat)
        self._theirs.set_title(plain(call.title))

    def add_sample(self, sample: CallSample) -> None:
        """Draw one more point of every chart."""
        if sample.call_id != self._call_id:
            return
        relay = _of_kind(sample, "relay")
        direct = _of_kind(sample, "direct")
        self._rtt.add(
            sample.at, (relay.rtt_ms if relay else None, direct.rtt_ms if direct else None), milliseconds(sample.rtt_ms)
        )
        self._loss.add(
            sample.at, (relay.loss if relay else None, direct.loss if direct else None), percent(sample.loss)
        )
        self._delay.add(sample.at, (sample.playout_delay_ms, sample.jitter_ms), milliseconds(sample.playout_delay_ms))
        self._rate.add(sample.at, (sample.sent_kbps, sample.received_kbps), kilobits(sample.sent_kbps))
        parts = [plain(sample.codec, 80)]
        parts.append(self.tr("{0} out, {1} in").format(kilobits(sample.sent_kbps), kilobits(sample.received_kbps)))
        parts.append(self.tr("{0} bridged over").format(milliseconds(sample.concealed_ms)))
        if sample.remote_loss:
            parts.append(self.tr("{0} lost on the way there").format(percent(sample.remote_loss)))
        self._codec.setText(" · ".join(parts))

    def take_report(self, report: Report) -> None:
        """The answer to “Copy report”: put it on the clipboard."""
        if report.call_id == self._asked_for:
            self._asked_for = ""
            copy_text(report.json)
            self._copied.setText(self.tr("Copied"))
            QTimer.singleShot(COPIED_SHOWN_MS, self._copied, self._copied.clear)

    def trace_saved(self, told: TraceSaved) -> None:
        """The answer to “Save trace”."""
        self._trace.saved(told)

    # -- building --------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._copied = Label(size="small", tone="accent")
        copy = Button(self.tr("Copy report"), kind="quiet", picture="copy", name="copy_report", clicked=self._copy)
        close = icon_button("x", self.tr("Close the connection panel"), name="close_panel")
        close.clicked.connect(self.close_wanted)
        self._trace = TraceSaver(self._send)
        # In a small window the title gives way to the buttons, and to the words that they show for a moment.
        title = ElidedLabel(self.tr("Connection"), size="title")
        head = row(title, self._copied, copy, self._trace, close, spacing=4)
        head.setStretch(0, 1)
        parts = column(
            self._build_strip(),
            self._build_charts(),
            self._codec,
            self._build_ladder(),
            self._build_networks(),
            None,
            spacing=12,
        )
        body = QWidget()
        body.setLayout(parts)
        parts.setContentsMargins(0, 0, 12, 12)
        whole = column(head, scrolled(body, name="panel_scroll"), spacing=GRID_PX)
        whole.setContentsMargins(20, 12, 8, 0)
        self.setLayout(whole)

    def _build_strip(self) -> QWidget:
        frame, inside = card(name="strip_card", padding=12)
        self._strip = PathStrip()
        self._waiting = Label(self.tr("The strip starts when the call is answered."), size="small", tone="muted")
        self._told = ElidedLabel(size="small", tone="muted")
        self._told.setObjectName("strip_words")
        self._hint = self.tr("Move over the strip, or use the arrow keys, to see what happened.")
        self._told.set_text(self._hint)
        self._strip.told.connect(lambda words: self._told.set_text(words or self._hint))
        inside.addWidget(self._strip)
        inside.addWidget(self._told)
        inside.addWidget(self._waiting)
        inside.setSpacing(2)
        return frame

    def _build_charts(self) -> QWidget:
        relay = Series(self.tr("Relay"), "relay", dashed=True)
        direct = Series(self.tr("Direct"), "direct")
        self._rtt = Chart(self.tr("Round trip"), (relay, direct), milliseconds_short, LEAST_RTT_MS, name="chart_rtt")
        self._loss = Chart(self.tr("Loss"), (relay, direct), percent_short, LEAST_LOSS, name="chart_loss")
        self._delay = Chart(
            self.tr("Playout delay"),
            (Series(self.tr("Delay"), "accent"), Series(self.tr("Jitter"), "muted", dashed=True)),
            milliseconds_short,
            LEAST_DELAY_MS,
            name="chart_delay",
        )
        self._rate = Chart(
            self.tr("Bit rate"),
            (Series(self.tr("Out"), "accent"), Series(self.tr("In"), "muted", dashed=True)),
            kilobits_short,
            LEAST_KBPS,
            name="chart_rate",
        )
        self._codec = Label(size="small", tone="muted", wrap=True)
        self._codec.setObjectName("codec_line")
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(12)
        for place, chart in enumerate(self._charts()):
            grid.addWidget(chart, place // 2, place % 2)
        made = QWidget()
        made.setLayout(grid)
        return made

    def _build_ladder(self) -> QWidget:
        frame, inside = card(name="ladder_card")
        self._ladder = TraversalSteps()
        inside.addWidget(Label(self.tr("The way to a direct path"), size="strong"))
        inside.addSpacing(4)
        inside.addWidget(self._ladder)
        return frame

    def _build_networks(self) -> QWidget:
        self._mine = NetworkCard(self.tr("Your network"))
        self._theirs = NetworkCard()
        made = QWidget()
        both = row(self._mine, self._theirs, spacing=12)
        for place in (0, 1):
            both.setStretch(place, 1)
        made.setLayout(both)
        return made

    def _charts(self) -> tuple[Chart, ...]:
        return self._rtt, self._loss, self._delay, self._rate

    def _elapsed(self, call: CallState) -> float:
        if call.answered is None:
            return 0.0
        return (call.ended if call.ended is not None else self._now()) - call.answered

    def _copy(self) -> None:
        self._asked_for = self._call_id
        self._send(GetReport(call_id=self._call_id))


class NetworkCard(QFrame):
    """One side's network in words."""

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.setProperty("kind", "card")
        self._title = ElidedLabel(title, size="small", tone="muted")
        self._ease = Label(size="small", tone="muted")
        self._ease_picture = Picture("circle-check", "muted", 16)
        self._headline = Label(size="strong", wrap=True)
        self._detail = Label(size="small", wrap=True)
        self._small = Label(size="small", tone="muted", wrap=True)
        self._door = Label(size="small", wrap=True)
        self._door_picture = Picture("check", "text", 16)
        head = row(self._title, self._ease_picture, self._ease, spacing=4)
        head.setStretch(0, 1)
        door = row(self._door_picture, self._door)
        door.setStretch(1, 1)
        inside = column(head, self._headline, self._detail, self._small, door, None, spacing=4)
        inside.setContentsMargins(16, 12, 16, 12)
        self.setLayout(inside)
        self.show_profile(NatProfile())

    def set_title(self, who: str) -> None:
        """Whose network it is."""
        self._title.set_text(self.tr("{0}'s network").format(who))

    def show_profile(self, profile: NatProfile, *, door: str = "") -> None:
        """Show what is known, the evidence in small print, and what is told of an opened ``door``."""
        known = bool(profile.headline)
        self._headline.setText(profile.headline if known else self.tr("Not known yet"))
        self._headline.set_tone("text" if known else "muted")
        self._detail.setText(profile.detail if known else self.tr("It is found out when a direct path is looked for."))
        self._detail.set_tone("text" if known else "muted")
        self._detail.setVisible(bool(self._detail.text()))
        self._small.setText(" · ".join(part for part in (profile.kind, profile.evidence) if part))
        self._small.setVisible(bool(self._small.text()))
        word, picture, tone = {
            "": ("", "", "muted"),
            "easy": (self.tr("Easy"), "circle-check", "muted"),
            "hard": (self.tr("Hard"), "triangle-alert", "warn"),
            "blocked": (self.tr("Blocked"), "ban", "warn"),
        }[profile.ease]
        self._ease.setText(word)
        self._ease.set_tone(tone)
        for part in (self._ease, self._ease_picture):
            part.setVisible(bool(word))
        if word:
            self._ease_picture.set_picture(picture, tone)
        self._door.setText(door)
        for part in (self._door, self._door_picture):
            part.setVisible(bool(door))
        said = [self._headline.text(), word, self._door.text()]
        self.setAccessibleName(self._title.whole_text())
        self.setAccessibleDescription(". ".join(part.rstrip(".") for part in said if part))


def _of_kind(sample: CallSample, kind: str) -> PathFigures | None:
    """The path of a kind: the active one if there are more."""
    found = [path for path in sample.paths if path.kind == kind]
    return next((path for path in found if path.active), found[0] if found else None)


def milliseconds_short(value: float | None) -> str:
    """For the end of a scale."""
    return f"{value or 0:.0f} ms"


def percent_short(share: float | None) -> str:
    """For the end of a scale."""
    return f"{(share or 0) * 100:.0f} %"


def kilobits_short(value: float | None) -> str:
    """For the end of a scale."""
    return f"{value or 0:.0f} kbit/s"
