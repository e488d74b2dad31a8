"""A call with a relay and a direct path, each with wires of its own, and an account of every frame of voice.

The direct path is a second network that both people are on. What finds it is a scripted agent, so that a path appears
when the test wants it and is what the test wants. Whatever happens to a frame is noted where it happens: on which paths
it was sent, by which it came and when, how often the link delivered it, and when it was played.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from media.delay_estimator import DelayConfig
from media.format import FRAME_SAMPLES, Pcm
from media.pipeline import PlayoutChain
from media.playout import JitterConfig
from tests.continuity.exact import FIRST, IndexDecoder, numbered
from tests.natsim.call import CALLEE_IP, CALLER_IP, FRAME_S, Call, Side, frame_index, rtp
from tests.natsim.network import Address, Network, Packet
from tests.natsim.wire import Wire
from transport.ice.candidates import HostAddress
from transport.ice.credentials import CheckKeys, Credentials
from transport.link.events import CallAnswered, Command, Event, MediaReceived, SendMedia
from transport.link.link import Link
from transport.net.machine import TimerFired
from transport.net.sockets import DatagramReceived, OpenSocket, SocketOpened
from transport.path.events import CopyArrived, PathChanged
from transport.path.stats import PathVia
from transport.traversal.agent import AgentConfig
from transport.traversal.events import AgentCommand, AgentEvent, Begin, DirectFound, PhaseStatus
from transport.wire.stun import IceRole

DIRECT_IPS = {CALLER_IP: "10.9.0.1", CALLEE_IP: "10.9.0.2"}
FILLER_BYTES = 200
# QUIC puts a frame before the stream's data, so the first packet that leaves while a frame is sent and is so long holds
# it. Others may be as long: the stream's, where it is sent again.
MEDIA_BYTES = FILLER_BYTES
INVENTED = -1
_KEYS = CheckKeys(Credentials("A" * 8, "p" * 24), Credentials("B" * 8, "q" * 24), IceRole.CONTROLLING, 1)


class ScriptedAgent:
    """Opens sockets and finds paths on demand."""

    def __init__(self, config: AgentConfig, rng: random.Random) -> None:
        self.config = config
        self.events: list[AgentEvent] = []
        self.local: dict[int, Address] = {}
        self._due: float | None = None
        self._todo: list[AgentCommand] = []

    def open(self, now: float) -> int:
        """Have a socket opened; returns its number."""
        socket = self.config.new_socket()
        self._say(OpenSocket(socket, "0.0.0.0", ("10.9.0.0", 9)), now)
        return socket

    def find(self, socket: int, remote: Address, rtt_s: float, now: float, via: PathVia = "punch") -> None:
        """Hand over the pair of this socket and that address."""
        local = self.local[socket]
        self._say(DirectFound(socket, local, remote, via, rtt_s, _KEYS, 1, local), now)

    def count(self, kind: type[AgentEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def handle(self, event: AgentEvent, now: float) -> list[AgentCommand]:
        if not isinstance(event, TimerFired):
            self.events.append(event)
        if isinstance(event, SocketOpened):
            self.local[event.socket] = event.local
        if not isinstance(event, TimerFired) or self._due is None:
            return []
        out, self._todo, self._due = self._todo, [], None
        return out

    def next_deadline(self) -> float | None:
        return self._due

    def phases(self) -> tuple[PhaseStatus, ...]:
        return ()

    def path_closed(self, socket: int) -> None:
        pass

    def _say(self, command: AgentCommand, now: float) -> None:
        self._todo.append(command)
        self._due = now


class FrameDecoder(IndexDecoder):
    """The frame that a packet of :func:`tests.natsim.call.rtp` names; ``log`` holds them as they were played."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []

    def decode(self, payload: bytes) -> Pcm:
        index = int.from_bytes(payload[:8], "big")
        self.log.append(index)
        return numbered(FIRST + index * FRAME_SAMPLES, FRAME_SAMPLES)

    def conceal(self) -> Pcm:
        self.log.append(INVENTED)
        return super().conceal()


@dataclass
class Frame:
    """What became of one frame."""

    sent_at: float
    copies: list[str] = field(default_factory=list)
    """The path of each packet that carried it: "relay" or "direct"."""
    came: list[tuple[float, str]] = field(default_factory=list)
    sent_again: bool = False
    """Because a path had fallen silent, not in the first place."""
    lost_by_network: int = 0
    """Packets with it that a wire's loss has taken; what a wire swallows that is cut is not among them."""


# Never so full that it drains, and never so much variation that it grows: every sample is played as it was sent.
UNSTRETCHED = (JitterConfig(drain_above_s=1_000.0), DelayConfig(percentile=0.0))


