"""Settings: the sections Audio, Privacy, Appearance and About."""

from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QSlider, QWidget

from app.ipc.engine_state import BlockedGuest, Contact
from app.ipc.messages import BlockContact, EngineState, UnblockKey, WindowMessage
from app.text.calls import GUEST, claim_text
from app.text.catalogue import sentence
from app.ui.commands import Send
from app.ui.pages.audio_settings import AudioCheck
from app.ui.pages.recent_calls import ask_erase_calls
from app.ui.pages.settings_section import Section
from app.ui.panel.export import ReportCopier
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, quiet
from app.ui.widgets.fields import Choice
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import ElidedLabel, Icon, logo_label, small, strong
from app.ui.widgets.layout import card, column, row, wrap
from app.ui.widgets.rows import ruled, setting, show_rows, titled

CONTROL_PX = 184
VOLUME_STEPS = 100


class AudioSection(Section):
    """Devices, and how loud it rings."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self.audio = AudioCheck(send)
        self._volume = QSlider(Qt.Orientation.Horizontal)
        self._volume.setObjectName("ring_volume")
        self._volume.setAccessibleName(self.tr("Ring volume"))
        self._volume.setRange(0, VOLUME_STEPS)
        self._volume.setPageStep(VOLUME_STEPS // 10)
        self._volume.setFixedWidth(CONTROL_PX)
        # Dragging would send a command at every pixel: only where it comes to rest counts.
        self._volume.setTracking(False)
        self._volume.valueChanged.connect(lambda value: self._change("ring_volume", value / VOLUME_STEPS))
        ring = setting(self.tr("Ring volume"), self.tr("How loud Segue rings for incoming calls."), self._volume)
        self.setLayout(column(self.audio, card(ring), spacing=2 * GRID_PX))

    def show_state(self, state: EngineState) -> None:
        super().show_state(state)
        self.audio.show_state(state)
        with QSignalBlocker(self._volume):
            if not self._volume.isSliderDown():
                self._volume.setValue(round(state.settings.ring_volume * VOLUME_STEPS))


class PrivacySection(Section):
    """The key, the recent calls, and who is blocked."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self._blocked: tuple[Contact | BlockedGuest, ...] | None = None
        self._key_place = small(wrap=False)
        self._erase = Button(self.tr("Erase…"), name="erase_history", clicked=lambda: ask_erase_calls(self, send))
        self._rows = column()
        self.setLayout(
            column(
                card(row(Icon("lock", "muted"), titled(self.tr("Your key"), self._key_place), stretch=1)),
                card(
                    self._switch(
                        "contacts_only",
                        self.tr("Only contacts may call"),
                        self.tr("Calls from anybody else are declined. They are in the list of recent calls."),
                    )
                ),
                card(setting(self.tr("Recent calls"), self.tr("Kept on this computer only."), self._erase)),
                card(strong(self.tr("Blocked people")), self._rows),
                spacing=2 * GRID_PX,
            )
        )

    def show_state(self, state: EngineState) -> None:
        super().show_state(state)
        places = {"keyring": self.tr("In the system's keyring"), "file": self.tr("In a file that only you can read")}
        self._key_place.setText(places[state.me.key_place])
        self._erase.setEnabled(bool(state.recents))
        contacts = tuple(contact for contact in state.contacts if contact.blocked)
        blocked: tuple[Contact | BlockedGuest, ...] = (*contacts, *state.blocked_guests)
        if blocked != self._blocked:
            self._blocked = blocked
            show_rows(self._rows, map(self._blocked_row, blocked), self.tr("Nobody"))

    def _blocked_row(self, person: Contact | BlockedGuest) -> QWidget:
        address = short_address(person.address)
        undo: WindowMessage
        if isinstance(person, Contact):
            title, undo = plain(person.title), BlockContact(address=person.address, blocked=False)
        else:
            title, address, undo = sentence(GUEST), claim_text(address), UnblockKey(key=person.key)
        unblock = quiet(self.tr("Unblock"), name="unblock")
        unblock.setAccessibleName(self.tr("Unblock {name}").format(name=title))
        unblock.clicked.connect(lambda _checked=False: self._send(undo))
        who = column(ElidedLabel(title), ElidedLabel(address, size="small", tone="muted"), spacing=0)
        return wrap(row(who, unblock, stretch=0))


class AppearanceSection(Section):
    """The theme, and what the window does."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self._theme = Choice(self.tr("Theme"), name="theme_choice")
        for title, value in (
            (self.tr("Same as the system"), "system"),
            (self.tr("Light"), "light"),
            (self.tr("Dark"), "dark"),
        ):
            self._theme.addItem(title, value)
        self._theme.activated.connect(lambda place: self._change("theme", self._theme.itemData(place)))
        self._theme.setFixedWidth(CONTROL_PX)
        switches = (
            self._switch(
                "notifications",
                self.tr("Notify me of calls"),
                self.tr("Shows a notification while Segue is in the background."),
            ),
            self._switch(
                "start_in_tray",
                self.tr("Start in the tray"),
                self.tr("Segue is ready for calls without opening its window."),
            ),
            self._switch(
                "keep_call_without_window",
                self.tr("Keep calls when the window closes"),
                self.tr("The call goes on if the window closes or crashes. Otherwise it ends after a moment."),
            ),
        )
        self.setLayout(
            column(card(setting(self.tr("Theme"), "", self._theme)), card(ruled(switches)), spacing=2 * GRID_PX)
        )

    def show_state(self, state: EngineState) -> None:
        super().show_state(state)
        with QSignalBlocker(self._theme):
            self._theme.setCurrentIndex(self._theme.findData(state.settings.theme))


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs here."""

    segue: str
    qt: str
    python: str
    system: str


class AboutSection(Section):
    """Versions, the data folder and the report of the last call."""

    def __init__(self, send: Send, versions: Versions) -> None:
        super().__init__(send)
        self._folder = ElidedLabel(size="small", tone="muted", mode=Qt.TextElideMode.ElideMiddle, name="data_folder")
        self._open = Button(self.tr("Open"), icon="folder", name="open_folder", clicked=self._open_folder)
        self.report = ReportCopier(send, kind="plain", name="copy_last_report")
        about = titled(
            self.tr("Segue {version}").format(version=versions.segue),
            f"Qt {versions.qt} · Python {versions.python} · {versions.system}",
        )
        report = self.tr("What happened and when. Contains no keys and nothing of the conversation.")
        self.setLayout(
            column(
                card(row(logo_label(48), about, spacing=2 * GRID_PX, stretch=1)),
                card(setting(self.tr("Data folder"), self._folder, self._open)),
                card(setting(self.tr("Report of the last call"), report, self.report)),
                small(self.tr("Segue is free software under the MIT licence. Icons: Lucide, ISC licence.")),
                spacing=2 * GRID_PX,
            )
        )

    def show_state(self, state: EngineState) -> None:
        super().show_state(state)
        self._folder.set_text(state.data_place or "–")
        self._open.setEnabled(bool(state.data_place))
        latest = [state.call] if state.call else list(state.recents[:1])
        self.report.show_call(latest[0].call_id if latest else "")

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self._state.data_place))
