"""What can be seen on the wire at the relay's media port: sealed packets, and nothing of the voice or of the people."""

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from media.codec import OpusEncoder
from media.devices.wav import WavSource
from tests.processes import read_report, register, relay, run, segue

pytestmark = [pytest.mark.process, pytest.mark.slow]

SPEECH = Path(__file__).parent.parent / "data" / "speech.wav"
ETH_P_IP = 0x0800
STUN_COOKIE = b"\x21\x12\xa4\x42"
# RFC 9000 §17.3.1: first byte and destination connection ID (8 bytes in aioquic) are in the clear by design.
CLEAR_BYTES = 9
# Chi-square of 256 equally likely byte values has a mean of 255 and a deviation of 22.6: six of them above.
MOST_CHI_SQUARE = 255 + 6 * 22.6
WINDOW_BYTES = 12


@dataclass
class Tap:
    """UDP payloads seen on the loopback interface, with both ports."""

    packets: list[tuple[int, int, bytes]] = field(default_factory=list)

    def at(self, port: int) -> list[bytes]:
        """What went to or came from a port."""
        return [data for source, target, data in self.packets if port in (source, target)]


def may_listen() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)).close()
    except (OSError, AttributeError):
        return False
    return True


@contextlib.contextmanager
def tap() -> Iterator[Tap]:
    """Listen on ``lo`` as anybody between a client and the relay could."""
    captured, over = Tap(), threading.Event()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        ear.bind(("lo", ETH_P_IP))
        ear.settimeout(0.2)

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    packet = ear.recv(65_535)
                    header = (packet[0] & 0x0F) * 4
                    if packet[9] == socket.IPPROTO_UDP:
                        source, target = struct.unpack_from("!HH", packet, header)
                        captured.packets.append((source, target, packet[header + 8 :]))

        listener = threading.Thread(target=listen, name="tap")
        listener.start()
        try:
            yield captured
        finally:
            over.set()
            listener.join()


def chi_square(parts: Iterable[bytes]) -> float:
    """How far the bytes are from being all equally likely."""
    counts = np.bincount(np.frombuffer(b"".join(parts), dtype=np.uint8), minlength=256)
    expected = counts.sum() / 256
    return float(np.sum((counts - expected) ** 2 / expected))


@pytest.mark.skipif(not may_listen(), reason="only root may listen on lo (AF_PACKET)")
def test_the_relay_forwards_nothing_that_can_be_read(tmp_path: Path) -> None:
    with tap() as captured, relay(tmp_path / "relay") as address:
        bob = register("robert-the-callee", address, tmp_path / "bob")
        register("alicia-the-caller", address, tmp_path / "alice")
        options = {
            name: [
                *("--always-relay", "--home", tmp_path / name, "--play", SPEECH),
                *("--record", tmp_path / f"{name}.wav", "--report", tmp_path / f"{name}.json"),
            ]
            for name in ("alice", "bob")
        }
        with segue("listen", "--once", *options["bob"]) as listener:
            listener.wait_for("listening as")
            caller = run("call", bob, "--for", "5", *options["alice"])
            assert caller.process.returncode == 0, caller.output
            assert listener.wait() == 0, listener.output
    media_port = int(read_report(tmp_path / "alice.json")["paths"][0]["remote"].rpartition(":")[2])
    packets = captured.at(media_port)
    stun = [data for data in packets if data[0] < 0x40]
    sealed = [data for data in packets if data[0] >= 0x40]
    # Five seconds, both ways, in at one leg and out at the other.
    assert len(sealed) >= 0.9 * 4 * 50 * 5
    assert stun and all(data[0] < 4 and data[4:8] == STUN_COOKIE for data in stun)

    everything = b"\0".join(packets)
    for secret in secrets_of(tmp_path, address):
        assert secret not in everything, secret
    voice = {data[place : place + WINDOW_BYTES] for data in plain_frames() for place in (0, 30)}
    samples = SPEECH.read_bytes()[44:]
    voice |= {samples[place : place + WINDOW_BYTES] for place in range(0, len(samples), 4_800)}
    assert not [one for one in voice if len(set(one)) > 6 and one in everything]

    # Each once: lo shows a packet twice, and the relay sends it on unchanged.
    short = sorted({data[CLEAR_BYTES:] for data in sealed if not data[0] & 0x80})
    assert len(short) >= 0.9 * 2 * 50 * 5
    assert chi_square(short) < MOST_CHI_SQUARE
    # Nor do two packets share an RTP header's constant part (RFC 3550 §5.1: version, payload type, SSRC).
    beginnings = Counter(part[:4] for part in short)
    assert beginnings.most_common(1)[0][1] <= 3, beginnings.most_common(3)


def test_the_check_would_see_a_voice_in_the_clear() -> None:
    """RTP with Opus, as it would look without the seal, is far outside the bounds."""
    frames = plain_frames()
    assert chi_square(frames) > 10 * MOST_CHI_SQUARE
    assert Counter(frame[:1] for frame in frames).most_common(1)[0][1] == len(frames)


def plain_frames() -> list[bytes]:
    """The speech as RTP packets in the clear."""
    encoder, source = OpusEncoder(), WavSource(SPEECH)
    with contextlib.closing(source):
        frames = [encoder.encode(source.read()) for _ in range(200)]
    return [struct.pack("!BBHII", 0x80, 96, n, 960 * n, 0x5E9E5E9E) + frame for n, frame in enumerate(frames)]


def secrets_of(folder: Path, address: str) -> list[bytes]:
    """Names, addresses and keys that only the two ends may read."""
    certificates = [(folder / name / "identity.crt").read_bytes() for name in ("alice", "bob")]
    texts = ["alicia-the-caller", "robert-the-callee", address, address.partition("#")[0], "candidate", "receiver"]
    return [*(text.encode() for text in texts), *(one[-64:] for one in certificates)]
