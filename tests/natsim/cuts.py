"""Direct paths that are cut in mid-call, and how much of the voice had to be made up."""

import random
from dataclasses import dataclass

from media.format import FRAME_S
from tests.natsim.two_paths import INVENTED, TwoPaths
from tests.natsim.wire import Wire


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut of the direct path, both ways at once, as one side perceives it. Seconds; delays are one way."""

    relay_s: float
    direct_s: float
    jitter_s: float
    concealed_s: float
    lost: int
    """Frames that never came, and frames that came twice."""

    @property
    def allowed_s(self) -> float:
        """Issue 3: 60 ms and the relay's extra delay."""
        return 0.06 + max(0.0, self.relay_s - self.direct_s)


# The jitter buffer remembers the relay for ten seconds, and then gives its delay back by stretching.
SETTLE_S = 15.0


def run(seed: int, settle_s: float = SETTLE_S) -> list[Cut]:
    """A call over random paths, the direct one better; it is cut for good once the talk has settled on it. In every
    second call two have been found, as after a cut that healed: the old one and one of a new attempt."""
    rng = random.Random(seed)
    relay_s = rng.uniform(0.010, 0.250)
    direct_s = rng.uniform(0.001, min(relay_s, 0.050))
    jitter_s = rng.choice((0.0, rng.uniform(0.0, 0.01)))
    rig = TwoPaths(
        seed, relay=lambda: Wire(relay_s, jitter_s), direct=lambda: Wire(direct_s, jitter_s), unstretched=False
    ).connect()
    rig.talk().run(0.5)
    if seed % 2:
        rig.find_two(apart_s=0.05)
    else:
        rig.find()
    rig.run(settle_s + 6 * relay_s + rng.random())
    if [rig.in_use(number) for number in (0, 1)] != ["direct", "direct"]:
        return []
    before = [len(voice.decoder.log) for voice in rig.voices]
    rig.cut()
    rig.run(2.0).finish()
    cuts = []
    for voice, start in zip(rig.voices, before, strict=True):
        known = len(voice.frames)
        last = max(index for index, number in enumerate(voice.decoder.log) if INVENTED < number < known)
        concealed = voice.decoder.log[start:last].count(INVENTED)
        never = known - len(voice.arrived)
        twice = sum(count - 1 for count in voice.delivered.values())
        cuts.append(Cut(relay_s, direct_s, jitter_s, concealed * FRAME_S, never + twice))
    return cuts
