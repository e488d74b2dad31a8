"""Opus (RFC 6716) at 48 kHz mono, 20 ms, with in-band FEC and concealment. The only importer of opuslib.

opuslib 3.0.1 loads the system's libopus. Its property ``inband_fec`` forgets to pass the value on, so the control
request itself is used; its property ``dtx`` is broken too and not needed: a fresh encoder has DTX off.
"""

import warnings
from typing import Protocol

import numpy as np

from media.errors import CodecError
from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence

_why_not = ""
with warnings.catch_warnings():
    # Compiling opuslib warns about `is not 0`.
    warnings.simplefilter("ignore", SyntaxWarning)
    try:
        import opuslib
        import opuslib.api.ctl
        import opuslib.api.encoder
    except Exception as error:
        # opuslib raises a plain Exception where the system has no libopus; the reason is kept until a codec is wanted.
        _why_not = str(error)

CHANNELS = 1
DEFAULT_BITRATE_BPS = 32_000
# Below 12 kbit/s Opus has to narrow the voice's band; above 48 kbit/s nobody hears a difference in mono speech
# (RFC 7587 §3.1.1 recommends 28 to 40 kbit/s for fullband speech).
MIN_BITRATE_BPS = 12_000
MAX_BITRATE_BPS = 48_000
# 0..10. 10 costs about twice the time of 5 for a difference that only listening tests at low rates show.
COMPLEXITY = 7
# Opus spends bits on in-band FEC only when it expects loss, so a call starts expecting a little.
DEFAULT_LOSS_PERCENT = 5
MAX_LOSS_PERCENT = 40


class Encoder(Protocol):
    """Makes one payload of each 20 ms frame."""

    def encode(self, pcm: Pcm) -> bytes:
        """``pcm`` has 960 samples."""
        ...

    def set_bitrate(self, bits_per_second: int) -> None:
        """Takes effect with the next frame; out of range is clamped."""
        ...

    def set_expected_loss(self, percent: int) -> None:
        """How much in-band FEC to carry, as the share of frames expected to get lost; out of range is clamped."""
        ...


class Decoder(Protocol):
    """Makes one 20 ms frame of each payload, or of nothing. Always 960 samples, never an exception."""

    def decode(self, payload: bytes) -> Pcm:
        """The frame that ``payload`` carries; what cannot be decoded is concealed and counted as damaged."""
        ...

    def conceal(self) -> Pcm:
        """A frame in place of one that is missing (packet loss concealment)."""
        ...

    def recover(self, next_payload: bytes) -> Pcm:
        """The missing frame from the in-band FEC of the one after it, which is still to be decoded itself."""
        ...

    damaged: int
    """Payloads that could not be decoded."""


def _require_library() -> None:
    if _why_not:
        raise CodecError(f"Opus cannot be used: {_why_not}")


class OpusEncoder:
    """libopus, variable bitrate. Raises :class:`CodecError` when the library is missing.

    Mode "audio" with the signal type set to voice: it picks the same SILK and hybrid modes with FEC as mode "voip", but
    leaves out that mode's own high-pass at the pitch, which would cut a second time below ``processing.HighPass``.
    """

    def __init__(self, bitrate_bps: int = DEFAULT_BITRATE_BPS) -> None:
        _require_library()
        try:
            self._encoder = opuslib.Encoder(SAMPLE_RATE_HZ, CHANNELS, opuslib.APPLICATION_AUDIO)
            self._encoder.vbr = 1
            self._encoder.complexity = COMPLEXITY
            self._encoder.signal = opuslib.SIGNAL_VOICE
            opuslib.api.encoder.encoder_ctl(self._encoder.encoder_state, opuslib.api.ctl.set_inband_fec, 1)
        except opuslib.OpusError as error:
            raise CodecError(f"Opus gives no encoder: {error}") from error
        self.set_bitrate(bitrate_bps)
        self.set_expected_loss(DEFAULT_LOSS_PERCENT)

    def encode(self, pcm: Pcm) -> bytes:
        """See :class:`Encoder`. Raises :class:`CodecError` when ``pcm`` is not one frame."""
        if pcm.shape != (FRAME_SAMPLES,) or pcm.dtype != np.int16:
            raise CodecError(f"a frame is {FRAME_SAMPLES} int16 samples, not {pcm.shape} {pcm.dtype}")
        payload: bytes = self._encoder.encode(pcm.tobytes(), FRAME_SAMPLES)
        return payload

    def set_bitrate(self, bits_per_second: int) -> None:
        self._encoder.bitrate = min(max(bits_per_second, MIN_BITRATE_BPS), MAX_BITRATE_BPS)

    def set_expected_loss(self, percent: int) -> None:
        self._encoder.packet_loss_perc = min(max(percent, 0), MAX_LOSS_PERCENT)


class OpusDecoder:
    """libopus with concealment. Raises :class:`CodecError` when the library is missing."""

    def __init__(self) -> None:
        _require_library()
        try:
            self._decoder = opuslib.Decoder(SAMPLE_RATE_HZ, CHANNELS)
        except opuslib.OpusError as error:
            raise CodecError(f"Opus gives no decoder: {error}") from error
        self.damaged = 0

    def decode(self, payload: bytes) -> Pcm:
        # An empty payload would silently select concealment inside libopus.
        pcm = self._run(payload, fec=False) if payload else None
        if pcm is None:
            self.damaged += 1
            return self.conceal()
        return pcm

    def conceal(self) -> Pcm:
        pcm = self._run(b"", fec=False)
        return silence() if pcm is None else pcm

    def recover(self, next_payload: bytes) -> Pcm:
        """See :class:`Decoder`. A payload without FEC makes libopus conceal by itself."""
        pcm = self._run(next_payload, fec=True) if next_payload else None
        return self.conceal() if pcm is None else pcm

    def _run(self, payload: bytes, *, fec: bool) -> Pcm | None:
        try:
            data = self._decoder.decode(payload, FRAME_SAMPLES, decode_fec=fec)
        except opuslib.OpusError:
            return None
        pcm = np.frombuffer(data, dtype=np.int16)
        # A valid packet of another duration is not what the peer agreed to send.
        return pcm if pcm.size == FRAME_SAMPLES else None
