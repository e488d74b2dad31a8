"""One call from ringing to hang-up, as a state machine without I/O.

The relay's word counts until the two programs have proven themselves to each other and the call is taken. From then
on only the peer, or the end of the link, ends it: a relay that lies or dies takes no running call with it.
"""

from dataclasses import dataclass

from app.call import events as ev
from app.call.events import Command, Event
from app.model.terms import CallPhase, KeyTrust
from transport.wire import call_messages, relay_messages

# A relay that has not answered an invite by then is not going to (QUIC has retried since the first second).
INVITE_TIMEOUT_S = 15.0
# The relay ends unanswered calls after 45 s; this clock is for a relay that forgets to.
RING_TIMEOUT_S = 50.0
# Answered, and the end-to-end link still does not stand: two round trips on the slowest paths take under 2 s.
CONNECT_TIMEOUT_S = 15.0

_ENDINGS: dict[str, ev.Outcome] = {
    "declined": "declined",
    "busy": "busy",
    "cancelled": "cancelled",
    "no-answer": "no-answer",
    "offline": "unreachable",
    "unknown-name": "unreachable",
    "limit": "unreachable",
    "draining": "unreachable",
    "failed": "failed",
    "hung-up": "failed",
}


@dataclass(slots=True)
class CallView:
    """What the engine reads off the machine after each event."""

    call_id: str = ""
    address: str = ""
    outgoing: bool = False
    phase: CallPhase = "ended"
    trust: KeyTrust = "unknown"
    key: bytes = b""
    certificate: bytes = b""
    answered: bool = False
    muted: bool = False
    peer_muted: bool = False


