"""Whole calls: people with sound cards, engines without a window, and one relay that signals and forwards.

A :class:`Person` is what app.engine.runner, app.call.session and app.engine.audio make of the product's parts: the
call machine drives
a link, an audio pump and a control session. What those three decide by themselves is repeated here in its order;
all that decides otherwise is the product's own.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from app.call import events as ev
from app.call.machine import Call
from app.model.terms import KeyTrust
from media.codec import Decoder, Encoder, OpusDecoder, OpusEncoder
from media.delay_estimator import DelayConfig
from media.pipeline import CaptureChain, PlayoutChain
from media.playout import JitterConfig
from media.processing import CaptureProcessing
from media.pump import AudioPump
from media.rate_control import Break, RateControl, Reported, ReportsOverdue, SetBitrate, SetExpectedLoss
from media.stats import MediaStats
from tests.continuity.exact import IndexDecoder, IndexEncoder
from tests.natsim.call import RELAY_IP, identity
from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.driver import TICK_S, SimDriver
from tests.natsim.network import Host, Network
from tests.natsim.relay import MEDIA_PORT
from tests.natsim.signalling import RELAY_HOST, SimRelay, SimSession
from tests.natsim.sound import Card, CardConfig, Numbers, Voice, Vowel
from tests.natsim.wire import Wire
from transport.ice.candidates import HostAddress
from transport.identity.keys import Identity
from transport.link import events as link
from transport.link.events import LinkConfig
from transport.link.link import Link
from transport.path.events import CopyArrived, Reconnected, Reconnecting
from transport.path.relay_leg import LegAccess
from transport.quic import session_events
from transport.wire import call_messages, relay_messages

REPORT_EVERY_S = 1.0
# A second of them, as the engine's voice keeps.
EARLY_PACKETS = 50


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


Traversal = Literal["none", "answered", "early"]
INDEX = Codec(IndexEncoder, IndexDecoder, Numbers, processed=False)
OPUS = Codec(OpusEncoder, OpusDecoder, Vowel, processed=True)


@dataclass
class Said:
    """What a call has asked for, with its time."""

    finished: list[tuple[float, ev.Finished]] = field(default_factory=list)
    tones: list[tuple[float, str]] = field(default_factory=list)
    phases: list[tuple[float, str]] = field(default_factory=list)


class Talk:
    """One call of one person: the part of app.call.session."""

    def __init__(self, person: "Person") -> None:
        self.person = person
        self.clock = person.world.clock
        self.call = Call()
        self.said = Said()
        self.driver: SimDriver | None = None
        self.answered_at: float | None = None
        """When the user chose to answer."""
        self.talking_at: float | None = None
        self.media = MediaStats()
        self.capture: CaptureChain | None = None
        self.playout: PlayoutChain | None = None
        self._early: deque[tuple[bytes, float]] = deque(maxlen=EARLY_PACKETS)
        self._rates: RateControl | None = None
        self._leg_access: LegAccess | None = None
        self._timer: Timer | None = None
        self._events: list[ev.Event] = []
        self._feeding = False

    def feed(self, event: ev.Event) -> None:
        """Let something happen to the call."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        while self._events:
            now = self.clock.now
            if isinstance(self._events[0], ev.UserAnswered) and self.answered_at is None:
                self.answered_at = now
            for command in self.call.handle(self._events.pop(0), now):
                self._carry_out(command)
            phase = self.call.view.phase
            if not self.said.phases or self.said.phases[-1][1] != phase:
                self.said.phases.append((now, phase))
        self._feeding = False
        self._arm()

    @property
    def finished(self) -> ev.Finished | None:
        """How the call has ended."""
        return self.said.finished[0][1] if self.said.finished else None

    def phase_at(self, phase: str) -> float | None:
        """When the call first was in this phase."""
        return next((at for at, name in self.said.phases if name == phase), None)

    def relay_lost(self, reason: str) -> None:
        """As app.call.session: final only for a call that the relay does not know of yet."""
        if self.call.view.phase == "calling" and not self.call.view.key:
            self.feed(ev.RelayFailed(reason))

    def resume(self) -> None:
        """As app.call.session: the relay may have forgotten the legs of a call that goes on."""
        if self.talking_at is not None and not self.call.finished:
            self.person.control.send(relay_messages.Resume(self.call.view.call_id, self.call.view.key))

    def resumed(self, leg: relay_messages.Leg) -> None:
        """The relay gave a leg for the running call; perhaps the same as before."""
        access = self._access(leg)
        if self.driver is not None and access != self._leg_access:
            self._leg_access = access
            self.driver.submit(link.LegReplaced(access))

    def pump(self) -> None:
        """The engine wakes up: sound moves."""
        for packet in self.person.pump.pump(self.clock.now):
            if self.driver is not None and self._rates is not None and not self._rates.broken:
                self.driver.submit(link.SendMedia(packet))

    # -- commands

    def _carry_out(self, command: ev.Command) -> None:
        person = self.person
        match command:
            case ev.TellRelay(message):
                person.control.send(message)
            case ev.OpenLink():
                self._open_link(command)
            case ev.TellPeer(message):
                if self.driver is not None:
                    self.driver.submit(link.SendMessage(message))
            case ev.CloseLink(bye):
                if self.driver is not None:
                    self.driver.submit(link.Close(bye))
            case ev.PrepareMedia(microphone):
                person.card.open_speaker()
                if microphone:
                    person.card.open_mic()
            case ev.StartMedia():
                self._start_media()
            case ev.StopMedia():
                if self.talking_at is not None:
                    self.media = person.pump.end()
                person.card.close()
            case ev.PlayTone(tone):
                self.said.tones.append((self.clock.now, tone))
            case ev.StopTone():
                pass
            case ev.Finished():
                self.said.finished.append((self.clock.now, command))

    def _open_link(self, command: ev.OpenLink) -> None:
        person = self.person
        access = self._leg_access = self._access(command.leg)
        config = LinkConfig(
            role=command.role,
            call_id=self.call.view.call_id,
            identity=person.identity,
            peer_key=command.peer.key,
            peer_certificate=command.peer.certificate,
            home=person.address,
            leg=access,
            early=person.traversal == "early",
            stun=() if person.traversal == "none" else (access.relay,),
            hosts=() if person.traversal == "none" else (HostAddress(person.host.ip, 24, "eth0"),),
        )
        self.driver = SimDriver(Link(config, person.rng), person.host, self._on_link)
        self.driver.submit(link.Open())

    def _access(self, leg: relay_messages.Leg) -> LegAccess:
        assert leg.port == MEDIA_PORT
        return LegAccess(self.person.world.relay.media.address, leg.username, leg.password)

    def _start_media(self) -> None:
        person, codec, now = self.person, self.person.codec, self.clock.now
        self.talking_at = now
        processed = codec.processed
        encoder = codec.encoder()
        self.capture = CaptureChain(encoder, person.rng, CaptureProcessing() if processed else None)
        self.playout = PlayoutChain(codec.decoder(), codec.jitter, codec.delay)
        for data, arrived in self._early:
            self.playout.on_packet(data, arrived)
        self._early.clear()
        self._rates = RateControl(now)
        person.pump.begin(self.capture, self.playout)
        person.card.voice.start()
        if self.driver is not None:
            self.driver.submit(link.Answered())
        self.clock.after(REPORT_EVERY_S, self._report)

    # -- the link

    def _on_link(self, command: link.Command) -> None:
        match command:
            case link.MediaReceived(data):
                if self.playout is None:
                    # The voice can overtake the accept.
                    self._early.append((data, self.clock.now))
                else:
                    self.playout.on_packet(data, self.clock.now)
            case CopyArrived(position):
                if self.playout is not None:
                    self.playout.observe_copy(position.timestamp, self.clock.now)
            case link.MessageReceived(call_messages.ReceiverReport() as report):
                self._heard_report(report)
            case link.MessageReceived(message):
                self.feed(ev.PeerSaid(message))
            case link.Proven(peer_home):
                self.feed(ev.LinkProven(peer_home))
            case Reconnecting():
                self.person.control.network_changed()
                self.feed(ev.LinkSilent())
            case Reconnected():
                if self._rates is not None:
                    self._rates = RateControl(self.clock.now)
                self.feed(ev.LinkBack())
            case link.LinkEnded(reason, text):
                self.feed(ev.LinkOver(reason, text))

    def _report(self) -> None:
        if self.driver is None or self.call.finished:
            return
        self.clock.after(REPORT_EVERY_S, self._report)
        if self.call.view.phase == "reconnecting":
            self.resume()
        if self.call.view.phase != "talking":
            return
        stats = self.person.pump.stats()
        said = call_messages.ReceiverReport(
            frames_received=stats.frames_received,
            frames_lost=stats.frames_lost,
            loss=min(max(stats.loss, 0.0), 1.0),
            jitter_ms=max(stats.jitter_ms, 0.0),
            playout_delay_ms=stats.playout_delay_ms.p50,
        )
        self.driver.submit(link.SendMessage(said))
        if self._rates is not None:
            self._adapt(self._rates.handle(ReportsOverdue(), self.clock.now))
            if self._rates.broken:
                self.feed(ev.MediaBroken())

    def _heard_report(self, report: call_messages.ReceiverReport) -> None:
        if self._rates is None or self.capture is None or self.driver is None:
            return
        rtt_ms = self.driver.link.stats(self.clock.now).rtt_ms or 0.0
        told = Reported(report.loss, report.frames_received, self.capture.frames_sent, rtt_ms / 1000)
        self._adapt(self._rates.handle(told, self.clock.now))

    def _adapt(self, commands: "list[SetBitrate | SetExpectedLoss | Break]") -> None:
        for command in commands:
            match command:
                case SetBitrate(bits) if self.capture is not None:
                    self.capture.encoder.set_bitrate(bits)
                case SetExpectedLoss(percent) if self.capture is not None:
                    self.capture.encoder.set_expected_loss(percent)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancelled = True
            self._timer = None
        due = self.call.next_deadline()
        if due is not None:
            assert due > self.clock.now, "a deadline in the past would spin"
            self._timer = self.clock.at(due, lambda: self.feed(ev.TimerFired()))


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
        self.on_ring: Callable[[Talk], None] | None = None
        self.blocks: set[str] = set()
        self.pins: dict[str, bytes] = {}
        self.talks: list[Talk] = []
        self.is_frozen = False
        self._wake_pending = False
        voice = options.codec.voice() if options.voice is None else options.voice
        self.card = Card(options.card, world.clock, voice, self._wake, record=options.record)
        self.pump = AudioPump(self.card.capture_ring, self.card.playout_ring, options.card.ring_frames)
        self.control = SimSession(world.relay, host, self.identity, name, self.rng, self._on_relay)

    @property
    def address(self) -> str:
        return f"{self.name}@{RELAY_HOST}"

    @property
    def talk(self) -> Talk:
        """The newest call."""
        return self.talks[-1]

    # -- what the user does

    def call(self, name: str) -> Talk:
        """Call somebody at the same relay."""
        talk = self._begin()
        call_id = self.rng.randbytes(16).hex()
        talk.feed(ev.Placed(call_id, f"{name}@{RELAY_HOST}", name))
        if self.control.is_connected:
            talk.feed(ev.RelayReady())
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
        driver = self.talk.driver
        if network and driver is not None:
            driver.freeze()

        def thaw() -> None:
            self.is_frozen = False
            if network and driver is not None:
                driver.thaw()
            if self._wake_pending:
                self._wake_pending = False
                self._wake()

        self.world.clock.after(seconds, thaw)

    def vanish(self) -> None:
        """The machine loses its power."""
        self.control.vanish()
        self.card.close()
        for talk in self.talks:
            if talk.driver is not None:
                talk.driver.close()

    # -- inside

    def _begin(self) -> Talk:
        self.talks.append(Talk(self))
        return self.talk

    def _wake(self) -> None:
        if self.is_frozen:
            self._wake_pending = True
        elif self.talks:
            self.talk.pump()

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
            self.talk.feed(ev.RelayReady())
            self.talk.resume()

    def _lost(self) -> None:
        if self._in_call():
            self.talk.relay_lost("relay-unreachable")

    def _trust(self, name: str, key: bytes) -> KeyTrust:
        pinned = self.pins.setdefault(name, key)
        return "unverified" if pinned == key else "changed"

    def _relay_says(self, message: relay_messages.RelayMessage) -> None:
        match message:
            case relay_messages.Incoming():
                self._arrives(message)
            case relay_messages.Granted(call_id, callee, leg) if self._is_call(call_id):
                self.talk.feed(ev.CalleeFound(callee, leg, self._trust(callee.name, callee.key)))
            case relay_messages.Ringing(call_id) if self._is_call(call_id):
                self.talk.feed(ev.RemoteRings())
            case relay_messages.Resumed(call_id, leg) if self._is_call(call_id):
                self.talk.resumed(leg)
            case relay_messages.Ended(call_id, reason, text) if self._is_call(call_id):
                self.talk.feed(ev.RelayEnded(reason, text))
            case relay_messages.Refused(0, code, text) if self._in_call():
                self.talk.feed(ev.InviteRefused(code, text))

    def _is_call(self, call_id: str) -> bool:
        return bool(self.talks) and self.talk.call.view.call_id == call_id

    def _arrives(self, incoming: relay_messages.Incoming) -> None:
        if self._is_call(incoming.call_id):
            return
        if incoming.caller.name in self.blocks:
            self._turn_away(incoming)
            return
        if self._in_call():
            self.control.send(relay_messages.Decline(call_id=incoming.call_id, reason="busy"))
            return
        talk = self._begin()
        caller = incoming.caller
        talk.feed(
            ev.CallArrived(
                incoming.call_id,
                f"{caller.name}@{RELAY_HOST}",
                caller,
                incoming.leg,
                self._trust(caller.name, caller.key),
                blocked=False,
            )
        )
        if self.on_ring is not None and not talk.call.finished:
            self.on_ring(talk)

    def _turn_away(self, incoming: relay_messages.Incoming) -> None:
        """Somebody who is blocked leaves no trace."""
        arrived = ev.CallArrived(incoming.call_id, "", incoming.caller, incoming.leg, "unknown", blocked=True)
        for command in Call().handle(arrived, self.world.clock.now):
            if isinstance(command, ev.TellRelay):
                self.control.send(command.message)


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

    def talk(self, caller: Person, callee: Person, ring_s: float = 1.0) -> tuple[Talk, Talk]:
        """Call, let it ring, answer; returns both sides' calls the moment the answer is chosen."""
        self.until(lambda: caller.control.is_connected and callee.control.is_connected)
        callee.on_ring = None
        placed = caller.call(callee.name)
        self.until(lambda: placed.call.view.phase == "ringing")
        self.run(ring_s)
        callee.answer()
        return placed, callee.talk


__all__ = ["INDEX", "OPUS", "TICK_S", "Codec", "Options", "Person", "Talk", "World"]
