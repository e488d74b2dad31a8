"""Whole calls: people with sound cards, engines without a window, and one relay that signals and forwards.

A person is the product's own :class:`app.engine.core.EngineCore`, and a call its :class:`app.call.session.CallSession`:
both on a virtual host, with the product's session to the relay and a simulated sound card.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.account.status import AccountStatus, Trigger
from app.call import events as ev
from app.call.machine import CallMachine
from app.call.media import MediaConfig
from app.call.session import CallSession
from app.engine.core import EngineCore
from app.engine.events import (
    BeginCall,
    CallCommand,
    CoreConfig,
    CoreEvent,
    FromCall,
    FromRelay,
    LocalNetwork,
    ToCall,
    ToRelay,
)
from app.ipc import messages
from app.network.recall import KnownNetworks
from app.report.trace import CallBecame
from app.store.blocked_keys import BlockedKeys
from app.store.calls import Calls
from app.store.documents import Documents, Profile
from app.store.networks import Networks
from app.store.people import People
from app.store.relays import RelayCertificates
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
from tests.natsim.signalling import SimRelay, SimSession
from tests.natsim.sound import Card, CardConfig, Numbers, Voice, Vowel
from tests.natsim.wire import Wire
from transport.ice.candidates import HostAddress
from transport.identity.keys import Identity
from transport.quic import session_events
from transport.quic.relay_session import RelaySession
from transport.quic.session_events import CheckConnection, SendRelayMessage
from transport.wire.addresses import PersonAddress, RelayAddress


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

    def __init__(self, person: "Person", session: CallSession) -> None:
        self.person = person
        self.session = session
        self.clock = person.world.clock
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
            case ev.Finished() | ev.ViewChanged():
                if isinstance(command, ev.Finished):
                    self.endings.append((self.clock.now, command))
                person.core.handle(FromCall(self.session, command), self.clock.now)
            case ev.Released():
                self.runner.close()


class Memory:
    """What a person's engine remembers, without a file."""

    def __init__(self, clock: VirtualClock) -> None:
        def now() -> float:
            return clock.now

        self.people = People(lambda keys: None, now)
        self.blocked_keys = BlockedKeys(lambda keys: None, now)
        self.calls = Calls(lambda keys: None, now)
        self.relays = RelayCertificates(lambda keys: None, now)
        self.networks = Networks(lambda keys: None, now)
        self.documents = Documents(lambda keys: None)


@dataclass(frozen=True)
class SimRoute:
    """The way to the person's own relay, which is everybody's."""

    address: RelayAddress
    session: RelaySession
    is_home: bool = True


class Person:
    """Somebody with a name, a key, a sound card and an engine: the product's core, carried out on a virtual host."""

    def __init__(self, world: "World", number: int, name: str, host: Host, options: "Options") -> None:
        self.world = world
        self.name = name
        self.identity: Identity = identity(number)
        self.host = host
        self.rng = random.Random(world.rng.getrandbits(64))
        self.traversal = options.traversal
        self.address = PersonAddress(name, world.relay.address)
        self.on_ring: Callable[[SimCall], None] | None = None
        self.talks: list[SimCall] = []
        """All calls, the newest at the end."""
        self.is_frozen = False
        self._wake_pending = False
        voice = options.codec.voice() if options.voice is None else options.voice
        self.card = Card(options.card, world.clock, voice, self._wake, record=options.record)
        self.pump = AudioPump(self.card.capture_ring, self.card.playout_ring, options.card.ring_frames)
        self.control = SimSession(world.relay, host, self.identity, name, self.rng, self._from_relay)
        self.memory = Memory(world.clock)
        self.memory.documents.change_profile(Profile(name, str(world.relay.address)))
        self.account = AccountStatus()
        self.account.move(Trigger.REGISTERED)
        self._route = SimRoute(world.relay.address, self.control.session)
        # Without addresses of its own a machine looks for no direct path.
        hosts = () if options.traversal == "none" else (HostAddress(host.ip, 24, "eth0"),)
        config = CoreConfig(
            identity=self.identity,
            pump=self.pump,
            rng=self.rng,
            route_to=lambda relay, home: self._route,
            network=lambda: LocalNetwork(hosts),
            media=options.codec.media,
        )
        known = KnownNetworks(self.memory.networks, self.identity.secret, 0.0)
        self.core = EngineCore(config, self.memory, known, self.account)

    @property
    def talk(self) -> SimCall:
        """The newest call."""
        return self.talks[-1]

    # -- what the user does

    def do(self, message: CallCommand) -> None:
        """What a window asks of the engine."""
        self._to_core(message)

    def call(self, name: str) -> SimCall:
        """Call somebody at the same relay."""
        before = len(self.talks)
        self.do(messages.PlaceCall(f"{name}@{self.world.relay.address}"))
        assert len(self.talks) == before + 1
        return self.talk

    def answer(self) -> None:
        if self.talk.answered_at is None:
            self.talk.answered_at = self.world.clock.now
        self.do(messages.AnswerCall(self.talk.call.view.call_id))

    def decline(self) -> None:
        self.do(messages.DeclineCall(self.talk.call.view.call_id))

    def hang_up(self) -> None:
        self.do(messages.HangUpCall(self.talk.call.view.call_id))

    def meet(self, name: str, number: int) -> PersonAddress:
        """Have known somebody with the key of this number."""
        address, who = PersonAddress(name, self.world.relay.address), identity(number)
        self.memory.people.meet(address, who.key, who.certificate)
        return address

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
        self.control.close()
        self.card.close()
        for talk in self.talks:
            talk.runner.close()

    # -- inside

    def _wake(self) -> None:
        if self.is_frozen:
            self._wake_pending = True
        elif self.talks and self.talk.is_audible:
            self.talk.runner.submit(ev.AudioReady())
        else:
            self.pump.pump(self.world.clock.now)

    def _from_relay(self, event: session_events.SessionCommand) -> None:
        match event:
            case session_events.Connected():
                self._to_core(FromRelay(self._route, event))
                self.account.move(Trigger.LOGGED_IN)
            case session_events.Disconnected():
                self._to_core(FromRelay(self._route, event))
                self.account.move(Trigger.LOST)
            case session_events.Rejected() | session_events.RelayMessageReceived():
                self._to_core(FromRelay(self._route, event))

    def _to_core(self, event: CoreEvent) -> None:
        rings = False
        for command in self.core.handle(event, self.world.clock.now):
            match command:
                case BeginCall(session):
                    self.talks.append(SimCall(self, session))
                case ToCall(session, call_event):
                    rings = isinstance(call_event, ev.CallArrived)
                    next(talk for talk in reversed(self.talks) if talk.session is session).runner.submit(call_event)
                case ToRelay(_, message):
                    self.control.send(message)
                case messages.CommandFailed():
                    raise AssertionError(command.code)
        if rings and self.on_ring is not None and not self.talk.call.finished:
            self.on_ring(self.talk)


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
        if options.traversal == "early":
            # Somebody in the list whose key is known may be looked for while it rings.
            for other, key in self._numbers.items():
                if other != name:
                    person.memory.people.add(person.meet(other, key))
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