class Voice:
    """One direction: what one side says and the other hears."""

    def __init__(self, rig: "TwoPaths", speaker: Side, listener: Side, *, unstretched: bool) -> None:
        self.rig = rig
        self.speaker, self.listener = speaker, listener
        self.spoken: list[Frame] = []
        self.counted: int | None = None
        """So many frames count; None is all."""
        self.deliveries: Counter[int] = Counter()
        self.decoder = FrameDecoder()
        jitter, delay = UNSTRETCHED if unstretched else (None, None)
        self.playout = PlayoutChain(self.decoder, jitter, delay)
        self._sealed: dict[bytes, int] = {}
        self._now_sending: int | None = None
        self._holds_it: bytes | None = None
        """The packet with the frame that is being sent."""
        self._spy_on_speaker()
        self._spy_on_listener()
        for network in (rig.call.network, rig.network):
            self._spy_on_network(network)

    def start(self) -> None:
        self._frame()

    def play(self) -> None:
        """The loudspeaker takes a frame, now and each 20 ms from now on."""
        self.playout.pull(self.rig.call.clock.now)
        self.rig.call.clock.after(FRAME_S, self.play)

    @property
    def frames(self) -> list[Frame]:
        """The frames that count."""
        return self.spoken[: self.counted]

    @property
    def delivered(self) -> Counter[int]:
        """How often the link delivered each of them."""
        known = len(self.frames)
        return Counter({number: count for number, count in self.deliveries.items() if number < known})

    @property
    def output(self) -> list[int]:
        """Each 20 ms of what was played, up to the last frame that counts: its frame, or INVENTED."""
        known = len(self.frames)
        log = [number for number in self.decoder.log if number < known]
        while log and log[-1] == INVENTED:
            log.pop()
        return log

    @property
    def arrived(self) -> list[int]:
        """Frames of which a packet came, in order."""
        return [number for number, frame in enumerate(self.frames) if frame.came]

    @property
    def played(self) -> list[int]:
        return [number for number in self.output if number != INVENTED]

    @property
    def concealed_s(self) -> float:
        """Audio made up."""
        return self.output.count(INVENTED) * FRAME_S

    def _frame(self) -> None:
        number = len(self.spoken)
        clock = self.rig.call.clock
        self.spoken.append(Frame(clock.now))
        self._now_sending, self._holds_it = number, None
        self.speaker.driver.submit(SendMedia(rtp(number, bytes(FILLER_BYTES))))
        self._now_sending = None
        clock.after(FRAME_S, self._frame)

    def _spy_on_speaker(self) -> None:
        host = self.speaker.driver.host
        send = host.send

        def spy(port: int, destination: Address, data: bytes, **options: int) -> None:
            if self._now_sending is not None and self._holds_it is None and len(data) >= MEDIA_BYTES:
                self._holds_it = data
                self._sealed[data] = self._now_sending
            # A copy, and a packet that is sent again, is known by its bytes.
            number = self._sealed.get(data)
            if number is not None:
                self.spoken[number].copies.append(self.rig.path_of(destination))
                self.spoken[number].sent_again |= self._now_sending != number
            send(port, destination, data, **options)  # type: ignore[arg-type]

        host.send = spy  # type: ignore[method-assign, assignment]

    def _spy_on_network(self, network: Network) -> None:
        inject = network.inject

        def spy(packet: Packet) -> None:
            number = self._sealed.get(packet.data)
            wire = network.wire_to(packet.destination[0])
            before = 0 if wire is None else wire.lost
            inject(packet)
            if number is not None and wire is not None:
                self.spoken[number].lost_by_network += wire.lost - before

        network.inject = spy  # type: ignore[method-assign]

    def _spy_on_listener(self) -> None:
        driver = self.listener.driver
        submit = driver.submit

        def spy(event: Event) -> None:
            # What comes by a path that is not known yet is from a stranger.
            known = isinstance(event, DatagramReceived) and self.rig.knows(self.listener, event.source)
            if known and isinstance(event, DatagramReceived) and event.data in self._sealed:
                came = self.spoken[self._sealed[event.data]].came
                came.append((self.rig.call.clock.now, self.rig.path_of(event.source)))
            submit(event)

        driver.submit = spy  # type: ignore[method-assign, assignment]
        take = self.listener.take

        def watched(command: Command) -> None:
            now = self.rig.call.clock.now
            if isinstance(command, MediaReceived):
                number = frame_index(command.data)
                self.deliveries[number] += 1
                self.playout.on_packet(command.data, now)
            elif isinstance(command, CopyArrived):
                self.playout.observe_copy(command.position.timestamp, now)
            else:
                take(command)

        self.listener.take = watched  # type: ignore[method-assign]


