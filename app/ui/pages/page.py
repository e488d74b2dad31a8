"""What the main window expects of a page."""

from PySide6.QtWidgets import QWidget

from app.ipc.messages import CommandFailed, EngineState, Levels


class Page(QWidget):
    """A page of the main window. It overrides what concerns it."""

    def show_state(self, state: EngineState) -> None:
        """Bring everything up to date."""

    def show_levels(self, levels: Levels) -> None:
        """Move the meters."""

    def command_failed(self, failure: CommandFailed) -> bool:
        """Show why a command failed; False if the page did not ask for it."""
        return False

    def enter(self) -> None:
        """The page is shown."""

    def leave(self) -> None:
        """The page is hidden."""

    def engine_gone(self) -> None:
        """Whatever the engine did for this page has ended."""
