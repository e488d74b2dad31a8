"""The sound of the engine on its loop: what is opened when, tones, test recordings, levels.

The threads of sound only touch rings and wake this. In a call the :class:`app.call.session.CallSession` moves the audio
(``on_ready``), with the same pump that plays tones and measures levels while there is none.
"""

import asyncio
import contextlib
from collections.abc import Callable

from app.call.events import ToneName
from app.engine.sound_system import SoundPlan, SoundSystem, TestTape
from app.ipc import engine_state, messages
from app.model.settings import Settings
from media.processing import Level
from media.pump import AudioPump
from media.tones import Sound, TonePlayer

# What a level of silence and of full scale look like on a meter: 60 dB are the range of a quiet room to a shout.
METER_RANGE_DB = 60.0
# After a call the speaker stays open for its last tone, and for the next call's first one.
RELEASE_AFTER_S = 4.0
_TONES: dict[ToneName, Sound] = {
    "ring": Sound.RINGING,
    "ring-back": Sound.RING_BACK,
    "busy": Sound.BUSY,
    "ended": Sound.HUNG_UP,
    "reconnecting": Sound.RECONNECTING,
}


class EngineAudio:
    """``changed`` is called when windows would show another device, problem or recording.

    Raises :class:`app.system.errors.AppError` when a file of the plan cannot be used.
    """

    def __init__(self, plan: SoundPlan, settings: Settings, changed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = changed
        self._settings = settings
        self._wake_pending = False
        self._closed = False
        self._sound = SoundSystem(plan, self._wake)
        self.pump = AudioPump(self._sound.capture_ring, self._sound.playout_ring, self._sound.ring_frames)
        self._on_ready: Callable[[], None] | None = None
        self._tone: TonePlayer | TestTape | None = None
        self._tape: TestTape | None = None
        self._in_call = False
        self._metering = False
        self._release_timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Silence, and no thread left. Waits for the threads of sound."""
        self._closed = True
        self._cancel_release()
        self._sound.close()

    # -- a call ----------------------------------------------------------------------------------------------------

    def open_speaker(self) -> None:
        """Open what a call will need, before it does."""
        self._in_call = True
        self._cancel_release()
        self._sound.open("output", self._settings.output_device)

    def open_microphone(self) -> None:
        """The same for the other direction."""
        self._sound.open("input", self._settings.input_device)

    def start(self, on_ready: Callable[[], None]) -> None:
        """Audio both ways: ``on_ready`` moves it, each time that a device has taken or given samples."""
        self._on_ready = on_ready
        self._sound.begin_call()

    def stop(self) -> None:
        """The call is over: the microphone is closed at once, the speaker when the last tone has ended."""
        self._on_ready = None
        self._in_call = False
        if not self._metering:
            self._sound.release("input")
        self._release_soon()

    # -- tones, tests, devices -------------------------------------------------------------------------------------

    def play_tone(self, tone: ToneName) -> None:
        """Play this until :meth:`stop_tone`, or its own end."""
        self._cancel_release()
        self._sound.open("output", self._settings.output_device)
        # Ringing is as loud as the person wants it; the rest is soft by itself.
        self._play(TonePlayer(_TONES[tone], self._settings.ring_volume if tone == "ring" else 1.0))
        if not self._in_call:
            self._release_soon()

    def stop_tone(self) -> None:
        """Quiet, without a click."""
        if isinstance(self._tone, TonePlayer):
            self._tone.stop()

    def meter(self, on: bool) -> None:
        """Open the microphone only to show its level."""
        self._metering = on
        if on:
            self._sound.open("input", self._settings.input_device)
        elif not self._in_call:
            self._sound.release("input")
        self._changed()

    def test_recording(self, on: bool) -> None:
        """Record a few seconds and play them; not in a call."""
        self._tape = TestTape() if on and not self._in_call else None
        self.pump.tap(self._tape.add if self._tape is not None else None)
        self._play(None)
        self.meter(self._tape is not None)

    def use(self, settings: Settings) -> None:
        """Devices may have changed; what is open moves to the new ones at once."""
        before, self._settings = self._settings, settings
        if settings.input_device != before.input_device and (self._in_call or self._metering):
            self._sound.open("input", settings.input_device)
        if settings.output_device != before.output_device and self._in_call:
            self._sound.open("output", settings.output_device)

    def refresh(self) -> None:
        """Look for devices anew."""
        self._sound.refresh()

    # -- figures ---------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether there are levels to show."""
        return self._in_call or self._metering or self._tape is not None

    @property
    def view(self) -> engine_state.AudioState:
        """Devices and their problems, as windows show them."""
        test = ""
        if self._tape is not None:
            test = "playing" if self._tape.is_full else "recording"
        return self._sound.audio(test)

    def levels(self) -> messages.Levels:
        """Both levels on a meter's scale."""
        return messages.Levels(microphone=_on_meter(self.pump.input_level), speaker=_on_meter(self.pump.output_level))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """From threads of sound: have the rings looked after, once for any number of calls."""
        if not self._wake_pending and not self._closed:
            self._wake_pending = True
            with contextlib.suppress(RuntimeError):  # the loop has ended before the threads did
                self._loop.call_soon_threadsafe(self._after_sockets)

    def _after_sockets(self) -> None:
        # One more turn of the loop: after a stall the packets that wait in the sockets are read before frames are
        # declared missing.
        self._loop.call_soon(self._look_after)

    def _look_after(self) -> None:
        self._wake_pending = False
        if self._closed:
            return
        if self._on_ready is not None:
            self._on_ready()
        else:
            self.pump.pump(self._loop.time())
        if self._tape is not None:
            self._wind(self._tape)
        if self._sound.take_news():
            self._changed()

    def _wind(self, tape: TestTape) -> None:
        if tape.is_full and self._tone is not tape:
            self.pump.tap(None)
            self._sound.open("output", self._settings.output_device)
            self._cancel_release()
            self._play(tape)
            self._changed()
        elif tape.is_full and tape.finished:
            self._tape = None
            self.meter(False)
            self._release_soon()

    def _play(self, tone: TonePlayer | TestTape | None) -> None:
        self._tone = tone
        self.pump.play(tone)

    def _cancel_release(self) -> None:
        if self._release_timer is not None:
            self._release_timer.cancel()
            self._release_timer = None

    def _release_soon(self) -> None:
        self._cancel_release()
        self._release_timer = self._loop.call_later(RELEASE_AFTER_S, self._release)

    def _release(self) -> None:
        self._release_timer = None
        if not self._in_call and (self._tape is None or self._tone is not self._tape):
            self._play(None)
            self._sound.release("output")


def _on_meter(level: Level) -> float:
    """A level in dBFS as a share of a meter."""
    return min(max(1.0 + level.rms_dbfs / METER_RANGE_DB, 0.0), 1.0)
