"""Material for the tests: real speech from tests/data, and signals whose every sample is known."""

import wave
from functools import cache
from pathlib import Path

import numpy as np

from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm

SPEECH = Path(__file__).parents[2] / "data" / "speech.wav"


@cache
def speech() -> Pcm:
    """All of tests/data/speech.wav: 48 kHz mono."""
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def frames_of(pcm: Pcm) -> list[Pcm]:
    """Whole frames of 960 samples."""
    return [pcm[at : at + FRAME_SAMPLES] for at in range(0, pcm.size - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


def sine(hertz: float, samples: int, amplitude: float = 10_000, start: int = 0) -> Pcm:
    """A sine whose phase depends on the sample's number alone."""
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * np.arange(start, start + samples) / SAMPLE_RATE_HZ)).astype(
        np.int16
    )
