"""Whole calls for the tests of continuity: numbered samples from a microphone to the other person's loudspeaker.

Microphone's ring → CaptureChain → Link → QUIC → the relay's legs → QUIC → Link → PlayoutChain → speaker's ring.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from media.delay_estimator import DelayConfig
from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from media.playout import JitterConfig
from tests.continuity.exact import FIRST, IndexDecoder, Report, check
from tests.natsim.people import INDEX, Codec, Options, Person, SimCall, World
from tests.natsim.sound import CardConfig, Numbers
from tests.natsim.wire import Wire
from transport.link.events import Command, Event, SendMedia
from transport.link.link import Link
from transport.net.sockets import SendDatagram

# Tails and round trips: after so long everything that was sent has been played.
TAIL_S = 2.0
INVENTED = -1


class LoggedDecoder(IndexDecoder):
    """Also writes down which frames it was given, in order: that stretching changes samples does not hide a frame.

    ``log`` holds the number of each frame decoded, counted from 0, and :data:`INVENTED` for each one made up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []

    def decode(self, payload: bytes) -> Pcm:
        if payload != b"silence!":
            self.log.append((int.from_bytes(payload, "big") - FIRST) // FRAME_SAMPLES)
        return super().decode(payload)

    def conceal(self) -> Pcm:
        self.log.append(INVENTED)
        return super().conceal()


@dataclass
class End:
    """One person's end: what they sent, and what they received from the other."""

    person: Person
    talk: SimCall
    decoder: LoggedDecoder

    @property
    def received(self) -> Report:
        """What the loudspeaker played, judged sample by sample."""
        return check(self.person.card.recording)

    @property
    def frames(self) -> list[int]:
        """The frames of the other one that were decoded, in order."""
        return [number for number in self.decoder.log if number != INVENTED]


class Conversation:
    """Ann calls bob; both speak ``frames`` numbered frames at once, beginning when they are connected.

    ``unstretched``: the jitter buffers keep the delay that they begin with, so that every sample can be checked.
    """

    def __init__(
        self,
        frames: int,
        *,
        wire: Callable[[], Wire] = lambda: Wire(delay=0.020),
        ann: CardConfig | None = None,
        bob: CardConfig | None = None,
        unstretched: bool = False,
        record: bool = True,
        seed: int = 1,
    ) -> None:
        self.world = World(seed)
        self.seconds = frames * FRAME_S
        ends: list[tuple[Person, list[LoggedDecoder]]] = []
        cards = (ann or CardConfig(0.010, 0.0031, 0.0073), bob or CardConfig(0.020, 0.0117, 0.0171))
        for name, card in zip(("ann", "bob"), cards, strict=True):
            made: list[LoggedDecoder] = []
            codec = _logging(made, unstretched)
            options = Options(codec, card, Numbers(frames), record=record, up=wire, down=wire)
            ends.append((self.world.person(name, options), made))
        talks = self.world.talk(ends[0][0], ends[1][0])
        # The caller's chains come with the accept.
        self.world.until(lambda: talks[0].talking_at is not None)
        self.drop: set[tuple[str, int]] = set()
        """(name, number): the packet that carries this frame of theirs is lost on its first wire."""
        # The decoder of what has not arrived yet is made when the first packet or the talk begins, once a call.
        (self.ann, self.bob) = (End(person, talk, made[0]) for (person, made), talk in zip(ends, talks, strict=True))
        for end in self.ends:
            self._watch(end)

    @property
    def ends(self) -> tuple[End, End]:
        return self.ann, self.bob

    def finish(self) -> "Conversation":
        """Let both say all, and all of it arrive."""
        self.world.run(self.seconds + TAIL_S)
        return self

    def _watch(self, end: End) -> None:
        session, capture = end.talk.session, end.talk.capture
        assert session.link is not None and capture is not None
        session.link = Lossy(session.link, end.person.name, capture.frames_sent, self.drop)  # type: ignore[assignment]


class Lossy:
    """A link whose datagrams with certain frames are lost on their first wire."""

    def __init__(self, link: Link, name: str, sent: int, drop: set[tuple[str, int]]) -> None:
        self.next_deadline = link.next_deadline
        self.stats = link.stats
        self._handle = link.handle
        self._name = name
        self._sent = sent
        self._drop = drop

    def handle(self, event: Event, now: float) -> list[Command]:
        commands = self._handle(event, now)
        if isinstance(event, SendMedia):
            self._sent += 1
            if (self._name, self._sent - 1) in self._drop:
                return [command for command in commands if not isinstance(command, SendDatagram)]
        return commands


def _logging(made: list[LoggedDecoder], unstretched: bool) -> Codec:
    def decoder() -> LoggedDecoder:
        made.append(LoggedDecoder())
        return made[-1]

    codec = replace(INDEX, decoder=decoder)
    if not unstretched:
        return codec
    # Never so full that it drains, and never so much variation that it grows.
    return replace(codec, jitter=JitterConfig(drain_above_s=1_000.0), delay=DelayConfig(percentile=0.0))


MINUTE_FRAMES = round(60 / FRAME_S)
MINUTE_SAMPLES = 60 * SAMPLE_RATE_HZ
