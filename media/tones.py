"""The sounds around a call, generated: ring-back, ringing, busy, reconnecting, hung up. All start and end softly.

Ring-back and busy are those that most of Europe knows (425 Hz, ITU-T E.180). The melody is Segue's own.
"""

from enum import Enum

import numpy as np

from media.format import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE_HZ, Pcm, Samples, silence, to_pcm

# Raised-cosine edges of 10 ms: the spectrum of the switching stays below an audible click.
_EDGE_SAMPLES = SAMPLE_RATE_HZ * 10 // 1000
# Loudness, far below a voice at -20 dBFS for those that play during a call.
_CALL_PROGRESS_DBFS = -20.0
_MELODY_DBFS = -16.0
_SOFT_DBFS = -30.0
# What a struck bar of wood sounds like: few partials, the higher ones gone sooner.
_PARTIALS = ((1.0, 1.0, 1.0), (2.0, 0.25, 1.8), (4.0, 0.08, 3.5))


class Sound(Enum):
    """What there is to hear."""

    RING_BACK = "ring-back"
    RINGING = "ringing"
    BUSY = "busy"
    RECONNECTING = "reconnecting"
    HUNG_UP = "hung-up"


def _edges(signal: Samples) -> Samples:
    edge = min(_EDGE_SAMPLES, signal.size // 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / edge)
    out = signal.copy()
    out[:edge] *= rise
    out[out.size - edge :] *= rise[::-1]
    return out


def _tone(hertz: float, seconds: float, dbfs: float) -> Samples:
    time = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    amplitude = FULL_SCALE * 10 ** (dbfs / 20)
    return _edges(amplitude * np.sin(2 * np.pi * hertz * time))


def _pause(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ))


def _struck(hertz: float, seconds: float, dbfs: float) -> Samples:
    """A note that is struck and fades."""
    time = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    amplitude = FULL_SCALE * 10 ** (dbfs / 20)
    note = np.zeros(time.size)
    for multiple, share, decay in _PARTIALS:
        note += share * np.sin(2 * np.pi * hertz * multiple * time) * np.exp(-4.5 * decay * time)
    return _edges(amplitude * note)


def _melody(notes: tuple[tuple[float, float], ...], seconds: float, ring_s: float = 0.9) -> Samples:
    """Notes as (start in s, Hz), each ringing on under the next, within ``seconds``."""
    out = _pause(seconds)
    for start, hertz in notes:
        at = round(start * SAMPLE_RATE_HZ)
        note = _struck(hertz, ring_s, _MELODY_DBFS)[: out.size - at]
        out[at : at + note.size] += note
    return out


# Two rising figures in G major pentatonic that hand the last note on: one passes to the next without a pause.
_RINGING_NOTES = (
    (0.00, 392.00), (0.18, 493.88), (0.36, 587.33), (0.72, 783.99),
    (1.08, 440.00), (1.26, 587.33), (1.44, 659.26), (1.80, 880.00),
)  # fmt: skip


def _score(sound: Sound) -> tuple[Pcm, bool]:
    """The samples, and whether they repeat."""
    match sound:
        case Sound.RING_BACK:
            parts, repeats = [_tone(425, 1.0, _CALL_PROGRESS_DBFS), _pause(4.0)], True
        case Sound.RINGING:
            parts, repeats = [_melody(_RINGING_NOTES, 2.8), _pause(1.2)], True
        case Sound.BUSY:
            parts, repeats = [_tone(425, 0.5, _CALL_PROGRESS_DBFS), _pause(0.5)], True
        case Sound.RECONNECTING:
            parts, repeats = [_tone(660, 0.09, _SOFT_DBFS), _pause(2.91)], True
        case Sound.HUNG_UP:
            notes = ((0.0, 587.33), (0.16, 440.00))
            parts, repeats = [_melody(notes, 0.7, ring_s=0.5)], False
    return to_pcm(np.concatenate(parts)), repeats


class TonePlayer:
    """Plays one sound by the frame: a :class:`media.pump.FrameSource`."""

    def __init__(self, sound: Sound, gain: float = 1.0) -> None:
        """``gain`` is linear, 1 for the loudness that the sound was made for."""
        self.sound = sound
        self._gain = gain
        self._samples, self._repeats = _score(sound)
        self._at = 0
        self._stopping = False
        self._finished = False

    @property
    def finished(self) -> bool:
        """Only silence follows."""
        return self._finished

    def stop(self) -> None:
        """Fade out within the next frame."""
        self._stopping = True

    def read(self) -> Pcm:
        """The next 960 samples."""
        if self._finished:
            return silence()
        samples = self._samples
        if self._repeats:
            frame = samples[(self._at + np.arange(FRAME_SAMPLES)) % samples.size]
        else:
            frame = silence()
            rest = samples[self._at : self._at + FRAME_SAMPLES]
            frame[: rest.size] = rest
            self._finished = self._at + FRAME_SAMPLES >= samples.size
        self._at += FRAME_SAMPLES
        if self._stopping:
            fall = 0.5 + 0.5 * np.cos(np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)
            self._finished = True
            return to_pcm(frame.astype(np.float64) * (fall * self._gain))
        return frame if self._gain == 1.0 else to_pcm(frame.astype(np.float64) * self._gain)
