"""The first minutes: a name, a relay, microphone and speaker. Three steps, each may be left for later."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from app.ipc.messages import CommandFailed, EngineState, Levels, PlaceCall, Register, TryHere
from app.ui.commands import Send
from app.ui.pages.audio_settings import SoundCheck
from app.ui.theme.icons import logo_pixmap
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.fields import Field, OneOf
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Label, Picture
from app.ui.widgets.layout import column, holder, row, scrolled

WIDTH_PX = 480
NAME, RELAY, SOUND, READY = range(4)
ECHO_NAME = "echo"


class FirstRunPage(QWidget):
    """The steps. ``finished`` when the person is through, or leaves the rest for later."""

    finished = Signal()

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.setObjectName("first_run_page")
        self._send = send
        self._state = EngineState()
        self._asked = False
        self._busy = False
        # Pages in a column, one visible: a stacked widget would be as tall as its tallest page.
        self._steps = (self._build_name(), self._build_relay(), self._build_sound(), self._build_ready())
        self._step = NAME
        self._skip = Button(self.tr("Later"), kind="quiet", name="later_button", clicked=self._later)
        self._back = Button(
            self.tr("Back"), kind="quiet", picture="arrow-left", name="back_button", clicked=self._go_back
        )
        body = QWidget()
        body.setFixedWidth(WIDTH_PX)
        body.setLayout(
            column(None, self._build_head(), *self._steps, row(self._back, None, self._skip), None, spacing=2 * GRID_PX)
        )
        self.setLayout(column(scrolled(holder(row(None, body, None)), name="first_run_scroll")))
        self._show_step(NAME)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        """Go on when the engine has done what was asked."""
        self._state = state
        self._sound.show_state(state)
        self._busy = self._asked and bool(state.busy)
        self._waiting.setText(plain(state.busy, 120) if self._busy else "")
        for part in (self._own, self._here, self._relay):
            part.setEnabled(not self._busy)
        self._allow_register()
        if self._asked and state.me.address and not state.busy:
            self._asked = False
            self._show_step(SOUND)
        self._ready_words.setText(
            self.tr("People reach you at {0}.").format(plain(state.me.address.partition("#")[0], 120))
            if state.me.address
            else self.tr("You can choose a name and a relay in the settings at any time.")
        )
        self._echo.setVisible(bool(self._echo_address()))
        self._echo.setEnabled(state.me.relay == "online")

    def show_levels(self, levels: Levels) -> None:
        """Move the meter."""
        self._sound.show_levels(levels)

    def command_failed(self, failure: CommandFailed) -> bool:
        """Show why registering did not work, where it was typed. False: not a matter of this page."""
        if failure.command not in ("Register", "TryHere"):
            return False
        self._asked = False
        words = plain(failure.text, 300)
        if failure.field == "name":
            self._name_wrong.setText(words)
            self._name.set_wrong(True)
            self._show_step(NAME)
        else:
            self._relay_wrong.setText(words)
            self._relay.set_wrong(failure.field == "relay")
        self._relay_wrong.setVisible(bool(self._relay_wrong.text()))
        self._name_wrong.setVisible(bool(self._name_wrong.text()))
        return True

    def enter(self) -> None:
        """The page is shown."""
        self._show_step(self._step)

    def leave(self) -> None:
        """The page is hidden: close the microphone."""
        self._sound.stop()

    def restart(self) -> None:
        """Begin anew."""
        self._asked = False
        self._show_step(NAME)

    def sound_check(self) -> SoundCheck:
        """The third step's devices."""
        return self._sound

    # -- building --------------------------------------------------------------------------------------------------

    def _build_head(self) -> QWidget:
        picture = Label()
        picture.setPixmap(logo_pixmap(56, picture.devicePixelRatioF()))
        picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._progress = Label(size="small", tone="muted")
        self._progress.setAlignment(Qt.AlignmentFlag.AlignCenter)
        return holder(column(picture, self._progress))

    def _build_name(self) -> QWidget:
        self._name = Field(self.tr("Your name"), name="name_field", hint=self.tr("for example: maria"))
        self._name_wrong = Label(size="small", tone="warn", wrap=True)
        self._name_wrong.hide()
        self._next = Button(
            self.tr("Continue"), kind="primary", name="name_next", tall=True, clicked=self._name_entered
        )
        self._next.setEnabled(False)
        self._name.textChanged.connect(self._name_typed)
        self._name.returnPressed.connect(self._name_entered)
        return _step(
            self.tr("What should people call you?"),
            self.tr("Small letters, digits, dots and dashes. It becomes the first half of your address."),
            self._name,
            self._name_wrong,
            self._next,
        )

    def _build_relay(self) -> QWidget:
        self._own = _choice_button(
            "server",
            self.tr("I have a relay"),
            self.tr("A friend, your company or you run one. It carries the calls until a direct path is found."),
            "own_relay",
        )
        self._here = _choice_button(
            "laptop",
            self.tr("Just try it on this machine"),
            self.tr("Starts a private relay and Echo, who sends your own voice back. Nothing leaves this machine."),
            "try_here",
        )
        self._ways = OneOf(self)
        for button in (self._own, self._here):
            self._ways.add(button)
        self._relay = Field(self.tr("Relay"), name="relay_field", hint="relay.example:7850")
        self._relay_wrong = Label(size="small", tone="warn", wrap=True)
        self._relay_wrong.hide()
        self._waiting = Label(size="small", tone="muted")
        self._waiting.setObjectName("busy_words")
        self._register = Button(
            self.tr("Continue"), kind="primary", name="relay_next", tall=True, clicked=self._relay_entered
        )
        self._relay.textChanged.connect(self._relay_typed)
        self._relay.returnPressed.connect(self._relay_entered)
        self._ways.chosen.connect(lambda _place: self._relay_typed())
        self._register.setEnabled(False)
        return _step(
            self.tr("Where do your calls meet?"),
            self.tr("Every call starts on a relay at once, sealed so that the relay cannot listen."),
            self._own,
            self._relay,
            self._here,
            self._relay_wrong,
            self._register,
            self._waiting,
        )

    def _build_sound(self) -> QWidget:
        self._sound = SoundCheck(self._send)
        on = Button(
            self.tr("Continue"), kind="primary", name="sound_next", tall=True, clicked=lambda: self._show_step(READY)
        )
        return _step(self.tr("Can Segue hear you?"), self.tr("Say something; the bar should move."), self._sound, on)

    def _build_ready(self) -> QWidget:
        self._ready_words = Label(tone="muted", wrap=True)
        self._ready_words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._echo = Button(
            self.tr("Call Echo to hear yourself"),
            kind="primary",
            picture="phone",
            name="call_echo",
            tall=True,
            clicked=self._call_echo,
        )
        done = Button(self.tr("Go to your people"), name="done_button", tall=True, clicked=self._finish)
        made = _step(self.tr("All set"), "", self._ready_words, GRID_PX, self._echo, done)
        return made

    # -- steps -----------------------------------------------------------------------------------------------------

    def _show_step(self, step: int) -> None:
        self._step = step
        for place, page in enumerate(self._steps):
            page.setVisible(place == step)
        self._progress.setText(self.tr("Step {0} of 3").format(step + 1) if step < READY else "")
        self._back.setVisible(step in (RELAY, SOUND))
        self._skip.setVisible(step < READY)
        self._skip.setAccessibleDescription(self.tr("You can do this later in the settings"))
        if step == SOUND:
            self._sound.start()
        else:
            self._sound.stop()
        {NAME: self._name, RELAY: self._relay}.get(step, self._steps[step]).setFocus()

    def _name_typed(self) -> None:
        self._next.setEnabled(bool(self._name.text().strip()))
        self._name.set_wrong(False)
        self._name_wrong.hide()

    def _relay_typed(self) -> None:
        own = self._own.isChecked()
        self._relay.setVisible(own)
        self._relay.set_wrong(False)
        self._relay_wrong.hide()
        self._allow_register()

    def _allow_register(self) -> None:
        complete = self._here.isChecked() or bool(self._relay.text().strip())
        self._register.setEnabled(complete and not self._busy)

    def _name_entered(self) -> None:
        if self._next.isEnabled():
            self._show_step(RELAY)

    def _relay_entered(self) -> None:
        if not self._register.isEnabled():
            return
        self._relay_wrong.hide()
        self._asked = True
        name = self._name.text().strip()
        if self._own.isChecked():
            self._send(Register(name=name, relay=self._relay.text().strip()))
        else:
            self._send(TryHere(name=name))

    def _go_back(self) -> None:
        self._show_step(max(self._step - 1, NAME))

    def _later(self) -> None:
        if self._step == NAME and not self._name.text().strip():
            # Without a name there is nothing to register; trying it here needs none.
            self._ways.choose(1)
        self._show_step(self._step + 1)

    def _echo_address(self) -> str:
        found = (one.address for one in self._state.contacts if one.address.partition("@")[0] == ECHO_NAME)
        return next(found, "")

    def _call_echo(self) -> None:
        self._send(PlaceCall(address=self._echo_address()))
        self._finish()

    def _finish(self) -> None:
        self._sound.stop()
        self.finished.emit()


def _step(title: str, words: str, *parts: QWidget | int) -> QWidget:
    """One step: a title, what it is about, and its parts."""
    heading = Label(title, size="title", wrap=True)
    heading.setAlignment(Qt.AlignmentFlag.AlignCenter)
    about = Label(words, tone="muted", wrap=True)
    about.setAlignment(Qt.AlignmentFlag.AlignCenter)
    made = QWidget()
    made.setLayout(column(heading, *([about] if words else []), GRID_PX, *parts, None, spacing=GRID_PX))
    return made


def _choice_button(picture: str, title: str, words: str, name: str) -> Button:
    """A large choice with a title and a sentence."""
    button = Button(kind="choice", name=name)
    button.setAccessibleName(title)
    button.setAccessibleDescription(words)
    text = column(Label(title, size="strong"), Label(words, size="small", tone="muted", wrap=True), spacing=2)
    line = row(Picture(picture, "accent", 24), text, spacing=2 * GRID_PX)
    line.setStretch(1, 1)
    line.setContentsMargins(2 * GRID_PX, 12, 2 * GRID_PX, 12)
    button.setLayout(line)
    for child in button.findChildren(QWidget):
        child.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    button.setFixedHeight(80)
    return button
