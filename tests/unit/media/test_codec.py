"""Opus: quality of the voice, FEC and concealment, and payloads that nobody should send."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.codec import (
    DEFAULT_BITRATE_BPS,
    MAX_BITRATE_BPS,
    MIN_BITRATE_BPS,
    OpusDecoder,
    OpusEncoder,
)
from media.errors import CodecError
from media.format import FRAME_S, FRAME_SAMPLES, Pcm, silence
from tests.unit.media.voice import frames_of, speech


def _rate(payloads: list[bytes]) -> float:
    return sum(map(len, payloads)) * 8 / (len(payloads) * FRAME_S)


def _likeness(one: Pcm, other: Pcm) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_speech_survives() -> None:
    voice = speech()
    encoder, decoder = OpusEncoder(), OpusDecoder()
    payloads = [encoder.encode(frame) for frame in frames_of(voice)]
    decoded = np.concatenate([decoder.decode(payload) for payload in payloads])
    # libopus delays by 6.5 ms (312 samples): 2.5 ms of CELT's window plus 4 ms to keep SILK in step.
    assert max(_likeness(voice[: decoded.size - lag], decoded[lag:]) for lag in range(306, 318)) > 0.98
    assert _rate(payloads) == pytest.approx(DEFAULT_BITRATE_BPS, rel=0.15)
    assert decoder.damaged == 0


@pytest.mark.parametrize("bits_per_second", [MIN_BITRATE_BPS, 20_000, MAX_BITRATE_BPS])
def test_bitrate_follows_in_mid_stream(bits_per_second: int) -> None:
    encoder = OpusEncoder()
    frames = frames_of(speech())
    for frame in frames[:20]:
        encoder.encode(frame)
    encoder.set_bitrate(bits_per_second)
    assert _rate([encoder.encode(frame) for frame in frames[20:]]) == pytest.approx(bits_per_second, rel=0.15)


@pytest.mark.parametrize("asked", [-1, 0, 1_000_000_000])
def test_impossible_settings_are_clamped(asked: int) -> None:
    encoder = OpusEncoder(asked)
    encoder.set_expected_loss(asked)
    assert 0 < len(encoder.encode(silence())) <= 1_275


def test_recovery_from_fec_beats_concealment() -> None:
    frames = frames_of(speech())
    encoder = OpusEncoder()
    payloads = [encoder.encode(frame) for frame in frames]
    whole, with_fec, without = OpusDecoder(), OpusDecoder(), OpusDecoder()
    recovered, concealed = [], []
    for index, payload in enumerate(payloads[:-1]):
        reference = whole.decode(payload)
        if index % 8 != 5:
            with_fec.decode(payload)
            without.decode(payload)
        elif np.abs(reference.astype(int)).mean() > 300:
            recovered.append(_likeness(reference, with_fec.recover(payloads[index + 1])))
            concealed.append(_likeness(reference, without.conceal()))
        else:
            with_fec.conceal()
            without.conceal()
    assert len(recovered) > 10
    assert np.mean(recovered) > 0.8
    assert np.mean(recovered) > np.mean(concealed) + 0.2


def test_concealment_fades_out() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for frame in frames_of(speech())[:60]:
        decoder.decode(encoder.encode(frame))
    tail = [decoder.conceal() for _ in range(50)]
    assert np.abs(tail[-1].astype(int)).max() < 50


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(CodecError, match="960"):
        OpusEncoder().encode(silence(480))
    with pytest.raises(CodecError, match="int16"):
        OpusEncoder().encode(np.zeros(FRAME_SAMPLES, np.float32))  # type: ignore[arg-type]


def test_a_payload_of_another_duration_is_damage() -> None:
    decoder = OpusDecoder()
    # Table of contents for SILK of 60 ms, and for CELT of 2.5 ms (RFC 6716 §3.1).
    for toc in (0x18, 0x80):
        assert decoder.decode(bytes([toc]) + bytes(20)).shape == (FRAME_SAMPLES,)
    assert decoder.damaged == 2
    decoder.decode(b"")
    assert decoder.damaged == 3


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["decode", "recover", "conceal"]), st.binary(max_size=300)), max_size=8))
def test_hostile_payloads_never_raise(calls: list[tuple[str, bytes]]) -> None:
    decoder = OpusDecoder()
    for call, payload in calls:
        pcm = decoder.conceal() if call == "conceal" else getattr(decoder, call)(payload)
        assert pcm.shape == (FRAME_SAMPLES,)
        assert pcm.dtype == np.int16


def test_flipped_bits_never_raise_and_the_voice_comes_back() -> None:
    rng = random.Random(5)
    frames = frames_of(speech())
    encoder, decoder, clean = OpusEncoder(), OpusDecoder(), OpusDecoder()
    for frame in frames[:100]:
        payload = bytearray(encoder.encode(frame))
        clean.decode(bytes(payload))
        payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        assert decoder.decode(bytes(payload)).shape == (FRAME_SAMPLES,)
    rest = [encoder.encode(frame) for frame in frames[100:200]]
    expected = np.concatenate([clean.decode(payload) for payload in rest])
    decoded = np.concatenate([decoder.decode(payload) for payload in rest])
    assert _likeness(expected[24_000:], decoded[24_000:]) > 0.95


def test_the_speech_of_the_tests_is_there() -> None:
    assert Path(__file__).parents[2].joinpath("data", "speech.wav").stat().st_size <= 600 * 1024