class Call:
    """A :class:`transport.net.machine.Machine` for one call. Made idle; ``Placed`` or ``CallArrived`` starts it."""

    def __init__(self) -> None:
        self.view = CallView()
        self._name = ""
        self._started = False
        self._finished = False
        self._relay_knows = False
        self._link_open = False
        self._proven = False
        self._silence = False
        self._taken = False
        self._deadline: float | None = None

    @property
    def finished(self) -> bool:
        """Whether the call has ended; nothing moves it then."""
        return self._finished

    def next_deadline(self) -> float | None:
        """When ``TimerFired`` is due."""
        return self._deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event; unknown moments for an event are ignored, never errors."""
        if self._finished:
            return []
        if not self._started:
            match event:
                case ev.Placed():
                    return self._place(event, now)
                case ev.CallArrived():
                    return self._arrive(event, now)
                case _:
                    return []
        match event:
            case ev.RelayReady():
                return self._invite(now)
            case ev.RelayFailed(reason, text):
                return self._before_answer("unreachable", reason, text)
            case ev.CalleeFound():
                return self._found(event, now)
            case ev.InviteRefused(code, text):
                return self._before_answer("unreachable", code, text)
            case ev.RemoteRings():
                return self._remote_rings(now)
            case ev.RelayEnded(reason, text):
                return self._relay_ended(reason, text)
            case ev.UserAnswered():
                return self._answer(now)
            case ev.UserDeclined():
                return self._decline("declined")
            case ev.UserHungUp():
                return self._hang_up()
            case ev.UserMuted(muted):
                return self._mute(muted)
            case ev.KeyAccepted(trust):
                self.view.trust = trust
                return []
            case ev.LinkProven():
                return self._link_proven(now)
            case ev.PeerSaid(message):
                return self._peer_said(message)
            case ev.LinkSilent():
                return self._silent()
            case ev.LinkBack():
                return self._back()
            case ev.LinkOver(reason, text):
                return self._link_over(reason, text)
            case ev.MediaBroken():
                return self._finish("failed", "lost", tone="ended") if self._taken else []
            case ev.TimerFired():
                return self._timer(now)
            case _:
                return []

    # -- beginnings --

    def _place(self, event: ev.Placed, now: float) -> list[Command]:
        self._started = True
        self._name = event.name
        self.view = CallView(event.call_id, event.address, outgoing=True, phase="calling")
        self._deadline = now + INVITE_TIMEOUT_S
        return [ev.PrepareMedia(microphone=True)]

    def _invite(self, now: float) -> list[Command]:
        if not self.view.outgoing or self.view.phase != "calling" or self._link_open:
            return []
        if not self._relay_knows:
            self._deadline = now + INVITE_TIMEOUT_S
        # Again when the session is a new one: a relay that restarted has forgotten the invitation, others know it.
        self._relay_knows = True
        return [ev.TellRelay(relay_messages.Invite(call_id=self.view.call_id, callee=self._name))]

    def _arrive(self, event: ev.CallArrived, now: float) -> list[Command]:
        self._started = self._relay_knows = True
        self.view = CallView(
            event.call_id,
            event.address,
            phase="incoming",
            trust=event.trust,
            key=event.caller.key,
            certificate=event.caller.certificate,
        )
        if event.blocked:
            # The same word as any other decline: who is blocked is not told so.
            return self._decline("declined")
        self._deadline = now + RING_TIMEOUT_S
        self._link_open = True
        return [
            ev.TellRelay(relay_messages.Ring(call_id=event.call_id)),
            ev.OpenLink("callee", event.caller, event.leg),
            ev.PrepareMedia(microphone=False),
            ev.PlayTone("ring"),
        ]

    def _found(self, event: ev.CalleeFound, now: float) -> list[Command]:
        if not self.view.outgoing or self.view.phase != "calling" or self._link_open:
            return []
        self.view.key = event.callee.key
        self.view.certificate = event.callee.certificate
        self.view.trust = event.trust
        if event.trust == "changed":
            return self._finish("key-changed", "key-changed")
        self._link_open = True
        self._deadline = now + RING_TIMEOUT_S
        return [ev.OpenLink("caller", event.callee, event.leg)]

    def _remote_rings(self, now: float) -> list[Command]:
        if self.view.phase != "calling" or not self._link_open:
            return []
        self.view.phase = "ringing"
        self._deadline = now + RING_TIMEOUT_S
        return [ev.PlayTone("ring-back")]

    # -- the user --

    def _answer(self, now: float) -> list[Command]:
        if self.view.phase != "incoming" or self.view.trust == "changed":
            return []
        self.view.phase = "connecting"
        self._deadline = now + CONNECT_TIMEOUT_S
        commands: list[Command] = [
            ev.StopTone(),
            ev.TellRelay(relay_messages.Answer(call_id=self.view.call_id)),
            ev.PrepareMedia(microphone=True),
        ]
        return commands + (self._accept() if self._proven else [])

    def _accept(self) -> list[Command]:
        return [ev.TellPeer(call_messages.Accept()), *self._talk()]

    def _talk(self) -> list[Command]:
        self._taken = True
        self.view.answered = True
        self.view.phase = "talking"
        self._deadline = None
        commands: list[Command] = [ev.StopTone(), ev.StartMedia()]
        if self._silence:
            # It began while the phone was ringing, and the link does not say it twice.
            commands += self._silent()
        if self.view.muted:
            commands.append(ev.TellPeer(call_messages.Muted(muted=True)))
        return commands

    def _decline(self, reason: str) -> list[Command]:
        if self.view.phase != "incoming":
            return []
        told = relay_messages.Decline(call_id=self.view.call_id, reason="busy" if reason == "busy" else "declined")
        return [ev.TellRelay(told), *self._finish("declined", "declined", tell_relay=False)]

    def _hang_up(self) -> list[Command]:
        if self.view.phase == "incoming":
            return self._decline("declined")
        if self._taken:
            return self._finish("answered", "hung-up")
        return self._finish("cancelled", "cancelled")

    def _mute(self, muted: bool) -> list[Command]:
        if self.view.muted == muted:
            return []
        self.view.muted = muted
        return [ev.TellPeer(call_messages.Muted(muted=muted))] if self._taken else []

    # -- the link --

    def _link_proven(self, now: float) -> list[Command]:
        if not self._link_open or self._proven:
            return []
        self._proven = True
        return self._accept() if self.view.phase == "connecting" else []

    def _peer_said(self, message: call_messages.PeerMessage) -> list[Command]:
        if not self._proven:
            return []
        match message:
            case call_messages.Accept():
                return self._talk() if self.view.outgoing and not self._taken else []
            case call_messages.Muted(muted):
                self.view.peer_muted = muted
                return []
            case call_messages.Bye(reason, text):
                return self._peer_left(reason, text)
            case _:
                return []

    def _peer_left(self, reason: str, text: str = "") -> list[Command]:
        if self._taken:
            return self._finish("answered", "hung-up", text, tone="ended")
        if not self.view.outgoing:
            return self._finish("missed", "cancelled", text)
        outcome = _ENDINGS.get(reason, "failed")
        return self._finish(outcome, reason if outcome != "failed" else "failed", text, tone="busy")

    def _silent(self) -> list[Command]:
        self._silence = True
        if self.view.phase != "talking":
            return []
        self.view.phase = "reconnecting"
        return [ev.PlayTone("reconnecting")]

    def _back(self) -> list[Command]:
        self._silence = False
        if self.view.phase != "reconnecting":
            return []
        self.view.phase = "talking"
        return [ev.StopTone()]

    def _link_over(self, reason: str, text: str) -> list[Command]:
        if not self._link_open:
            return []
        self._link_open = False
        if reason in ("peer-left", "closed"):
            return self._peer_left("hung-up", text)
        if self._taken:
            return self._finish("failed", reason, text, tone="ended")
        return self._finish("failed", reason, text, tone="busy")

    # -- the relay --

    def _relay_ended(self, reason: str, text: str) -> list[Command]:
        if self._taken:
            return []
        self._relay_knows = False
        if self.view.outgoing:
            return self._finish(_ENDINGS.get(reason, "failed"), reason, text, tone="busy")
        return self._finish("missed", reason, text)

    def _before_answer(self, outcome: ev.Outcome, reason: str, text: str) -> list[Command]:
        if self._taken or not self.view.outgoing or self.view.phase != "calling":
            return []
        self._relay_knows = False
        return self._finish(outcome, reason, text, tone="busy")

    def _timer(self, now: float) -> list[Command]:
        if self._deadline is None or now < self._deadline:
            return []
        match self.view.phase:
            case "calling" if not self._link_open:
                return self._finish("unreachable", "relay-unreachable", tone="busy")
            case "calling" | "ringing":
                return self._finish("no-answer", "no-answer", tone="busy")
            case "incoming":
                return self._finish("missed", "no-answer")
            case _:
                return self._finish("failed", "connect-timeout", tone="busy")

    # -- the end --

    def _finish(
        self,
        outcome: ev.Outcome,
        reason: str,
        text: str = "",
        *,
        tone: ev.Tone | None = None,
        tell_relay: bool = True,
    ) -> list[Command]:
        commands: list[Command] = [ev.StopTone()]
        if tell_relay and self._relay_knows:
            commands.append(ev.TellRelay(relay_messages.HangUp(call_id=self.view.call_id)))
        if self._link_open:
            said: call_messages.Bye = call_messages.Bye()
            if outcome == "declined":
                said = call_messages.Bye(reason="declined")
            elif outcome == "failed":
                said = call_messages.Bye(reason="failed")
            commands.append(ev.CloseLink(said))
        commands.append(ev.StopMedia())
        if tone is not None:
            commands.append(ev.PlayTone(tone))
        commands.append(ev.Finished(outcome, reason, text))
        self.view.phase = "ended"
        self._finished = True
        self._deadline = None
        return commands
