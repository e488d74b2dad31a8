"""The link of a call: from "here is a grant" to "sealed media and messages go both ways", without I/O.

A :class:`Link` joins the relay leg, the path manager, the end-to-end QUIC connection and the mutual proof. What
arrives passes ``path → QUIC → proof → MediaReceived / MessageReceived``; what is sent passes the same way back.
Before :class:`PeerProven` nothing of the peer is believed or delivered, on either side.
"""

import hmac
import random
from collections.abc import Callable
from enum import Enum
from typing import Literal

from transport.identity import IdentityError
from transport.identity.keys import certificate_key
from transport.link.events import (
    CallAnswered,
    CandidatesSignalled,
    Close,
    Command,
    Event,
    LegReplaced,
    LinkConfig,
    LinkEnded,
    LinkEndReason,
    LinkPhase,
    LinkStats,
    MediaReceived,
    Open,
    PeerMessageReceived,
    PeerProven,
    SendMedia,
    SendPeerMessage,
)
from transport.link.handshake import Believe, CalleeProof, CallerProof, Disbelieve, Proof, Say, admission_token
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, SocketFailed, SocketOpened
from transport.path.events import DirectLost, LegBound, LegRefused, PathChanged, SendControl, SendUnreliable
from transport.path.path import Path
from transport.path.paths import Multipath
from transport.path.stats import milliseconds
from transport.quic.call_connection import (
    CLOSE_BAD_PROOF,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL,
    DatagramArrived,
    PeerConnection,
    StreamAcknowledged,
    StreamBytes,
    Terminated,
    TerminationReason,
)
from transport.traversal import agent, events
from transport.traversal.agent import AgentConfig, MakeAgent
from transport.traversal.events import (
    AgentEvent,
    DirectFound,
    InterfacesChanged,
    PortMappingsChanged,
    TraversalMessageReceived,
)
from transport.wire import WireError, datagrams
from transport.wire import call_messages as messages
from transport.wire.demux import PacketKind, packet_kind
from transport.wire.framing import Deframer, frame

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
# What may be said before the proof and is kept: an accept, a mute and a few reports.
MAX_EARLY_MESSAGES = 32
NONCE_BYTES = 32
# The proof and the paths are the link's own business: nobody else says or hears these.
_PROOF = (messages.Hello, messages.Prove, messages.Proven)
_OWN = (
    *_PROOF,
    messages.PathInUse,
    messages.PathQuality,
    messages.PathSilent,
    messages.Candidates,
    messages.Connect,
    messages.ConnectAck,
    messages.Sync,
)
# Timers may fire a little early; what is due within this is run at once instead of waking up again for it.
CLOCK_SLACK_S = 0.001

_END_REASONS: dict[TerminationReason, LinkEndReason] = {
    "closed": "peer-left",
    "idle": "lost",
    "wrong-certificate": "wrong-certificate",
    "bad-proof": "bad-proof",
    "protocol": "protocol",
}


Origin = tuple[Path, bytes]
"""The path that a packet came by, and the packet."""


class Phase(Enum):
    """The life of a link."""

    NEW = "new"
    CONNECTING = "connecting"
    PROVEN = "proven"
    LEAVING = "leaving"
    ENDED = "ended"


