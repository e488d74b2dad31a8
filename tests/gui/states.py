"""States as an engine would send them, made by hand. Times are seconds."""

import math
import random

import msgspec

from app.engine.view import traversal_step
from app.ipc.engine_state import (
    AudioDevice,
    AudioState,
    CallStatus,
    Contact,
    KnownPair,
    Me,
    Notice,
    PathMark,
    PathSpan,
    TraversalStep,
)
from app.ipc.messages import CallSample, EngineState, PathFigures
from app.model.history import RecentCall
from app.model.settings import Settings
from app.network.network_view import nat_summary, network_state
from transport.nat import profile
from transport.portmap.status import MappingStatus
from transport.traversal.events import PhaseStatus

# 2025-03-14, 15:09:26 UTC.
NOW = 1_741_964_966.0


HOUR = 3_600.0


DAY = 86_400.0


PIN = "#0f3c9a77d1b24e5f8a6b0c1d2e3f4a5b"


RELAY = "relay.example:7850"


SAFETY = "05120 88341 27719 60402 93385 11820 74466 30291 58107 66934 02518 49973"


def person(name: str, alias: str = "", **more: object) -> Contact:
    return Contact(address=f"{name}@{RELAY}{PIN}", alias=alias, **more)  # type: ignore[arg-type]


KEY = "cd" * 32


BOB = person("bob", "Bob Okafor", online=True, trust="verified", key=KEY, safety_number=SAFETY, last_call=NOW - 26 * 60)


CONTACTS = (
    person("echo", "Echo", online=True, trust="first-use", safety_number=SAFETY, last_call=NOW - 3 * HOUR),
    BOB,
    person("mei", "Mei-Ling Chen", online=True, trust="first-use", safety_number=SAFETY, last_call=NOW - DAY),
    person("grandma", "Grandma", online=False, trust="verified", safety_number=SAFETY, last_call=NOW - 4 * DAY),
    person("samir", "سمير حداد", online=False, last_call=NOW - 30 * DAY),
    person("tomas", "Tomáš Dvořák", online=None),
    person("spam", "", blocked=True),
)


