"""The window: which page is shown, and which part gets which message."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Literal, TypeVar, get_args

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QGuiApplication
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QWidget

from app.ipc.messages import CommandFailed, EndEngine, EngineState, Levels, Report, TryHere
from app.text.problems import problem_text
from app.ui.bridge import Bridge
from app.ui.pages.call import CallPage
from app.ui.pages.engine_down import EngineDownPage, StartingPage
from app.ui.pages.first_run import FirstRunPage
from app.ui.pages.home import HomePage
from app.ui.pages.incoming import IncomingWindow
from app.ui.pages.key_changed import KeyChangedPage
from app.ui.pages.page import Page
from app.ui.pages.settings import SettingsPage
from app.ui.pages.settings_sections import Versions
from app.ui.theme.icons import logo
from app.ui.theme.theme import Theme, apply_theme
from app.ui.tray import Tray
from app.ui.widgets.error_bar import ErrorBar
from app.ui.widgets.layout import column
from app.ui.widgets.notices import NoticesArea

SIZE_PX = (1080, 720)
LEAST_PX = (880, 560)

PageT = TypeVar("PageT", bound=Page)
PageName = Literal["engine_down", "starting", "key_changed", "call", "first_run", "settings", "home"]


def page_for(state: EngineState | None, *, gone: bool, skipped: bool, in_settings: bool) -> PageName:
    """Which page a state calls for. ``skipped``: the first run is done or was postponed."""
    if gone:
        return "engine_down"
    if state is None or not state.ready:
        return "starting"
    if state.call is not None:
        return "key_changed" if state.call.trust == "changed" else "call"
    if state.first_run and not skipped:
        return "first_run"
    return "settings" if in_settings else "home"


class MainWindow(QMainWindow):
    """The one window of a person's Segue."""

    quit_wanted = Signal()

    def __init__(
        self, bridge: Bridge, versions: Versions, *, try_here: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self.setObjectName("main_window")
        self.setWindowTitle("Segue")
        self.setWindowIcon(logo())
        self.resize(*SIZE_PX)
        self.setMinimumSize(*LEAST_PX)
        self._bridge = bridge
        self._state: EngineState | None = None
        self._gone = False
        # Only the person leaves the first run; a state of the engine does not interrupt it.
        self._setting_up = False
        self._skipped = try_here
        self._try_here = try_here
        self._in_settings = False
        self._theme: Theme | None = None
        self._versions = versions
        self._now = now
        self._build()
        self._connect()

    # -- building --------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        send, now = self._bridge.send, self._now
        self._stack = QStackedWidget()
        self._pages: list[Page] = []
        self.starting = self._add(StartingPage())
        self._shown: Page = self.starting
        self.home = self._add(HomePage(send, now))
        self.call = self._add(CallPage(send, now))
        self.incoming = IncomingWindow(send)
        self.tray = Tray(send, self)
        self.notices = NoticesArea(send)
        self.errors = ErrorBar()
        central = QWidget()
        whole = column(self.notices, self.errors, self._stack, spacing=0)
        whole.setStretchFactor(self._stack, 1)
        central.setLayout(whole)
        self.setCentralWidget(central)

    def _add(self, page: PageT) -> PageT:
        self._stack.addWidget(page)
        self._pages.append(page)
        return page

    # Pages that most starts never show are made when they are first needed.

    @cached_property
    def first_run(self) -> FirstRunPage:
        """The first run."""
        page = self._add(FirstRunPage(self._bridge.send))
        page.finished.connect(self._set_up_done)
        return page

    @cached_property
    def settings(self) -> SettingsPage:
        """The settings."""
        page = self._add(SettingsPage(self._bridge.send, self._versions, self._now))
        page.closed.connect(lambda: self._go_settings(False))
        page.setup_wanted.connect(self._set_up)
        return page

    @cached_property
    def key_changed(self) -> KeyChangedPage:
        """The stop on a changed key."""
        return self._add(KeyChangedPage(self._bridge.send))

    @cached_property
    def engine_down(self) -> EngineDownPage:
        """Shown without an engine."""
        page = self._add(EngineDownPage())
        page.restart_wanted.connect(self._restart)
        return page

    def _page(self, name: PageName) -> Page:
        page: Page = getattr(self, name)
        return page

    def _connect(self) -> None:
        bridge = self._bridge
        bridge.state_changed.connect(self.show_state)
        bridge.levels.connect(self.show_levels)
        # The panel collects samples while it is closed, so that its charts are complete when it opens.
        bridge.sample.connect(self.call.panel.add_sample)
        bridge.failed.connect(self.command_failed)
        bridge.report.connect(self.take_report)
        bridge.trace_saved.connect(self.call.panel.trace_saved)
        bridge.engine_gone.connect(self.engine_gone)
        self.home.settings_wanted.connect(lambda: self._go_settings(True))
        self.home.setup_wanted.connect(self._set_up)
        self.incoming.look_wanted.connect(self.rise)
        self.tray.open_wanted.connect(self.rise)
        self.tray.quit_wanted.connect(self.quit)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_scheme_changed)

    # -- from the engine -------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        """Show ``state`` on the page that it calls for. Hidden pages are brought up to date when they are shown."""
        if self._state is None and state.ready and state.settings.start_in_tray and self.tray.available:
            self.hide()
        self._state = state
        self._gone = False
        self._use_theme(state.settings.theme)
        if state.ready and self._try_here:
            self._try_here = False
            if not state.me.address:
                self._bridge.send(TryHere())
        self.notices.show_notices(state.notices)
        self.tray.show_state(state, window_active=self.isActiveWindow())
        self.incoming.show_call(state.call)
        self._refresh()

    def show_levels(self, levels: Levels) -> None:
        """Move the meters of the page that is shown."""
        self._shown.show_levels(levels)

    def command_failed(self, failure: CommandFailed) -> None:
        """Say why, on the page that asked, or in a bar at the top."""
        if not self._shown.command_failed(failure):
            self.errors.show_error(problem_text(failure.code, failure.values))

    def take_report(self, report: Report) -> None:
        """Hand the report to whoever asked for it."""
        self.call.panel.take_report(report)
        if "settings" in self.__dict__:
            self.settings.take_report(report)

    def engine_gone(self, reason: str) -> None:
        """Show that there is no engine, and offer to start it."""
        self._gone = True
        self.incoming.show_call(None)
        self.engine_down.show_reason(reason)
        for page in self._pages:
            page.engine_gone()
        self._refresh()

    # -- pages -----------------------------------------------------------------------------------------------------

    def shown_page(self) -> PageName:
        """The name of the page that is shown."""
        return next(name for name in get_args(PageName) if self.__dict__.get(name) is self._shown)

    def _refresh(self) -> None:
        state = self._state
        name = page_for(state, gone=self._gone, skipped=self._skipped, in_settings=self._in_settings)
        if self._setting_up and name in ("home", "settings"):
            name = "first_run"
        if name == "first_run":
            self._setting_up = True
        page = self._page(name)
        if state is not None:
            page.show_state(state)
        if page is self._shown:
            return
        self._shown.leave()
        self._shown = page
        self._stack.setCurrentWidget(page)
        # Not on the first button: focus rings are for keyboard users, and Enter must do nothing by surprise.
        page.setFocus(Qt.FocusReason.OtherFocusReason)
        page.enter()
        if page is not self.call:
            self.call.open_panel(False)

    def _go_settings(self, wanted: bool) -> None:
        self._in_settings = wanted
        self._refresh()

    def _set_up(self) -> None:
        self._setting_up = True
        self.first_run.restart()
        self._refresh()

    def _set_up_done(self) -> None:
        self._setting_up = False
        self._skipped = True
        self._in_settings = False
        self._refresh()

    def _restart(self) -> None:
        self._gone = False
        self._state = None
        self.starting.show_state(EngineState())
        self._refresh()
        self._bridge.open()

    # -- theme and window ------------------------------------------------------------------------------------------

    def _use_theme(self, theme: Theme) -> None:
        if theme != self._theme:
            self._theme = theme
            apply_theme(theme)

    def _system_scheme_changed(self) -> None:
        if self._theme == "system":
            apply_theme("system")

    def rise(self) -> None:
        """Come to the front."""
        if not self.isVisible():
            self._shown.enter()
        self.show()
        self.setWindowState(self.windowState() & ~self.windowState().WindowMinimized)
        self.raise_()
        self.activateWindow()

    def quit(self) -> None:
        """End the program and the engine, and with it a running call."""
        if self._bridge.attached:
            self._bridge.send(EndEngine())
        self.tray.hide()
        self.incoming.hide()
        self.quit_wanted.emit()

    def closeEvent(self, event: QCloseEvent) -> None:
        """With a tray the window only hides. Without one the program ends; the engine decides about the call."""
        if self.tray.available:
            event.ignore()
            self._shown.leave()
            self.hide()
            return
        event.accept()
        self.incoming.hide()
        self.quit_wanted.emit()
