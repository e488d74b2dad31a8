"""Playout: the adaptive jitter buffer, keyed by RTP timestamp and blind to paths (pure).

``push`` takes packets as they come; ``pull`` is called for each 20 ms that the speaker consumes and says what to play.
The delay grows by stretching the voice, or by the concealment that an empty buffer forces anyway, and shrinks by
stretching alone (:mod:`media.playout_delay`). Nothing is skipped to catch up, except at a hole that is audible already
and longer than ``max_delay_s``, and after a stall: then what waits beyond the target is given up but for 200 ms, which
are caught up in a hurry.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from media.delay_estimator import DelayConfig
from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ
from media.playout import Conceal, Frame, JitterConfig, JitterStats, Playout, Recover, Silence
from media.playout_delay import PlayoutDelay
from media.rtp import RtpPacket
from media.rtp_source import RtpSource


class State(Enum):
    """What the listener hears."""

    BUFFERING = "buffering"
    PLAYING = "playing"
    CONCEALING = "concealing"
    STALLED = "stalled"


class Trigger(Enum):
    """What moves playout from one state to the next."""

    BUFFERED = "enough is buffered"
    PLAYED = "the frame that is due is here"
    MISSING = "the frame that is due is missing, later ones are here"
    RAN_DRY = "nothing is here"
    RESTARTED = "the sender begins a new time line"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.BUFFERING, Trigger.BUFFERED): State.PLAYING,
    (State.PLAYING, Trigger.MISSING): State.CONCEALING,
    (State.PLAYING, Trigger.RAN_DRY): State.STALLED,
    (State.PLAYING, Trigger.RESTARTED): State.BUFFERING,
    (State.CONCEALING, Trigger.PLAYED): State.PLAYING,
    (State.CONCEALING, Trigger.RESTARTED): State.BUFFERING,
    (State.STALLED, Trigger.PLAYED): State.PLAYING,
    (State.STALLED, Trigger.MISSING): State.CONCEALING,
    (State.STALLED, Trigger.RESTARTED): State.BUFFERING,
}


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


class JitterBuffer:
    """The receiving side of one call. ``now`` is one monotonic clock in seconds for ``push`` and ``pull``."""

    def __init__(self, config: JitterConfig | None = None, delay: DelayConfig | None = None) -> None:
        self._config = config or JitterConfig()
        self._delay_config = delay
        self._state = State.BUFFERING
        self._source = RtpSource()
        self._received = self._lost = self._late = self._duplicate = 0
        self._overruns = self._stalls = self._restarts = self._strange = self._skipped = 0
        self._outcomes: deque[bool] = deque(maxlen=_ONE_SECOND_FRAMES)
        self._jitter_s = 0.0
        self._begin_time_line()

    def _begin_time_line(self) -> None:
        self._frames: dict[int, _Held] = {}
        self._delay = PlayoutDelay(self._config, self._delay_config)
        self._next_timestamp = 0
        self._played_sequence: int | None = None
        self._gap_lost = 0
        self._stalled_frames = 0
        self._first_arrival = 0.0
        self._seen = _Remembered(_MEMORY_FRAMES)
        self._missed = _Remembered(_MEMORY_FRAMES)

    @property
    def state(self) -> State:
        """As it is now."""
        return self._state

    def _move(self, trigger: Trigger) -> bool:
        state = TRANSITIONS.get((self._state, trigger))
        if state is not None:
            self._state = state
        return state is not None

    # --- receiving -----------------------------------------------------------------------------------------

    def push(self, packet: RtpPacket, now: float) -> None:
        """Take one packet that arrived at ``now``. Never raises; what does not fit is counted and dropped."""
        placed = self._source.place(packet, now, self._delay.base_s)
        if placed is None:
            self._strange += 1
            return
        if placed.restarted:
            self._restarts += 1
            self._move(Trigger.RESTARTED)
            self._begin_time_line()
        timestamp = placed.timestamp
        if timestamp in self._seen:
            self._duplicate += 1
            return
        self._seen.add(timestamp)
        self._received += 1
        playing = self._state is not State.BUFFERING
        self._jitter_s = self._delay.arrived(timestamp, now, self._jitter_s, playing=playing)
        if playing and timestamp < self._next_timestamp:
            self._late += 1
            if self._missed.remove(timestamp):
                self._lost -= 1
            return
        if not self._frames and not playing:
            self._first_arrival = now
        self._frames[timestamp] = _Held(placed.sequence, packet.payload, now)
        if len(self._frames) > self._config.max_packets:
            self._overruns += self._discard_before(min(self._frames) + FRAME_SAMPLES)

    def observe_copy(self, timestamp: int, now: float) -> None:
        """A packet that came before has come again, by a slower path: what comes by that one alone, if the call moves
        there, will be so late, and the delay grows in time. Nothing else follows from it; ``timestamp`` is the 32 bits
        of the packet."""
        extended = self._source.extend(timestamp)
        if extended is not None:
            self._delay.copy_arrived(extended, now)

    # --- playing -------------------------------------------------------------------------------------------

    def pull(self, now: float) -> Playout:
        """What to play for the next 20 ms. Never raises."""
        if self._state is State.BUFFERING and not self._start(now):
            return Silence()
        self._delay.pulled(now)
        if not self._frames:
            self._stalls += self._move(Trigger.RAN_DRY)
            self._stalled_frames += 1
            return Conceal(stalled=True)
        if self._state is State.STALLED and not self._delay.catching_up:
            self._give_up_beyond_the_maximum()
        self._close_gap()
        joined = self._delay.must_skip(self._surplus_s()) and self._skip()
        held = self._frames.pop(self._next_timestamp, None)
        if held is None:
            self._move(Trigger.MISSING)
            self._pass_over(1, min(self._frames))
            following = self._frames.get(self._next_timestamp)
            return Recover(following.payload) if following else Conceal(stalled=False)
        self._move(Trigger.PLAYED)
        self._outcomes.append(False)
        self._stalled_frames = self._gap_lost = 0
        self._played_sequence = held.sequence
        timestamp = self._next_timestamp
        self._next_timestamp += FRAME_SAMPLES
        tempo = self._delay.played(timestamp, now, self._surplus_s() if self._frames else None)
        return Frame(held.payload, held.arrived, tempo, joined)

    @property
    def dry(self) -> bool:
        """In mid-call with nothing held: the next ``pull`` would have to conceal."""
        return self._state is not State.BUFFERING and not self._frames

    def _start(self, now: float) -> bool:
        if not self._frames:
            return False
        first, last = min(self._frames), max(self._frames)
        buffered_s = (last - first + FRAME_SAMPLES) / SAMPLE_RATE_HZ
        start_s = self._config.start_delay_s
        if buffered_s < start_s and now - self._first_arrival < start_s - FRAME_S:
            return False
        self._next_timestamp = first
        return self._move(Trigger.BUFFERED)

    def _give_up_beyond_the_maximum(self) -> None:
        """After a hole that is audible anyway; what never came in so long a hole is lost, and counted first."""
        limit = max(self._frames) + FRAME_SAMPLES - round(self._config.max_delay_s * SAMPLE_RATE_HZ)
        first = min(self._frames)
        beyond = limit - self._next_timestamp
        if beyond >= FRAME_SAMPLES:
            self._pass_over(max(0, min(self._missing(first), beyond // FRAME_SAMPLES)), first)
        self._late += self._discard_before(limit)

    def _surplus_s(self) -> float:
        """What waits beyond the target; one frame of it is the phase between arrival and playout."""
        return (max(self._frames) - self._next_timestamp) / SAMPLE_RATE_HZ - self._delay.target_s

    def _skip(self) -> bool:
        """Give up what waits beyond the target: what is held is skipped, what is not here is lost; whether any was."""
        skipped = self._skipped
        limit = max(self._frames) - round(self._delay.target_s * SAMPLE_RATE_HZ)
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
        self._close_gap()
        self._delay.skipped()
        return self._skipped > skipped

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
        if self._state is not State.BUFFERING:
            self._next_timestamp = max(self._next_timestamp, timestamp)
        old = [held for held in self._frames if held < timestamp]
        for held in old:
            del self._frames[held]
        return len(old)

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
            target_s=self._delay.target_s,
            buffered_s=len(self._frames) * FRAME_S,
        )