def past(name: str, ago: float, outcome: str = "answered", seconds: float = 0, **more: object) -> RecentCall:
    return RecentCall(
        call_id=f"{name}-{ago:.0f}",
        address=f"{name}@{RELAY}{PIN}",
        outgoing=bool(more.pop("outgoing", False)),
        at=NOW - ago,
        seconds=seconds,
        outcome=outcome,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


RECENTS = (
    past("bob", 26 * 60, seconds=754, outgoing=True, was_direct=True),
    past("echo", 3 * HOUR, seconds=42, outgoing=True),
    past("bob", 20 * HOUR, "missed"),
    past("mei", DAY, seconds=3 * HOUR + 120),
    past("bob", 3 * DAY, seconds=98, was_direct=True),
    past("stranger", 3 * DAY, "declined"),
    past("bob", 3.2 * DAY, "missed", vouched=False, count=30),
    past("grandma", 4 * DAY, "no-answer", outgoing=True),
    past("bob", 9 * DAY, "busy", outgoing=True),
)


AUDIO = AudioState(
    inputs=(
        AudioDevice("mic-1", "Built-in microphone", is_default=True),
        AudioDevice("mic-2", "Jabra Evolve2 65 (USB headset)"),
    ),
    outputs=(
        AudioDevice("out-1", "Built-in speakers", is_default=True),
        AudioDevice("out-2", "Jabra Evolve2 65 (USB headset)"),
    ),
)


# Networks as the traversal reports them.
EASY = profile.NatProfile(
    profile.Mapping.ENDPOINT_INDEPENDENT,
    profile.Filtering.ADDRESS_AND_PORT_DEPENDENT,
    profile.Allocation.PRESERVING,
    made_at=NOW - 12 * 60,
    evidence=("8 answers of 2 servers saw port 50412",),
)


RANDOM = profile.NatProfile(
    profile.Mapping.ADDRESS_AND_PORT_DEPENDENT,
    profile.Filtering.ADDRESS_AND_PORT_DEPENDENT,
    profile.Allocation.RANDOM,
    evidence=("reported by the peer",),
)


BLOCK = profile.NatProfile(
    profile.Mapping.ADDRESS_AND_PORT_DEPENDENT,
    profile.Filtering.ADDRESS_AND_PORT_DEPENDENT,
    profile.Allocation.BLOCK,
    block=(8_192, 10_239),
    evidence=("8 answers of 2 servers saw 8 ports within 1,730",),
)


NO_PORT = MappingStatus("failed", "silent")


KNOWN = (
    KnownPair("port-restricted", "symmetric random", True, "birthday", 4.7, 3, 1, NOW - 26 * 60),
    KnownPair("port-restricted", "cone", True, "punch", 0.2, 12, 0, NOW - 5 * HOUR),
    KnownPair("symmetric block", "symmetric random", False, None, None, 0, 2, NOW - 3 * DAY),
)


HOME = EngineState(
    ready=True,
    first_run=False,
    me=Me(
        name="maria",
        address=f"maria@{RELAY}{PIN}",
        key="ab" * 32,
        key_place="keyring",
        relay="online",
        relay_rtt_ms=18.4,
    ),
    contacts=CONTACTS,
    recents=RECENTS,
    audio=AUDIO,
    network=msgspec.structs.replace(network_state(EASY, 0.0, NO_PORT), known=KNOWN, known_in_all=5),
    data_place="/home/maria/.local/share/segue",
)


def with_(state: EngineState, **fields: object) -> EngineState:
    return msgspec.structs.replace(state, **fields)


def call(phase: str, **more: object) -> CallStatus:
    known = dict(
        call_id="call-1",
        phase=phase,
        outgoing=True,
        address=BOB.address,
        title=BOB.title,
        trust="verified",
        key=KEY,
        safety_number=SAFETY,
        placed=NOW - 70,
    )
    return CallStatus(**{**known, **more})  # type: ignore[arg-type]


OPEN_PORT = MappingStatus("won", "", "upnp")


def steps(*statuses: PhaseStatus) -> tuple[TraversalStep, ...]:
    """The steps 47.2 s after the answer; times in seconds since it."""
    return tuple(traversal_step(status, 0.0, 47.2) for status in statuses)


RELAY_ONLY = dict(answered=NOW - 47.2, path="relay", rtt_ms=31.0, spans=(PathSpan("relay", "relay", 0.0),))


TALKING = call("talking", **RELAY_ONLY)


DIRECT = call(
    "talking",
    answered=NOW - 47.2,
    path="direct",
    rtt_ms=23.0,
    spans=(
        PathSpan("relay", "relay", 0.0, 8.9),
        PathSpan("direct", "punch", 8.4, 27.0),
        PathSpan("relay", "relay", 26.6, 33.4),
        PathSpan("direct", "birthday", 32.9),
    ),
    marks=(
        PathMark(0.1, "phase", "port_mapping", "trying"),
        PathMark(0.2, "phase", "punch", "trying"),
        PathMark(2.2, "phase", "punch", "failed"),
        PathMark(2.3, "phase", "birthday", "trying"),
        PathMark(8.4, "phase", "birthday", "won"),
        PathMark(8.4, "swap"),
        PathMark(26.6, "failover"),
        PathMark(27.4, "network"),
        PathMark(28.2, "phase", "birthday", "trying"),
        PathMark(32.6, "phase", "birthday", "won"),
        PathMark(32.9, "swap"),
    ),
    phases=steps(
        PhaseStatus("port_mapping", "failed", 0.1, 0.4, 6, 1, reason="silent"),
        PhaseStatus("punch", "failed", 0.2, 2.2, 48, 1, 2, "symmetric-and-port-restricted"),
        PhaseStatus("prediction", "skipped", 2.2, 2.2, reason="random"),
        PhaseStatus("birthday", "won", 28.2, 32.6, 902, 1, 1, "", 871, 1_024, 38.2),
    ),
    local_nat=nat_summary(EASY),
    remote_nat=nat_summary(RANDOM),
)


TRYING = msgspec.structs.replace(
    DIRECT,
    path="relay",
    rtt_ms=31.0,
    spans=(PathSpan("relay", "relay", 0.0),),
    marks=DIRECT.marks[:4],
    phases=steps(
        PhaseStatus("port_mapping", "trying", 44.0, None, 3, 1, until=48.0),
        PhaseStatus("punch", "failed", 0.2, 2.2, 48, 1, 2, "symmetric-and-port-restricted"),
        PhaseStatus("prediction", "skipped", 2.2, 2.2, reason="random"),
        PhaseStatus("birthday", "trying", 43.0, None, 517, 1, 1, "", 487, 1_024, 53.0),
    ),
)


# A carrier on both sides; the router here has opened a port, but behind the carrier's own NAT.
HARDEST = msgspec.structs.replace(
    TRYING,
    marks=(
        *DIRECT.marks[:3],
        PathMark(2.4, "phase", "blocks", "trying"),
        PathMark(2.6, "phase", "port_mapping", "won"),
    ),
    phases=steps(
        PhaseStatus("port_mapping", "won", 2.3, 2.6, 9, 1, reason="second-nat"),
        PhaseStatus("punch", "failed", 0.2, 2.2, 48, 1, 2, "both-symmetric"),
        PhaseStatus("prediction", "skipped", 2.2, 2.2, reason="both-blocks"),
        PhaseStatus("birthday", "skipped", 2.2, 2.2, reason="both-blocks"),
        PhaseStatus("blocks", "trying", 12.4, None, 6_117, 8, 1, "", 5_940, 0, 312.4),
    ),
    local_nat=nat_summary(BLOCK),
    remote_nat=nat_summary(BLOCK),
)


# Nothing that Segue has can join these two.
HOPELESS = msgspec.structs.replace(
    TRYING,
    marks=DIRECT.marks[1:3],
    phases=steps(
        PhaseStatus("port_mapping", "failed", 0.1, 0.4, 6, 1, reason="permanent-only"),
        PhaseStatus("punch", "failed", 0.2, 0.6, 12, 1, 1, "both-symmetric"),
        PhaseStatus("prediction", "skipped", 0.6, 0.6, reason="both-random"),
        PhaseStatus("birthday", "skipped", 0.6, 0.6, reason="both-random"),
    ),
    local_nat=nat_summary(RANDOM),
    remote_nat=nat_summary(RANDOM),
)


CLAIM = dict(outgoing=False, title="bob", vouched=False, trust="unknown", first_call=True)


CHANGED = call("ended", outgoing=True, trust="changed", end_reason="key-changed", ended=NOW, placed=NOW - 2)


def samples(shown: CallStatus, until: float = 47.2) -> list[CallSample]:
    """What the engine would have sent since the answer: seeded, so that pictures are the same each time."""
    rng = random.Random(7)
    made = []
    for step in range(int(until * 5)):
        at = step / 5
        direct = next(
            (one for one in shown.spans if one.kind == "direct" and one.start <= at <= (one.end or until)), None
        )
        relay_ms = 31 + 2.5 * math.sin(at / 5) + rng.random() * 2
        direct_ms = (23 if at < 30 else 19) + rng.random() * 2
        relay = PathFigures("relay", "relay", direct is None, relay_ms, 0.012 if 25 < at < 28 else 0.0, 2.1)
        paths = (relay,)
        if direct is not None:
            paths = (relay, PathFigures("direct", direct.via, True, direct_ms, 0.04 if 26 < at < 27.4 else 0.0, 1.2))
        made.append(
            CallSample(
                call_id=shown.call_id,
                at=at,
                paths=paths,
                rtt_ms=direct_ms if direct is not None else relay_ms,
                loss=0.008 if 26 < at < 28 else 0.0,
                remote_loss=0.0,
                jitter_ms=2 + rng.random() * 1.5 + (9 if 26 < at < 29 else 0),
                playout_delay_ms=48 + (34 * math.exp(-(at - 27) / 6) if at > 27 else 0),
                sent_kbps=31 + 3 * math.sin(at * 1.3) + rng.random() * 2,
                received_kbps=29 + 4 * math.sin(at * 0.9 + 1) + rng.random() * 2,
                bitrate_kbps=32.0,
                concealed_ms=20.0 if at > 27 else 0.0,
            )
        )
    return made


FIRST = EngineState(ready=True, first_run=True, audio=AUDIO)


TRIAL = with_(
    HOME,
    me=Me(name="you", address="you@127.0.0.1:41234" + PIN, relay="online", local_trial=True, key_place="file"),
    contacts=(Contact("echo@127.0.0.1:41234" + PIN, "Echo", online=True),),
    recents=(),
)


NOTICES = (
    Notice(1, "warning", "data-replaced", {"name": "segue.db", "kept": "segue.db.damaged-1", "cause": "damaged"}),
    Notice(2, "info", "saved-again"),
)


def themed(state: EngineState, theme: str) -> EngineState:
    return with_(state, settings=msgspec.structs.replace(state.settings or Settings(), theme=theme))
