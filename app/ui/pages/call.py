"""The call: who, how long, how loud, and the path it takes. The line about the path opens the connection panel."""

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QWidget

from app.ipc.engine_state import CallStatus
from app.ipc.messages import EngineState, Levels
from app.text.calls import caller_note, end_text, path_text
from app.text.devices import device_text
from app.ui.commands import CallCommands, Now, Send
from app.ui.pages.call_controls import CallControls
from app.ui.pages.page import Page
from app.ui.panel.panel import ConnectionPanel
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.animation import Appear, Pulse
from app.ui.widgets.avatar import Avatar
from app.ui.widgets.buttons import quiet
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import caller, clock, menu_text, plain
from app.ui.widgets.labels import ElidedLabel, Icon, Label, small
from app.ui.widgets.layout import card, column, row, wrap
from app.ui.widgets.level_bars import LevelBars

COLUMN_PX = 424
SIDE_PX = 408
METER_NAME_PX = 88
# The clock shows seconds; asking four times as often keeps it from skipping one.
CLOCK_MS = 250


class CallPage(Page):
    """A call that rings, runs or has just ended."""

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__()
        self.setObjectName("call_page")
        self._now = now
        self._commands = CallCommands(send)
        self.panel = ConnectionPanel(send, now)
        self.panel.close_wanted.connect(lambda: self.open_panel(False))
        self.panel.hide()
        self._controls = CallControls(send, self._commands)
        self._column = self._build_column()
        self._whole = row(None, self._column, None, self.panel, spacing=0)
        self.setLayout(self._whole)
        self.open_panel(False)
        self._timer = QTimer(self, interval=CLOCK_MS)
        self._timer.timeout.connect(self._tick)

    def show_state(self, state: EngineState) -> None:
        call, before = state.call, self._commands.call
        self._commands.call = call
        if call is None:
            self._timer.stop()
            self._pulse.set_on(False)
            return
        if before is None or before.call_id != call.call_id:
            self._you.set_level(0)
            self._them.set_level(0)
        elif before.path != call.path:
            self._line_appears.begin()
        title, address = caller(call)
        self._avatar.set_title(title)
        self._name.set_text(title)
        self._address.set_text(address)
        self._them_name.set_text(title)
        self._show_line(call)
        self._show_audio(call, state)
        self._controls.show_state(call, state)
        self._block.setVisible(bool(call.key) and not call.blocked)
        self.panel.show_call(call)
        self._pulse.set_on(call.phase in ("ringing", "incoming"))
        self._tick()
        if call.phase != "ended":
            self._timer.start()
        else:
            self._timer.stop()

    def show_levels(self, levels: Levels) -> None:
        self._you.set_level(levels.microphone)
        self._them.set_level(levels.speaker)

    def engine_gone(self) -> None:
        self.show_state(EngineState())

    def open_panel(self, wanted: bool) -> None:
        """Show the connection panel beside the call, or hide it."""
        self.panel.setVisible(wanted)
        self._line.setChecked(wanted)
        self._column.setMaximumWidth(SIDE_PX if wanted else COLUMN_PX)
        self._column.setMinimumWidth(SIDE_PX)
        for place in (0, 2):
            self._whole.setStretch(place, 0 if wanted else 1)
        self._whole.setStretch(3, 1 if wanted else 0)

    def _build_column(self) -> QWidget:
        self._avatar = Avatar(112, halo_px=20)
        self._pulse = Pulse(self._avatar.set_halo, self)
        self._name = ElidedLabel(size="title", name="call_name", centred=True)
        self._address = ElidedLabel(size="small", tone="muted", mode=Qt.TextElideMode.ElideMiddle, centred=True)
        self._clock = Label(name="call_clock", centred=True)
        self._line = quiet(icon="server", name="connection_line")
        self._line.setCheckable(True)
        self._line_appears = Appear(self._line)
        self._line.clicked.connect(self.open_panel)
        self._line.setAccessibleDescription(self.tr("Opens the connection panel"))
        self._text = Label(tone="muted", name="call_text", wrap=True, centred=True)
        self._block = quiet(self.tr("Block"), icon="ban", name="block_caller", clicked=self._ask_block)
        self._trouble = small(tone="warn", name="device_trouble", centred=True)
        return wrap(
            column(
                None,
                row(None, self._avatar, None),
                self._name,
                self._address,
                GRID_PX,
                self._clock,
                4,
                row(None, self._line, None),
                self._text,
                GRID_PX,
                self._build_meters(),
                self._trouble,
                GRID_PX,
                self._controls,
                row(None, self._block, None),
                None,
                spacing=4,
                margins=(3 * GRID_PX, 2 * GRID_PX, 3 * GRID_PX, 2 * GRID_PX),
            )
        )

    def _build_meters(self) -> QWidget:
        self._you = LevelBars(self.tr("Your microphone"), name="level_you")
        self._them = LevelBars(self.tr("Their voice"), name="level_them")
        self._you_icon = Icon("mic", "muted", 18)
        self._them_icon = Icon("volume-2", "muted", 18)
        self._you_name = ElidedLabel(size="small", tone="muted")
        self._them_name = ElidedLabel(size="small", tone="muted")
        for name in (self._you_name, self._them_name):
            name.setFixedWidth(METER_NAME_PX)
        self._meters = card(
            row(self._you_icon, self._you_name, self._you, stretch=2),
            row(self._them_icon, self._them_name, self._them, stretch=2),
            name="meters",
        )
        return self._meters

    def _show_line(self, call: CallStatus) -> None:
        linked = call.phase in ("talking", "reconnecting") or (call.phase == "ended" and bool(call.spans))
        self._line.setVisible(linked)
        if call.phase == "ended":
            self._line.setText(self.tr("Connection details"))
            self._line.set_icon("activity")
        elif call.phase == "reconnecting":
            self._line.setText(self.tr("No connection"))
            self._line.set_icon("wifi-off", "warn")
        else:
            direct = call.path == "direct"
            self._line.setText(menu_text(path_text(call)))
            self._line.set_icon("arrow-left-right" if direct else "server", "direct" if direct else "relay")
        self._text.show_text(self._sentence(call))
        self._text.set_tone("warn" if call.phase == "reconnecting" else "muted")

    def _sentence(self, call: CallStatus) -> str:
        match call.phase:
            case "incoming":
                return caller_note(call)
            case "reconnecting":
                return self.tr("The connection was lost. Segue keeps trying to get it back.")
            case "ended" if call.blocked:
                return self.tr("You blocked them. They cannot call you any more, whatever address they use.")
            case "ended":
                return plain(end_text(call), 400)
            case "talking" if call.peer_muted:
                return self.tr("{name} is muted.").format(name=caller(call)[0])
            case _:
                return ""

    def _show_audio(self, call: CallStatus, state: EngineState) -> None:
        self._meters.setVisible(call.phase in ("talking", "reconnecting"))
        self._you.set_off(call.muted)
        self._you_icon.set_icon("mic-off" if call.muted else "mic", "warn" if call.muted else "muted")
        self._you_name.set_text(self.tr("You (muted)") if call.muted else self.tr("You"))
        self._them_icon.set_icon("mic-off" if call.peer_muted else "volume-2", "muted")
        problems = device_text("input", state.audio.input_problem), device_text("output", state.audio.output_problem)
        self._trouble.show_text("\n".join(filter(None, problems)) if call.phase != "ended" else "")

    def _ask_block(self) -> None:
        confirm(
            self,
            self.tr("Block this caller?"),
            self.tr("The call ends, and they cannot call you any more, whatever address they use."),
            self.tr("Block"),
            self._commands.block,
        )

    def _tick(self) -> None:
        call = self._commands.call
        if call is None:
            return
        if call.phase == "reconnecting" and call.reconnecting_since is not None:
            since = clock(self._now() - call.reconnecting_since)
            text = self.tr("Reconnecting… {time}").format(time=since)
        elif call.answered is not None:
            text = clock((call.ended if call.ended is not None else self._now()) - call.answered)
        else:
            text = {
                "ended": self.tr("Not connected"),
                "incoming": self.tr("Incoming call"),
                "ringing": self.tr("Ringing…"),
                "connecting": self.tr("Connecting…"),
            }.get(call.phase, self.tr("Calling…"))
        if text != self._clock.text():
            self._clock.setText(text)
            if self.panel.isVisibleTo(self):
                self.panel.show_call(call)
