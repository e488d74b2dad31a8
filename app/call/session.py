"""One call at work: drives the call machine and carries out what it asks of relay, link and voice."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.call import events as ev
from app.call.machine import Call
from app.engine.audio import Voice
from app.ipc.messages import CallSample, PathFigures
from app.report.recorder import Recorder
from app.report.report import MediaReport
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.identity.keys import Identity
from transport.io.relay_session import RelayClient
from transport.io.runner import Runner
from transport.io.tasks import Tasks
from transport.link import events as link
from transport.link.events import LinkConfig, LinkStats
from transport.link.link import Link
from transport.nat.profile import NatProfile
from transport.net.port_mapping import MappedPort
from transport.path.events import CopyArrived, PathChanged, Reconnected, Reconnecting
from transport.path.relay_leg import LegAccess
from transport.path.stats import PathStats
from transport.portmap.mapper import MappingStatus
from transport.traversal.context import Hints, Recall
from transport.traversal.events import PortMappingsChanged
from transport.wire import call_messages, relay_messages
from transport.wire.addresses import PersonAddress

# RFC 3550 §6.2 asks for 5 s at the least on shared links; between two people a second is what a panel needs, and its
# 60 bytes are 2 % of the voice.
REPORT_EVERY_S = 1.0
# A relay answers an invitation within a round trip. One that has restarted does not know us, and says nothing.
PROBE_AFTER_S = 2.0
# The link itself lingers for less; this is for one that does not.
LEAVE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """What a call needs to know of the user, and the people it works with."""

    identity: Identity
    home_address: str
    voice: Voice
    relay: RelayClient
    rng: random.Random = field(repr=False)
    always_relay: bool = False
    limits: HostLimits | None = None
    """What all calls of this machine may cost the network together."""
    try_harder: bool = False
    is_contact: bool = False
    """In the user's list, with a key that is theirs: a direct path may be looked for while it rings."""
    hosts: tuple[HostAddress, ...] = ()
    profile: NatProfile | None = None
    """What was known of this network's NAT before the call."""
    mapped: tuple[MappedPort, ...] = ()
    """What routers map for us when it begins."""
    recall: Recall = field(default=lambda ours, theirs: Hints(), repr=False)
    """What is remembered of two networks."""


