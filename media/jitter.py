"""The adaptive jitter buffer (pure): keyed by RTP timestamp, blind to paths.

``push`` takes packets as they come; ``pull`` is called for each 20 ms that the speaker consumes and says what to
play. The delay of playout over the fastest packets follows the measured variation (:mod:`media.delay_estimator`): it
grows by
stretching the voice, or by the concealment that an empty buffer forces anyway, and shrinks by stretching alone.
Nothing is skipped to catch up, except at a hole that is audible already and longer than ``max_delay_s``, and after a
stall (:mod:`media.stall_detector`): then what waits beyond the target is given up but for 200 ms, which are caught
up in haste.
"""

from collections import deque
from dataclasses import dataclass

from media.delay_estimator import DelayConfig, DelayEstimator
from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ
from media.playout import Conceal, Frame, JitterStats, Playout, Recover, Silence, Tempo
from media.rtp import SEQUENCE_BITS, TIMESTAMP_BITS, RtpPacket, unwrap
from media.stall_detector import STALL_S, StallWatch


@dataclass(frozen=True, slots=True)
class JitterConfig:
    """Delays are those of playout over the fastest packet's arrival."""

    start_delay_s: float = 0.055
    """Playing starts when this much is buffered, or when it should be: so long after the first frame was begun, which
    is one frame before it came. With both sound cards' periods, the ring and Opus's own 6.5 ms it keeps accept → first
    audio under one-way delay + 100 ms (tests/natsim/test_first_audio.py)."""
    floor_s: float = 0.040
    """Never shrink below two frames: sound cards ask for blocks of up to 40 ms at once."""
    max_delay_s: float = 0.500
    """Above half a second a talk falls apart (ITU-T G.114: 400 ms one way), so later packets count as lost."""
    margin_s: float = 0.005
    """Beyond the measured variation: the engine's own wake-up lateness."""
    drain_above_s: float = 0.035
    """Shorten only when so far above the target: the phase of playout is good for one frame of 20 ms, and the first
    packets of a call find cold caches."""
    skip_above_s: float = 0.200
    """After a stall, skip when so much more than the target waits: less is gone within a second by shortening what is
    said by a quarter. Without a stall nothing is ever skipped: a path that gets faster drains by 5 %."""
    max_packets: int = 100
    """2 s of voice; when more arrives at once the oldest are dropped and counted as overruns."""
    max_dropout_packets: int = 3_000
    """RFC 3550 A.1: a larger jump of the sequence number is a restart of the sender, not loss."""
    max_ahead_s: float = 1.0
    """A packet that seems faster than the fastest by more is from another time line: a restart of the sender."""


@dataclass(slots=True)
class _Held:
    sequence: int
    payload: bytes
    arrived: float


class _Remembered:
    """The last so many timestamps of a kind, to tell a duplicate from a late packet."""

    def __init__(self, size: int) -> None:
        self._order: deque[int] = deque()
        self._known: set[int] = set()
        self._size = size

    def add(self, timestamp: int) -> None:
        if timestamp in self._known:
            return
        if len(self._order) >= self._size:
            self._known.discard(self._order.popleft())
        self._order.append(timestamp)
        self._known.add(timestamp)

    def remove(self, timestamp: int) -> bool:
        if timestamp not in self._known:
            return False
        self._known.discard(timestamp)
        self._order.remove(timestamp)
        return True

    def __contains__(self, timestamp: int) -> bool:
        return timestamp in self._known


# A late packet older than 10 s is not worth an exact count.
_MEMORY_FRAMES = 512
_ONE_SECOND_FRAMES = round(1 / FRAME_S)
# The margin before underrun is judged over a few pulls: a sound card that takes 40 ms at once alternates.
_LEAD_PULLS = 10