class TwoPaths:
    """``relay`` and ``direct`` each make one crossing, one direction of one path."""

    def __init__(
        self,
        seed: int = 1,
        *,
        relay: Callable[[], Wire] = lambda: Wire(delay=0.04),
        direct: Callable[[], Wire] = lambda: Wire(delay=0.01),
        early: bool = False,
        unstretched: bool = True,
    ) -> None:
        self.agents: list[ScriptedAgent] = []
        self._found: set[tuple[int, Address]] = set()
        nothing = Wire(delay=0)
        hosts = tuple(HostAddress(ip, 24) for ip in DIRECT_IPS.values())
        # One wire of the two of a crossing does it all: up is perfect.
        self.call = Call(
            seed,
            lambda: replace(nothing),
            caller=lambda config: replace(config, hosts=hosts, early=early),
            callee=lambda config: replace(config, hosts=hosts, early=early),
            make_link=lambda config, rng: Link(config, rng, self._agent),
        )
        self.clock = self.call.clock
        self.network = Network(self.clock, self.call.rng)
        self.sides = self.call.sides
        self.relay_wires: list[Wire] = []
        self.direct_wires: list[Wire] = []
        for side in self.sides:
            host = side.driver.host
            host.down = relay()
            self.relay_wires.append(host.down)
            interface = host.join(self.network, DIRECT_IPS[host.ip], Wire(delay=0), direct())
            self.direct_wires.append(interface.down)
        self.voices = tuple(
            Voice(self, speaker, listener, unstretched=unstretched)
            for speaker, listener in (self.sides, self.sides[::-1])
        )

    def _agent(self, config: AgentConfig, rng: random.Random) -> ScriptedAgent:
        self.agents.append(ScriptedAgent(config, rng))
        return self.agents[-1]

    @staticmethod
    def path_of(address: Address) -> str:
        """Which path a far end belongs to."""
        return "direct" if address[0].startswith("10.9.") else "relay"

    def knows(self, side: Side, source: Address) -> bool:
        """Whether packets from there are a path's, for that side."""
        return self.path_of(source) == "relay" or (self.sides.index(side), source) in self._found

    def connect(self) -> "TwoPaths":
        """Proven, over the relay."""
        self.call.connect()
        return self

    def talk(self) -> "TwoPaths":
        """Both answer, speak and listen from now on."""
        for side in self.sides:
            side.driver.submit(CallAnswered())
        for number, voice in enumerate(self.voices):
            self.clock.after(0.003 * number, voice.start)
            self.clock.after(0.011 + 0.003 * number, voice.play)
        return self

    def find(self, apart_s: float = 0.0) -> "TwoPaths":
        """The direct path is found, by the second side ``apart_s`` later."""
        for mine, hand_over in enumerate(self._pair()):
            self.clock.after(apart_s * mine, hand_over)
        return self

    def find_two(self, apart_s: float) -> "TwoPaths":
        """Two direct paths of the same wires are found, ``apart_s`` one after the other; what is the first of one side
        is the second of the other."""
        first, second = self._pair(), self._pair()
        for hand_over in (first[0], second[1]):
            self.clock.after(0.0, hand_over)
        for hand_over in (second[0], first[1]):
            self.clock.after(apart_s, hand_over)
        return self

    def _pair(self) -> list[Callable[[], None]]:
        """One more direct path; each side hears of it when its entry is called."""
        for agent in self.agents:
            assert agent.count(Begin), "nothing is looked for before the call is taken"
        sockets = [agent.open(self.clock.now) for agent in self.agents]
        for side in self.sides:
            side.driver.submit(CallAnswered())
        self.clock.run(0.001)
        ports = [agent.local[socket][1] for agent, socket in zip(self.agents, sockets, strict=True)]
        rtt = sum(wire.delay for wire in self.direct_wires)
        made = []
        for mine, agent in enumerate(self.agents):
            theirs = DIRECT_IPS[self.sides[1 - mine].driver.host.interfaces[0].ip], ports[1 - mine]
            agent.local[sockets[mine]] = (DIRECT_IPS[self.sides[mine].driver.host.ip], ports[mine])
            made.append(self._hand_over(mine, sockets[mine], theirs, rtt))
        return made

    def _hand_over(self, mine: int, socket: int, remote: Address, rtt: float) -> Callable[[], None]:
        def hand_over() -> None:
            self._found.add((mine, remote))
            self.agents[mine].find(socket, remote, rtt, self.clock.now)
            self.sides[mine].driver.submit(CallAnswered())

        return hand_over

    def cut(self, is_cut: bool = True, ways: tuple[int, ...] = (0, 1)) -> None:
        """Cut the direct path toward these sides (0 is the caller), or heal it."""
        for way in ways:
            self.direct_wires[way].cut = is_cut

    def run(self, seconds: float) -> "TwoPaths":
        self.clock.run(seconds)
        return self

    def finish(self) -> "TwoPaths":
        """What has been spoken until now counts, and is given the time to arrive and to be played."""
        for voice in self.voices:
            voice.counted = len(voice.spoken)
        return self.run(1.0)

    def in_use(self, side: int) -> str:
        """The kind of path that a side sends by."""
        return next(
            path.kind
            for path in self.sides[side].driver.link.stats(self.clock.now).paths
            if path.state in ("active", "suspect")
        )

    def changes(self, side: int) -> list[tuple[float, PathChanged]]:
        return [(at, command) for at, command in self.sides[side].commands if isinstance(command, PathChanged)]

    def swaps(self, side: int) -> int:
        """How often a side chose a direct path."""
        states = [change.state for _, change in self.changes(side) if change.kind == "direct"]
        return sum(pair == ("standby", "active") for pair in pairwise(states))
