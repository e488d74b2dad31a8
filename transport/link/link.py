"""Link: one call, from "here is a grant" to "encrypted media and messages go both ways" (pure).

Before :class:`PeerProven` nothing of the peer is believed or delivered, on either side.
"""

import random
from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal

from transport.identity import IdentityError
from transport.link import events
from transport.link.channel import PeerChannel
from transport.link.handshake import Proof, begin
from transport.link.routes import Routes
from transport.net import sockets
from transport.net.machine import TimerFired
from transport.path.events import LegBound, LegRefused, SendControl, SendUnreliable
from transport.path.path import Path
from transport.path.stats import milliseconds
from transport.quic import call_events
from transport.traversal import events as traversal
from transport.traversal.agent import MakeAgent, TraversalAgent
from transport.wire import WireError, datagrams
from transport.wire import call_messages as messages

# Both sides begin when the phone starts to ring, so this long without a proven peer means it will not come. At 20 %
# loss each way a handshake needs more than 5 s in one of 10**4 calls.
SETUP_S = 30.0
# A relayed call waits this long for its relay or its peer to return ("reconnecting").
LOST_AFTER_S = 30.0
# How long the goodbye is repeated until the peer acknowledges it: QUIC sends it five times or more in a second, so
# that at 20 % loss one peer in 3,000 has to find out by silence.
LINGER_S = 1.0
# After the peer's goodbye, its acknowledgement (held up to 22 ms) has to leave before the connection closes.
FAREWELL_S = 0.05
# Messages that are kept until the proof: an accept, a mute and a few reports.
MAX_EARLY_MESSAGES = 32
# Timers may fire a little early; what is due within this is run at once instead of waking up again for it.
CLOCK_SLACK_S = 0.001

_PROOF = (messages.Hello, messages.Prove, messages.Proven)
_TRAVERSAL = (messages.Candidates, messages.Connect, messages.ConnectAck, messages.Sync)
_REPORTS = (messages.PathQuality, messages.PathSilent)
# The link's own business: nobody above sends these.
_OWN = (*_PROOF, *_TRAVERSAL, *_REPORTS, messages.PathInUse)

_END_REASONS: dict[call_events.TerminationReason, events.LinkEndReason] = {
    "closed": "peer-left",
    "idle": "lost",
    "wrong-certificate": "wrong-certificate",
    "bad-proof": "bad-proof",
    "protocol": "protocol",
}

Origin = tuple[Path, bytes] | None
"""The path that a packet came by, and the packet; None for what comes of time passing."""


class State(Enum):
    """The life of a link."""

    NEW = "new"
    CONNECTING = "connecting"
    PROVEN = "proven"
    LEAVING = "leaving"
    ENDED = "ended"


class Trigger(Enum):
    """What changes it."""

    OPENED = "opened"
    PROVEN = "both sides have proven themselves"
    CLOSED = "closed here"
    PEER_LEFT = "the peer says goodbye"
    OVER = "over"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.NEW, Trigger.OPENED): State.CONNECTING,
    (State.CONNECTING, Trigger.PROVEN): State.PROVEN,
    (State.PROVEN, Trigger.CLOSED): State.LEAVING,
    (State.PROVEN, Trigger.PEER_LEFT): State.LEAVING,
    (State.NEW, Trigger.OVER): State.ENDED,
    (State.CONNECTING, Trigger.OVER): State.ENDED,
    (State.PROVEN, Trigger.OVER): State.ENDED,
    (State.LEAVING, Trigger.OVER): State.ENDED,
}


