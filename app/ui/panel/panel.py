"""The connection, opened up: timeline, charts, the steps to a direct path and the two networks of one call."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from app.ipc.engine_state import CallStatus
from app.ipc.messages import CallSample, Report, TraceSaved
from app.text.calls import codec_text
from app.text.traversal import step_text
from app.ui.commands import Now, Send
from app.ui.panel.charts import Chart, Series
from app.ui.panel.export import ReportCopier, TraceSaver
from app.ui.panel.nat_details import NetworkCard
from app.ui.panel.path_strip import PathStrip
from app.ui.panel.traversal_steps import TraversalSteps
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import icon_button
from app.ui.widgets.format import caller, kilobits, milliseconds, percent
from app.ui.widgets.labels import ElidedLabel, small, strong
from app.ui.widgets.layout import card, column, row, scrolled, wrap

# Scales end no lower than these, so that small changes look small.
LEAST_RTT_MS = 50.0
LEAST_LOSS = 0.05
LEAST_DELAY_MS = 100.0
LEAST_KBPS = 50.0


class ConnectionPanel(QFrame):
    """The panel beside the call."""

    close_wanted = Signal()

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__()
        self.setObjectName("connection_panel")
        self._now = now
        self._call_id = ""
        self._report = ReportCopier(send, kind="quiet", name="copy_report")
        self._trace = TraceSaver(send)
        self._figures = small(name="figures")
        self._steps = TraversalSteps()
        self._mine = NetworkCard(self.tr("Your network"))
        self._theirs = NetworkCard()
        networks = row(self._mine, self._theirs, spacing=12, stretch=0)
        networks.setStretch(1, 1)
        close = icon_button("x", self.tr("Close the connection panel"), name="close_panel")
        close.clicked.connect(self.close_wanted)
        # In a small window the title makes room for the buttons and their confirmations.
        title = ElidedLabel(self.tr("Connection"), size="title")
        body = column(
            self._build_strip(),
            self._build_charts(),
            self._figures,
            card(strong(self.tr("Finding a direct path")), 4, self._steps, name="steps_card"),
            networks,
            None,
            spacing=12,
            margins=(0, 0, 12, 12),
        )
        self.setLayout(
            column(
                row(title, self._report, self._trace, close, spacing=4, stretch=0),
                scrolled(wrap(body), name="panel_scroll"),
                margins=(20, 12, GRID_PX, 0),
            )
        )

    def show_call(self, call: CallStatus) -> None:
        """Bring timeline, steps and networks up to date."""
        if call.call_id != self._call_id:
            self._call_id = call.call_id
            self._report.show_call(call.call_id)
            self._trace.show_call(call.call_id)
            for chart in self._charts:
                chart.reset()
            self._figures.setText(self.tr("No figures yet. They appear with the first audio."))
        elapsed = 0.0
        if call.answered is not None:
            elapsed = (call.ended if call.ended is not None else self._now()) - call.answered
        self._strip.show_call(call, elapsed)
        self._pointed.set_text(self._hint if call.spans else self.tr("The timeline starts when the call is answered."))
        for chart in self._charts:
            chart.set_marks(call.marks)
        self._steps.show_phases(call, elapsed)
        mapped = (phase for phase in call.phases if phase.name == "port_mapping" and phase.outcome == "won")
        self._mine.show_profile(call.local_nat, "".join(step_text(phase, call) for phase in mapped))
        self._theirs.show_profile(call.remote_nat)
        self._theirs.set_title(caller(call)[0])

    def add_sample(self, sample: CallSample) -> None:
        """Draw one more point of every chart."""
        if sample.call_id != self._call_id:
            return
        (relay_rtt, relay_loss), (direct_rtt, direct_loss) = _figures(sample, "relay"), _figures(sample, "direct")
        sent, received = kilobits(sample.sent_kbps), kilobits(sample.received_kbps)
        rtt, loss, delay, rate = self._charts
        at = sample.at
        rtt.add(at, (relay_rtt, direct_rtt), milliseconds(sample.rtt_ms))
        loss.add(at, (relay_loss, direct_loss), percent(sample.loss))
        delay.add(at, (sample.playout_delay_ms, sample.jitter_ms), milliseconds(sample.playout_delay_ms))
        rate.add(at, (sample.sent_kbps, sample.received_kbps), sent)
        parts = [
            codec_text(sample),
            self.tr("{rate} out").format(rate=sent),
            self.tr("{rate} in").format(rate=received),
            self.tr("{time} concealed").format(time=milliseconds(sample.concealed_ms)),
        ]
        if sample.remote_loss:
            parts.append(self.tr("{share} of your packets lost").format(share=percent(sample.remote_loss)))
        self._figures.setText(" · ".join(parts))

    def take_report(self, report: Report) -> None:
        """The answer to “Copy report”."""
        self._report.take_report(report)

    def trace_saved(self, saved: TraceSaved) -> None:
        """The answer to “Save trace”."""
        self._trace.saved(saved)

    def _build_strip(self) -> QWidget:
        self._strip = PathStrip()
        self._hint = self.tr("Point at the timeline, or use the arrow keys, to see what happened.")
        self._pointed = ElidedLabel(size="small", tone="muted", name="strip_text")
        self._strip.pointed.connect(lambda text: self._pointed.set_text(text or self._hint))
        return card(self._strip, self._pointed, name="strip_card", spacing=2, margins=(12,) * 4)

    def _build_charts(self) -> QGridLayout:
        paths = Series(self.tr("Relay"), "relay", dashed=True), Series(self.tr("Direct"), "direct")
        delays = Series(self.tr("Delay"), "accent"), Series(self.tr("Jitter"), "muted", dashed=True)
        rates = Series(self.tr("Out"), "accent"), Series(self.tr("In"), "muted", dashed=True)
        self._charts = (
            Chart(self.tr("Round trip"), paths, "{:.0f} ms", LEAST_RTT_MS, name="chart_rtt"),
            Chart(self.tr("Loss"), paths, "{:.0%}", LEAST_LOSS, name="chart_loss"),
            Chart(self.tr("Playout delay"), delays, "{:.0f} ms", LEAST_DELAY_MS, name="chart_delay"),
            Chart(self.tr("Bit rate"), rates, "{:.0f} kbit/s", LEAST_KBPS, name="chart_rate"),
        )
        grid = QGridLayout()
        grid.setSpacing(12)
        for place, chart in enumerate(self._charts):
            grid.addWidget(chart, place // 2, place % 2)
        return grid


def _figures(sample: CallSample, kind: str) -> tuple[float | None, float | None]:
    """Round trip and loss of the path of a kind: of the active one if there are more."""
    found = sorted((path for path in sample.paths if path.kind == kind), key=lambda path: not path.active)
    return (found[0].rtt_ms, found[0].loss) if found else (None, None)
