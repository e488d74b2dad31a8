"""Whole links behind the NATs of a scenario: real agents look for the direct path while both sides talk.

Wires lose nothing and all packets take the same time, so every frame must be played once and at its own time, whatever
the phases do meanwhile.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

from media.pipeline import PlayoutChain
from tests.natsim.call import FRAME_S, Side, frame_index, identity, rtp
from tests.natsim.clock import VirtualClock
from tests.natsim.driver import SimDriver
from tests.natsim.profiler_host import ProfilerHost
from tests.natsim.relay import RelayNode
from tests.natsim.scenario import Scenario, World, build
from tests.natsim.two_paths import INVENTED, UNSTRETCHED, FrameDecoder
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.link.events import CallAnswered, Close, Command, LinkConfig, MediaReceived, Open, SendMedia
from transport.link.link import Link
from transport.path.events import CopyArrived
from transport.path.stats import PathStats
from transport.wire.call_messages import Bye

STUN_ENDPOINTS = 6
PAYLOAD = bytes(60)


@dataclass
class Ear(Side):
    """One end, with a loudspeaker."""

    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    delivered: Counter[int] = field(default_factory=Counter)
    is_talking: bool = False

    def __post_init__(self) -> None:
        self.playout = PlayoutChain(self.decoder, *UNSTRETCHED)

    def take(self, command: Command) -> None:
        now = self.clock.now
        if isinstance(command, MediaReceived):
            self.delivered[frame_index(command.data)] += 1
            self.playout.on_packet(command.data, now)
        elif isinstance(command, CopyArrived):
            self.playout.observe_copy(command.position.timestamp, now)
        else:
            super().take(command)

    @property
    def played(self) -> list[int]:
        """Each 20 ms of what was played, up to the last frame that came: its number, or INVENTED."""
        log = list(self.decoder.log)
        while log and log[-1] == INVENTED:
            log.pop()
        return log

    def speak(self) -> None:
        """A frame, and one each 20 ms from now on."""
        if self.is_talking:
            self.driver.submit(SendMedia(rtp(self.sent, PAYLOAD)))
            self.sent += 1
            self.clock.after(FRAME_S, self.speak)

    def listen(self) -> None:
        """The loudspeaker takes a frame, and one each 20 ms from now on."""
        self.playout.pull(self.clock.now)
        if self.driver.ports:
            self.clock.after(FRAME_S, self.listen)

    @property
    def path(self) -> PathStats | None:
        """The one in use."""
        paths = self.driver.link.stats(self.clock.now).paths
        return next((path for path in paths if path.state in ("active", "suspect")), None)


class Machines:
    """Two machines that make one call after the other; each has one limits for all of them."""

    def __init__(self, scenario: Scenario, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.world: World[RelayNode] = build(scenario, self.clock, self.rng)
        self.stun = self.world.stun[:STUN_ENDPOINTS]
        self.limits = (HostLimits(), HostLimits())
        self.profiles = tuple(
            ProfilerHost(side.host, self.stun, self.clock, self.rng.getrandbits(32)).profile()
            for side in self.world.sides
        )

    def call(self) -> tuple[Ear, Ear]:
        """Both links are open and proven."""
        call_id = self.rng.randbytes(16).hex()
        legs = self.world.relay.grant(call_id)
        ears = (self._ear(0, call_id, legs[0]), self._ear(1, call_id, legs[1]))
        for ear in ears:
            ear.driver.submit(Open())
        assert self.clock.run(10.0, lambda: all(ear.proven for ear in ears))
        return ears

    def answer(self, ears: tuple[Ear, Ear]) -> None:
        """The call is taken, on both sides; they say nothing yet."""
        for ear in ears:
            ear.driver.submit(CallAnswered())

    def talk(self, ears: tuple[Ear, Ear]) -> None:
        """The call is taken; both speak and listen."""
        self.answer(ears)
        for number, ear in enumerate(ears):
            ear.is_talking = True
            self.clock.after(0.003 * number, ear.speak)
            self.clock.after(0.011 + 0.003 * number, ear.listen)

    def fall_silent(self, ears: tuple[Ear, Ear]) -> None:
        """What was sent until now is given the time to arrive and to be played."""
        for ear in ears:
            ear.is_talking = False
        self.clock.run(1.0)

    def hang_up(self, ears: tuple[Ear, Ear]) -> None:
        """The caller does, and both are given the time that it takes."""
        ears[0].driver.submit(Close(Bye()))
        assert self.clock.run(10.0, lambda: all(ear.ended for ear in ears))

    def _ear(self, number: int, call_id: str, leg: object) -> Ear:
        mine, theirs = identity(1 + number), identity(2 - number)
        host = self.world.sides[number].host
        config = LinkConfig(
            role="callee" if number else "caller",
            call_id=call_id,
            identity=mine,
            peer_key=theirs.key,
            peer_certificate=theirs.certificate,
            leg=leg,  # type: ignore[arg-type]
            hosts=(HostAddress(host.ip, 24, "eth0"),),
            stun=self.stun,
            profile=self.profiles[number],
            limits=self.limits[number],
        )
        link = Link(config, random.Random(self.rng.getrandbits(64)))
        ear = Ear(SimDriver(link, host, lambda command: ear.take(command)), self.clock)
        return ear
