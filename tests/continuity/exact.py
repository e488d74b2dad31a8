"""Proof that every sample arrives once and in order: a numbered signal, a codec that keeps it, and a checker.

Samples come in pairs that spell the number of the pair: the even sample holds its low 16 bits, the odd one its high
15 bits. So any two neighbours say where they come from, and a hole, a repetition or an invented sample anywhere
within 2^31 pairs shows at the very sample. Numbers start at :data:`FIRST`, high enough that no real pair looks like
silence (0, 0).

Use through any transport::

    sender = CaptureChain(IndexEncoder(), rng)            # no processing: the samples stay as they are
    receiver = PlayoutChain(IndexDecoder())
    ... push numbered(FIRST + n * 960, 960) frame by frame, carry the packets, pull, collect ...
    report = check(np.concatenate(pulled))
    assert report.exact, report.faults
    assert report.first == FIRST and report.samples == 60 * 48_000

``IndexEncoder`` proves the capture side too: a frame whose samples are not consecutive numbers becomes a payload
that decodes to a fault.
"""

from dataclasses import dataclass

import numpy as np

from media.format import FRAME_SAMPLES, Pcm

FIRST = (1 << 18) + 2
"""Number of the first sample; even, its high word above zero and its low word too: nothing in it is silent."""

_MAX_FAULTS = 20
_BROKEN = b"broken"
# A high word is never negative, so this is no number: the mark of concealed or broken frames.
_INVENTED = -1


def numbered(first: int, count: int) -> Pcm:
    """The samples numbered ``first`` to ``first + count - 1``."""
    index = np.arange(first, first + count, dtype=np.int64)
    pair = index >> 1
    words = np.where(index & 1, pair >> 16, pair & 0xFFFF)
    return words.astype(np.uint16).view(np.int16)


def number_at(samples: Pcm, at: int, odd: bool) -> int | None:
    """The number of ``samples[at]``, whose number is ``odd`` or not; ``None`` where the pair is cut or invented."""
    low_at = at - 1 if odd else at
    if low_at < 0 or low_at + 1 >= samples.size:
        return None
    low, high = (int(word) for word in samples[low_at : low_at + 2].view(np.uint16))
    return None if high >= 0x8000 or high == 0 else 2 * ((high << 16) | low) + odd


def locate(samples: Pcm) -> int | None:
    """The number of ``samples[0]``: the one that the most of the following samples agree with."""
    for odd in (False, True):
        start = number_at(samples, 0, odd)
        if start is None and odd and samples.size >= 3:
            following = number_at(samples, 1, False)
            start = None if following is None else following - 1
        run = min(samples.size, 6)
        if start is not None and start >= 0 and np.array_equal(samples[:run], numbered(start, run)):
            return start
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """At sample ``at`` of the recording ``expected`` was due; ``found`` is the number there, ``None`` for silence
    or invented samples. ``kind``: missing, repeated, silence, invented, foreign."""

    at: int
    kind: str
    expected: int
    found: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """``samples`` numbered samples from number ``first`` on, after ``silent_before`` zeros, with these faults."""

    silent_before: int
    silent_after: int
    first: int | None
    samples: int
    faults: tuple[Fault, ...]

    @property
    def exact(self) -> bool:
        """Every index once, in order, and at least one."""
        return self.samples > 0 and not self.faults


def check(recording: Pcm) -> Report:
    """Compare a recording with the numbered signal. Silence before and after it is no fault, within it is one."""
    played = np.flatnonzero(recording)
    if played.size == 0:
        return Report(recording.size, 0, None, 0, ())
    # An even sample may be zero by itself, so the true edges can lie one sample further out.
    begin, end = int(played[0]), int(played[-1]) + 1
    if begin > 0 and locate(recording[begin - 1 : end]) is not None:
        begin -= 1
    signal = recording[begin:end]
    first = locate(signal)
    if first is None:
        return Report(begin, recording.size - end, None, 0, (Fault(begin, "foreign", FIRST, None),))
    faults: list[Fault] = []
    at, number, good = 0, first, 0
    while at < signal.size and len(faults) < _MAX_FAULTS:
        wrong = np.flatnonzero(signal[at:] != numbered(number, signal.size - at))
        if wrong.size == 0:
            good += signal.size - at
            break
        good += int(wrong[0])
        at, number = at + int(wrong[0]), number + int(wrong[0])
        fault, length, number = _explain(signal, at, number)
        faults.append(Fault(begin + at, *fault))
        at += length
    return Report(begin, recording.size - end, first, good, tuple(faults))


def _explain(signal: Pcm, at: int, expected: int) -> tuple[tuple[str, int, int | None], int, int]:
    """What is wrong at ``at``: (kind, expected, found), samples to pass over, number to go on with."""
    for ahead in range(min(signal.size - at, 1 << 16)):
        found = locate(signal[at + ahead : at + ahead + 8])
        if found is not None and found >= FIRST:
            break
    else:
        ahead, found = signal.size - at, None
    hole = signal[at : at + ahead]
    if ahead == 0 and found is not None:
        return ("repeated" if found < expected else "missing", expected, found), 0, found
    kind = "silence" if not hole.any() else "invented" if np.all(hole == _INVENTED) else "foreign"
    return (kind, expected, found), max(ahead, 1), found if found is not None else expected + max(ahead, 1)


class IndexEncoder:
    """``Encoder`` of :mod:`media.codec`: the payload is the number of the frame's first sample, 8 bytes."""

    def encode(self, pcm: Pcm) -> bytes:
        """A frame of consecutive numbers; silence is kept as silence, all else is marked broken."""
        if not pcm.any():
            return b"silence!"
        first = locate(pcm)
        if first is None or not np.array_equal(pcm, numbered(first, FRAME_SAMPLES)):
            return _BROKEN
        return first.to_bytes(8, "big")

    def set_bitrate(self, bits_per_second: int) -> None:
        """Has none."""

    def set_expected_loss(self, percent: int) -> None:
        """Has no FEC."""


class IndexDecoder:
    """``Decoder`` of :mod:`media.codec`: the numbered frame, or samples that no checker takes for numbers."""

    def __init__(self) -> None:
        self.damaged = 0

    def decode(self, payload: bytes) -> Pcm:
        """The frame that the payload names."""
        if payload == b"silence!":
            return np.zeros(FRAME_SAMPLES, dtype=np.int16)
        if len(payload) != 8:
            self.damaged += 1
            return self.conceal()
        return numbered(int.from_bytes(payload, "big"), FRAME_SAMPLES)

    def conceal(self) -> Pcm:
        """Invented samples, and they say so."""
        return np.full(FRAME_SAMPLES, _INVENTED, dtype=np.int16)

    def recover(self, next_payload: bytes) -> Pcm:
        """Nothing is ever recovered: a lost frame must show."""
        return self.conceal()