class Link:
    """One side of one call. ``rng`` must be a :class:`random.SystemRandom` outside simulations: the nonce of the
    proof and the STUN transaction identifiers come from it."""

    __slots__ = (
        "_answered",
        "_config",
        "_deadline",
        "_deframer",
        "_early",
        "_early_dropped",
        "_garbage_dropped",
        "_last_words",
        "_leg_refusal",
        "_now",
        "_out",
        "_parting",
        "_paths",
        "_peer",
        "_phase",
        "_proof",
        "_rng",
        "_traversal",
        "_unsent_dropped",
    )

    def __init__(self, config: LinkConfig, rng: random.Random, make_agent: MakeAgent = agent.TraversalAgent) -> None:
        self._config = config
        self._rng = rng
        self._paths = Multipath(config.leg, rng, follows=config.role == "callee")
        self._traversal = make_agent(_agent_config(config, self._paths.new_socket), rng)
        self._answered = False
        self._deframer = Deframer()
        self._peer: PeerConnection | None = None
        self._proof: Proof | None = None
        self._phase = Phase.NEW
        self._now = float("-inf")
        self._out: list[Command] = []
        self._deadline: float | None = None
        """When the present phase has lasted too long."""
        self._parting: tuple[LinkEndReason, str] = ("closed", "")
        """Leaving: what the end will be called."""
        self._last_words: int | None = None
        """Leaving: the mark of our goodbye on the control stream."""
        self._leg_refusal: int | None = None
        self._early: list[messages.PeerMessage] = []
        self._unsent_dropped = 0
        self._early_dropped = 0
        self._garbage_dropped = 0

    # -- the machine ---------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event; never raises. After :class:`LinkEnded` nothing has any effect."""
        if self._phase is Phase.ENDED:
            return []
        self._now = now = max(self._now, now)
        match event:
            case DatagramReceived():
                self._arrived(event, now)
            case SendMedia(data):
                self._send_media(data, now)
            case TimerFired():
                self._timer(now)
            case SendPeerMessage(message):
                self._send_message(message, now)
            case Close(message):
                self._close(message, now)
            case Open():
                self._open(now)
            case SocketOpened() if event.socket in self._paths.owners:
                self._paths.opened(event, now)
            case SocketFailed() if event.socket in self._paths.owners:
                self._paths.failed(event, now)
            case SocketOpened() | SocketFailed() | PortMappingsChanged():
                self._traverse(event, now)
            case CallAnswered():
                self._answered = True
                if self._phase is Phase.PROVEN:
                    self._traverse(events.Begin(), now)
            case InterfacesChanged(hosts):
                self._paths.network_changed({host.ip for host in hosts}, now)
                self._run(now)
                self._traverse(event, now)
            case LegReplaced(leg):
                self._leg_refusal = None
                self._paths.replace_leg(leg, now)
        self._run(now)
        self._transmit(now)
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due; None when nothing is."""
        if self._phase is Phase.ENDED:
            return None
        deadlines = (
            self._deadline,
            self._paths.next_deadline(),
            self._traversal.next_deadline(),
            None if self._peer is None else self._peer.next_deadline(),
            None if self._phase is not Phase.PROVEN else self._lost_at(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def stats(self, now: float) -> LinkStats:
        """The link as it is at ``now``."""
        manager = self._paths.manager
        phase: LinkPhase = self._phase.value
        return LinkStats(
            phase=phase,
            rtt_ms=milliseconds(manager.carriers[0].rtt_s) if manager.carriers else None,
            paths=manager.stats(),
            phases=self._traversal.phases(),
            stale_dropped=0 if self._peer is None else self._peer.stale_dropped,
            unsent_dropped=self._unsent_dropped,
            early_dropped=self._early_dropped,
            foreign_dropped=self._paths.foreign_dropped,
            garbage_dropped=self._garbage_dropped + self._paths.garbage_dropped,
            attempts_refused=0 if self._peer is None else self._peer.refused,
        )

    # -- beginning and end ---------------------------------------------------------------------------------------

    def _open(self, now: float) -> None:
        if self._phase is not Phase.NEW:
            return
        self._phase = Phase.CONNECTING
        self._deadline = now + SETUP_S
        config = self._config
        token = admission_token(config.call_id)
        try:
            in_certificate = certificate_key(config.peer_certificate)
            if config.role == "caller":
                self._peer = PeerConnection.caller(config.peer_certificate, token, config.cpu)
        except IdentityError as error:
            self._end("wrong-certificate", str(error))
            return
        if not hmac.compare_digest(in_certificate, config.peer_key):
            self._end("wrong-certificate", "the certificate belongs to another key than the expected one")
            return
        if config.role == "caller":
            self._proof = CallerProof(config.identity, config.peer_certificate, config.call_id, config.home)
        else:
            nonce = self._rng.randbytes(NONCE_BYTES)
            proof = CalleeProof(config.identity.certificate, nonce, config.peer_key, config.call_id, config.home)
            self._proof = proof
            greeting = frame(messages.encode(proof.hello()))
            self._peer = PeerConnection.callee(config.identity, token, greeting, config.cpu)
        self._paths.open(now)
        self._run(now)

    def _close(self, message: messages.Bye, now: float) -> None:
        if self._phase is Phase.LEAVING:
            return
        if self._phase is not Phase.PROVEN or self._peer is None:
            self._finish("closed", "", CLOSE_NORMAL, now)
            return
        self._last_words = self._peer.send_stream(frame(messages.encode(message)))
        if self._last_words is None:
            self._finish("closed", "", CLOSE_NORMAL, now)
            return
        self._leave("closed", message.text, LINGER_S, now)

    def _leave(self, reason: LinkEndReason, text: str, seconds: float, now: float) -> None:
        self._phase = Phase.LEAVING
        self._traverse(events.Stop("call-over"), now)
        self._parting = (reason, text)
        self._deadline = now + seconds

    def _finish(self, reason: LinkEndReason, text: str, code: int, now: float) -> None:
        """Close the connection, send what that makes, and end."""
        if self._peer is not None:
            self._peer.close(code, text)
            self._transmit(now)
        self._end(reason, text)

    def _end(self, reason: LinkEndReason, text: str) -> None:
        if self._phase is Phase.ENDED:
            return
        # What the search holds is the machine's, and other calls wait for it: however this one ends, it is given back.
        self._traverse(events.Stop("call-over"), self._now)
        self._phase = Phase.ENDED
        self._out += [CloseSocket(socket) for socket in self._paths.owners]
        self._early.clear()
        self._out.append(LinkEnded(reason, text))

    # -- timers --------------------------------------------------------------------------------------------------

    def _timer(self, now: float) -> None:
        due = self.next_deadline()
        if due is not None and now < due <= now + CLOCK_SLACK_S:
            self._now = now = due
        if self._deadline is not None and now >= self._deadline:
            self._too_long(now)
            return
        lost_at = self._lost_at()
        if self._phase is Phase.PROVEN and lost_at is not None and now >= lost_at:
            self._give_up("the other side has not been heard for too long", now)
            return
        requests = self._paths.timer(now)
        self._run(now)
        for path, request in requests:
            self._send_flow(request, path, now)
        if self._peer is not None:
            self._peer.advance(now)
            self._take_peer_events(None, now)
        self._traverse(TimerFired(), now)

    def _too_long(self, now: float) -> None:
        if self._phase is Phase.LEAVING:
            self._finish(*self._parting, CLOSE_NORMAL, now)
        else:
            self._give_up("the other side's program did not answer", now)

    def _give_up(self, text: str, now: float) -> None:
        if self._leg_refusal is not None:
            self._finish("leg-refused", f"the relay refused the leg ({self._leg_refusal})", CLOSE_NORMAL, now)
        else:
            self._finish("lost", text, CLOSE_NORMAL, now)

    def _lost_at(self) -> float | None:
        since = self._paths.manager.silent_since
        return None if since is None else since + LOST_AFTER_S

    # -- packets -------------------------------------------------------------------------------------------------

    def _arrived(self, event: DatagramReceived, now: float) -> None:
        """A datagram is classified here, once, and goes to the one owner of its socket."""
        kind = packet_kind(event.data)
        path = self._paths.owners.get(event.socket)
        if kind is PacketKind.STUN and path is not self._paths.relay:
            # Also on a direct path's socket: the peer's checks go on, and may move the path.
            self._traverse(event, now)
        elif path is None:
            self._paths.foreign_dropped += 1
        elif self._paths.received(path, event, kind, now) and self._peer is not None:
            self._peer.receive(event.data, now)
            self._take_peer_events((path, event.data), now)
        self._run(now)

    def _run(self, now: float) -> None:
        if self._phase is Phase.ENDED:
            return
        for command in self._paths.take():
            match command:
                case LegBound():
                    self._leg_refusal = None
                    if self._peer is not None:
                        self._peer.open(now)
                case LegRefused(code):
                    self._leg_refusal = code
                    if self._phase is Phase.CONNECTING:
                        self._give_up("", now)
                case SendControl(message):
                    if self._phase is Phase.PROVEN:
                        self._say(message)
                case SendUnreliable(message):
                    if self._phase is Phase.PROVEN and self._peer is not None:
                        self._peer.send_datagram(
                            datagrams.encode(datagrams.UnreliableMessage(messages.encode(message))), now
                        )
                case CloseSocket(socket):
                    self._traversal.path_closed(socket)
                    self._out.append(command)
                case PathChanged("relay", _, _, "suspect" | "validating" | "dead"):
                    # What the traversal agent sends may be the cause.
                    self._out.append(command)
                    self._traverse(events.RelayTrouble(), now)
                case DirectLost():
                    self._traverse(events.PathLost(), now)
                case _:
                    self._out.append(command)

    def _traverse(self, event: AgentEvent, now: float) -> None:
        for command in self._traversal.handle(event, now):
            match command:
                case DirectFound(socket, local, remote, via, rtt_s):
                    self._paths.add_direct(socket, local, remote, via, rtt_s, now)
                    self._run(now)
                case events.SendToPeer(message):
                    self._say(message)
                    self._note_candidates("local", message)
                case _:
                    self._out.append(command)

    def _transmit(self, now: float) -> None:
        if self._peer is not None and self._phase is not Phase.ENDED:
            for data in self._peer.datagrams_to_send(now):
                self._paths.send(data, now)
            self._run(now)

    def _send_flow(self, flow: datagrams.EchoRequest | datagrams.EchoReply, path: Path | None, now: float) -> None:
        """Send by ``path`` alone; what waits to be sent goes first, by the paths that carry the call."""
        if self._peer is None:
            return
        if path is None or self._paths.manager.carriers == (path,):
            self._peer.send_datagram(datagrams.encode(flow), now)
            return
        self._transmit(now)
        self._peer.send_datagram(datagrams.encode(flow), now)
        for data in self._peer.datagrams_to_send(now):
            self._paths.send_by(path, data)

    def _take_peer_events(self, origin: Origin | None, now: float) -> None:
        """Take what QUIC made of the packet ``origin``, or of the time that has passed."""
        if self._peer is None:
            return
        for event in self._peer.events():
            match event:
                case DatagramArrived(data):
                    self._peer_datagram(data, origin, now)
                case StreamBytes(data):
                    self._peer_stream(data, origin, now)
                case StreamAcknowledged(mark):
                    if self._phase is Phase.LEAVING and self._last_words is not None and mark >= self._last_words:
                        self._finish(*self._parting, CLOSE_NORMAL, now)
                case Terminated(reason, text):
                    self._end(*(self._parting if self._phase is Phase.LEAVING else (_END_REASONS[reason], text)))
            self._run(now)
            if self._phase is Phase.ENDED:
                return

    def _peer_datagram(self, data: bytes, origin: Origin | None, now: float) -> None:
        if self._phase is Phase.CONNECTING:
            self._early_dropped += 1
            return
        try:
            what = datagrams.parse(data)
        except WireError:
            self._garbage_dropped += 1
            self._authentic(origin, None, now)
            return
        position = datagrams.parse_position(what.packet) if isinstance(what, datagrams.MediaFlow) else None
        self._authentic(origin, position if self._phase is Phase.PROVEN else None, now)
        match what:
            case datagrams.MediaFlow(packet):
                if self._phase is Phase.PROVEN:
                    self._out.append(MediaReceived(packet))
            case datagrams.EchoRequest(sequence):
                path = None if origin is None else origin[0]
                if path is not None:
                    self._paths.echo_requested(sequence, path)
                self._send_flow(datagrams.EchoReply(sequence), path, now)
            case datagrams.EchoReply(sequence):
                self._paths.echo_answered(sequence, now)
                relay = self._paths.relay.measured
                if relay.round_trip.smoothed is not None:
                    trip = events.RelayRoundTrip(
                        relay.round_trip.smoothed, relay.round_trip.variation, relay.loss.share()
                    )
                    self._traverse(trip, now)
            case datagrams.UnreliableMessage(document):
                self._remark(document, now)

    def _remark(self, document: bytes, now: float) -> None:
        try:
            message = messages.decode(document)
        except WireError:
            self._garbage_dropped += 1
            return
        if self._phase is Phase.PROVEN and isinstance(message, messages.PathQuality | messages.PathSilent):
            self._paths.peer_reported(message, now)
        else:
            self._garbage_dropped += 1

    def _authentic(self, origin: Origin | None, position: datagrams.RtpPosition | None, now: float) -> None:
        if origin is not None:
            self._paths.authentic(*origin, position, now)

    def _peer_stream(self, data: bytes, origin: Origin | None, now: float) -> None:
        if self._phase is not Phase.CONNECTING:
            self._authentic(origin, None, now)
        try:
            for document in self._deframer.feed(data):
                self._message(messages.decode(document), origin, now)
                if self._phase is Phase.ENDED:
                    return
        except WireError as error:
            if self._phase is Phase.CONNECTING:
                self._finish("bad-proof", str(error), CLOSE_BAD_PROOF, now)
            else:
                self._finish("protocol", str(error), CLOSE_PROTOCOL, now)

    def _message(self, message: messages.PeerMessage, origin: Origin | None, now: float) -> None:
        if self._phase is Phase.CONNECTING:
            self._prove(message, origin, now)
        elif isinstance(message, _PROOF):
            self._finish("protocol", "the other side proved itself twice", CLOSE_PROTOCOL, now)
        elif isinstance(message, messages.Bye):
            if self._phase is Phase.PROVEN:
                self._out.append(PeerMessageReceived(message))
                self._paths.stop_echoes()
                self._leave("peer-left", message.reason, FAREWELL_S, now)
            else:
                # Both said goodbye at once: nobody waits for ours any more.
                self._finish(*self._parting, CLOSE_NORMAL, now)
        elif self._phase is Phase.PROVEN:
            self._peer_says(message, now)

    def _peer_says(self, message: messages.PeerMessage, now: float) -> None:
        match message:
            case messages.Candidates() | messages.Connect() | messages.ConnectAck() | messages.Sync():
                self._note_candidates("remote", message)
                self._traverse(TraversalMessageReceived(message), now)
            case messages.PathQuality() | messages.PathSilent():
                # What is said of the paths comes as remarks; here it would be too late to be believed.
                self._garbage_dropped += 1
            case messages.PathInUse():
                self._paths.peer_reported(message, now)
                self._out.append(PeerMessageReceived(message))
            case _:
                self._out.append(PeerMessageReceived(message))

    def _note_candidates(self, whose: Literal["local", "remote"], message: messages.PeerMessage) -> None:
        if isinstance(message, messages.Candidates):
            self._out.append(CandidatesSignalled(whose, message.round, tuple(one.kind for one in message.candidates)))

    def _prove(self, message: messages.PeerMessage, origin: Origin | None, now: float) -> None:
        if self._proof is None:
            return
        for command in self._proof.handle(message):
            match command:
                case Say(answer):
                    self._say(answer)
                    # The peer ignores what comes before it has read the proof; from then on it expects traffic.
                    self._paths.start_echoes(now)
                case Believe(peer_home):
                    self._phase = Phase.PROVEN
                    self._deadline = None
                    self._out.append(PeerProven(peer_home))
                    self._authentic(origin, None, now)
                    early, self._early = self._early, []
                    for kept in early:
                        self._say(kept)
                    # A contact may learn our addresses while it rings, everybody else when the call is answered.
                    may_begin = self._answered or self._config.early
                    self._traverse(events.Begin() if may_begin else events.Prepare(), now)
                case Disbelieve(text):
                    self._finish("bad-proof", text, CLOSE_BAD_PROOF, now)

    # -- sending -------------------------------------------------------------------------------------------------

    def _send_media(self, data: bytes, now: float) -> None:
        if self._phase is not Phase.PROVEN or self._peer is None:
            self._unsent_dropped += 1
        elif self._peer.send_datagram(datagrams.encode(datagrams.MediaFlow(data)), now):
            # Before it leaves: a path on probation must not carry it alone.
            self._paths.media_sent(now)
        else:
            self._unsent_dropped += 1

    def _send_message(self, message: messages.PeerMessage, now: float) -> None:
        if isinstance(message, messages.Bye):
            self._close(message, now)
        elif isinstance(message, _OWN):
            self._unsent_dropped += 1
        elif self._phase is Phase.PROVEN:
            self._say(message)
        elif self._phase in (Phase.NEW, Phase.CONNECTING) and len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(message)
        else:
            self._unsent_dropped += 1

    def _say(self, message: messages.PeerMessage) -> None:
        try:
            document = frame(messages.encode(message))
        except WireError:
            self._unsent_dropped += 1
            return
        if self._peer is None or self._peer.send_stream(document) is None:
            self._unsent_dropped += 1


def _agent_config(config: LinkConfig, new_socket: Callable[[], int]) -> AgentConfig:
    return AgentConfig(
        controlling=config.role == "caller",
        stun=config.stun,
        hosts=config.hosts,
        new_socket=new_socket,
        enabled=bool(config.hosts) and not config.always_relay,
        profile=config.profile,
        low_ttl=config.low_ttl,
        limits=config.limits,
        try_harder=config.try_harder,
        recall=config.recall,
        mapped=config.mapped,
    )