class Link:
    """One side of one call. ``rng`` must be a :class:`random.SystemRandom` outside simulations: the nonce of the
    proof and the STUN transaction identifiers come from it."""

    __slots__ = (
        "_answered",
        "_channel",
        "_config",
        "_deadline",
        "_early",
        "_early_dropped",
        "_ending",
        "_goodbye",
        "_leg_refusal",
        "_now",
        "_out",
        "_proof",
        "_rng",
        "_routes",
        "state",
    )

    def __init__(self, config: events.LinkConfig, rng: random.Random, make_agent: MakeAgent = TraversalAgent) -> None:
        self._config = config
        self._rng = rng
        self._out: list[events.Command] = []
        self._routes = Routes(config, rng, make_agent, self._out)
        self._channel = PeerChannel()
        self._proof: Proof | None = None
        self.state = State.NEW
        self._answered = False
        self._now = float("-inf")
        self._deadline: float | None = None
        """When the present state has lasted too long."""
        self._ending: tuple[events.LinkEndReason, str] = ("closed", "")
        """Leaving: what the end will be called."""
        self._goodbye: int | None = None
        """Leaving: the mark of our goodbye on the control stream."""
        self._leg_refusal: int | None = None
        self._early: list[messages.PeerMessage] = []
        self._early_dropped = 0

    # -- the machine ---------------------------------------------------------------------------------------------

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        """Take one event; never raises. After :class:`LinkEnded` nothing has any effect."""
        if self.state is State.ENDED:
            return []
        self._now = now = max(self._now, now)
        match event:
            case sockets.DatagramReceived():
                path = self._routes.received(event, now)
                if path is not None:
                    self._take(self._channel.received(event.data, now), (path, event.data), now)
            case events.SendMedia(data):
                self._send_media(data, now)
            case TimerFired():
                self._timer(now)
            case events.SendPeerMessage(message):
                self._send_message(message, now)
            case events.Close(message):
                self._close(message, now)
            case events.Open():
                self._open(now)
            case sockets.SocketOpened() | sockets.SocketFailed():
                self._routes.socket_changed(event, now)
            case events.CallAnswered():
                self._answered = True
                if self.state is State.PROVEN:
                    self._routes.traverse(traversal.Begin(), now)
            case traversal.InterfacesChanged():
                self._routes.interfaces_changed(event, now)
            case traversal.PortMappingsChanged():
                self._routes.traverse(event, now)
            case events.LegReplaced(leg):
                self._leg_refusal = None
                self._routes.paths.replace_leg(leg, now)
        self._follow(now)
        self._transmit(now)
        out = self._out[:]
        self._out.clear()
        return out

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due; None when nothing is."""
        if self.state is State.ENDED:
            return None
        deadlines = (
            self._deadline,
            self._routes.next_deadline(),
            self._channel.next_deadline(),
            None if self.state is not State.PROVEN else self._lost_at(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def stats(self, now: float) -> events.LinkStats:
        """The link as it is at ``now``."""
        paths, channel = self._routes.paths, self._channel
        carriers = paths.manager.carriers
        return events.LinkStats(
            rtt_ms=milliseconds(carriers[0].rtt_s) if carriers else None,
            paths=paths.manager.stats(),
            phases=self._routes.phases(),
            stale_dropped=channel.stale_dropped,
            unsent_dropped=channel.unsent_dropped,
            early_dropped=self._early_dropped,
            foreign_dropped=paths.foreign_dropped,
            garbage_dropped=channel.garbage_dropped + paths.garbage_dropped,
            attempts_refused=channel.attempts_refused,
        )

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is not None:
            self.state = after
        return after is not None

    # -- beginning and end ---------------------------------------------------------------------------------------

    def _open(self, now: float) -> None:
        if not self._move(Trigger.OPENED):
            return
        self._deadline = now + SETUP_S
        try:
            self._channel.connection, self._proof = begin(self._config, self._rng)
        except IdentityError as error:
            self._end("wrong-certificate", str(error))
            return
        self._routes.paths.open(now)

    def _close(self, message: messages.Bye, now: float) -> None:
        if self.state is State.LEAVING:
            return
        self._goodbye = self._channel.send(message) if self.state is State.PROVEN else None
        if self._goodbye is None:
            self._finish("closed", "", call_events.CLOSE_NORMAL, now)
        else:
            self._leave(Trigger.CLOSED, ("closed", message.text), LINGER_S, now)

    def _leave(self, trigger: Trigger, ending: tuple[events.LinkEndReason, str], seconds: float, now: float) -> None:
        self._move(trigger)
        self._routes.traverse(traversal.Stop("call-over"), now)
        self._ending = ending
        self._deadline = now + seconds

    def _finish(self, reason: events.LinkEndReason, text: str, code: int, now: float) -> None:
        """Close the connection, send what that makes, and end."""
        self._channel.close(code, text)
        self._transmit(now)
        self._end(reason, text)

    def _end(self, reason: events.LinkEndReason, text: str) -> None:
        if self.state is State.ENDED:
            return
        # What the agent holds is the host's, and other calls wait for it: however this one ends, it is given back.
        self._routes.traverse(traversal.Stop("call-over"), self._now)
        self._move(Trigger.OVER)
        self._out += [sockets.CloseSocket(socket) for socket in self._routes.paths.owners]
        self._early.clear()
        self._out.append(events.LinkEnded(reason, text))

    # -- timers --------------------------------------------------------------------------------------------------

    def _timer(self, now: float) -> None:
        due = self.next_deadline()
        if due is not None and now < due <= now + CLOCK_SLACK_S:
            self._now = now = due
        if self._deadline is not None and now >= self._deadline:
            if self.state is State.LEAVING:
                self._finish(*self._ending, call_events.CLOSE_NORMAL, now)
            else:
                self._give_up("the other side's program did not answer", now)
            return
        lost_at = self._lost_at()
        if self.state is State.PROVEN and lost_at is not None and now >= lost_at:
            self._give_up("nothing has come from the other side for too long", now)
            return
        requests = self._routes.paths.timer(now)
        self._follow(now)
        for path, request in requests:
            self._send_echo(request, path, now)
        self._take(self._channel.advance(now), None, now)
        self._routes.traverse(TimerFired(), now)

    def _give_up(self, text: str, now: float) -> None:
        if self._leg_refusal is not None:
            self._finish(
                "leg-refused", f"the relay refused the leg ({self._leg_refusal})", call_events.CLOSE_NORMAL, now
            )
        else:
            self._finish("lost", text, call_events.CLOSE_NORMAL, now)

    def _lost_at(self) -> float | None:
        since = self._routes.paths.manager.silent_since
        return None if since is None else since + LOST_AFTER_S

    # -- received ------------------------------------------------------------------------------------------------

    def _take(self, happened: list[call_events.PeerEvent], origin: Origin, now: float) -> None:
        """Take what QUIC made of the packet ``origin``, or of the time that has passed."""
        for event in happened:
            match event:
                case call_events.DatagramArrived(data):
                    self._take_datagram(data, origin, now)
                case call_events.StreamBytes(data):
                    self._take_stream(data, origin, now)
                case call_events.StreamAcknowledged(mark):
                    if self.state is State.LEAVING and self._goodbye is not None and mark >= self._goodbye:
                        self._finish(*self._ending, call_events.CLOSE_NORMAL, now)
                case call_events.Terminated(reason, text):
                    self._end(*(self._ending if self.state is State.LEAVING else (_END_REASONS[reason], text)))
            self._follow(now)
            if self.state is State.ENDED:
                return

    def _authentic(self, origin: Origin, position: datagrams.RtpPosition | None, now: float) -> None:
        if origin is not None:
            self._routes.paths.authentic(*origin, position, now)

    def _take_datagram(self, data: bytes, origin: Origin, now: float) -> None:
        if self.state is State.CONNECTING:
            self._early_dropped += 1
            return
        is_proven = self.state is State.PROVEN
        flow = self._channel.flow(data)
        position = datagrams.parse_position(flow.packet) if isinstance(flow, datagrams.MediaFlow) else None
        self._authentic(origin, position if is_proven else None, now)
        match flow:
            case datagrams.MediaFlow(packet) if is_proven:
                self._out.append(events.MediaReceived(packet))
            case datagrams.EchoRequest(sequence):
                if origin is not None:
                    self._routes.paths.echo_requested(sequence, origin[0])
                self._send_echo(datagrams.EchoReply(sequence), None if origin is None else origin[0], now)
            case datagrams.EchoReply(sequence):
                self._routes.echo_answered(sequence, now)
            case messages.PathQuality() | messages.PathSilent() if is_proven:
                self._routes.paths.peer_reported(flow, now)

    def _take_stream(self, data: bytes, origin: Origin, now: float) -> None:
        if self.state is not State.CONNECTING:
            self._authentic(origin, None, now)
        try:
            for message in self._channel.messages(data):
                self._take_message(message, origin, now)
                if self.state is State.ENDED:
                    return
        except WireError as error:
            if self.state is State.CONNECTING:
                self._finish("bad-proof", str(error), call_events.CLOSE_BAD_PROOF, now)
            else:
                self._finish("protocol", str(error), call_events.CLOSE_PROTOCOL, now)

    def _take_message(self, message: messages.PeerMessage, origin: Origin, now: float) -> None:
        if self.state is State.CONNECTING:
            self._prove(message, origin, now)
        elif isinstance(message, _PROOF):
            self._finish("protocol", "the other side proved itself twice", call_events.CLOSE_PROTOCOL, now)
        elif self.state is not State.PROVEN:
            if isinstance(message, messages.Bye):
                # Both left at once: nobody waits for our goodbye any more.
                self._finish(*self._ending, call_events.CLOSE_NORMAL, now)
        elif isinstance(message, _TRAVERSAL):
            self._note_candidates("remote", message)
            self._routes.traverse(traversal.TraversalMessageReceived(message), now)
        elif isinstance(message, _REPORTS):
            # Reports about paths come in datagrams; on the stream they would be too late to be believed.
            self._channel.garbage_dropped += 1
        else:
            self._out.append(events.PeerMessageReceived(message))
            if isinstance(message, messages.PathInUse):
                self._routes.paths.peer_reported(message, now)
            elif isinstance(message, messages.Bye):
                self._routes.paths.stop_echoes()
                self._leave(Trigger.PEER_LEFT, ("peer-left", message.reason), FAREWELL_S, now)

    def _prove(self, message: messages.PeerMessage, origin: Origin, now: float) -> None:
        if self._proof is None:
            return
        step = self._proof.received(message)
        if step.fault:
            self._finish("bad-proof", step.fault, call_events.CLOSE_BAD_PROOF, now)
            return
        if step.reply is not None:
            self._channel.send(step.reply)
            # The peer ignores what comes before it has read the proof; from then on it expects traffic.
            self._routes.paths.start_echoes(now)
        if step.proven and self._move(Trigger.PROVEN):
            self._deadline = None
            self._out.append(events.PeerProven())
            self._authentic(origin, None, now)
            early, self._early = self._early, []
            for kept in early:
                self._channel.send(kept)
            # A contact may learn our addresses while it rings, everybody else when the call is answered.
            may_begin = self._answered or self._config.early
            self._routes.traverse(traversal.Begin() if may_begin else traversal.Prepare(), now)

    # -- sent ----------------------------------------------------------------------------------------------------

    def _send_media(self, data: bytes, now: float) -> None:
        if self.state is State.PROVEN and self._channel.send_flow(datagrams.MediaFlow(data), now):
            # Before it leaves: a path on probation must not carry it alone.
            self._routes.paths.media_sent(now)
        else:
            self._channel.unsent_dropped += 1

    def _send_message(self, message: messages.PeerMessage, now: float) -> None:
        if isinstance(message, messages.Bye):
            self._close(message, now)
        elif self.state is State.PROVEN and not isinstance(message, _OWN):
            self._channel.send(message)
        elif self.state in (State.NEW, State.CONNECTING) and self._may_keep(message):
            self._early.append(message)
        else:
            self._channel.unsent_dropped += 1

    def _may_keep(self, message: messages.PeerMessage) -> bool:
        return len(self._early) < MAX_EARLY_MESSAGES and not isinstance(message, _OWN)

    def _send_echo(self, flow: datagrams.EchoRequest | datagrams.EchoReply, path: Path | None, now: float) -> None:
        """Send by ``path`` alone; what waits to be sent goes first, by the paths that carry the call."""
        is_alone = path is not None and self._routes.paths.manager.carriers != (path,)
        if is_alone:
            self._transmit(now)
        self._channel.send_flow(flow, now)
        if path is not None and is_alone:
            for packet in self._channel.packets(now):
                self._routes.paths.send_by(path, packet)

    def _transmit(self, now: float) -> None:
        if self.state is not State.ENDED:
            for packet in self._channel.packets(now):
                self._routes.paths.send(packet, now)
            self._follow(now)

    def _follow(self, now: float) -> None:
        """Do what paths and traversal agent ask of the link."""
        if self.state is State.ENDED:
            return
        is_proven = self.state is State.PROVEN
        for asked in self._routes.take(now):
            match asked:
                case LegBound():
                    self._leg_refusal = None
                    self._channel.open(now)
                case LegRefused(code):
                    self._leg_refusal = code
                    if self.state is State.CONNECTING:
                        self._give_up("", now)
                case SendControl(message) if is_proven:
                    self._channel.send(message)
                case SendUnreliable(report) if is_proven:
                    self._channel.send_report(report, now)
                case traversal.SendToPeer(message):
                    self._channel.send(message)
                    self._note_candidates("local", message)

    def _note_candidates(self, whose: Literal["local", "remote"], message: messages.PeerMessage) -> None:
        if isinstance(message, messages.Candidates):
            self._out.append(
                events.CandidatesSignalled(whose, message.round, tuple(one.kind for one in message.candidates))
            )
