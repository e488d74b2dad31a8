"""Settings: the list of sections on the left, the chosen one on the right."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QStackedWidget

from app.ipc.messages import EngineState, Levels, Report
from app.ui.commands import Now, Send
from app.ui.pages.page import Page
from app.ui.pages.settings_network import NetworkSection
from app.ui.pages.settings_sections import AboutSection, AppearanceSection, AudioSection, PrivacySection, Versions
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.fields import OneOf
from app.ui.widgets.labels import Label
from app.ui.widgets.layout import column, framed, row, sheet

SIDE_PX = 224
WIDTH_PX = 600


class SettingsPage(Page):
    """All sections."""

    closed = Signal()
    setup_wanted = Signal()

    def __init__(self, send: Send, versions: Versions, now: Now) -> None:
        super().__init__()
        self.setObjectName("settings_page")
        first = AudioSection(send)
        self.audio = first.audio
        network = NetworkSection(send, now)
        network.setup_wanted.connect(self.setup_wanted)
        self._about = AboutSection(send, versions)
        self._sections = (first, network, PrivacySection(send), AppearanceSection(send), self._about)
        self._stack = QStackedWidget()
        self._chosen = OneOf(self)
        titles = (
            (self.tr("Audio"), "headphones", "section_audio"),
            (self.tr("Network"), "globe", "section_network"),
            (self.tr("Privacy"), "lock", "section_privacy"),
            (self.tr("Appearance"), "sun-moon", "section_appearance"),
            (self.tr("About"), "info", "section_about"),
        )
        for (title, _, _), section in zip(titles, self._sections, strict=True):
            heading = Label(title, size="title")
            page = sheet(heading, section, None, width_px=WIDTH_PX, name="section_scroll", top_px=3 * GRID_PX)
            self._stack.addWidget(page)
        self.setLayout(row(self._build_side(titles), self._stack, spacing=0, stretch=1))
        self._chosen.chosen.connect(self._show_section)

    def show_state(self, state: EngineState) -> None:
        for section in self._sections:
            section.show_state(state)

    def show_levels(self, levels: Levels) -> None:
        self.audio.show_levels(levels)

    def take_report(self, report: Report) -> None:
        """The report that the section About asked for."""
        self._about.report.take_report(report)

    def open_section(self, place: int) -> None:
        """Show a section; the microphone is open only in the first."""
        self._chosen.choose(place)

    def enter(self) -> None:
        self.open_section(self._stack.currentIndex())

    def leave(self) -> None:
        self.audio.stop()

    def engine_gone(self) -> None:
        self.audio.forget()

    def _show_section(self, place: int) -> None:
        self._stack.setCurrentIndex(place)
        if place == 0:
            self.audio.start()
        else:
            self.audio.stop()

    def _build_side(self, titles: tuple[tuple[str, str, str], ...]) -> QFrame:
        back = icon_button("arrow-left", self.tr("Back"), name="settings_back", clicked=self.closed.emit)
        inside = column(
            row(back, Label(self.tr("Settings"), size="title"), None), GRID_PX, spacing=4, margins=(12, 14, 12, 12)
        )
        for title, icon, name in titles:
            button = Button(title, kind="section", icon=icon, name=name)
            self._chosen.add(button)
            inside.addWidget(button)
        inside.addStretch(1)
        side = framed("side", inside)
        side.setFixedWidth(SIDE_PX)
        return side
