"""Whole calls: people with sound cards, engines without a window, and one relay that signals and forwards.

A call is the product's own :class:`app.call.session.CallSession` on a virtual host; its audio is that of a simulated
sound card.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.call import events as ev
from app.call.machine import CallMachine
from app.call.media import MediaConfig
from app.call.session import CallSession, SessionSetup
from app.model.terms import KeyTrust
from app.report.trace import CallBecame
from media.codec import Decoder, Encoder, OpusDecoder, OpusEncoder
from media.delay_estimator import DelayConfig
from media.pipeline import CaptureChain, PlayoutChain
from media.playout import JitterConfig
from media.processing import CaptureProcessing
from media.pump import AudioPump
from tests.continuity.exact import IndexDecoder, IndexEncoder
from tests.natsim.call import RELAY_IP, identity
from tests.natsim.clock import VirtualClock
from tests.natsim.driver import TICK_S, SimRunner
from tests.natsim.network import Host, Network
from tests.natsim.relay import MEDIA_PORT
from tests.natsim.signalling import RELAY_HOST, SimRelay, SimSession
from tests.natsim.sound import Card, CardConfig, Numbers, Voice, Vowel
from tests.natsim.wire import Wire
from transport.ice.candidates import HostAddress
from transport.identity.keys import Identity
from transport.quic import session_events
from transport.quic.session_events import CheckConnection, SendRelayMessage
from transport.wire import relay_messages
from transport.wire.addresses import PersonAddress, parse_relay

RELAY = parse_relay(RELAY_HOST)


@dataclass(frozen=True, slots=True)
class Codec:
    """Makes a coder of each kind; ``processed`` puts the engine's own processing around it. ``jitter`` and
    ``delay`` configure the jitter buffer, if not as the product does."""

    encoder: Callable[[], Encoder]
    decoder: Callable[[], Decoder]
    voice: Callable[[], Voice]
    processed: bool
    jitter: JitterConfig | None = None
    delay: DelayConfig | None = None

    @property
    def media(self) -> MediaConfig:
        """The chains of a call with these coders."""
        processing = CaptureProcessing if self.processed else None
        return MediaConfig(self.encoder, self.decoder, processing, self.jitter, self.delay)


Traversal = Literal["none", "answered", "early"]
INDEX = Codec(IndexEncoder, IndexDecoder, Numbers, processed=False)
OPUS = Codec(OpusEncoder, OpusDecoder, Vowel, processed=True)


class SimCall:
    """One call of one person: the product's session on a virtual host, its audio on a simulated card."""

    def __init__(self, person: "Person", setup: SessionSetup) -> None:
        self.person = person
        self.clock = person.world.clock
        self.session = CallSession(setup, self.clock.now)
        self.runner = SimRunner(self.session, person.host, self._carry_out)
        self.endings: list[tuple[float, ev.Finished]] = []
        self.tones: list[str] = []
        self.answered_at: float | None = None
        """When the user chose to answer."""
        self.is_audible = False
        """Whether the session moves the audio."""

    @property
    def call(self) -> CallMachine:
        return self.session.call

    @property
    def talking_at(self) -> float | None:
        return self.session.times.answered

    @property
    def capture(self) -> CaptureChain | None:
        return self.session.media.capture

    @property
    def playout(self) -> PlayoutChain | None:
        return self.session.media.playout

    @property
    def finished(self) -> ev.Finished | None:
        """How the call has ended."""
        return self.session.finished

    def feed(self, event: ev.SessionEvent) -> None:
        """Let something happen to the call."""
        if isinstance(event, ev.UserAnswered) and self.answered_at is None:
            self.answered_at = self.clock.now
        self.runner.submit(event)

    def phase_at(self, phase: str) -> float | None:
        """When the call first was in this phase, in the record of the product."""
        placed = self.session.times.placed
        events = self.session.record.events
        return next((placed + one.at for one in events if isinstance(one, CallBecame) and one.phase == phase), None)

    def _carry_out(self, command: ev.SessionCommand) -> None:
        person = self.person
        match command:
            case SendRelayMessage(message):
                person.control.send(message)
            case CheckConnection():
                person.control.network_changed()
            case ev.OpenSpeaker():
                person.card.open_speaker()
            case ev.OpenMicrophone():
                person.card.open_mic()
            case ev.StartAudio():
                self.is_audible = True
                person.card.voice.start()
            case ev.StopAudio():
                self.is_audible = False
                person.card.close()
            case ev.PlayTone(tone):
                self.tones.append(tone)
            case ev.Finished():
                self.endings.append((self.clock.now, command))


