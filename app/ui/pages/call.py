"""The call: who, how long, how loud, and one line that says how it travels. The line opens the connection panel."""

import time
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ipc.messages import (
    AnswerCall,
    CallSample,
    CallState,
    DeclineCall,
    DismissCall,
    EngineState,
    HangUp,
    Levels,
    PlaceCall,
    Report,
    TraceSaved,
)
from app.ui.commands import Send
from app.ui.pages.call_controls import CallControls
from app.ui.panel.panel import ConnectionPanel
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.animation import Appear, Pulse
from app.ui.widgets.avatar import Avatar
from app.ui.widgets.buttons import Button
from app.ui.widgets.format import clock, menu_text, plain, short_address
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import card, column, holder, row
from app.ui.widgets.meter import LevelMeter

COLUMN_PX = 424
SIDE_PX = 408
# The clock shows seconds; asking four times as often keeps it from skipping one.
CLOCK_MS = 250


class CallPage(QWidget):
    """The running, ringing or just ended call."""

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.setObjectName("call_page")
        self._send = send
        self._now = now
        self._call: CallState | None = None
        self._panel = ConnectionPanel(send, now)
        self._panel.close_wanted.connect(lambda: self.open_panel(False))
        self._panel.hide()
        self._column = self._build_column()
        whole: QHBoxLayout = row(None, self._column, None, self._panel, spacing=0)
        self._whole = whole
        self.setLayout(whole)
        self.open_panel(False)
        self._timer = QTimer(self, interval=CLOCK_MS)
        self._timer.timeout.connect(self._tick)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        """Bring the page up to date with ``state.call``."""
        call = state.call
        if call is None:
            self._call = None
            self._timer.stop()
            self._pulse.stop()
            return
        fresh = self._call is None or self._call.call_id != call.call_id
        if self._call is not None and not fresh and self._call.path != call.path:
            self._line_appears.begin()
        self._call = call
        if fresh:
            self._you.set_level(0)
            self._them.set_level(0)
        title = plain(call.title)
        self._avatar.set_title(call.title)
        self._name.set_text(title)
        self._address.set_text(short_address(call.address))
        self._them_name.set_text(title)
        self._show_line(call)
        self._show_sound(call, state)
        self._show_buttons(call, state)
        self._panel.show_call(call)
        self._pulse.set_on(call.phase in ("ringing", "incoming"))
        self._tick()
        if call.phase != "ended":
            self._timer.start()
        else:
            self._timer.stop()

    def show_levels(self, levels: Levels) -> None:
        """Move the meters."""
        self._you.set_level(levels.microphone)
        self._them.set_level(levels.speaker)

    def add_sample(self, sample: CallSample) -> None:
        """One more point in the charts."""
        self._panel.add_sample(sample)

    def take_report(self, report: Report) -> None:
        """The report that the panel asked for."""
        self._panel.take_report(report)

    def trace_saved(self, told: TraceSaved) -> None:
        """The file that the panel asked for is there."""
        self._panel.trace_saved(told)

    def open_panel(self, wanted: bool) -> None:
        """Show the connection panel beside the call, or hide it."""
        self._panel.setVisible(wanted)
        self._line.setChecked(wanted)
        self._column.setMaximumWidth(SIDE_PX if wanted else COLUMN_PX)
        self._column.setMinimumWidth(SIDE_PX)
        for place in (0, 2):
            self._whole.setStretch(place, 0 if wanted else 1)
        self._whole.setStretch(3, 1 if wanted else 0)

    def panel_open(self) -> bool:
        """Whether the connection panel is shown."""
        return self._panel.isVisibleTo(self)

    # -- building --------------------------------------------------------------------------------------------------

    def _build_column(self) -> QWidget:
        self._avatar = Avatar(112, halo_px=20)
        self._pulse = Pulse(self._avatar.set_halo, self)
        self._name = ElidedLabel(size="title")
        self._name.setObjectName("call_name")
        self._address = ElidedLabel(size="small", tone="muted", mode=Qt.TextElideMode.ElideMiddle)
        self._clock = Label()
        self._clock.setObjectName("call_clock")
        self._line = Button(kind="quiet", picture="server", name="connection_line")
        self._line.setCheckable(True)
        self._line_appears = Appear(self._line)
        self._line.clicked.connect(self.open_panel)
        self._line.setAccessibleDescription(self.tr("Opens the connection panel"))
        self._words = Label(tone="muted", wrap=True)
        self._words.setObjectName("call_words")
        for label in (self._name, self._address, self._clock, self._words):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._meters = self._build_meters()
        self._trouble = Label(size="small", tone="warn", wrap=True)
        self._trouble.setObjectName("device_trouble")
        self._trouble.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._controls = CallControls(self._send)
        self._controls.hang_up_wanted.connect(self._hang_up)
        self._buttons = self._build_buttons()
        inside = column(
            None,
            row(None, self._avatar, None),
            self._name,
            self._address,
            GRID_PX,
            self._clock,
            4,
            row(None, self._line, None),
            self._words,
            GRID_PX,
            self._meters,
            self._trouble,
            GRID_PX,
            self._controls,
            self._buttons,
            None,
            spacing=4,
        )
        inside.setContentsMargins(3 * GRID_PX, 2 * GRID_PX, 3 * GRID_PX, 2 * GRID_PX)
        made = QWidget()
        made.setLayout(inside)
        return made

    def _build_meters(self) -> QWidget:
        frame, inside = card(name="meters")
        self._you = LevelMeter(self.tr("Your microphone"), name="level_you")
        self._them = LevelMeter(self.tr("Their voice"), name="level_them")
        self._you_picture = Picture("mic", "muted", 18)
        self._them_picture = Picture("volume-2", "muted", 18)
        self._you_name = ElidedLabel(self.tr("You"), size="small", tone="muted")
        self._them_name = ElidedLabel(size="small", tone="muted")
        for picture, name, meter in (
            (self._you_picture, self._you_name, self._you),
            (self._them_picture, self._them_name, self._them),
        ):
            name.setFixedWidth(88)
            line = row(picture, name, meter)
            line.setStretch(2, 1)
            inside.addLayout(line)
        return frame

    def _build_buttons(self) -> QWidget:
        self._answer = Button(
            self.tr("Answer"), kind="primary", picture="phone", name="page_answer", tall=True, clicked=self._answer_call
        )
        self._decline = Button(
            self.tr("Decline"), kind="danger", picture="phone-off", name="page_decline", tall=True, clicked=self._refuse
        )
        self._close = Button(self.tr("Close"), name="close_call", tall=True, clicked=self._dismiss)
        self._again = Button(
            self.tr("Call again"), kind="primary", picture="phone", name="call_again", tall=True, clicked=self._redial
        )
        made = row(self._decline, self._answer, self._close, self._again)
        return holder(made)

    # -- parts that change -----------------------------------------------------------------------------------------

    def _show_line(self, call: CallState) -> None:
        linked = call.phase in ("talking", "reconnecting") or (call.phase == "ended" and bool(call.spans))
        self._line.setVisible(linked)
        if call.phase == "ended":
            self._line.setText(self.tr("See how it travelled"))
            self._line.set_picture("activity")
        elif call.phase == "reconnecting":
            self._line.setText(self.tr("No path at the moment"))
            self._line.set_picture("wifi-off", "warn")
        else:
            fallback = self.tr("Direct") if call.path == "direct" else self.tr("On the relay")
            self._line.setText(menu_text(call.path_text or fallback))
            direct = call.path == "direct"
            self._line.set_picture("arrow-left-right" if direct else "server", "direct" if direct else "relay")
        self._words.setText(self._sentence(call))
        self._words.setVisible(bool(self._words.text()))
        self._words.set_tone("warn" if call.phase == "reconnecting" else "muted")

    def _sentence(self, call: CallState) -> str:
        title = plain(call.title)
        match call.phase:
            case "calling":
                return self.tr("Looking for {0}…").format(title)
            case "ringing":
                return self.tr("It rings there.")
            case "incoming":
                first = self.tr("First call from this person.") if call.first_call else ""
                return first or self.tr("Wants to talk to you.")
            case "connecting":
                return self.tr("Connecting, one moment…")
            case "reconnecting":
                return self.tr("The connection is gone. Segue keeps trying; you need not do anything.")
            case "ended":
                return plain(call.end_text, 400) or self.tr("The call has ended.")
            case _:
                return self.tr("{0} has muted their microphone.").format(title) if call.peer_muted else ""

    def _show_sound(self, call: CallState, state: EngineState) -> None:
        answered = call.phase in ("talking", "reconnecting")
        self._meters.setVisible(answered)
        self._you.set_off(call.muted)
        self._you_picture.set_picture("mic-off" if call.muted else "mic", "warn" if call.muted else "muted")
        self._you_name.set_text(self.tr("You, muted") if call.muted else self.tr("You"))
        self._them_picture.set_picture("mic-off" if call.peer_muted else "volume-2", "muted")
        problems = [text for text in (state.audio.input_problem, state.audio.output_problem) if text]
        live = call.phase not in ("ended",)
        self._trouble.setText("\n".join(problems) if live else "")
        self._trouble.setVisible(bool(problems) and live)

    def _show_buttons(self, call: CallState, state: EngineState) -> None:
        incoming, ended = call.phase == "incoming", call.phase == "ended"
        self._controls.setVisible(not incoming and not ended)
        talking = call.phase in ("talking", "reconnecting", "connecting")
        self._controls.show_call(call.muted, state.audio, state.settings, talking=talking)
        self._buttons.setVisible(incoming or ended)
        for button in (self._answer, self._decline):
            button.setVisible(incoming)
        self._close.setVisible(ended)
        self._again.setVisible(ended and state.me.relay == "online")

    def _tick(self) -> None:
        call = self._call
        if call is None:
            return
        if call.phase == "reconnecting" and call.reconnecting_since is not None:
            words = self.tr("Reconnecting… {0}").format(clock(self._now() - call.reconnecting_since))
        elif call.answered is not None:
            words = clock((call.ended if call.ended is not None else self._now()) - call.answered)
        elif call.phase == "ended":
            words = self.tr("Not connected")
        elif call.phase == "incoming":
            words = self.tr("Incoming call")
        else:
            words = self.tr("Calling…")
        if words != self._clock.text():
            self._clock.setText(words)
            if self.panel_open():
                self._panel.show_call(call)

    # -- what a person does ----------------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        if self._call is not None:
            self._send(HangUp(call_id=self._call.call_id))

    def _answer_call(self) -> None:
        if self._call is not None:
            self._send(AnswerCall(call_id=self._call.call_id))

    def _refuse(self) -> None:
        if self._call is not None:
            self._send(DeclineCall(call_id=self._call.call_id))

    def _dismiss(self) -> None:
        if self._call is not None:
            self._send(DismissCall(call_id=self._call.call_id))

    def _redial(self) -> None:
        if self._call is not None:
            self._send(DismissCall(call_id=self._call.call_id))
            self._send(PlaceCall(address=self._call.address))
