"""One call at work: drives call machine, link, media and recorder, and asks for the I/O that they need."""

import hmac
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.call import events as ev
from app.call.machine import CallMachine
from app.call.media import CallMedia, MediaConfig
from app.ipc.messages import CallSample, PathFigures
from app.report.recorder import CallTimes, Recorder
from media.pump import AudioPump
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.identity.keys import Identity
from transport.link import events as link
from transport.link.events import LinkConfig, LinkStats
from transport.link.link import Link
from transport.nat.profile import NatProfile
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.path.events import CopyArrived, PathChanged, Reconnected, Reconnecting
from transport.path.relay_leg import LegAccess
from transport.path.stats import PathStats
from transport.portmap.status import MappingStatus
from transport.quic.session_events import CheckConnection, SendRelayMessage
from transport.quic.work import Cpu, uncharged
from transport.traversal.context import Hints
from transport.traversal.events import InterfacesChanged, PortMappingsChanged
from transport.wire import call_messages, relay_messages
from transport.wire.addresses import PersonAddress

_log = logging.getLogger(__name__)

# RFC 3550 §6.2 asks for 5 s at the least on shared links; between two people a second is what a panel needs, and its
# 60 bytes are 2 % of the audio.
REPORT_EVERY_S = 1.0
# A relay answers an invitation within a round trip. One that has restarted does not know us, and stays silent.
CHECK_AFTER_S = 2.0
# The link itself lingers for less; this is for one that does not.
LEAVE_TIMEOUT_S = 3.0

_TIMER = TimerFired()


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """What a call needs to know of the user, of the other person, of the relay and of this machine."""

    identity: Identity
    home_address: str
    person: PersonAddress
    pump: AudioPump
    rng: random.Random = field(repr=False)
    title: str = ""
    """How the user calls the other person."""
    first_call: bool = False
    """Nobody with this key was ever in a call with the user."""
    vouched: bool = True
    """Whether a relay or a known key says that the other side is ``person``; otherwise only they say so."""
    media: MediaConfig = field(default_factory=MediaConfig)
    relay: ev.RelayConnected = field(default_factory=ev.RelayConnected)
    """The session with the relay, where it stands already."""
    always_relay: bool = False
    limits: HostLimits | None = None
    """What all calls of this machine may cost the network together."""
    cpu: Cpu = uncharged
    """The clock of CPU time by which the peer's packets are charged."""
    try_harder: bool = False
    contact_key: bytes = b""
    """The key of the person in the user's list, empty where there is none: whoever proves this key in the call may
    learn our addresses while it rings. The address that the other side claims gives no such right."""
    hosts: tuple[HostAddress, ...] = ()
    profile: NatProfile | None = None
    """What was known of this network's NAT before the call."""
    mapped: tuple[MappedPort, ...] = ()
    """What routers map for us when it begins."""
    mapping: MappingStatus | None = None
    """How asking them stands; ``None`` where nobody asks."""
    recall: Callable[[str, str, float], Hints] = field(default=lambda ours, theirs, now: Hints(), repr=False)
    """What is remembered of two networks, by our address and the peer's."""


