"""The whole of Segue as a person has it: a window on an X server, a microphone and a speaker, a click on Echo."""

import contextlib
import os
import signal
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest

from app.engine.runner import WITHOUT_WINDOW_S
from app.ipc.messages import AddContact, CallSample, ChangeSettings, EngineState, HangUpCall, SetMuted
from app.ipc.socket import read_info
from app.store import Store
from tests.audio_compare import RATE_HZ, Comparison, Signal, compare, read_wav
from tests.audio_lab import PulseLab
from tests.audio_lab import missing_tools as missing_audio
from tests.gui import real_window as real
from tests.gui.real_window import RealWindow, ask_engine, engine_report, engine_state, real_window
from tests.processes import TIMEOUT_S, await_nothing_left, processes_of, read_report, register, relay, segue

_MISSING = [*missing_audio(), *real.missing_tools()]
pytestmark = [
    pytest.mark.device,
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}"),
]

SPEECH = Path(__file__).parent.parent / "data" / "speech.wav"
VOICED_SECONDS = 6
Theme = Literal["system", "light", "dark"]
THEMES: tuple[Theme, ...] = ("dark", "light")
# Measured: 0.91 to 0.96, which is what Opus leaves of the wave form in two passes. A concealed frame in a second costs
# a few hundredths; another voice reaches 0.4 (test_the_comparison_notices_silence_and_another_voice).
LEAST_LIKENESS = 0.8
# Both jitter buffers stretch time to follow the devices' bursts, 60 ms on a quiet machine, and where PulseAudio itself
# is held up (it has no priority here) the rest of the speech comes as much later.
STRETCH_SLACK_S = 0.25
# A sound server that starves tears holes that no program can mend; the exact counts are taken where files stand in for
# devices (test_a_window_that_stands_still_costs_no_sample). One whole speech of so many has to come through.
SPEECHES = 3
LEAD_S = 2.0
# The window's thread is busy for so long.
STILL_S = 2.0
STALLED_CALLS = 3


@dataclass(frozen=True)
class Desk:
    """A screen, a microphone and a speaker. ``env``: for every process of the program."""

    lab: PulseLab
    env: Mapping[str, str]


