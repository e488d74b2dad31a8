"""The first run: a name, a relay, microphone and speaker. Each of the three steps can be postponed."""

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from app.ipc.messages import CommandFailed, EngineState, Levels, PlaceCall, RegisterName, TryHere
from app.text.accounts import busy_text
from app.text.problems import problem_text
from app.ui.commands import Send
from app.ui.pages.audio_settings import AudioCheck
from app.ui.pages.page import Page
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, primary, quiet
from app.ui.widgets.fields import Field, OneOf
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import Icon, Label, logo_label, small, strong
from app.ui.widgets.layout import column, row, scrolled, wrap

WIDTH_PX = 480
NAME, RELAY, SOUND, READY = range(4)
ECHO_NAME = "echo"


class FirstRunPage(Page):
    """The steps. ``finished`` when all are done or the rest is postponed."""

    finished = Signal()

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.setObjectName("first_run_page")
        self._send = send
        self._state = EngineState()
        self._asked = False
        self._busy = False
        # All in a column, one visible: a stacked widget would be as tall as its tallest page.
        self._steps = (self._build_name(), self._build_relay(), self._build_sound(), self._build_ready())
        self._step = NAME
        self._progress = small(wrap=False, centred=True)
        self._later = quiet(self.tr("Later"), name="later_button", clicked=self._skip)
        self._later.setAccessibleDescription(self.tr("You can do this later in the settings"))
        self._back = quiet(self.tr("Back"), icon="arrow-left", name="back_button", clicked=self._go_back)
        body = wrap(
            column(
                None,
                column(logo_label(56), self._progress),
                *self._steps,
                row(self._back, None, self._later),
                None,
                spacing=2 * GRID_PX,
            )
        )
        body.setFixedWidth(WIDTH_PX)
        self.setLayout(column(scrolled(wrap(row(None, body, None)), name="first_run_scroll")))
        self._show_step(NAME)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        """Go on when the engine has done what was asked."""
        self._state = state
        self.audio.show_state(state)
        self._busy = self._asked and bool(state.busy)
        self._waiting.setText(busy_text(state.busy) if self._busy else "")
        for part in (self._own, self._here, self._relay):
            part.setEnabled(not self._busy)
        self._allow_register()
        if self._asked and state.me.address and not state.busy:
            self._asked = False
            self._show_step(SOUND)
        self._ready_text.setText(
            self.tr("People can reach you at {address}.").format(address=short_address(state.me.address))
            if state.me.address
            else self.tr("You can choose a name and a relay in the settings at any time.")
        )
        self._echo.setVisible(bool(self._echo_address()))
        self._echo.setEnabled(state.me.relay == "online")

    def show_levels(self, levels: Levels) -> None:
        self.audio.show_levels(levels)

    def command_failed(self, failure: CommandFailed) -> bool:
        """Show why registering did not work, where it was typed."""
        if failure.command not in ("RegisterName", "TryHere"):
            return False
        self._asked = False
        text = plain(problem_text(failure.code, failure.values), 300)
        if failure.field == "name":
            self._name_error.setText(text)
            self._name.set_wrong(True)
            self._show_step(NAME)
        else:
            self._relay_error.setText(text)
            self._relay.set_wrong(failure.field == "relay")
        for label in (self._name_error, self._relay_error):
            label.show_text(label.text())
        return True

    def enter(self) -> None:
        self._show_step(self._step)

    def leave(self) -> None:
        self.audio.stop()

    def restart(self) -> None:
        """Begin again."""
        self._asked = False
        self._show_step(NAME)

    def engine_gone(self) -> None:
        self.audio.forget()

    # -- building --------------------------------------------------------------------------------------------------

    def _build_name(self) -> QWidget:
        self._name = Field(self.tr("Your name"), name="name_field", hint=self.tr("for example: maria"))
        self._name_error = small(tone="warn")
        self._name_error.hide()
        self._next = _next_button(self.tr("Continue"), name="name_next", clicked=self._name_entered)
        self._next.setEnabled(False)
        self._name.textChanged.connect(self._name_typed)
        self._name.returnPressed.connect(self._name_entered)
        return _step(
            self.tr("What should people call you?"),
            self.tr("Lower-case letters, digits, dots and dashes. It becomes the first part of your address."),
            self._name,
            self._name_error,
            self._next,
        )

    def _build_relay(self) -> QWidget:
        self._own = _choice_button(
            "server",
            self.tr("I have a relay"),
            self.tr("Run by a friend, your company or yourself. It carries your calls until a direct path is found."),
            "own_relay",
        )
        self._here = _choice_button(
            "laptop",
            self.tr("Just try it on this computer"),
            self.tr("Starts a private relay and Echo, which plays your voice back. Nothing leaves this computer."),
            "try_here",
        )
        self._choices = OneOf(self)
        for button in (self._own, self._here):
            self._choices.add(button)
        self._relay = Field(self.tr("Relay"), name="relay_field", hint="relay.example:7850")
        self._relay_error = small(tone="warn")
        self._relay_error.hide()
        self._waiting = small(name="busy_text", wrap=False)
        self._register = _next_button(self.tr("Continue"), name="relay_next", clicked=self._relay_entered)
        self._relay.textChanged.connect(self._relay_typed)
        self._relay.returnPressed.connect(self._relay_entered)
        self._choices.chosen.connect(lambda _place: self._relay_typed())
        self._register.setEnabled(False)
        return _step(
            self.tr("Choose a relay"),
            self.tr(
                "Every call starts on a relay right away. Calls are end-to-end encrypted, so the relay cannot listen."
            ),
            self._own,
            self._relay,
            self._here,
            self._relay_error,
            self._register,
            self._waiting,
        )

    def _build_sound(self) -> QWidget:
        self.audio = AudioCheck(self._send)
        go_on = _next_button(self.tr("Continue"), name="sound_next", clicked=lambda: self._show_step(READY))
        return _step(
            self.tr("Can Segue hear you?"), self.tr("Say something. The bar should move."), self.audio, GRID_PX, go_on
        )

    def _build_ready(self) -> QWidget:
        self._ready_text = Label(tone="muted", wrap=True, centred=True)
        self._echo = _next_button(
            self.tr("Call Echo to hear yourself"), icon="phone", name="call_echo", clicked=self._call_echo
        )
        done = Button(self.tr("Go to your contacts"), name="done_button", tall=True, clicked=self._finish)
        return _step(self.tr("All set"), "", self._ready_text, GRID_PX, self._echo, done)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _show_step(self, step: int) -> None:
        self._step = step
        for place, page in enumerate(self._steps):
            page.setVisible(place == step)
        self._progress.setText(self.tr("Step {step} of 3").format(step=step + 1) if step < READY else "")
        self._back.setVisible(step in (RELAY, SOUND))
        self._later.setVisible(step < READY)
        if step == SOUND:
            self.audio.start()
        else:
            self.audio.stop()
        {NAME: self._name, RELAY: self._relay}.get(step, self._steps[step]).setFocus()

    def _name_typed(self) -> None:
        self._next.setEnabled(bool(self._name.text().strip()))
        self._name.set_wrong(False)
        self._name_error.hide()

    def _relay_typed(self) -> None:
        self._relay.setVisible(self._own.isChecked())
        self._relay.set_wrong(False)
        self._relay_error.hide()
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
        self._relay_error.hide()
        self._asked = True
        name = self._name.text().strip()
        if self._own.isChecked():
            self._send(RegisterName(name=name, relay=self._relay.text().strip()))
        else:
            self._send(TryHere(name=name))

    def _go_back(self) -> None:
        self._show_step(max(self._step - 1, NAME))

    def _skip(self) -> None:
        if self._step == NAME and not self._name.text().strip():
            # Without a name there is nothing to register; trying it here needs none.
            self._choices.choose(1)
        self._show_step(self._step + 1)

    def _echo_address(self) -> str:
        found = (one.address for one in self._state.contacts if one.address.partition("@")[0] == ECHO_NAME)
        return next(found, "")

    def _call_echo(self) -> None:
        self._send(PlaceCall(address=self._echo_address()))
        self._finish()

    def _finish(self) -> None:
        self.audio.stop()
        self.finished.emit()


_next_button = partial(primary, tall=True)


def _step(title: str, text: str, *parts: QWidget | int) -> QWidget:
    """One step: a title, what it is about, and its parts."""
    about = [Label(text, tone="muted", wrap=True, centred=True)] if text else []
    return wrap(column(Label(title, size="title", wrap=True, centred=True), *about, GRID_PX, *parts, None))


def _choice_button(icon: str, title: str, text: str, name: str) -> Button:
    """A large choice with a title and a sentence."""
    button = Button(kind="choice", name=name)
    button.setAccessibleName(title)
    button.setAccessibleDescription(text)
    label = column(strong(title), small(text), spacing=2)
    margins = (2 * GRID_PX, 12, 2 * GRID_PX, 12)
    button.setLayout(row(Icon(icon, "accent", 24), label, spacing=2 * GRID_PX, stretch=1, margins=margins))
    for child in button.findChildren(QWidget):
        child.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    button.setFixedHeight(80)
    return button
