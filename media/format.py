"""The one sample format inside Segue: 48 kHz, mono, int16, in frames of 20 ms.

Opus runs at 48 kHz natively (RFC 7587 §4.1 fixes its RTP clock to that rate), and 20 ms is the frame for
which RFC 7587 §3.1.1 gives its recommended bitrates.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 48_000
FRAME_MS = 20
FRAME_S = FRAME_MS / 1000
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
SAMPLE_BYTES = 2
FULL_SCALE = 32_768.0

Pcm: TypeAlias = npt.NDArray[np.int16]
"""One-dimensional int16 samples at 48 kHz; a frame has :data:`FRAME_SAMPLES` of them."""

Samples: TypeAlias = npt.NDArray[np.float64]
"""The same signal while it is worked on: floats on the int16 scale."""


def silence(samples: int = FRAME_SAMPLES) -> Pcm:
    """``samples`` zeros."""
    return np.zeros(samples, dtype=np.int16)


def to_pcm(signal: Samples) -> Pcm:
    """Round to int16; what lies outside its range is clipped, never wrapped."""
    return np.clip(np.rint(signal), -32_768, 32_767).astype(np.int16)