@contextlib.contextmanager
def a_desk(person: Path) -> Iterator[Desk]:
    """A screen and a sound card of one's own, for somebody whose files are all in ``person``."""
    places = {"HOME": str(person)}
    for kind in ("DATA", "CONFIG", "CACHE", "STATE"):
        places[f"XDG_{kind}_HOME"] = str(person / kind.lower())
    with real.screen() as display, PulseLab() as lab:
        yield Desk(lab, {**places, "DISPLAY": display, **lab.env})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """For most tests of this file; each has a home of its own."""
    with a_desk(tmp_path_factory.mktemp("person")) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for an engine, which ends with the test."""
    folder = tmp_path / "home"
    yield folder
    real.end_engine(folder)


@contextlib.contextmanager
def at_home(desk: Desk, home: Path) -> Iterator[RealWindow]:
    """The window as ``make run`` opens it, when Echo is there to be called."""
    with real_window(home, desk.env, "--try-here") as window:
        window.await_page("home")
        engine_state(home, in_contacts("echo"))
        yield window


def change_theme(window: RealWindow, home: Path, theme: Theme) -> None:
    """Change the theme as the settings would, and wait until the window has followed."""
    wear_soon(home, theme)
    window.ask("page")


def pictures(window: RealWindow, home: Path, name: str) -> None:
    """What the screen shows, in both themes."""
    for theme in THEMES:
        change_theme(window, home, theme)
        time.sleep(0.3)  # the server draws when it likes
        window.picture(f"real-{name}-{theme}")


def say_and_record(desk: Desk, file: Path) -> Signal:
    """Speak into the microphone; what came out of the speaker until a second after the last word.

    Silence goes first: a null sink changes its latency when somebody begins to play into it, which tears a hole into
    what its monitor gives, and the jitter buffers then take a second to be at rest again.
    """
    spoken = file.with_suffix(".spoken.wav")
    with wave.open(str(SPEECH)) as speech, wave.open(str(spoken), "wb") as out:
        out.setparams(speech.getparams())
        out.writeframes(bytes(2 * round(LEAD_S * RATE_HZ)) + speech.readframes(speech.getnframes()))
    recorder = desk.lab.record_speaker(file)
    desk.lab.play_into_mic(spoken)
    time.sleep(1.0)
    return read_wav(recorder.stop())


def assert_comes_out(desk: Desk, folder: Path) -> None:
    """What is spoken into the microphone comes out of the speaker, every voiced second of it."""
    compared = []
    for number in range(SPEECHES):
        compared.append(likeness(say_and_record(desk, folder / f"speaker-{number}.wav")))
        assert len(compared[-1].correlations) == VOICED_SECONDS
        if compared[-1].worst >= LEAST_LIKENESS:
            return
    raise AssertionError(compared)


def in_phase(home: Path, phase: str) -> EngineState:
    """Wait for the call to get there."""
    return engine_state(home, lambda state: state.call is not None and state.call.phase == phase)


def likeness(recorded: Signal) -> Comparison:
    """Each voiced second of the speech in what was recorded."""
    return compare(read_wav(SPEECH), recorded, slack_s=STRETCH_SLACK_S, pieces=5)


def call_echo(window: RealWindow, home: Path) -> None:
    """Two clicks, and wait for the answer."""
    window.click_person("Echo")
    window.click("call_button")
    in_phase(home, "talking")
    window.await_page("call")


def test_a_voice_through_microphone_and_speaker(desk: Desk, home: Path, tmp_path: Path) -> None:
    with at_home(desk, home) as window:
        window.click_person("Echo")
        pictures(window, home, "home")
        call_echo(window, home)
        assert_comes_out(desk, tmp_path)
        saying = desk.lab.start_playing_into_mic(SPEECH)
        pictures(window, home, "talking")
        window.click("connection_line")
        for chart in ("chart_rtt", "chart_delay", "chart_rate"):
            before = window.ask("looks", name=chart)
            real.wait_until(lambda name=chart, was=before: window.ask("looks", name=name) != was, f"{chart} moves")
        pictures(window, home, "panel")
        saying.terminate()
        saying.wait(TIMEOUT_S)
        window.click("hang_up")
        in_phase(home, "ended")
        pictures(window, home, "ended")
        for folder in (home, home / "trial" / "echo"):
            report = engine_report(folder)
            assert (report["outcome"], report["reason"]) == ("answered", "hung-up")
            assert report["media"]["frames_lost"] == 0, report["media"]


def test_the_comparison_notices_silence_and_another_voice() -> None:
    """The bound of the test above lies far from what anything else than the same speech reaches."""
    speech = read_wav(SPEECH)
    silence = np.zeros(speech.size + RATE_HZ)
    assert likeness(silence).worst == 0.0
    for other in (speech[::-1], speech[RATE_HZ // 2 :], np.repeat(speech, 2)[: speech.size]):
        compared = likeness(np.concatenate((other, silence)))
        assert max(compared.correlations[1:-1]) < 0.5 < LEAST_LIKENESS, compared
    hole = np.concatenate((speech, silence))
    hole[round(4.0 * RATE_HZ) : round(4.5 * RATE_HZ)] = 0.0
    assert likeness(hole).worst < LEAST_LIKENESS


def test_devices_vanish_and_return_in_mid_call(home: Path, tmp_path: Path) -> None:
    with a_desk(tmp_path) as desk, at_home(desk, home) as window:
        call_echo(window, home)
        assert_comes_out(desk, tmp_path)

        # With one device gone PulseAudio moves its stream to another; only without any is there nothing to move to.
        desk.lab.stop_server()
        window.await_text("device_trouble", "speaker")
        text = window.await_text("device_trouble", "microphone").casefold()
        assert "you hear nothing" in text and "others hear silence" in text, text
        for theme in THEMES:
            change_theme(window, home, theme)
            window.picture(f"real-devices-gone-{theme}")
        state = in_phase(home, "talking")
        assert state.audio.input_problem and state.audio.output_problem
        # Silence is sent, and comes back from Echo: packets flow both ways without any device.
        sample = ask_engine(home, lambda one: isinstance(one, CallSample))
        assert sample.sent_kbps > 0 and sample.received_kbps > 0, sample
        desk.lab.start_server()
        real.wait_until(lambda: not window.text("device_trouble"), "both devices are used again")
        assert_comes_out(desk, tmp_path)

        assert in_phase(home, "talking").call is not None
        window.click("hang_up")
        in_phase(home, "ended")
        report = engine_report(home)
        talked_s = report["times"]["ended"] - report["times"]["first_audio_sent"]
        assert report["media"]["frames_sent"] >= 0.97 * 50 * talked_s, report
        echo = engine_report(home / "trial" / "echo")["media"]
        assert echo["frames_received"] >= 0.97 * 50 * talked_s and echo["frames_lost"] == 0, echo


def test_a_window_that_stands_still_costs_no_sample(desk: Desk, tmp_path: Path) -> None:
    """A machine that is too busy for the engine itself costs samples as well; a window that does does so every time."""
    lost = []
    for number in range(STALLED_CALLS):
        (folder := tmp_path / str(number)).mkdir()
        lost.append(lost_with_a_window_that_stands_still(desk, folder))
        if not any(lost[-1].values()):
            return
    raise AssertionError(lost)


def lost_with_a_window_that_stands_still(desk: Desk, folder: Path) -> dict[str, int]:
    """The window is attached to the engine of ``segue call``: files for devices, so that every sample is counted."""
    alice, bob = folder / "alice", folder / "bob"
    with relay(folder / "relay") as address:
        address_of_bob = register("bob", address, bob)
        register("alice", address, alice)
        options = {
            person: [
                *("--home", person, "--play", SPEECH),
                *("--record", folder / f"{person.name}.wav", "--report", folder / f"{person.name}.json"),
            ]
            for person in (alice, bob)
        }
        with segue("listen", "--once", "--answer-after", "6", *options[bob]) as listener:
            listener.wait_for("listening as")
            with segue("call", address_of_bob, "--for", "9", *options[alice]) as caller:
                caller.wait_for("calling")
                with real_window(alice, desk.env) as window:
                    window.await_page("call")
                    in_phase(alice, "ringing")
                    pictures(window, alice, "ringing")
                    in_phase(alice, "talking")
                    change_theme(window, alice, "light")
                    before = window.ask("looks", name="call_name")
                    started = time.monotonic()
                    window.ask("block", seconds=STILL_S)
                    wear_soon(alice, "dark")
                    engine_state(alice, lambda state: state.call is not None and state.call.muted, SetMuted(muted=True))
                    assert time.monotonic() - started < STILL_S, "the machine is too slow for this test"
                    # The first answer comes when the thread is free again, and then the window is right at once.
                    assert window.ask("page") == "call" and time.monotonic() - started >= STILL_S
                    real.wait_until(lambda: window.text("mute_button") == "Unmute", "the newest state is shown")
                    assert window.ask("looks", name="call_name") != before
                    engine_state(
                        alice, lambda state: state.call is not None and not state.call.muted, SetMuted(muted=False)
                    )
                    window.await_text("mute_button", "Mute")
                    in_phase(alice, "talking")
                assert caller.wait() == 0, caller.output
            assert listener.wait() == 0, listener.output
    lost = {}
    for person in (alice, bob):
        media = read_report(folder / f"{person.name}.json")["media"]
        counts = ("underruns", "overruns", "samples_concealed", "frames_lost")
        lost |= {f"{person.name}: {name}": media[name] for name in counts}
        assert media["frames_sent"] >= 8 * 50, media
    return lost


def test_a_killed_window_leaves_the_call_to_the_setting(desk: Desk, home: Path) -> None:
    echo = home / "trial" / "echo"
    with at_home(desk, home) as window:
        call_echo(window, home)
        window.end(kill=True)
    time.sleep(WITHOUT_WINDOW_S + 1.0)
    in_phase(home, "talking")
    with real_window(home, desk.env) as window:
        window.await_page("call")
        window.await_text("call_clock", ":")
        assert window.text("call_name") == "Echo"
        window.end(kill=True)
    # Kept: the call goes on without any window, and the engine ends when the other side hangs up.
    call = in_phase(echo, "talking").call
    assert call is not None
    in_phase(home, "talking")
    ask_engine(echo, lambda one: isinstance(one, EngineState) and is_over(one), HangUpCall(call_id=call.call_id))
    await_nothing_left(home)

    with at_home(desk, home) as window:
        settings = msgspec.structs.replace(engine_state(home).settings, keep_call_without_window=False)
        engine_state(home, lambda state: state.settings == settings, ChangeSettings(settings=settings))
        call_echo(window, home)
        window.end(kill=True)
    # Not kept: the engine ends the call, and itself with all that it started, when its grace is over.
    await_nothing_left(home)
    with contextlib.closing(Store(home / "segue.db")) as store:
        assert [call.outcome for call in store.calls.recent()] == ["answered", "answered"]


def test_a_killed_engine_is_shown_and_started_again(desk: Desk, home: Path, tmp_path: Path) -> None:
    bob, report = tmp_path / "bob", tmp_path / "bob.json"
    with relay(tmp_path / "relay") as address:
        address_of_bob = register("bob", address, bob)
        register("me", address, home)
        options = ["--home", bob, "--play", SPEECH, "--record", tmp_path / "bob.wav", "--report", report]
        with segue("listen", "--once", *options) as listener:
            listener.wait_for("listening as")
            with real_window(home, desk.env) as window:
                window.await_page("home")
                engine_state(home, in_contacts("bob"), AddContact(address=address_of_bob, alias="Bob"))
                window.click_person("Bob")
                window.click("call_button")
                in_phase(home, "talking")
                # Bob reports what he receives, so some of it has arrived.
                ask_engine(home, lambda message: isinstance(message, CallSample) and message.remote_loss is not None)
                killed = kill_engine(home)
                # Not a hang: the window's thread answers, and says what happened.
                window.await_page("engine_down")
                assert "stopped unexpectedly" in window.text("engine_down_text")
                window.picture("real-engine-gone-light")
                window.click("restart_button")
                state = engine_state(home, lambda state: state.me.relay == "online")
                window.await_page("home")
                assert engine_pid(home) != killed and state.call is None
                assert listener.wait() == 5, listener.output
    ended = read_report(report)
    assert (ended["outcome"], ended["reason"]) == ("failed", "lost"), ended
    assert ended["media"]["frames_received"] > 0 and ended["times"]["ended"] > ended["times"]["answered"]


def test_relay_and_echo_end_with_a_killed_engine(desk: Desk, home: Path) -> None:
    with at_home(desk, home) as window:
        call_echo(window, home)
        kill_engine(home)
        window.await_page("engine_down")
        real.wait_until(lambda: list(processes_of(home)) == [window.process.pid], "only the window is left")
        window.click("restart_button")
        window.await_page("home")
        engine_state(home, in_contacts("echo"))
        call_echo(window, home)
        window.click("hang_up")
        in_phase(home, "ended")


def wear_soon(home: Path, theme: Theme) -> None:
    """Change the theme without waiting for a window."""
    settings = msgspec.structs.replace(engine_state(home).settings, theme=theme)
    engine_state(home, lambda state: state.settings == settings, ChangeSettings(settings=settings))


def is_over(state: EngineState) -> bool:
    return state.call is not None and state.call.phase == "ended"


def in_contacts(name: str) -> Callable[[EngineState], bool]:
    """Whether somebody of that name is in the list and online."""
    return lambda state: any(one.address.startswith(f"{name}@") and one.online for one in state.contacts)


def engine_pid(home: Path) -> int:
    """The process that the windows of this home talk to."""
    return read_info(home).pid


def kill_engine(home: Path) -> int:
    """In the middle of everything; returns its number."""
    pid = engine_pid(home)
    os.kill(pid, signal.SIGKILL)
    return pid
