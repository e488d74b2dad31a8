"""Builds the state that windows show from what the engine's parts know: codes and figures, no sentence."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from app.account.view import AccountView
from app.call.session import CallSession
from app.ipc import engine_state, messages
from app.network.network_view import nat_summary, network_state
from app.report.strip import Strip
from app.store import KnownPerson, Store
from app.system.errors import Finding
from transport.identity.safety_number import safety_number
from transport.nat.profile import NatProfile
from transport.portmap.status import MappingStatus
from transport.traversal.events import PhaseStatus

# A safety number costs a few milliseconds; so few at a time keep the engine's loop free for the voice.
NUMBERS_PER_PICTURE = 2
MAX_NOTICES = 20
# More than contacts and one caller can need at a time; every caller has a key, and they can come without end.
MAX_NUMBERS = 4_096
# Four rounds of two seconds: how long hole punching goes on at the most, for its progress.
PUNCH_S = 8.0
# The recorder rounds times to microseconds: what began with the answer must not seem to have begun before it.
RECORD_STEP_S = 1e-6
# Above this the bar would say that it is done.
MAX_PROGRESS = 0.95


class SafetyNumbers:
    """Computed when first shown, a few at a time, and kept."""

    def __init__(self, own_key: bytes) -> None:
        self._own_key = own_key
        self._known: dict[bytes, str] = {}
        self._budget = 0
        self.incomplete = False
        """Whether the last picture lacks some; build another one soon."""

    def begin(self) -> None:
        """A new picture is being built."""
        self._budget = NUMBERS_PER_PICTURE
        self.incomplete = False

    def of(self, key: bytes) -> str:
        """The number with this key, or ``""`` when its turn has not come."""
        if not key:
            return ""
        if key not in self._known:
            if self._budget <= 0:
                self.incomplete = True
                return ""
            self._budget -= 1
            if len(self._known) >= MAX_NUMBERS:
                del self._known[next(iter(self._known))]
            self._known[key] = safety_number(self._own_key, key)
        return self._known[key]


class Notices:
    """What a person should know once; bounded, the oldest go first."""

    def __init__(self) -> None:
        self._next = 1
        self.shown: tuple[engine_state.Notice, ...] = ()

    def add(self, finding: Finding) -> None:
        """Show one more, unless the same is shown already."""
        if any((notice.code, notice.values) == (finding.code, finding.values) for notice in self.shown):
            return
        notice = engine_state.Notice(self._next, finding.kind, finding.code, finding.values)
        self._next += 1
        self.shown = (*self.shown, notice)[-MAX_NOTICES:]

    def dismiss(self, number: int) -> None:
        """It has been read."""
        self.shown = tuple(notice for notice in self.shown if notice.number != number)


@dataclass(slots=True)
class ViewInputs(AccountView):
    """The parts that change on their own; :func:`build` adds store and call."""

    audio: engine_state.AudioState = field(default_factory=engine_state.AudioState)
    nat: NatProfile | None = None
    """Of the network that this machine is in."""
    mapping: MappingStatus | None = None
    """``None`` where no port is to be mapped."""
    known: tuple[tuple[engine_state.KnownPair, ...], int] = ((), 0)
    """The newest pairs of networks that are remembered, and how many there are in all."""
    ready: bool = False
    data_place: str = ""


def build(
    picture: ViewInputs,
    store: Store,
    session: CallSession | None,
    notices: Notices,
    numbers: SafetyNumbers,
    wall_offset_s: float,
    now: float,
) -> messages.EngineState:
    """The state as of ``now``. ``wall_offset_s`` turns the loop's clock into Unix seconds."""
    numbers.begin()
    last_calls = store.calls.last_times()
    profile = store.documents.profile
    return messages.EngineState(
        ready=picture.ready,
        first_run=not profile.name,
        me=picture.me,
        contacts=tuple(_contacts(store.people.contacts(), picture, numbers, last_calls)),
        blocked_guests=tuple(
            engine_state.BlockedGuest(guest.key.hex(), guest.address) for guest in store.blocked_keys.of_guests()
        ),
        recents=store.calls.recent(),
        audio=picture.audio,
        settings=store.documents.settings,
        call=None if session is None else _call(session, store, numbers, wall_offset_s, now),
        network=msgspec.structs.replace(
            network_state(picture.nat, wall_offset_s, picture.mapping),
            known=picture.known[0],
            known_in_all=picture.known[1],
        ),
        notices=notices.shown,
        data_place=picture.data_place,
        busy=picture.busy,
    )