class CallSession:
    """A machine without I/O: takes :data:`app.call.events.SessionEvent`, asks for ``SessionCommand``.

    ``now`` is when it is made, in the clock of :meth:`handle`.
    """

    def __init__(self, setup: SessionSetup, now: float) -> None:
        self.person = setup.person
        self.title = setup.title
        self.first_call = setup.first_call
        self.vouched = setup.vouched
        self.call = CallMachine()
        self.media = CallMedia(setup.pump, setup.media, setup.rng)
        self.record = Recorder(str(setup.person), now, setup.profile)
        self.remote_report: call_messages.ReceiverReport | None = None
        self.networks: set[tuple[str, str]] = set()
        """Our outside address and the peer's, of each pair of networks that a direct path was looked for between."""
        self.finished: ev.Finished | None = None
        self.link: Link | None = None
        self._setup = setup
        self._relay = setup.relay
        self._mapped = setup.mapped
        self._leg: LegAccess | None = None
        self._link_ended = True
        self._now = now
        self._out: list[ev.SessionCommand] = []
        self._changed = False
        self._call_events: deque[ev.CallEvent] = deque()
        self._link_events: deque[link.Event] = deque()
        self._is_in_call = self._is_in_link = False
        self._report_at: float | None = None
        self._check_at: float | None = None
        self._leave_at: float | None = None
        self._left = self._released = False
        if setup.mapping is not None:
            self.record.mapping(setup.mapping, now)

    def handle(self, event: ev.SessionEvent, now: float) -> list[ev.SessionCommand]:
        """Take one event; nothing happens once the session is released."""
        if self._released:
            return []
        self._now = now
        match event:
            case DatagramReceived() | SocketOpened() | SocketFailed():
                self._to_link(event)
            case ev.AudioReady():
                for packet in self.media.pump(now):
                    self._to_link(link.SendMedia(packet))
            case TimerFired():
                self._timer()
            case InterfacesChanged(hosts):
                self._network_changed(hosts)
            case ev.PortMappingChanged(ports, status):
                self._mapped = ports
                self._to_link(PortMappingsChanged(ports))
                self._changed |= self.record.mapping(status, now)
            case ev.LegGranted(leg):
                self._leg_granted(leg)
            case ev.UserLeft():
                self._left = True
                self._leave_at = now + LEAVE_TIMEOUT_S
            case _:
                self._prepare(event)
                self._to_call(event)
        if self._changed:
            self._changed = False
            self._out.append(ev.ViewChanged())
        if self._left and (self._link_ended or (self._leave_at is not None and now >= self._leave_at)):
            self._released = True
            self._out.append(ev.Released())
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> float | None:
        """When ``TimerFired`` is due."""
        if self._released:
            return None
        return min(
            (
                deadline
                for deadline in (
                    self.call.next_deadline(),
                    None if self.link is None else self.link.next_deadline(),
                    self._report_at,
                    self._check_at,
                    self._leave_at,
                )
                if deadline is not None
            ),
            default=None,
        )

    def is_call(self, call_id: str) -> bool:
        """Whether this is that call."""
        return self.call.view.call_id == call_id

    # -- figures ---------------------------------------------------------------------------------------------------

    @property
    def times(self) -> CallTimes:
        """When what happened, in the clock of :meth:`handle`."""
        return self.record.times

    def link_stats(self, now: float) -> LinkStats | None:
        """The link's figures; ``None`` before there is one."""
        return None if self.link is None else self.link.stats(now)

    def rtt_ms(self, now: float) -> float | None:
        """Round trip to the peer and back, on the path in use."""
        stats = self.link_stats(now)
        return None if stats is None else stats.rtt_ms

    def sample(self, now: float) -> CallSample | None:
        """The figures for a window; ``None`` when nobody talks (any more)."""
        stats = self.link_stats(now)
        if stats is None or self.times.answered is None or self.times.ended is not None:
            return None
        # What a search counts changes with every packet: windows hear of it as often as of other figures.
        self._changed |= self.record.figures(stats, now)
        media = self.media.figures(now)
        return CallSample(
            call_id=self.call.view.call_id,
            at=now - self.times.answered,
            paths=tuple(_figures(path) for path in stats.paths),
            rtt_ms=stats.rtt_ms,
            loss=media.loss,
            remote_loss=self.remote_report.loss if self.remote_report is not None else None,
            jitter_ms=media.jitter_ms,
            playout_delay_ms=media.playout_delay_ms,
            sent_kbps=media.sent_kbps,
            received_kbps=media.received_kbps,
            bitrate_kbps=media.bitrate_bps / 1000,
            concealed_ms=media.samples_concealed / 48.0,
        )

    def note_figures(self, now: float) -> None:
        """The figures of link and media into the record, while they can still be had."""
        self.record.figures(self.link_stats(now), now)
        capture, playout = self.media.capture, self.media.playout
        if capture is not None and capture.first_sent is not None:
            self.record.mark("first_audio_sent", capture.first_sent)
        if playout is not None and playout.first_played is not None:
            self.record.mark("first_audio_played", playout.first_played)

    def names(self) -> tuple[str, ...]:
        """Words that say who calls whom, where."""
        own, person = self._setup.home_address.partition("@"), self.person
        own_host = own[2].partition("#")[0].rpartition(":")[0]
        return own[0], own_host, person.name, person.relay.host, self.title

    # -- the call machine ------------------------------------------------------------------------------------------

    def _prepare(self, event: ev.SessionEvent) -> None:
        """What an event means beside what the call machine makes of it."""
        match event:
            case ev.Placed(call_id):
                self.record.begin(call_id, "caller")
            case ev.CallArrived(call_id):
                self.record.begin(call_id, "callee")
            case ev.RelayConnected():
                self._relay = event
            case ev.UserMuted(muted):
                self.media.set_muted(muted)

    def _to_call(self, event: ev.CallEvent) -> None:
        """What a command leads to is handled after that command and those that came with it."""
        self._call_events.append(event)
        if self._is_in_call:
            return
        self._is_in_call = True
        try:
            while self._call_events:
                self._carry_out(self.call.handle(self._call_events.popleft(), self._now))
                self.record.call_became(self.call.view.phase, self._now)
        finally:
            self._is_in_call = False
        self._changed = True

    def _carry_out(self, commands: list[ev.CallCommand]) -> None:
        for command in commands:
            match command:
                case ev.OpenLink():
                    self._open_link(command)
                case link.SendPeerMessage() | link.Close():
                    self._to_link(command)
                case ev.StartAudio():
                    self._start_media(command)
                case ev.StopAudio():
                    self._stop_media(command)
                case ev.Finished():
                    self.record.call_became("ended", self._now)
                    self.finished = command
                    self._out.append(command)
                case SendRelayMessage(relay_messages.Invite()):
                    self._check_at = self._now + CHECK_AFTER_S
                    self._out.append(command)
                case _:
                    self._out.append(command)

    def _start_media(self, command: ev.StartAudio) -> None:
        self.record.mark("answered", self._now)
        self.media.start(self._now)
        self._out.append(command)
        self._to_link(link.CallAnswered())
        self._report_at = self._now + REPORT_EVERY_S

    def _stop_media(self, command: ev.StopAudio) -> None:
        self.note_figures(self._now)
        self.media.stop()
        self._report_at = self._check_at = None
        self._out.append(command)

    # -- the link --------------------------------------------------------------------------------------------------

    def _open_link(self, command: ev.OpenLink) -> None:
        setup = self._setup
        access = self._leg = self._access(command.leg)
        config = LinkConfig(
            role=command.role,
            call_id=self.call.view.call_id,
            identity=setup.identity,
            peer_key=command.peer.key,
            peer_certificate=command.peer.certificate,
            leg=access,
            always_relay=setup.always_relay,
            early=bool(setup.contact_key) and hmac.compare_digest(command.peer.key, setup.contact_key),
            stun=self._relay.stun,
            hosts=setup.hosts,
            profile=setup.profile,
            mapped=self._mapped,
            limits=setup.limits,
            cpu=setup.cpu,
            try_harder=setup.try_harder,
            recall=self._recall,
        )
        self.link = Link(config, setup.rng)
        self._link_ended = False
        self._to_link(link.Open())

    def _access(self, leg: relay_messages.LegCredentials) -> LegAccess:
        return LegAccess((self._relay.host_ip, leg.port), leg.username, leg.password)

    def _recall(self, ours: str, theirs: str) -> Hints:
        self.networks.add((ours, theirs))
        return self._setup.recall(ours, theirs, self._now)

    def _leg_granted(self, leg: relay_messages.LegCredentials) -> None:
        access = self._access(leg)
        if self.link is not None and access != self._leg:
            self._leg = access
            self._to_link(link.LegReplaced(access))

    def _network_changed(self, hosts: tuple[HostAddress, ...]) -> None:
        if self.link is not None and not self.call.finished:
            self.record.network_changed(len(hosts), self._now)
        if not self._setup.always_relay:
            self._to_link(InterfacesChanged(hosts))

    def _to_link(self, event: link.Event) -> None:
        if self.link is None:
            return
        self._link_events.append(event)
        if self._is_in_link:
            return
        self._is_in_link = True
        try:
            while self._link_events:
                for command in self.link.handle(self._link_events.popleft(), self._now):
                    match command:
                        case SendDatagram() | OpenSocket() | CloseSocket():
                            self._out.append(command)
                        case _:
                            try:
                                self._from_link(command)
                            except Exception:
                                # A fault in what is shown or played must not end the call that it is about.
                                _log.exception("handling %s failed", type(command).__name__)
        finally:
            self._is_in_link = False

    def _from_link(self, command: link.Command) -> None:
        if isinstance(command, link.MediaReceived):
            self.media.receive(command.data, self._now)
            return
        self._changed |= self.record.link_event(command, self._now)
        match command:
            case CopyArrived(position):
                self.media.copy_arrived(position.timestamp, self._now)
            case link.PeerMessageReceived(call_messages.ReceiverReport() as report):
                self.remote_report = report
                self.media.adapt(report, (self.rtt_ms(self._now) or 0.0) / 1000, self._now)
            case PathChanged():
                self.record.figures(self.link_stats(self._now), self._now)
            case Reconnecting():
                # Whether it is the relay that is gone, a ping tells in seconds; by itself the session takes longer.
                self._out.append(CheckConnection())
                self._to_call(command)
            case Reconnected():
                self.media.connectivity_restored(self._now)
                self._to_call(command)
            case link.LinkEnded():
                self._link_ended = True
                self._to_call(command)
            case link.PeerProven() | link.PeerMessageReceived():
                self._to_call(command)

    # -- timers ----------------------------------------------------------------------------------------------------

    def _timer(self) -> None:
        now = self._now
        if self.link is not None and _is_due(self.link.next_deadline(), now):
            self._to_link(_TIMER)
        if _is_due(self.call.next_deadline(), now):
            self._to_call(_TIMER)
        if _is_due(self._check_at, now):
            self._check_at = None
            if self.call.view.phase == "calling" and not self.call.view.key:
                # The relay has not answered the invitation: is it still the one that we are connected to?
                self._out.append(CheckConnection())
        if _is_due(self._report_at, now):
            self._report_at = now + REPORT_EVERY_S
            self._report()

    def _report(self) -> None:
        """Once a second of a call."""
        if self.call.view.phase == "reconnecting":
            self._carry_out(self.call.resume())
        if self.call.view.phase != "talking":
            return
        sample, stats = self.sample(self._now), self.link_stats(self._now)
        if sample is not None and stats is not None:
            self.record.second(sample, stats.paths, self._now)
        self._to_link(link.SendPeerMessage(self.media.receiver_report()))
        if not self.media.tick(self._now):
            self._to_call(ev.MediaBroken())


def _is_due(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline


def _figures(path: PathStats) -> PathFigures:
    return PathFigures(
        kind=path.kind,
        via=path.via,
        active=path.state == "active",
        rtt_ms=path.rtt_ms,
        loss=path.loss,
        jitter_ms=path.jitter_ms,
    )
