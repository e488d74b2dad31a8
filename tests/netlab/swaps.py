"""Calls that swap back and forth between relay and direct path, and what the far end recorded; cuts of the direct path.

Real programs with Opus in the kernel laboratory. They say chirps; the recordings are compared every 10 ms (DESIGN §9).
The direct path becomes slower than the relay little by little, so that the product decides to leave it, and then as
fast as it was, so that it comes back. The paths differ by less than the jitter buffer holds anyway: nothing has to be
stretched, and what follows a swap lies where that before it lies, to the sample.
"""

import sys
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from app.ipc import engine_state
from app.model import terms
from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ
from tests.audio_compare import read_wav
from tests.continuity.chirp import ChirpReport, chirps, compare_around
from tests.netlab.lab import KernelWorld
from tests.netlab.people import Person, in_call
from tests.netlab.watch import Watcher, until, watching
from tests.processes import SEGUE

BROKEN_SEGUE = (sys.executable, "-m", "tests.netlab.broken_swap")
# More than RTT_MARGIN_S and RTT_HYSTERESIS_S (transport.path.selector) there and back, with room for a busy machine.
WORSE_MS = 22.0
# Slower than the jitter buffer could follow, if it had to: 5 %.
STEP_MS, STEP_EVERY_S = 1.0, 0.1
# The peer's side swaps at about the same time, both paths go on for 0.1 s, and what was under way is played.
SETTLE_S = 1.0
# A trial without success lasts 3 s, and a path rests for 5 s before and after it. Each end decides by what it measures
# itself: where one is long behind, the other may have thought better of it.
SWAPS_WITHIN_S = 30.0
# A swap is judged from the trial's end to the old path's, and until late packets would have been played.
BEFORE_S, AFTER_S = 0.35, 1.0
_BEFORE, _AFTER = round(BEFORE_S * SAMPLE_RATE_HZ), round(AFTER_S * SAMPLE_RATE_HZ)
# What is played in the last moments of a call may be cut off by its end.
END_S = 0.6
# A path is dead after a second without an answer; until then both carry everything.
CUT_FOR_S = 2.5
# What was made up for a cut, and the peer's resending, are over by then.
CUT_NOTICED_WITHIN_S = 1.5


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one side recorded of the other, and of the other's ``swaps``: each a comparison from BEFORE_S to AFTER_S
    around the moment in which the other chose another path to send by. Counts are those of the whole call;
    ``concealed`` and ``stretched`` are samples, ``slips`` moments in which a sound card had to wait or was not
    waited for, the others frames."""

    swaps: tuple[ChirpReport, ...]
    frames: int
    lost: int
    late: int
    doubled: int
    concealed: int
    stretched: int
    slips: int

    @property
    def is_calm(self) -> bool:
        """Whether sound kept its pace at both ends, but for frames that were lost. A machine that is busy with other
        things runs the buffer or a sound card dry, or makes the voice be stretched, with every frame there; then a
        recording says nothing about swaps."""
        return not self.stretched and not self.slips and self.concealed <= self.lost * FRAME_SAMPLES

    @property
    def unjudged(self) -> int:
        """Swaps of which only the frames' account can be given."""
        return 0 if self.is_calm else sum(not swap.continuous for swap in self.swaps)

    def faults(self) -> dict[str, float]:
        """What must not be where the network loses nothing; empty when all is well."""
        counts = {"lost": self.lost, "late": self.late, "doubled": self.doubled}
        wrong: dict[str, float] = {name: count for name, count in counts.items() if count}
        broken = [swap.least for swap in self.swaps if not swap.continuous] if self.is_calm else []
        return wrong | ({"broken swaps": len(broken), "least likeness": min(broken)} if broken else {})


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut of the direct path, both ways, as one side recorded it. ``back_s``: heal → on the direct path again."""

    concealed_ms: float
    back_s: float | None


def write_chirps(path: Path, seconds: float) -> Path:
    """A WAV file to be played into a call."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(chirps(seconds).tobytes())
    return path


def judge(listener: Person, speaker: Person, spans: Sequence[engine_state.PathSpan]) -> Recorded:
    """Report and recording of a listener, when the call is over. ``spans``: by which paths the speaker sent when."""
    times = speaker.report["times"]
    began_s = times["first_audio_sent"] - times["answered"]
    talked_s = times["ended"] - times["first_audio_sent"] - END_S
    swaps = [after.start - began_s for before, after in pairwise(spans) if before.kind != after.kind]
    sent, recorded = chirps(talked_s), read_wav(listener.recording).astype(np.int16)
    moments = [round(at_s * SAMPLE_RATE_HZ) for at_s in swaps if at_s + AFTER_S < talked_s]
    media = listener.report["media"]
    return Recorded(
        swaps=tuple(compare_around(sent, recorded, moment, _BEFORE, _AFTER) for moment in moments),
        frames=media["frames_received"],
        lost=media["frames_lost"],
        late=media["frames_late"],
        doubled=media["frames_duplicate"],
        concealed=media["samples_concealed"],
        stretched=media["samples_stretched"],
        slips=media["underruns"] + media["overruns"] + speaker.report["media"]["overruns"],
    )


