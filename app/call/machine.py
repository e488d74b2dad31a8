"""One call, from ringing to hang-up

The relay's word counts until both programs have proven their keys to each other and the call is answered. From then
on only the peer, or the end of the link, ends it: a relay that lies or dies takes no running call with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from app.call import events as ev
from app.call.events import CallCommand, CallEvent
from app.model.terms import CallOutcome, CallPhase, KeyTrust
from transport.link import events as link
from transport.net.machine import TimerFired
from transport.path import events as path
from transport.quic.session_events import SendRelayMessage
from transport.wire import call_messages, relay_messages

# A relay that has not answered an invitation by then is not going to (QUIC has retried since the first second).
INVITE_TIMEOUT_S = 15.0
# The relay ends unanswered calls after 45 s; this clock is for a relay that forgets to.
RING_TIMEOUT_S = 50.0
# Answered, and the link is not proven yet: two round trips on the slowest paths take under 2 s.
CONNECT_TIMEOUT_S = 15.0


class State(Enum):
    """Where a call stands."""

    IDLE = "idle"
    CALLING = "calling"
    INVITED = "invited"
    GRANTED = "leg granted"
    RINGING = "ringing"
    INCOMING = "incoming"
    CONNECTING = "connecting"
    TALKING = "talking"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


class Trigger(Enum):
    """What moves a call."""

    PLACED = "placed"
    ARRIVED = "call arrived"
    INVITED = "invitation sent"
    GRANTED = "relay granted a leg"
    RINGS = "callee rings"
    ANSWERED = "answered"
    PROVEN = "link proven"
    CONNECTIVITY_LOST = "no path carries the call"
    CONNECTIVITY_RESTORED = "a path carries the call"
    HUNG_UP = "hung up here"
    DECLINED = "declined here"
    PEER_LEFT = "peer hung up"
    KEY_CHANGED = "callee's key has changed"
    REFUSED = "relay refused"
    RELAY_LOST = "relay lost"
    RELAY_ENDED = "relay ended the call"
    TIMED_OUT = "waited too long"
    LINK_FAILED = "link failed"
    MEDIA_BROKEN = "media do not arrive"


_LINKED = (State.GRANTED, State.RINGING, State.INCOMING, State.CONNECTING, State.TALKING, State.RECONNECTING)
_UNANSWERED = (State.INVITED, State.GRANTED, State.RINGING, State.INCOMING, State.CONNECTING)
_TAKEN = (State.TALKING, State.RECONNECTING)

TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.IDLE, Trigger.PLACED): State.CALLING,
    (State.IDLE, Trigger.ARRIVED): State.INCOMING,
    (State.CALLING, Trigger.INVITED): State.INVITED,
    # A relay that has restarted has forgotten the invitation; others recognize it.
    (State.INVITED, Trigger.INVITED): State.INVITED,
    (State.INVITED, Trigger.GRANTED): State.GRANTED,
    (State.GRANTED, Trigger.RINGS): State.RINGING,
    (State.GRANTED, Trigger.ANSWERED): State.TALKING,
    (State.RINGING, Trigger.ANSWERED): State.TALKING,
    (State.INCOMING, Trigger.ANSWERED): State.CONNECTING,
    (State.CONNECTING, Trigger.PROVEN): State.TALKING,
    (State.TALKING, Trigger.CONNECTIVITY_LOST): State.RECONNECTING,
    (State.RECONNECTING, Trigger.CONNECTIVITY_RESTORED): State.TALKING,
    (State.CALLING, Trigger.HUNG_UP): State.ENDED,
    (State.INVITED, Trigger.HUNG_UP): State.ENDED,
    (State.GRANTED, Trigger.HUNG_UP): State.ENDED,
    (State.RINGING, Trigger.HUNG_UP): State.ENDED,
    (State.CONNECTING, Trigger.HUNG_UP): State.ENDED,
    (State.TALKING, Trigger.HUNG_UP): State.ENDED,
    (State.RECONNECTING, Trigger.HUNG_UP): State.ENDED,
    (State.INCOMING, Trigger.DECLINED): State.ENDED,
    (State.INVITED, Trigger.KEY_CHANGED): State.ENDED,
    (State.CALLING, Trigger.REFUSED): State.ENDED,
    (State.INVITED, Trigger.REFUSED): State.ENDED,
    (State.GRANTED, Trigger.REFUSED): State.ENDED,
    (State.CALLING, Trigger.RELAY_LOST): State.ENDED,
    (State.INVITED, Trigger.RELAY_LOST): State.ENDED,
    **{(state, Trigger.RELAY_ENDED): State.ENDED for state in _UNANSWERED},
    **{(state, Trigger.TIMED_OUT): State.ENDED for state in (State.CALLING, *_UNANSWERED)},
    **{(state, Trigger.PEER_LEFT): State.ENDED for state in _LINKED},
    **{(state, Trigger.LINK_FAILED): State.ENDED for state in _LINKED},
    (State.TALKING, Trigger.MEDIA_BROKEN): State.ENDED,
}

_PHASES: dict[State, CallPhase] = {
    State.CALLING: "calling",
    State.INVITED: "calling",
    State.GRANTED: "calling",
    State.RINGING: "ringing",
    State.INCOMING: "incoming",
    State.CONNECTING: "connecting",
    State.TALKING: "talking",
    State.RECONNECTING: "reconnecting",
    State.ENDED: "ended",
}
# What a call that was not answered came to, by the reason that the relay or the peer gives.
_OUTCOMES: dict[str, CallOutcome] = {
    "declined": "declined",
    "busy": "busy",
    "cancelled": "cancelled",
    "no-answer": "no-answer",
    "offline": "unreachable",
    "unknown-name": "unreachable",
    "limit": "unreachable",
    "draining": "unreachable",
}
_TIMED_OUT: dict[State, tuple[CallOutcome, str, ev.ToneName | None]] = {
    State.CALLING: ("unreachable", "relay-unreachable", "busy"),
    State.INVITED: ("unreachable", "relay-unreachable", "busy"),
    State.GRANTED: ("no-answer", "no-answer", "busy"),
    State.RINGING: ("no-answer", "no-answer", "busy"),
    State.INCOMING: ("missed", "no-answer", None),
    State.CONNECTING: ("failed", "connect-timeout", "busy"),
}
# After these the relay knows already that the call is over, or never knew of it.
_KNOWN_TO_RELAY = (Trigger.DECLINED, Trigger.REFUSED, Trigger.RELAY_LOST, Trigger.RELAY_ENDED)


@dataclass(slots=True)
class CallView:
    """What is read off the machine after each event."""

    call_id: str = ""
    address: str = ""
    outgoing: bool = False
    phase: CallPhase = "ended"
    trust: KeyTrust = "unknown"
    key: bytes = b""
    certificate: bytes = b""
    muted: bool = False
    peer_muted: bool = False


class CallMachine:
    """A :class:`transport.net.machine.Machine` for one call. Made idle; ``Placed`` or ``CallArrived`` starts it."""

    def __init__(self) -> None:
        self.view = CallView()
        self.state = State.IDLE
        self._name = ""
        self._proven = False
        self._silent = False
        self._deadline: float | None = None

    @property
    def finished(self) -> bool:
        """Whether the call has ended; nothing moves it then."""
        return self.state is State.ENDED

    @property
    def taken(self) -> bool:
        """Whether both talk, or would if a path carried the call."""
        return self.state in _TAKEN

    def next_deadline(self) -> float | None:
        """When ``TimerFired`` is due."""
        return self._deadline

    def handle(self, event: CallEvent, now: float) -> list[CallCommand]:
        """Take one event. An event that does not fit the state is ignored."""
        match event:
            case ev.Placed():
                return self._place(event, now)
            case ev.CallArrived():
                return self._arrive(event, now)
            case ev.RelayConnected():
                return self._relay_connected(now)
            case ev.RelayDisconnected(reason, text):
                return self._finish(Trigger.RELAY_LOST, "unreachable", reason, text, tone="busy")
            case ev.InviteFailed(reason, text):
                return self._finish(Trigger.REFUSED, "unreachable", reason, text, tone="busy")
            case ev.CalleeFound():
                return self._callee_found(event, now)
            case ev.RemoteRings():
                return [ev.PlayTone("ring-back")] if self._move(Trigger.RINGS, now + RING_TIMEOUT_S) else []
            case ev.RelayEnded(reason, text):
                return self._relay_ended(reason, text)
            case ev.UserAnswered():
                return self._answer(now)
            case ev.UserDeclined(reason):
                return self._decline(reason)
            case ev.UserHungUp():
                return self._hang_up()
            case ev.UserMuted(muted):
                return self._mute(muted)
            case ev.KeyAccepted(trust):
                self.view.trust = trust
            case link.PeerProven():
                self._proven = True
                return self._accept()
            case link.PeerMessageReceived(message) if self._proven:
                return self._peer_message(message)
            case path.Reconnecting():
                self._silent = True
                return self._connectivity_lost()
            case path.Reconnected():
                self._silent = False
                return [ev.StopTone()] if self._move(Trigger.CONNECTIVITY_RESTORED) else []
            case link.LinkEnded(reason, text):
                return self._link_ended(reason, text)
            case ev.MediaBroken():
                return self._finish(Trigger.MEDIA_BROKEN, "failed", "lost", tone="ended")
            case TimerFired() if self._deadline is not None and now >= self._deadline:
                outcome, reason, tone = _TIMED_OUT[self.state]
                return self._finish(Trigger.TIMED_OUT, outcome, reason, tone=tone)
        return []

    def resume(self) -> list[CallCommand]:
        """The relay may have forgotten the legs of a call that goes on: ask it for them."""
        if not self.taken:
            return []
        return [SendRelayMessage(relay_messages.Resume(self.view.call_id, self.view.key))]

    def _move(self, trigger: Trigger, deadline: float | None = None) -> bool:
        """Change the state as the table says; without a row nothing happens. ``deadline``: of the new state."""
        state = TRANSITIONS.get((self.state, trigger))
        if state is None:
            return False
        self.state = state
        self._deadline = deadline
        self.view.phase = _PHASES[state]
        return True

    # -- beginnings ------------------------------------------------------------------------------------------------

    def _place(self, event: ev.Placed, now: float) -> list[CallCommand]:
        if not self._move(Trigger.PLACED, now + INVITE_TIMEOUT_S):
            return []
        self._name = event.name
        self.view = CallView(event.call_id, event.address, outgoing=True, phase=self.view.phase)
        return [ev.OpenSpeaker(), ev.OpenMicrophone()]

    def _relay_connected(self, now: float) -> list[CallCommand]:
        deadline = self._deadline if self.state is State.INVITED else now + INVITE_TIMEOUT_S
        if self._move(Trigger.INVITED, deadline):
            return [SendRelayMessage(relay_messages.Invite(call_id=self.view.call_id, callee=self._name))]
        return self.resume()

    def _callee_found(self, event: ev.CalleeFound, now: float) -> list[CallCommand]:
        if self.state is not State.INVITED:
            return []
        self.view.key = event.callee.key
        self.view.certificate = event.callee.certificate
        self.view.trust = event.trust
        if event.trust == "changed":
            return self._finish(Trigger.KEY_CHANGED, "key-changed", "key-changed")
        self._move(Trigger.GRANTED, now + RING_TIMEOUT_S)
        return [ev.OpenLink("caller", event.callee, event.leg)]

    def _arrive(self, event: ev.CallArrived, now: float) -> list[CallCommand]:
        if not self._move(Trigger.ARRIVED, now + RING_TIMEOUT_S):
            return []
        self.view = CallView(
            event.call_id,
            event.address,
            phase=self.view.phase,
            trust=event.trust,
            key=event.caller.key,
            certificate=event.caller.certificate,
        )
        return [
            SendRelayMessage(relay_messages.Ring(call_id=event.call_id)),
            ev.OpenLink("callee", event.caller, event.leg),
            ev.OpenSpeaker(),
            ev.PlayTone("ring"),
        ]

    # -- the user --------------------------------------------------------------------------------------------------

    def _answer(self, now: float) -> list[CallCommand]:
        if self.state is not State.INCOMING or self.view.trust == "changed":
            return []
        self._move(Trigger.ANSWERED, now + CONNECT_TIMEOUT_S)
        return [
            ev.StopTone(),
            SendRelayMessage(relay_messages.Answer(call_id=self.view.call_id)),
            ev.OpenSpeaker(),
            ev.OpenMicrophone(),
            *(self._accept() if self._proven else []),
        ]

    def _accept(self) -> list[CallCommand]:
        if not self._move(Trigger.PROVEN):
            return []
        return [link.SendPeerMessage(call_messages.Accept()), *self._talk()]

    def _talk(self) -> list[CallCommand]:
        commands: list[CallCommand] = [ev.StopTone(), ev.StartAudio()]
        if self._silent:
            # It began while the phone was ringing, and the link does not repeat it.
            commands += self._connectivity_lost()
        if self.view.muted:
            commands.append(link.SendPeerMessage(call_messages.Muted(muted=True)))
        return commands

    def _decline(self, reason: Literal["declined", "busy"] = "declined") -> list[CallCommand]:
        ended = self._finish(Trigger.DECLINED, "declined" if reason == "declined" else "busy", reason)
        declined = SendRelayMessage(relay_messages.Decline(call_id=self.view.call_id, reason=reason))
        return [declined, *ended] if ended else []

    def _hang_up(self) -> list[CallCommand]:
        if self.state is State.INCOMING:
            return self._decline()
        if self.taken:
            return self._finish(Trigger.HUNG_UP, "answered", "hung-up")
        return self._finish(Trigger.HUNG_UP, "cancelled", "cancelled")

    def _mute(self, muted: bool) -> list[CallCommand]:
        if self.view.muted == muted:
            return []
        self.view.muted = muted
        return [link.SendPeerMessage(call_messages.Muted(muted=muted))] if self.taken else []

    # -- the link --------------------------------------------------------------------------------------------------

    def _peer_message(self, message: call_messages.PeerMessage) -> list[CallCommand]:
        match message:
            case call_messages.Accept() if self.view.outgoing:
                return self._talk() if self._move(Trigger.ANSWERED) else []
            case call_messages.Muted(muted):
                self.view.peer_muted = muted
            case call_messages.Bye(reason, text):
                return self._peer_left(reason, text)
        return []

    def _peer_left(self, reason: str, text: str = "", *, is_link_open: bool = True) -> list[CallCommand]:
        tone: ev.ToneName | None = "busy"
        outcome = _OUTCOMES.get(reason, "failed")
        if self.taken:
            outcome, reason, tone = "answered", "hung-up", "ended"
        elif not self.view.outgoing:
            outcome, reason, tone = "missed", "cancelled", None
        elif outcome == "failed":
            reason = "failed"
        return self._finish(Trigger.PEER_LEFT, outcome, reason, text, tone=tone, is_link_open=is_link_open)

    def _connectivity_lost(self) -> list[CallCommand]:
        return [ev.PlayTone("reconnecting")] if self._move(Trigger.CONNECTIVITY_LOST) else []

    def _link_ended(self, reason: str, text: str) -> list[CallCommand]:
        if reason in ("peer-left", "closed"):
            return self._peer_left("hung-up", text, is_link_open=False)
        tone: ev.ToneName = "ended" if self.taken else "busy"
        return self._finish(Trigger.LINK_FAILED, "failed", reason, text, tone=tone, is_link_open=False)

    def _relay_ended(self, reason: str, text: str) -> list[CallCommand]:
        if self.view.outgoing:
            return self._finish(Trigger.RELAY_ENDED, _OUTCOMES.get(reason, "failed"), reason, text, tone="busy")
        return self._finish(Trigger.RELAY_ENDED, "missed", reason, text)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(
        self,
        trigger: Trigger,
        outcome: CallOutcome,
        reason: str,
        text: str = "",
        *,
        tone: ev.ToneName | None = None,
        is_link_open: bool = True,
    ) -> list[CallCommand]:
        before = self.state
        if not self._move(trigger):
            return []
        commands: list[CallCommand] = [ev.StopTone()]
        if trigger not in _KNOWN_TO_RELAY and before is not State.CALLING:
            commands.append(SendRelayMessage(relay_messages.HangUp(call_id=self.view.call_id)))
        if before in _LINKED and is_link_open:
            match outcome:
                case "declined":
                    commands.append(link.Close(call_messages.Bye(reason="declined")))
                case "busy" if trigger is Trigger.DECLINED:
                    commands.append(link.Close(call_messages.Bye(reason="busy")))
                case "failed":
                    commands.append(link.Close(call_messages.Bye(reason="failed")))
                case _:
                    commands.append(link.Close(call_messages.Bye()))
        commands.append(ev.StopAudio())
        if tone is not None:
            commands.append(ev.PlayTone(tone))
        commands.append(ev.Finished(outcome, reason, text))
        return commands
