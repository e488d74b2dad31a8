"""Settings: audio, network, privacy, appearance, about and diagnostics."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSlider, QStackedWidget, QWidget

from app.ipc.messages import (
    BlockContact,
    ChangeSettings,
    Contact,
    EngineState,
    EraseHistory,
    GetReport,
    Levels,
    Report,
    SignOff,
)
from app.ui.commands import COPIED_SHOWN_MS, Send, changed
from app.ui.pages.audio_settings import SoundCheck
from app.ui.pages.network_history import KnownNetworks
from app.ui.theme.icons import logo_pixmap
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.fields import Choice, OneOf, Switch
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import card, clear, column, copy_text, holder, row, rule, scrolled

SIDE_PX = 224
WIDTH_PX = 600
VOLUME_STEPS = 100


@dataclass(frozen=True, slots=True)
class Versions:
    """What the about page tells."""

    segue: str
    qt: str
    python: str
    system: str


class SettingsPage(QWidget):
    """All sections, with their names at the left."""

    closed = Signal()
    setup_wanted = Signal()

    def __init__(self, send: Send, versions: Versions, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.setObjectName("settings_page")
        self._send = send
        self._now = now
        self._versions = versions
        self._state = EngineState()
        self._asked_for = ""
        self._blocked: tuple[Contact, ...] | None = None
        self._switches: dict[str, Switch] = {}
        self._stack = QStackedWidget()
        self._sections = OneOf(self)
        whole = row(self._build_side(), self._stack, spacing=0)
        whole.setStretch(1, 1)
        self.setLayout(whole)
        for title, body in (
            (self.tr("Audio"), self._build_audio()),
            (self.tr("Network"), self._build_network()),
            (self.tr("Privacy"), self._build_privacy()),
            (self.tr("Appearance"), self._build_appearance()),
            (self.tr("About"), self._build_about()),
        ):
            self._stack.addWidget(_page(title, body))
        self._sections.chosen.connect(self._show_section)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        """Bring every control up to date."""
        self._state = state
        self._sound.show_state(state)
        for field, switch in self._switches.items():
            with QSignalBlocker(switch):
                switch.setChecked(bool(getattr(state.settings, field)))
            switch.update()
        with QSignalBlocker(self._volume):
            if not self._volume.isSliderDown():
                self._volume.setValue(round(state.settings.ring_volume * VOLUME_STEPS))
        with QSignalBlocker(self._theme):
            self._theme.setCurrentIndex(self._theme.findData(state.settings.theme))
        self._show_network()
        self._known.show_network(state.network)
        self._show_blocked()
        self._erase.setEnabled(bool(state.recents))
        self._report.setEnabled(bool(state.call or state.recents))
        self._folder.set_text(state.data_place or "–")
        self._open_folder.setEnabled(bool(state.data_place))
        places = {"keyring": self.tr("In the system's keyring"), "file": self.tr("In a file only you can read")}
        self._key_place.setText(places[state.me.key_place])

    def show_levels(self, levels: Levels) -> None:
        """Move the meter."""
        self._sound.show_levels(levels)

    def take_report(self, report: Report) -> None:
        """The answer to “Copy report”."""
        if report.call_id == self._asked_for:
            self._asked_for = ""
            copy_text(report.json)
            self._copied.setText(self.tr("Copied"))
            QTimer.singleShot(COPIED_SHOWN_MS, self._copied, self._copied.clear)

    def open_section(self, place: int) -> None:
        """Show a section; the microphone is open only in the first."""
        self._sections.choose(place)

    def _show_section(self, place: int) -> None:
        self._stack.setCurrentIndex(place)
        if place == 0:
            self._sound.start()
        else:
            self._sound.stop()

    def enter(self) -> None:
        """The page is shown."""
        self.open_section(self._stack.currentIndex())

    def leave(self) -> None:
        """The page is hidden: close the microphone."""
        self._sound.stop()

    def sound_check(self) -> SoundCheck:
        """The devices."""
        return self._sound

    # -- building --------------------------------------------------------------------------------------------------

    def _build_side(self) -> QFrame:
        side = QFrame()
        side.setProperty("kind", "side")
        side.setFixedWidth(SIDE_PX)
        back = icon_button("arrow-left", self.tr("Back to your people"), name="settings_back")
        back.clicked.connect(self.closed)
        inside = column(row(back, Label(self.tr("Settings"), size="title"), None), GRID_PX, spacing=4)
        for title, picture, name in (
            (self.tr("Audio"), "headphones", "section_audio"),
            (self.tr("Network"), "globe", "section_network"),
            (self.tr("Privacy"), "lock", "section_privacy"),
            (self.tr("Appearance"), "sun-moon", "section_appearance"),
            (self.tr("About"), "info", "section_about"),
        ):
            button = Button(title, kind="section", picture=picture, name=name)
            self._sections.add(button)
            inside.addWidget(button)
        inside.addStretch(1)
        inside.setContentsMargins(12, 14, 12, 12)
        side.setLayout(inside)
        return side

    def _build_audio(self) -> QWidget:
        self._sound = SoundCheck(self._send)
        self._volume = QSlider(Qt.Orientation.Horizontal)
        self._volume.setObjectName("ring_volume")
        self._volume.setAccessibleName(self.tr("Ring volume"))
        self._volume.setRange(0, VOLUME_STEPS)
        self._volume.setPageStep(VOLUME_STEPS // 10)
        self._volume.setFixedWidth(184)
        # Dragging would send a command at every pixel: only where it comes to rest counts.
        self._volume.setTracking(False)
        self._volume.valueChanged.connect(lambda value: self._change("ring_volume", value / VOLUME_STEPS))
        frame, inside = card()
        inside.addLayout(
            _line(self.tr("Ring volume"), self.tr("How loud Segue rings when somebody calls."), self._volume)
        )
        return holder(column(self._sound, frame, spacing=2 * GRID_PX))

    def _build_network(self) -> QWidget:
        me, inside = card()
        self._address = ElidedLabel(size="strong", mode=Qt.TextElideMode.ElideMiddle)
        self._address.setObjectName("my_address")
        self._relay = Label(size="small", tone="muted", wrap=True)
        copy = icon_button("copy", self.tr("Copy your address"), name="copy_my_address")
        copy.clicked.connect(lambda: copy_text(self._state.me.address))
        self._set_up = Button(self.tr("Set up"), kind="primary", name="settings_setup")
        self._set_up.clicked.connect(self.setup_wanted)
        self._sign_off = Button(self.tr("Sign off…"), kind="quiet", name="sign_off", clicked=self._ask_sign_off)
        self._copy_mine = copy
        line = row(column(self._address, self._relay, spacing=2), copy, self._sign_off, self._set_up)
        line.setStretch(0, 1)
        inside.addWidget(Label(self.tr("Your address"), size="small", tone="muted"))
        inside.addLayout(line)
        paths, inside = card()
        inside.addLayout(
            self._switch_line(
                "always_relay",
                self.tr("Always use the relay"),
                self.tr("Hides your IP address from the people you talk to. Calls may take a little longer to travel."),
            )
        )
        inside.addWidget(rule())
        inside.addLayout(
            self._switch_line(
                "port_mapping",
                self.tr("Use port mapping (UPnP, NAT-PMP, PCP)"),
                self.tr(
                    "Asks your router to open a door for Segue, so that others reach you directly. It is closed when "
                    "Segue ends."
                ),
            )
        )
        inside.addWidget(rule())
        inside.addLayout(
            self._switch_line(
                "try_harder",
                self.tr("Try harder on carrier networks"),
                self.tr(
                    "May use up to half of the ports that your carrier gives you, for up to five minutes of a call. "
                    "Only with people who have chosen it too."
                ),
            )
        )
        self._known = KnownNetworks(self._send, self._now)
        return holder(column(me, paths, self._known, spacing=2 * GRID_PX))

    def _build_privacy(self) -> QWidget:
        key, inside = card()
        self._key_place = Label(size="small", tone="muted")
        line = row(
            Picture("lock", "muted"), column(Label(self.tr("Your key"), size="strong"), self._key_place, spacing=2)
        )
        line.setStretch(1, 1)
        inside.addLayout(line)
        history, inside = card()
        self._erase = Button(self.tr("Erase…"), name="erase_history", clicked=self._ask_erase)
        inside.addLayout(_line(self.tr("Recent calls"), self.tr("Kept on this machine only."), self._erase))
        blocked, inside = card()
        inside.addWidget(Label(self.tr("Blocked people"), size="strong"))
        self._blocked_rows = column(spacing=0)
        inside.addLayout(self._blocked_rows)
        return holder(column(key, history, blocked, spacing=2 * GRID_PX))

    def _build_appearance(self) -> QWidget:
        look, inside = card()
        self._theme = Choice(self.tr("Theme"), name="theme_choice")
        for words, value in (
            (self.tr("As the system"), "system"),
            (self.tr("Light"), "light"),
            (self.tr("Dark"), "dark"),
        ):
            self._theme.addItem(words, value)
        self._theme.activated.connect(lambda place: self._change("theme", self._theme.itemData(place)))
        self._theme.setFixedWidth(184)
        inside.addLayout(_line(self.tr("Theme"), "", self._theme))
        window, inside = card()
        for place, (field, title, words) in enumerate(
            (
                (
                    "notifications",
                    self.tr("Notify me of calls"),
                    self.tr("A message from the system while Segue is in the background."),
                ),
                (
                    "start_in_tray",
                    self.tr("Start in the tray"),
                    self.tr("Segue is ready for calls without its window."),
                ),
                (
                    "keep_call_without_window",
                    self.tr("Keep talking without the window"),
                    self.tr("A call goes on when the window closes or crashes. Otherwise it ends after a moment."),
                ),
            )
        ):
            if place:
                inside.addWidget(rule())
            inside.addLayout(self._switch_line(field, title, words))
        return holder(column(look, window, spacing=2 * GRID_PX))

    def _build_about(self) -> QWidget:
        picture = Label()
        picture.setPixmap(logo_pixmap(48, picture.devicePixelRatioF()))
        told = self._versions
        about, inside = card()
        words = column(
            Label(self.tr("Segue {0}").format(told.segue), size="strong"),
            Label(f"Qt {told.qt} · Python {told.python} · {told.system}", size="small", tone="muted", wrap=True),
            spacing=2,
        )
        line = row(picture, words, spacing=2 * GRID_PX)
        line.setStretch(1, 1)
        inside.addLayout(line)
        data, inside = card()
        self._folder = ElidedLabel(size="small", tone="muted", mode=Qt.TextElideMode.ElideMiddle)
        self._folder.setObjectName("data_folder")
        self._open_folder = Button(self.tr("Open"), picture="folder", name="open_folder", clicked=self._show_folder)
        line = row(column(Label(self.tr("Data folder"), size="strong"), self._folder, spacing=2), self._open_folder)
        line.setStretch(0, 1)
        inside.addLayout(line)
        report, inside = card()
        self._copied = Label(size="small", tone="accent")
        self._report = Button(
            self.tr("Copy report"), picture="copy", name="copy_last_report", clicked=self._copy_report
        )
        line = _line(
            self.tr("Report of the last call"),
            self.tr("What happened and when, without keys and without anything that was said."),
            self._report,
        )
        line.insertWidget(1, self._copied)
        inside.addLayout(line)
        licence = Label(
            self.tr("Segue is free software under the MIT licence. Icons: Lucide, ISC licence."),
            size="small",
            tone="muted",
            wrap=True,
        )
        return holder(column(about, data, report, licence, spacing=2 * GRID_PX))

    def _switch_line(self, field: str, title: str, words: str) -> QHBoxLayout:
        switch = Switch(title, name=f"switch_{field}")
        switch.setAccessibleDescription(words)
        switch.toggled.connect(lambda on: self._change(field, on))
        self._switches[field] = switch
        return _line(title, words, switch)

    # -- parts that change -----------------------------------------------------------------------------------------

    def _show_network(self) -> None:
        me = self._state.me
        registered = bool(me.address)
        self._address.set_text(short_address(me.address) if registered else self.tr("No address yet"))
        words = (
            plain(me.relay_text, 200)
            or {
                "none": self.tr("Choose a name and a relay, and people can call you."),
                "connecting": self.tr("Connecting to the relay…"),
                "online": self.tr("Connected to the relay."),
                "offline": self.tr("The relay is not reachable; Segue keeps trying."),
                "refused": self.tr("The relay refuses you."),
            }[me.relay]
        )
        self._relay.setText(words)
        self._relay.set_tone("warn" if me.relay == "refused" else "muted")
        self._copy_mine.setVisible(registered)
        self._sign_off.setVisible(registered)
        self._set_up.setVisible(not registered)

    def _show_blocked(self) -> None:
        blocked = tuple(contact for contact in self._state.contacts if contact.blocked)
        if blocked == self._blocked:
            return
        self._blocked = blocked
        clear(self._blocked_rows)
        if not blocked:
            self._blocked_rows.addWidget(Label(self.tr("Nobody."), size="small", tone="muted"))
        for contact in blocked:
            unblock = Button(self.tr("Unblock"), kind="quiet", name="unblock")
            unblock.setAccessibleName(self.tr("Unblock {0}").format(plain(contact.title)))
            unblock.clicked.connect(
                lambda _checked=False, address=contact.address: self._send(BlockContact(address=address, blocked=False))
            )
            who = column(
                ElidedLabel(plain(contact.title)),
                ElidedLabel(short_address(contact.address), size="small", tone="muted"),
                spacing=0,
            )
            line = row(who, unblock)
            line.setStretch(0, 1)
            self._blocked_rows.addWidget(holder(line))

    # -- what a person does ----------------------------------------------------------------------------------------

    def _change(self, field: str, value: object) -> None:
        self._send(ChangeSettings(settings=changed(self._state.settings, **{field: value})))

    def _ask_sign_off(self) -> None:
        confirm(
            self,
            self.tr("Sign off?"),
            self.tr("Nobody can call you until you register again. Your key, people and calls stay."),
            self.tr("Sign off"),
            lambda: self._send(SignOff()),
        )

    def _ask_erase(self) -> None:
        confirm(
            self,
            self.tr("Erase all recent calls?"),
            self.tr("The list is emptied on this machine. People stay."),
            self.tr("Erase"),
            lambda: self._send(EraseHistory()),
        )

    def _show_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self._state.data_place))

    def _copy_report(self) -> None:
        call, recents = self._state.call, self._state.recents
        self._asked_for = call.call_id if call else recents[0].call_id
        self._send(GetReport(call_id=self._asked_for))


def _line(title: str, words: str, control: QWidget) -> QHBoxLayout:
    """A line of the settings: what it is, what it does, and its control."""
    text = column(Label(title, size="strong"), spacing=2)
    if words:
        text.addWidget(Label(words, size="small", tone="muted", wrap=True))
    line = row(text, control, spacing=2 * GRID_PX)
    line.setStretch(0, 1)
    line.setAlignment(control, Qt.AlignmentFlag.AlignVCenter)
    return line


def _page(title: str, body: QWidget) -> QWidget:
    """A section that scrolls."""
    inside = QWidget()
    inside.setMaximumWidth(WIDTH_PX)
    whole = column(Label(title, size="title"), body, None, spacing=2 * GRID_PX)
    whole.setContentsMargins(0, 3 * GRID_PX, 0, 3 * GRID_PX)
    inside.setLayout(whole)
    centred = row(4 * GRID_PX, inside, 4 * GRID_PX, spacing=0)
    centred.setStretchFactor(inside, 1)
    return scrolled(holder(centred), name="section_scroll")
