"""A talk in virtual time: numbered samples through both chains, both rings and a channel with any delay."""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from media.codec import Decoder, Encoder
from media.format import FRAME_S, FRAME_SAMPLES, Pcm
from media.pipeline import CaptureChain, PlayoutChain
from media.pump import AudioPump
from media.ring import SampleRing
from media.stats import MediaStats

Delay = Callable[[int], Sequence[float]]
"""One-way delays in seconds of the copies of the packet with this number (0, 1, ...); none loses it."""

# Sender's and receiver's sound cards tick at different instants; any fixed phase below one frame will do.
SPEAKER_PHASE_S = 0.0073


@dataclass(slots=True)
class Talk:
    """What came out of :func:`talk`."""

    recording: Pcm
    stats: MediaStats
    first_sample_at: float | None
    """When the first sample was handed to the speaker, in the channel's clock."""
    packets: list[bytes] = field(default_factory=list)


def talk(
    source: Pcm,
    encoder: Encoder,
    decoder: Decoder,
    delay: Delay,
    *,
    seed: int = 1,
    speaker_phase_s: float = SPEAKER_PHASE_S,
    tail_s: float = 1.0,
) -> Talk:
    """Send ``source`` in real (virtual) time and record what the speaker is given, until ``tail_s`` after its end."""
    microphone, speaker = SampleRing(), SampleRing()
    sender = AudioPump(microphone, SampleRing())
    receiver = AudioPump(SampleRing(), speaker)
    rng = random.Random(seed)
    playout = PlayoutChain(decoder)
    sender.begin(CaptureChain(encoder, rng), PlayoutChain(decoder))
    receiver.begin(CaptureChain(encoder, rng), playout)
    events: list[tuple[float, int, str, bytes]] = []
    frames = source.size // FRAME_SAMPLES
    ticks = frames + round(tail_s / FRAME_S)
    for tick in range(ticks):
        if tick < frames:
            heapq.heappush(events, ((tick + 1) * FRAME_S, tick, "capture", b""))
        heapq.heappush(events, (tick * FRAME_S + speaker_phase_s, tick, "speaker", b""))
    recording: list[Pcm] = []
    sent: list[bytes] = []
    ended, stats = False, None
    while events:
        now, number, kind, data = heapq.heappop(events)
        if kind == "capture":
            microphone.write(source[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES])
            for packet in sender.pump(now):
                flights = delay(len(sent))
                sent.append(packet)
                for flight_s in flights:
                    heapq.heappush(events, (now + flight_s, len(sent), "packet", packet))
                if number == frames - 1:
                    # The end of the call takes the same path as the last packet.
                    heapq.heappush(events, (now + max(flights, default=0.0), len(sent) + 1, "end", b""))
        elif kind == "packet":
            playout.on_packet(data, now)
        elif kind == "end":
            ended = True
        elif ended and playout.dry:
            # The receiver hangs up when all that it holds has been played.
            stats = stats or receiver.end()
            recording.append(speaker.read())
        else:
            recording.append(speaker.read())
            receiver.pump(now)
    return Talk(np.concatenate(recording), stats or receiver.stats(), playout.first_played, sent)