class Person:
    """Somebody with a name, a key, a card and a standing session with the relay: the part of app.engine.runner."""

    def __init__(self, world: "World", number: int, name: str, host: Host, options: "Options") -> None:
        self.world = world
        self.name = name
        self.identity: Identity = identity(number)
        self.host = host
        self.rng = random.Random(world.rng.getrandbits(64))
        self.codec = options.codec
        self.traversal = options.traversal
        self.on_ring: Callable[[SimCall], None] | None = None
        self.blocks: set[str] = set()
        self.pins: dict[str, bytes] = {}
        self.talks: list[SimCall] = []
        self.is_frozen = False
        stun = () if options.traversal == "none" else ((RELAY_IP, MEDIA_PORT),)
        self._relay = ev.RelayConnected(RELAY_IP, stun)
        self._wake_pending = False
        voice = options.codec.voice() if options.voice is None else options.voice
        self.card = Card(options.card, world.clock, voice, self._wake, record=options.record)
        self.pump = AudioPump(self.card.capture_ring, self.card.playout_ring, options.card.ring_frames)
        self.control = SimSession(world.relay, host, self.identity, name, self.rng, self._on_relay)

    @property
    def address(self) -> str:
        return f"{self.name}@{RELAY_HOST}"

    @property
    def talk(self) -> SimCall:
        """The newest call."""
        return self.talks[-1]

    # -- what the user does

    def call(self, name: str) -> SimCall:
        """Call somebody at the same relay."""
        talk = self._begin(name)
        call_id = self.rng.randbytes(16).hex()
        talk.feed(ev.Placed(call_id, f"{name}@{RELAY_HOST}", name))
        if self.control.is_connected:
            talk.feed(self._relay)
        return talk

    def answer(self) -> None:
        self.talk.feed(ev.UserAnswered())

    def decline(self) -> None:
        self.talk.feed(ev.UserDeclined())

    def hang_up(self) -> None:
        self.talk.feed(ev.UserHungUp())

    # -- what happens to the machine

    def freeze(self, seconds: float, *, network: bool = True) -> None:
        """The engine gets no time: its card goes on, packets wait. Without ``network`` only the pump stands still."""
        self.is_frozen = True
        runner = self.talk.runner
        if network:
            runner.freeze()

        def thaw() -> None:
            self.is_frozen = False
            if network:
                runner.thaw()
            if self._wake_pending:
                self._wake_pending = False
                self._wake()

        self.world.clock.after(seconds, thaw)

    def vanish(self) -> None:
        """The machine loses its power."""
        self.control.vanish()
        self.card.close()
        for talk in self.talks:
            talk.runner.close()

    # -- inside

    def _begin(self, name: str) -> SimCall:
        is_direct = self.traversal != "none"
        setup = SessionSetup(
            identity=self.identity,
            home_address=self.address,
            person=PersonAddress(name, RELAY),
            pump=self.pump,
            rng=self.rng,
            media=self.codec.media,
            relay=self._relay,
            is_contact=self.traversal == "early",
            hosts=(HostAddress(self.host.ip, 24, "eth0"),) if is_direct else (),
        )
        self.talks.append(SimCall(self, setup))
        return self.talk

    def _wake(self) -> None:
        if self.is_frozen:
            self._wake_pending = True
        elif self.talks and self.talk.is_audible:
            self.talk.feed(ev.AudioReady())
        else:
            self.pump.pump(self.world.clock.now)

    def _in_call(self) -> bool:
        return bool(self.talks) and not self.talk.call.finished

    def _on_relay(self, event: session_events.SessionCommand) -> None:
        match event:
            case session_events.Connected():
                self._connected()
            case session_events.Disconnected() | session_events.Rejected():
                self._lost()
            case session_events.RelayMessageReceived(message):
                self._relay_says(message)

    def _connected(self) -> None:
        if self._in_call():
            self.talk.feed(self._relay)

    def _lost(self) -> None:
        if self._in_call():
            self.talk.feed(ev.RelayDisconnected("relay-unreachable"))

    def _trust(self, name: str, key: bytes) -> KeyTrust:
        pinned = self.pins.setdefault(name, key)
        return "first-use" if pinned == key else "changed"

    def _relay_says(self, message: relay_messages.RelayMessage) -> None:
        match message:
            case relay_messages.Incoming():
                self._arrives(message)
            case relay_messages.Granted(call_id, callee, leg) if self._is_call(call_id):
                self.talk.feed(ev.CalleeFound(callee, leg, self._trust(callee.name, callee.key)))
            case relay_messages.Ringing(call_id) if self._is_call(call_id):
                self.talk.feed(ev.RemoteRings())
            case relay_messages.Resumed(call_id, leg) if self._is_call(call_id):
                self.talk.feed(ev.LegGranted(leg))
            case relay_messages.Ended(call_id, reason, text) if self._is_call(call_id):
                self.talk.feed(ev.RelayEnded(reason, text))
            case relay_messages.Refused(0, code, text) if self._in_call():
                self.talk.feed(ev.InviteFailed(code, text))

    def _is_call(self, call_id: str) -> bool:
        return bool(self.talks) and self.talk.call.view.call_id == call_id

    def _arrives(self, incoming: relay_messages.Incoming) -> None:
        if self._is_call(incoming.call_id):
            return
        if incoming.caller.name in self.blocks:
            self.control.send(relay_messages.Decline(call_id=incoming.call_id, reason="declined"))
            return
        if self._in_call():
            self.control.send(relay_messages.Decline(call_id=incoming.call_id, reason="busy"))
            return
        caller = incoming.caller
        talk, trust = self._begin(caller.name), self._trust(caller.name, caller.key)
        talk.feed(ev.CallArrived(incoming.call_id, str(talk.session.person), caller, incoming.leg, trust))
        if self.on_ring is not None and not talk.call.finished:
            self.on_ring(talk)