def swapping_call(
    world: KernelWorld,
    folder: Path,
    there_and_back: int,
    *,
    relay_ms: float = 0.0,
    caller_program: Sequence[str] = SEGUE,
) -> tuple[Recorded, Recorded]:
    """A call that goes direct, and then so often back to the relay and direct again. The relay is ``relay_ms`` further
    one way than the direct path."""
    seconds = SETTLE_S + there_and_back * 2 * SWAPS_WITHIN_S + 10.0
    if relay_ms:
        world.relay_way(relay_ms)
    sound = write_chirps(folder / "chirps.wav", seconds)
    with (
        in_call(world, folder, seconds, sound=sound, programs=(caller_program, SEGUE)) as people,
        watching(*(person.home for person in people)) as watchers,
    ):
        assert _until_both(watchers, "direct"), [watcher.spans for watcher in watchers]
        for _ in range(there_and_back):
            _slow_down(world, relay_ms + WORSE_MS)
            _until_both(watchers, "relay")
            # Nothing is under way on it any more that could be overtaken.
            time.sleep(SETTLE_S)
            _slow_down(world, 0.0)
            _until_both(watchers, "direct")
        time.sleep(AFTER_S + END_S)
        watchers[0].hang_up()
        until(lambda: all(watcher.is_over for watcher in watchers))
    caller, callee = people
    return judge(caller, callee, watchers[1].spans), judge(callee, caller, watchers[0].spans)


def cut_call(
    world: KernelWorld, folder: Path, cuts: int, *, settle_s: float, relay_ms: float = 0.0
) -> list[tuple[Cut, Cut]]:
    """A call whose direct path is cut so often, each time when the talk has been on it for ``settle_s``."""
    seconds = 10.0 + cuts * (settle_s + CUT_FOR_S + 2 * SWAPS_WITHIN_S)
    if relay_ms:
        world.relay_way(relay_ms)
    found: list[tuple[Cut, Cut]] = []
    sound = write_chirps(folder / "chirps.wav", seconds)
    with (
        in_call(world, folder, seconds, sound=sound) as people,
        watching(*(person.home for person in people)) as watchers,
    ):
        for _ in range(cuts):
            assert _until_both(watchers, "direct"), [watcher.spans for watcher in watchers]
            time.sleep(settle_s)
            before = [watcher.concealed_ms for watcher in watchers]
            world.direct_way(cut=True)
            time.sleep(CUT_NOTICED_WITHIN_S)
            concealed = [watcher.concealed_ms - had for watcher, had in zip(watchers, before, strict=True)]
            time.sleep(CUT_FOR_S - CUT_NOTICED_WITHIN_S)
            world.direct_way(cut=False)
            back = _seconds_to_direct(watchers)
            one, other = (Cut(*each) for each in zip(concealed, back, strict=True))
            found.append((one, other))
        watchers[0].hang_up()
        until(lambda: all(watcher.is_over for watcher in watchers))
    return found


def _seconds_to_direct(watchers: Sequence[Watcher]) -> list[float | None]:
    """From now on, for each; None: not within SWAPS_WITHIN_S."""
    began = time.monotonic()
    back: dict[Watcher, float] = {}

    def are_back() -> bool:
        for watcher in watchers:
            if watcher.path == "direct":
                back.setdefault(watcher, time.monotonic() - began)
        return len(back) == len(watchers)

    until(are_back, SWAPS_WITHIN_S)
    return [back.get(watcher) for watcher in watchers]


def _slow_down(world: KernelWorld, by_ms: float) -> None:
    """The direct path becomes so much slower each way, step by step, or at once as fast as it was."""
    spec = world.scenario.sides[0]
    steps = np.arange(STEP_MS, by_ms + STEP_MS, STEP_MS) if by_ms else np.zeros(1)
    for extra in steps:
        up, down = (replace(wire, delay_ms=wire.delay_ms + float(extra)) for wire in (spec.up, spec.down))
        world.direct_way(up, down)
        time.sleep(STEP_EVERY_S if by_ms else 0.0)


def _until_both(watchers: Sequence[Watcher], kind: terms.PathKind) -> bool:
    return until(lambda: all(watcher.path == kind for watcher in watchers), SWAPS_WITHIN_S)