def _contacts(
    people: Iterable[KnownPerson], picture: ViewInputs, numbers: SafetyNumbers, last_calls: dict[str, float]
) -> Iterable[engine_state.Contact]:
    for person in people:
        short = person.address.short
        yield engine_state.Contact(
            address=str(person.address),
            alias=person.alias,
            online=picture.online.get(short),
            blocked=person.blocked,
            trust=person.pin.trust,
            key=person.pin.key.hex(),
            safety_number=numbers.of(person.pin.key),
            last_call=last_calls.get(short),
        )


def _call(
    session: CallSession, store: Store, numbers: SafetyNumbers, wall_offset_s: float, now: float
) -> engine_state.CallStatus:
    view, times = session.call.view, session.times

    def wall(at: float | None) -> float | None:
        return None if at is None else at + wall_offset_s

    finished, nats, strip = session.finished, session.record.nats, session.record.strip()
    return engine_state.CallStatus(
        call_id=view.call_id,
        phase=view.phase,
        outgoing=view.outgoing,
        address=view.address,
        title=session.title,
        first_call=session.first_call,
        vouched=session.vouched,
        trust=view.trust,
        key=view.key.hex(),
        safety_number=numbers.of(view.key),
        blocked=view.key in store.blocked_keys,
        placed=times.placed + wall_offset_s,
        answered=wall(times.answered),
        ended=wall(times.ended),
        end_reason=finished.reason if finished is not None else "",
        end_detail=finished.text if finished is not None else "",
        muted=view.muted,
        peer_muted=view.peer_muted,
        path=strip.current,
        rtt_ms=session.rtt_ms(now),
        reconnecting_since=wall(strip.lost_since),
        spans=_spans(strip, times.answered),
        marks=_marks(strip, times.answered),
        phases=tuple(traversal_step(status, times.answered, now) for status in session.record.phases.values()),
        local_nat=nat_summary(nats["local"]),
        remote_nat=nat_summary(nats["remote"]),
    )


def _spans(strip: Strip, answered: float | None) -> tuple[engine_state.PathSpan, ...]:
    """In seconds since the answer; what ended before it is left out."""
    if answered is None:
        return ()
    return tuple(
        engine_state.PathSpan(span.kind, span.via, max(0.0, span.start - answered), span.end and span.end - answered)
        for span in strip.spans
        if span.end is None or span.end > answered
    )


def _marks(strip: Strip, answered: float | None) -> tuple[engine_state.PathMark, ...]:
    """In seconds since the answer; what was before it is left out."""
    if answered is None:
        return ()
    return tuple(
        engine_state.PathMark(max(0.0, mark.at - answered), mark.kind, mark.phase, mark.outcome)
        for mark in strip.marks
        if mark.at >= answered - RECORD_STEP_S
    )


def traversal_step(status: PhaseStatus, answered: float | None, now: float) -> engine_state.TraversalStep:
    """With times since the answer."""
    zero = answered if answered is not None else now
    return engine_state.TraversalStep(
        name=status.name,  # type: ignore[arg-type]
        outcome=status.outcome,
        progress=progress(status, now),
        started=status.started - zero if status.outcome not in ("waiting", "skipped") else None,
        ended=None if status.ended is None else status.ended - zero,
        packets=status.packets,
        sockets=status.sockets,
        reason=status.reason,
        tried=status.tried,
        of=status.of,
        until=status.until - zero if status.outcome == "trying" and status.until is not None else None,
    )


def progress(status: PhaseStatus, now: float) -> float:
    """How far a phase is, 0 to 1: by what it counts, else by its time."""
    if status.outcome == "won":
        return 1.0
    if status.of > 0:
        share = status.tried / status.of
    else:
        until = status.until if status.until is not None else status.started + PUNCH_S
        at = status.ended if status.ended is not None else now
        share = (at - status.started) / max(until - status.started, 1e-3)
    return min(MAX_PROGRESS, max(0.0, share))