class CallSession:
    """Owns the link of one call and its use of the voice. Lives until :meth:`close`."""

    def __init__(
        self,
        setup: SessionSetup,
        person: PersonAddress,
        title: str,
        on_change: Callable[[], None],
        on_finished: Callable[[ev.Finished], None],
    ) -> None:
        self.person = person
        self.title = title
        self.first_call = False
        self.is_vouched = True
        """Whether a verified relay says that the peer's key belongs to ``person``."""
        self.is_met = False
        """Whether the peer's key has been noted as theirs."""
        self._setup = setup
        self._mapped = setup.mapped
        self._on_change = on_change
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks("call")
        self._events: deque[ev.Event] = deque()
        self._feeding = False
        self._timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._driver: Runner | None = None
        self._link: Link | None = None
        self._leg_access: LegAccess | None = None
        self._link_is_over = asyncio.Event()
        self._last_stats: LinkStats | None = None
        self.call = Call()
        self.record = Recorder(str(person), self._loop.time(), setup.profile)
        self.times = self.record.times
        self.remote_report: call_messages.ReceiverReport | None = None
        self.networks: set[tuple[str, str]] = set()
        """Our outside address and the peer's, of each pair of networks that a direct path was looked for between."""
        self.finished: ev.Finished | None = None

    # -- in --------------------------------------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        """Let something happen to the call."""
        if isinstance(event, ev.Placed | ev.CallArrived):
            self.record.begin(event.call_id, "caller" if isinstance(event, ev.Placed) else "callee")
        self._events.append(event)
        if self._feeding:
            return  # from within a command: its turn comes when that one is done
        self._feeding = True
        try:
            while self._events:
                for command in self.call.handle(self._events.popleft(), self._loop.time()):
                    self._carry_out(command)
                self.record.call_became(self.call.view.phase, self._loop.time())
        finally:
            self._feeding = False
        self._arm()
        self._on_change()

    def is_call(self, call_id: str) -> bool:
        """Whether this is that call."""
        return self.call.view.call_id == call_id

    def relay_lost(self, reason: str, text: str) -> None:
        """The session with the relay is gone: final for a call that the relay does not know of yet."""
        if self.call.view.phase == "calling" and not self.call.view.key:
            self.feed(ev.RelayFailed(reason, text))

    def _probe_relay(self) -> None:
        """The relay has not answered the invitation: is it still the one that we are connected to?"""
        if self.call.view.phase == "calling" and not self.call.view.key:
            self._setup.relay.network_changed()

    def resume(self) -> None:
        """The session with the relay is there (again): it may have forgotten the legs of a call that goes on."""
        if self.times.answered is not None and not self.call.finished:
            self._setup.relay.send(relay_messages.Resume(self.call.view.call_id, self.call.view.key))

    def resumed(self, leg: relay_messages.Leg) -> None:
        """The relay gave a leg for the running call; the same as before, if it had not forgotten."""
        access = self._access(leg)
        if self._driver is not None and access != self._leg_access:
            self._leg_access = access
            self._driver.submit(link.LegReplaced(access))

    async def leave(self) -> None:
        """Give the link a moment to say goodbye, then let go of everything."""
        for timer in (self._timer, self._probe_timer):
            if timer is not None:
                timer.cancel()
        if self._driver is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await self._link_is_over.wait()
        await self._tasks.close()
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    # -- out -------------------------------------------------------------------------------------------------------

    def link_stats(self) -> LinkStats | None:
        """The link's figures; the last ones known when it has been closed."""
        if self._link is not None:
            self._last_stats = self._link.stats(self._loop.time())
        return self._last_stats

    def now(self) -> float:
        """The clock of everything here."""
        return self._loop.time()

    def rtt_ms(self) -> float | None:
        """Round trip to the peer and back, on the path in use."""
        stats = self.link_stats()
        return None if stats is None else stats.rtt_ms

    def sample(self) -> CallSample | None:
        """The figures for a window; ``None`` when nobody talks (any more)."""
        stats = self.link_stats()
        if stats is None or self.times.answered is None or self.times.ended is not None:
            return None
        now = self._loop.time()
        if self.record.figures(stats, now):
            self._on_change()
        media = self._setup.voice.figures()
        return CallSample(
            call_id=self.call.view.call_id,
            at=now - self.times.answered,
            paths=tuple(_figures(path) for path in stats.paths),
            rtt_ms=stats.rtt_ms,
            loss=media.loss,
            remote_loss=self.remote_report.loss if self.remote_report is not None else None,
            jitter_ms=media.jitter_ms,
            playout_delay_ms=media.playout_delay_now_ms,
            sent_kbps=media.sent_kbps,
            received_kbps=media.received_kbps,
            codec=f"Opus 48 kHz mono, 20 ms, FEC, {media.bitrate_bps // 1000} kbit/s",
            concealed_ms=media.samples_concealed / 48.0,
        )

    # -- carrying out ------------------------------------------------------------------------------------------------

    def _carry_out(self, command: ev.Command) -> None:
        voice = self._setup.voice
        match command:
            case ev.TellRelay(message):
                self._setup.relay.send(message)
                if isinstance(message, relay_messages.Invite):
                    self._probe_timer = self._loop.call_later(PROBE_AFTER_S, self._probe_relay)
            case ev.OpenLink():
                self._open_link(command)
            case ev.TellPeer(message):
                if self._driver is not None:
                    self._driver.submit(link.SendMessage(message))
            case ev.CloseLink(bye):
                if self._driver is not None:
                    self._driver.submit(link.Close(bye))
            case ev.PrepareMedia(microphone):
                voice.prepare(microphone=microphone)
            case ev.StartMedia():
                self._start_media()
            case ev.StopMedia():
                self.note_figures()
                voice.stop()
            case ev.PlayTone(tone):
                voice.play_tone(tone)
            case ev.StopTone():
                voice.stop_tone()
            case ev.Finished():
                self.record.call_became("ended", self._loop.time())
                self.finished = command
                self._on_finished(command)

    def _access(self, leg: relay_messages.Leg) -> LegAccess:
        return LegAccess((self._setup.relay.host_ip, leg.port), leg.username, leg.password)

    def _open_link(self, command: ev.OpenLink) -> None:
        access = self._leg_access = self._access(command.leg)
        config = LinkConfig(
            role=command.role,
            call_id=self.call.view.call_id,
            identity=self._setup.identity,
            peer_key=command.peer.key,
            peer_certificate=command.peer.certificate,
            home=self._setup.home_address,
            leg=access,
            always_relay=self._setup.always_relay,
            early=self._setup.is_contact,
            stun=self._setup.relay.stun,
            hosts=self._setup.hosts,
            profile=self._setup.profile,
            mapped=self._mapped,
            limits=self._setup.limits,
            try_harder=self._setup.try_harder,
            recall=self._recall,
        )
        self._link = Link(config, self._setup.rng)
        self._driver = Runner(self._link, self._on_link)
        self._driver.submit(link.Open())

    def _recall(self, ours: str, theirs: str) -> Hints:
        self.networks.add((ours, theirs))
        return self._setup.recall(ours, theirs)

    def network_changed(self, hosts: tuple[HostAddress, ...]) -> None:
        """The machine's interfaces have other addresses."""
        if self._driver is not None and not self.call.finished:
            self.record.network_changed(len(hosts), self._loop.time())
        if self._driver is not None and not self._setup.always_relay:
            self._driver.submit(link.NetworkChanged(hosts))

    def _start_media(self) -> None:
        driver = self._driver
        if driver is None:
            return
        self.record.mark("answered", self._loop.time())
        self._setup.voice.start(lambda packet: driver.submit(link.SendMedia(packet)))
        driver.submit(link.Answered())
        self._tasks.start(self._report_on(), name="receiver-reports")

    async def _report_on(self) -> None:
        while self._driver is not None:
            await asyncio.sleep(REPORT_EVERY_S)
            if self.call.view.phase == "reconnecting":
                self.resume()
            if self._driver is None or self.call.view.phase != "talking":
                continue
            self._trace_second()
            self._driver.submit(link.SendMessage(self._setup.voice.receiver_report()))
            if not self._setup.voice.tick():
                self.feed(ev.MediaBroken())

    def _trace_second(self) -> None:
        sample, stats = self.sample(), self.link_stats()
        if sample is not None and stats is not None:
            self.record.second(sample, stats.paths, self._loop.time())

    def _on_link(self, command: link.Command) -> None:
        changed = self.record.link_event(command, self._loop.time())
        match command:
            case link.MediaReceived(data):
                self._setup.voice.receive(data)
            case CopyArrived(position):
                self._setup.voice.copy_arrived(position.timestamp)
            case link.MessageReceived(message):
                self._heard(message)
            case link.Proven(peer_home):
                self.feed(ev.LinkProven(peer_home))
            case PathChanged():
                self.record.figures(self.link_stats(), self._loop.time())
            case Reconnecting():
                # Whether it is the relay that is gone, a ping tells in seconds; by itself the session takes longer.
                self._setup.relay.network_changed()
                self.feed(ev.LinkSilent())
            case Reconnected():
                self._setup.voice.link_back()
                self.feed(ev.LinkBack())
            case link.LinkEnded(reason, text):
                self._link_ended(reason, text)
        if changed:
            self._on_change()

    def ports_mapped(self, ports: tuple[MappedPort, ...]) -> None:
        """The routers map other ports for us than before."""
        self._mapped = ports
        if self._driver is not None:
            self._driver.submit(PortMappingsChanged(ports))

    def mapping_changed(self, mapping: MappingStatus) -> None:
        """How asking the router for a port stands: a row of its own, told when the call begins and when it changes."""
        if self.record.mapping(mapping, self._loop.time()):
            self._on_change()

    def names(self) -> tuple[str, ...]:
        """Words that say who calls whom, where."""
        own, person = self._setup.home_address.partition("@"), self.person
        own_host = own[2].partition("#")[0].rpartition(":")[0]
        return own[0], own_host, person.name, person.relay.host, self.title

    def media_now(self) -> MediaReport:
        """The media block of the report so far."""
        return self._setup.voice.media_now()

    def note_figures(self) -> None:
        """Paths and first sounds into the report, while the link can still tell."""
        self.record.figures(self.link_stats(), self._loop.time())
        for moment, at in (
            ("first_audio_sent", self._setup.voice.first_sent),
            ("first_audio_played", self._setup.voice.first_played),
        ):
            if at is not None:
                self.record.mark(moment, at)  # type: ignore[arg-type]

    def _heard(self, message: call_messages.PeerMessage) -> None:
        if isinstance(message, call_messages.ReceiverReport):
            self.remote_report = message
            self._setup.voice.heard_report(message, (self.rtt_ms() or 0.0) / 1000)
        else:
            self.feed(ev.PeerSaid(message))

    def _link_ended(self, reason: link.EndReason, text: str) -> None:
        self.link_stats()
        self._link_is_over.set()
        self.feed(ev.LinkOver(reason, text))

    # -- clocks ------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.call.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self.feed, ev.TimerFired())


def _figures(path: PathStats) -> PathFigures:
    return PathFigures(
        kind=path.kind,
        via=path.via,
        active=path.state == "active",
        rtt_ms=path.rtt_ms,
        loss=path.loss,
        jitter_ms=path.jitter_ms,
    )
