"""Starts the window: one Qt application, one bridge to the engine of a data folder."""

import argparse
import sys
from pathlib import Path

from app.system.data_dir import find_home
from app.ui.application import EndSignals, make_application, versions
from app.ui.bridge import Bridge, LocalEngine, run_with_engine
from app.ui.main_window import MainWindow


def main(arguments: list[str] | None = None) -> int:
    """``python -m app.ui.run [--home DIR] [--try-here]``."""
    parser = argparse.ArgumentParser(prog="segue", description="The window.")
    parser.add_argument("--home", type=Path, default=None, help="the folder of the data")
    parser.add_argument("--try-here", action="store_true", help="start a private relay and Echo on this machine")
    chosen = parser.parse_args(arguments)
    return run_window(chosen.home, chosen.try_here)


def run_window(home: Path | None = None, try_here: bool = False) -> int:
    """Show the window for the data in ``home`` until it is closed. Returns the program's exit status.

    ``try_here``: where no name is registered yet, start a private relay and Echo on this machine.
    """
    application = make_application(["segue"])
    bridge = Bridge(LocalEngine(find_home(home).folder), application)
    window = MainWindow(bridge, versions(), try_here=try_here)
    window.quit_wanted.connect(bridge.end)
    window.tray.show()
    ends = EndSignals(bridge.end, application)
    try:
        window.show()
        return run_with_engine(application, bridge)
    finally:
        ends.close()
        window.tray.hide()


if __name__ == "__main__":
    sys.exit(main())