class JitterBuffer:
    """One talk's receiving side. ``now`` is one monotonic clock in seconds for ``push`` and ``pull``."""

    def __init__(self, config: JitterConfig | None = None, delay: DelayConfig | None = None) -> None:
        self._config = config or JitterConfig()
        self._delay_config = delay
        self._received = self._lost = self._late = self._duplicate = 0
        self._overruns = self._stalls = self._restarts = self._strange = self._skipped = 0
        self._outcomes: deque[bool] = deque(maxlen=_ONE_SECOND_FRAMES)
        self._suspect: RtpPacket | None = None
        self._ended = False
        self._jitter_s = 0.0
        self._begin_time_line(None)

    def _begin_time_line(self, first: RtpPacket | None) -> None:
        self._frames: dict[int, _Held] = {}
        self._delay = DelayEstimator(self._delay_config)
        self._watch = StallWatch()
        self._catching_up = False
        self._pulled: float | None = None
        self._target_s = self._config.floor_s
        self._tempo = Tempo.STEADY
        self._playing = False
        self._next_timestamp = 0
        self._played_sequence: int | None = None
        self._gap_lost = 0
        self._stalled_frames = 0
        self._first_arrival = 0.0
        self._previous_transit: float | None = None
        self._leads: deque[float] = deque(maxlen=_LEAD_PULLS)
        self._seen = _Remembered(_MEMORY_FRAMES)
        self._missed = _Remembered(_MEMORY_FRAMES)
        self._ssrc = first.ssrc if first else None
        # One whole turn ahead of zero, so that packets from before the first one stay positive.
        self._newest_sequence = first.sequence + (1 << SEQUENCE_BITS) if first else 0
        self._newest_timestamp = first.timestamp + (1 << TIMESTAMP_BITS) if first else 0

    # --- receiving -----------------------------------------------------------------------------------------

    def push(self, packet: RtpPacket, now: float) -> None:
        """Take one packet that arrived at ``now``. Never raises; what does not fit is counted and dropped."""
        if self._ssrc is None:
            self._begin_time_line(packet)
        sequence = unwrap(packet.sequence, self._newest_sequence, SEQUENCE_BITS)
        timestamp = unwrap(packet.timestamp, self._newest_timestamp, TIMESTAMP_BITS)
        if not self._fits(packet, sequence, timestamp, now):
            if not self._confirms_restart(packet):
                self._strange += 1
                self._suspect = packet
                return
            self._restarts += 1
            self._begin_time_line(packet)
            sequence, timestamp = self._newest_sequence, self._newest_timestamp
        self._suspect = None
        self._accept(sequence, timestamp, packet.payload, now)

    def observe_copy(self, timestamp: int, now: float) -> None:
        """A packet that came before has come again, by a slower path: what comes by that one alone, if the talk moves
        there, will be so late, and the delay grows in time. Nothing else follows from it; ``timestamp`` is the 32 bits
        of the packet."""
        if self._ssrc is None:
            return
        transit = _transit(unwrap(timestamp, self._newest_timestamp, TIMESTAMP_BITS), now)
        base = self._delay.base_s
        if base is None or not self._watch.counts(transit, now, self._delay):
            return
        if base <= transit <= base + self._config.max_ahead_s:
            self._learn(transit, now)

    def _fits(self, packet: RtpPacket, sequence: int, timestamp: int, now: float) -> bool:
        ahead = sequence - self._newest_sequence
        later = timestamp - self._newest_timestamp
        if packet.ssrc != self._ssrc or abs(ahead) > self._config.max_dropout_packets:
            return False
        if (ahead > 0) != (later > 0) or (ahead < 0) != (later < 0):
            return False
        base = self._delay.base_s
        return base is None or _transit(timestamp, now) > base - self._config.max_ahead_s

    def _confirms_restart(self, packet: RtpPacket) -> bool:
        # RFC 3550 A.1: one packet may be a stray, two in sequence are a sender.
        before = self._suspect
        return (
            before is not None
            and packet.ssrc == before.ssrc
            and unwrap(packet.sequence, before.sequence, SEQUENCE_BITS) == before.sequence + 1
            and unwrap(packet.timestamp, before.timestamp, TIMESTAMP_BITS) == before.timestamp + FRAME_SAMPLES
        )

    def _accept(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        if timestamp in self._seen:
            self._duplicate += 1
            return
        self._seen.add(timestamp)
        self._received += 1
        self._measure(timestamp, now)
        if sequence > self._newest_sequence:
            self._newest_sequence, self._newest_timestamp = sequence, timestamp
        if self._playing and timestamp < self._next_timestamp:
            self._late += 1
            if self._missed.remove(timestamp):
                self._lost -= 1
            return
        if not self._frames and not self._playing:
            self._first_arrival = now
        self._frames[timestamp] = _Held(sequence, payload, now)
        if len(self._frames) > self._config.max_packets:
            self._overruns += self._discard_before(min(self._frames) + FRAME_SAMPLES)

    def _measure(self, timestamp: int, now: float) -> None:
        transit = _transit(timestamp, now)
        if self._watch.arrived(transit, now, self._delay):
            self._catching_up = self._playing
        counts = self._watch.counts(transit, now, self._delay)
        if counts:
            self._learn(transit, now)
        if self._previous_transit is not None and counts:
            self._jitter_s += (abs(transit - self._previous_transit) - self._jitter_s) / 16
        self._previous_transit = transit

    def _learn(self, transit: float, now: float) -> None:
        self._delay.add(transit, now)
        config = self._config
        needed = max(config.floor_s, self._needed_s())
        calm = max(config.floor_s, self._delay.worst_s + config.margin_s)
        self._target_s = min(max(min(self._target_s, calm), needed), config.max_delay_s)

    def _needed_s(self) -> float:
        variation = max(self._delay.usual_s, self._delay.recurring_peak_s)
        return min(variation + self._config.margin_s, self._config.max_delay_s)

    # --- playing -------------------------------------------------------------------------------------------

    def pull(self, now: float) -> Playout:
        """What to play for the next 20 ms. Never raises."""
        if not self._playing and not self._start(now):
            return Silence()
        if self._pulled is not None and now - self._pulled > STALL_S:
            # The speaker, or all of us, stood still.
            self._catching_up = True
        self._pulled = now
        if not self._frames:
            return self._run_dry()
        if self._stalled_frames and not self._catching_up:
            limit = max(self._frames) + FRAME_SAMPLES - round(self._config.max_delay_s * SAMPLE_RATE_HZ)
            first = min(self._frames)
            if limit - self._next_timestamp >= FRAME_SAMPLES:
                # What never came in so long a stall is lost, and counted before playing jumps behind it.
                self._pass_over(
                    max(0, min(self._missing(first), (limit - self._next_timestamp) // FRAME_SAMPLES)), first
                )
            self._late += self._discard_before(limit)
        self._close_gap()
        joined = self._catching_up and self._catch_up()
        held = self._frames.pop(self._next_timestamp, None)
        if held is None:
            return self._miss()
        self._outcomes.append(False)
        self._stalled_frames = self._gap_lost = 0
        self._played_sequence = held.sequence
        self._leads.append(_transit(self._next_timestamp, now))
        self._next_timestamp += FRAME_SAMPLES
        return Frame(held.payload, held.arrived, self._choose_tempo(), joined)

    @property
    def dry(self) -> bool:
        """In mid-talk with nothing held: the next ``pull`` would have to conceal."""
        return self._playing and not self._ended and not self._frames

    def end(self) -> None:
        """The peer has hung up: what is held is played out, then comes silence that counts as no loss."""
        if self._stalled_frames and not self._ended:
            self._stalls -= 1
        self._ended = True

    def _start(self, now: float) -> bool:
        if not self._frames:
            return False
        first, last = min(self._frames), max(self._frames)
        buffered_s = (last - first + FRAME_SAMPLES) / SAMPLE_RATE_HZ
        start_s = self._config.start_delay_s
        if buffered_s < start_s and now - self._first_arrival < start_s - FRAME_S and not self._ended:
            return False
        self._playing = True
        self._next_timestamp = first
        return True

    def _run_dry(self) -> Playout:
        if self._ended:
            return Silence()
        if self._stalled_frames == 0:
            self._stalls += 1
        self._stalled_frames += 1
        return Conceal(stalled=True)

    def _catch_up(self) -> bool:
        """After a stall: whether frames were skipped. Over when so little waits that nothing would be shortened."""
        surplus_s = self._surplus_s()
        if surplus_s <= self._config.drain_above_s and self._watch.settled:
            self._catching_up = False
        if surplus_s <= max(self._config.skip_above_s, self._config.drain_above_s):
            return False
        skipped = self._skipped
        self._skip_to(max(self._frames) - round(self._target_s * SAMPLE_RATE_HZ))
        self._close_gap()
        self._leads.clear()
        return self._skipped > skipped

    def _surplus_s(self) -> float:
        """What waits beyond the target; one frame of it is the phase between arrival and playout."""
        return (max(self._frames) - self._next_timestamp) / SAMPLE_RATE_HZ - self._target_s

    def _skip_to(self, limit: int) -> None:
        """Give up what ends before ``limit``: what is held is skipped, what is not here is lost."""
        while (room := limit - self._next_timestamp) >= FRAME_SAMPLES:
            held = self._frames.pop(self._next_timestamp, None)
            if held is not None:
                self._skipped += 1
                self._gap_lost = 0
                self._played_sequence = held.sequence
                self._next_timestamp += FRAME_SAMPLES
                continue
            first = min(self._frames)
            if missing := self._missing(first):
                self._pass_over(min(missing, room // FRAME_SAMPLES), first)
            else:
                # Off the grid of 20 ms by less than a frame.
                self._next_timestamp = first

    def _close_gap(self) -> None:
        """Frames are held; where it is not the one that is due decide where playing goes on."""
        if self._next_timestamp in self._frames:
            return
        first = min(self._frames)
        # What a stall has concealed already stands for the first of the missing frames.
        self._pass_over(min(self._stalled_frames, self._missing(first)), first)
        self._stalled_frames = 0
        if first - self._next_timestamp > self._config.max_delay_s * SAMPLE_RATE_HZ:
            self._pass_over(self._missing(first), first)
        if first - self._next_timestamp < FRAME_SAMPLES:
            # Here, or off the grid of 20 ms by less than a frame.
            self._next_timestamp = first

    def _missing(self, first: int) -> int:
        return (first - self._next_timestamp) // FRAME_SAMPLES

    def _miss(self) -> Playout:
        self._pass_over(1, min(self._frames))
        following = self._frames.get(self._next_timestamp)
        return Recover(following.payload) if following else Conceal(stalled=False)

    def _pass_over(self, frames: int, first: int) -> None:
        """Give up the next ``frames`` frames, all before ``first``, which is the oldest that is held.

        A gap of the clock without one in the sequence was never sent, and is not lost."""
        before = self._frames[first].sequence - 1 if self._played_sequence is None else self._played_sequence
        lost = min(frames, max(0, self._frames[first].sequence - before - 1 - self._gap_lost))
        self._gap_lost += lost
        self._lost += lost
        for index in range(max(0, lost - _MEMORY_FRAMES), lost):
            self._missed.add(self._next_timestamp + index * FRAME_SAMPLES)
        self._outcomes.extend([True] * min(frames, _ONE_SECOND_FRAMES))
        self._next_timestamp += frames * FRAME_SAMPLES

    def _discard_before(self, timestamp: int) -> int:
        """Let go of held frames, at a hole that is audible already or when the buffer is full; how many."""
        if self._playing:
            self._next_timestamp = max(self._next_timestamp, timestamp)
        old = [held for held in self._frames if held < timestamp]
        for held in old:
            del self._frames[held]
        return len(old)

    # --- tempo ---------------------------------------------------------------------------------------------

    def _choose_tempo(self) -> Tempo:
        if self._catching_up and self._frames and self._surplus_s() > self._config.drain_above_s:
            return Tempo.HURRY
        base = self._watch.line_s(self._delay)
        if base is None or len(self._leads) < _LEAD_PULLS:
            return Tempo.STEADY
        delay = min(self._leads) - base
        config = self._config
        needed = self._needed_s()
        drained = self._tempo is Tempo.FASTER and delay <= self._target_s + config.margin_s
        if drained or (self._tempo is Tempo.SLOWER and delay >= needed + config.margin_s):
            self._tempo = Tempo.STEADY
        if delay > max(self._target_s + config.drain_above_s, self._delay.worst_s):
            self._tempo = Tempo.FASTER
        elif delay < needed and self._watch.settled:
            # The margin is still there: a sound card that runs too fast is met before the buffer is dry.
            self._tempo = Tempo.SLOWER
        return self._tempo

    def stats(self) -> JitterStats:
        """A snapshot of the counters."""
        return JitterStats(
            received=self._received,
            lost=self._lost,
            late=self._late,
            duplicate=self._duplicate,
            overruns=self._overruns,
            stalls=self._stalls,
            restarts=self._restarts,
            strange=self._strange,
            skipped=self._skipped,
            loss=sum(self._outcomes) / len(self._outcomes) if self._outcomes else 0.0,
            jitter_s=self._jitter_s,
            target_s=self._target_s,
            buffered_s=len(self._frames) * FRAME_S,
        )


def _transit(timestamp: int, now: float) -> float:
    return now - timestamp / SAMPLE_RATE_HZ