DEFAULT_CARD = CardConfig()


@dataclass(frozen=True, slots=True)
class Options:
    """One person's equipment. ``up`` and ``down`` make the wires of their access. ``traversal``: when a direct path is
    looked for: never, from the answer on, or while it rings."""

    codec: Codec = INDEX
    card: CardConfig = DEFAULT_CARD
    voice: Voice | None = None
    record: bool = True
    traversal: Traversal = "none"
    up: Callable[[], Wire] = Wire
    down: Callable[[], Wire] = Wire


class World:
    """A clock, a network, a relay, and people who log in as they come."""

    def __init__(
        self, seed: int = 1, names: tuple[str, ...] = ("ann", "bob", "cy"), relay_detour_s: float = 0.0
    ) -> None:
        """``relay_detour_s``: what a packet takes longer over the relay than directly."""
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.network = Network(self.clock, self.rng)
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        host = self.network.host(RELAY_IP, Wire(delay=relay_detour_s), Wire(delay=0))
        registered = {name: identity(number) for name, number in self._numbers.items()}
        self.relay = SimRelay(host, registered, random.Random(self.rng.getrandbits(64)))

    def person(self, name: str, options: Options | None = None) -> Person:
        """A registered person comes on line; they are logged in a few crossings later."""
        options = options or Options()
        number = self._numbers[name]
        host = self.network.host(f"198.51.100.{number}", options.up(), options.down())
        person = Person(self, number, name, host, options)
        person.control.start()
        return person

    def run(self, seconds: float) -> None:
        self.clock.run(seconds)

    def until(self, wanted: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let time pass until it is so; fails when it does not become so."""
        assert self.clock.run(seconds, wanted), f"not within {seconds} s"

    def talk(self, caller: Person, callee: Person, ring_s: float = 1.0) -> tuple[SimCall, SimCall]:
        """Call, let it ring, answer; returns both sides' calls the moment the answer is chosen."""
        self.until(lambda: caller.control.is_connected and callee.control.is_connected)
        callee.on_ring = None
        placed = caller.call(callee.name)
        self.until(lambda: placed.call.view.phase == "ringing")
        self.run(ring_s)
        callee.answer()
        return placed, callee.talk


__all__ = ["INDEX", "OPUS", "TICK_S", "Codec", "Options", "Person", "SimCall", "World"]
