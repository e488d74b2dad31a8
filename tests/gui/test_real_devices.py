"""The whole of Segue as a person has it: a window on an X server, a microphone and a speaker, a click on Echo."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from app.protocol import CallSample, ChangeSettings, EngineState, SetMuted
from tests.audio_compare import RATE_HZ, Signal, compare, read_wav
from tests.audio_lab import MIC, SPEAKER, PulseLab
from tests.audio_lab import missing_tools as missing_audio
from tests.gui import real_window as real
from tests.gui.real_window import RealWindow, await_nothing_left, ask_engine, engine_report, engine_state, real_window
from tests.processes import PATIENCE_S, read_report, register, relay, segue

_MISSING = [*missing_audio(), *real.missing_tools()]
pytestmark = [
    pytest.mark.device,
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}"),
]

SPEECH = Path(__file__).parent.parent / "data" / "speech.wav"


@dataclass(frozen=True)
class Desk:
    """A screen, a microphone and a speaker. ``env``: for every process of the program."""

    lab: PulseLab
    env: Mapping[str, str]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """For all tests of this file; each has a home of its own."""
    person = tmp_path_factory.mktemp("person")
    places = {"HOME": str(person)}
    for kind in ("DATA", "CONFIG", "CACHE", "STATE"):
        places[f"XDG_{kind}_HOME"] = str(person / kind.lower())
    with real.screen() as display, PulseLab() as lab:
        yield Desk(lab, {**places, "DISPLAY": display, **lab.env})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for an engine, which is told to end with the test."""
    folder = tmp_path / "home"
    yield folder
    real.end_engine(folder)


@contextlib.contextmanager
def at_home(desk: Desk, home: Path) -> Iterator[RealWindow]:
    """The window as ``make run`` opens it, when Echo is there to be called."""
    with real_window(home, desk.env, "--try-here") as window:
        window.await_page("home")
        engine_state(home, lambda state: any(one.title == "Echo" and one.online for one in state.contacts))
        yield window


def wear(window: RealWindow, home: Path, theme: str) -> None:
    """Change the theme as the settings would."""
    settings = engine_state(home).settings
    engine_state(
        home,
        lambda state: state.settings.theme == theme,
        ChangeSettings(settings=msgspec.structs.replace(settings, theme=theme)),
    )
    window.ask("page")


def pictures(window: RealWindow, home: Path, name: str) -> None:
    """What the screen shows, in both themes."""
    for theme in ("dark", "light"):
        wear(window, home, theme)
        time.sleep(0.3)  # the server draws when it likes
        window.picture(f"real-{name}-{theme}")


def say_and_hear(desk: Desk, file: Path) -> Signal:
    """Speak into the microphone; what came out of the speaker until a second after the last word."""
    recorder = desk.lab.record_speaker(file)
    desk.lab.play_into_mic(SPEECH)
    time.sleep(1.0)
    return read_wav(recorder.stop())


def test_a_voice_through_microphone_and_speaker(desk: Desk, home: Path, tmp_path: Path) -> None:
    speech = read_wav(SPEECH)
    with at_home(desk, home) as window:
        window.click_person("Echo")
        pictures(window, home, "home")
        window.click("call_button")
        engine_state(home, lambda state: state.call is not None and state.call.phase == "talking")
        window.await_page("call")
        time.sleep(1.5)
        for n in range(3):
            heard = compare(speech, say_and_hear(desk, tmp_path / "heard.wav"))
            print(heard)
        pictures(window, home, "talking")
        window.click("connection_line")
        pictures(window, home, "panel")
        window.click("hang_up")
        engine_state(home, lambda state: state.call is not None and state.call.phase == "ended")
        pictures(window, home, "ended")
        print(engine_report(home), engine_report(home / "trial" / "echo"))
