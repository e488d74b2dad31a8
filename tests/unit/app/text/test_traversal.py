"""app.text.traversal: every code of the transport has words, and the words say whose network is the reason."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.terms import PhaseName, PhaseOutcome
from app.report.trace import PhaseBecame
from app.text import traversal
from app.text.networks import call_chances, nat_in_words, network_in_words
from app.text.traversal import Pair, phase_in_words, phase_line, phase_mark, phase_reason
from transport.ice.stun_client import Observation
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind, NatProfile, classify
from transport.portmap.mapper import MappingStatus
from transport.traversal.events import PhaseStatus

ROOT = Path(__file__).parents[4]
NAMES = get_args(PhaseName)
OUTCOMES = get_args(PhaseOutcome)
CODE = re.compile(r"[a-z]+(-[a-z]+)+")
# Functions and constructors whose string is a reason for people, and which of their arguments it is.
FIRST = ("_fail", "stop", "_lose", "_refuse", "RoundLost", "Stop")
TAKES_REASON = {**dict.fromkeys(FIRST, 0), "_end": 1, "Outlook": 1, "Strategy": 1}
# Strings of that form in those modules that say something else: kinds of candidate and NAT, an interface, a flag.
NO_REASON = re.compile(
    r"host|nat-pmp|.*-reflexive|.*-dependent|.*-independent|.*-restricted|hard-round|out-of-time|"
    r"no-ipv4-stun|preserving|utf-8|us-ascii"
)

HOME = NatProfile(Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, Allocation.PRESERVING)
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.RANDOM)
COUNTED = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.SEQUENTIAL, delta=2)
BLOCK = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.BLOCK, block=(4_096, 6_143))
BLOCKED = NatProfile(udp_blocked=True)
PROFILES = (None, HOME, RANDOM, COUNTED, BLOCK, BLOCKED, NatProfile(), replace(RANDOM, allocation=Allocation.UNKNOWN))

pairs = st.builds(
    Pair, st.sampled_from(PROFILES), st.sampled_from(PROFILES), st.sampled_from(["Bob", "", "{0}{because}"])
)
counts = st.integers(0, 70_000)
times = st.none() | st.floats(0, 1e5)
statuses = st.builds(
    PhaseStatus,
    name=st.sampled_from(NAMES),
    outcome=st.sampled_from(OUTCOMES),
    started=st.floats(0, 1e5),
    ended=times,
    packets=counts,
    sockets=counts,
    reason=st.sampled_from(sorted(traversal.REASONS)) | st.text(max_size=20),
    tried=counts,
    of=counts,
    until=times,
)


def reasons_in(source: str) -> set[str]:
    """The codes that a module hands on: what its reason-taking calls are given, and whatever looks like one."""
    tree = ast.parse(source)
    found: set[str] = set()
    typed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            typed |= {id(inner) for inner in ast.walk(node.slice)}
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            found |= set() if id(node) in typed else {node.value}
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        place = TAKES_REASON.get(called)
        given_ = [argument.value for argument in node.keywords if argument.arg == "reason"]
        given_ += node.args[place : place + 1] if place is not None else []
        for argument in given_:
            found |= {
                inner.value
                for inner in ast.walk(argument)
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value
            }
    return {code for code in found if not NO_REASON.fullmatch(code)}


def modules() -> list[Path]:
    folders = [ROOT / "transport" / name for name in ("traversal", "ice", "nat", "portmap")]
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


@pytest.mark.parametrize("module", modules(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_reason_in_the_transport_has_words(module: Path) -> None:
    missing = reasons_in(module.read_text()) - set(traversal.REASONS)
    assert not missing, "give them words in app/text/traversal.py (REASONS), or say in NO_REASON here what they are"


def test_the_scan_finds_reasons() -> None:
    known = reasons_in((ROOT / "transport" / "traversal" / "hole_punch.py").read_text())
    assert {"no-answer", "nobody-to-ask", "both-symmetric"} <= known
    assert reasons_in("x = Outlook(GOOD, 'punchable'); y: Literal['a-b']; self._end('failed', 'silent', now)") == {
        "punchable",
        "silent",
    }


def status(name: str, outcome: str, reason: str = "", **more: object) -> PhaseStatus:
    return PhaseStatus(name, outcome, 10.0, reason=reason, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", sorted(set(traversal.REASONS) - {""}))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outcome", ["failed", "skipped", "cancelled"])
def test_every_reason_is_a_sentence(code: str, name: str, outcome: str) -> None:
    for pair in (Pair(), Pair(RANDOM, HOME, "Bob"), Pair(BLOCK, BLOCK, "Bob")):
        text = phase_reason(status(name, outcome, code, tried=7), pair)
        assert text and text[0].isupper() and text[-1] in ".)" and "{" not in text and "  " not in text
        assert not re.search(r"\b(NAT|STUN|APDM|EIM|symmetric|hairpin)\b", text), text


@given(statuses, pairs, times, st.floats(0, 1e5))
def test_any_status_can_be_told(told: PhaseStatus, pair: Pair, answered: float | None, now: float) -> None:
    rung = phase_in_words(told, answered, now, pair)
    assert rung is not None and 0.0 <= rung.progress <= 1.0
    assert rung.progress == 1.0 or told.outcome != "won"
    if told.outcome in ("won", "trying", "waiting"):
        assert rung.why
    assert "\n" not in phase_line(rung)


@pytest.mark.parametrize(
    ("pair", "harder", "reason"),
    [
        (Pair(), "neither", ""),
        (Pair(HOME, HOME, "Bob"), "neither", ""),
        (Pair(RANDOM, HOME, "Bob"), "ours", "Your network gives every destination a random port"),
        (Pair(HOME, RANDOM, "Bob"), "theirs", "Bob's network gives every destination a random port"),
        (Pair(HOME, RANDOM), "theirs", "The other side's network gives every destination a random port"),
        (Pair(RANDOM, RANDOM, "Bob"), "both", "Both networks give every destination a random port"),
        (
            Pair(COUNTED, RANDOM, "Bob"),
            "theirs",
            "Your network gives every destination another port, counting up and Bob's gives every destination a "
            "random port",
        ),
        (Pair(BLOCK, HOME), "ours", "Your network gives every destination a random port out of a small block"),
        (
            Pair(BLOCK, replace(BLOCK, block=(0, 987)), "Bob"),
            "both",
            "Both networks give every destination a random port out of a small block",
        ),
        (Pair(HOME, BLOCKED, "Bob"), "theirs", "Bob's network lets no UDP through"),
    ],
)
def test_whose_network_is_the_reason(pair: Pair, harder: str, reason: str) -> None:
    assert pair.harder == harder
    assert pair.reason() == reason


@pytest.mark.parametrize(
    ("told", "pair", "sentence", "line"),
    [
        (
            status("birthday", "trying", of=1_024, tried=487, sockets=1),
            Pair(HOME, RANDOM, "Bob"),
            "Bob's network gives every destination a random port; trying 1,024 doors there.",
            "birthday: trying 1,024 doors on their side",
        ),
        (
            status("birthday", "trying", of=1_024, tried=200, sockets=204),
            Pair(RANDOM, HOME, "Bob"),
            "Your network gives every destination a random port; opening 1,024 doors here, and Bob's side tries to "
            "find one.",
            "birthday: opening 1,024 doors on our side, theirs looks for one",
        ),
        (
            status("blocks", "trying", tried=5_940, sockets=8, until=310.0),
            Pair(BLOCK, BLOCK, "Bob"),
            "Both networks give every destination a random port out of a small block; trying door after door, from "
            "both sides, for as long as it takes or the time is over.",
            "carrier blocks: searching the ports of both carriers, for minutes",
        ),
        (
            status("blocks", "failed", "no-answer", ended=310.0, tried=19_800, sockets=8),
            Pair(BLOCK, BLOCK, "Bob"),
            "Both networks give every destination a random port out of a small block; none of 19,800 doors was open.",
            "carrier blocks: did not work after 300.0 s. Both networks give every destination a random port out of a "
            "small block; none of 19,800 doors was open.",
        ),
        (
            status("prediction", "trying", of=20, tried=20, sockets=2),
            Pair(HOME, COUNTED, "Bob"),
            "Bob's network gives every destination another port, counting up; the next port is guessed, with 20 doors "
            "around it.",
            "prediction: guessing the next port",
        ),
        (
            status("birthday", "won", ended=14.7, tried=871, of=1_024, packets=902),
            Pair(HOME, RANDOM, "Bob"),
            "Bob's network gives every destination a random port; door 871 was open.",
            "birthday: worked after 4.7 s, 902 packets",
        ),
        (
            status("birthday", "won", ended=14.7, tried=300, of=1_024),
            Pair(RANDOM, HOME, "Bob"),
            "Your network gives every destination a random port; Bob's side found one of the 300 doors that were "
            "opened here.",
            "birthday: worked after 4.7 s",
        ),
        (
            status("birthday", "failed", "no-answer", ended=20.0, tried=1_024, of=1_024),
            Pair(HOME, RANDOM, "Bob"),
            "Bob's network gives every destination a random port; none of 1,024 doors was open.",
            "birthday: did not work after 10.0 s. Bob's network gives every destination a random port; none of 1,024 "
            "doors was open.",
        ),
        (
            status("prediction", "skipped", "not-needed"),
            Pair(HOME, HOME, "Bob"),
            "Both routers keep one port for everybody: a punch is enough.",
            "",
        ),
        (
            status("birthday", "skipped", "both-random"),
            Pair(RANDOM, RANDOM, "Bob"),
            "Both networks give every destination a random port; a search would find no common door in any useful "
            "time. The relay carries the call.",
            "birthday: not tried. Both networks give every destination a random port; a search would find no common "
            "door in any useful time. The relay carries the call.",
        ),
        (
            status("punch", "cancelled", "not-needed", ended=10.6),
            Pair(HOME, COUNTED, "Bob"),
            "Another way to a direct path was faster.",
            "",
        ),
        (
            status("prediction", "skipped", "both-random"),
            Pair(RANDOM, RANDOM, "Bob"),
            "Random ports cannot be guessed.",
            "prediction: not tried. Random ports cannot be guessed.",
        ),
        (
            status("port_mapping", "won", "mapped", ended=10.2),
            Pair(),
            "Your router opened a door for Segue.",
            "port mapping: Your router opened a door for Segue.",
        ),
    ],
)
def test_told_in_words(told: PhaseStatus, pair: Pair, sentence: str, line: str) -> None:
    rung = phase_in_words(told, 9.0, 12.0, pair)
    assert rung is not None
    assert (rung.why, phase_line(rung)) == (sentence, line)


def test_progress_is_by_what_is_counted_else_by_time() -> None:
    counted = phase_in_words(status("birthday", "trying", tried=256, of=1_024, until=20.0), 9.0, 19.0, Pair())
    timed = phase_in_words(status("prediction", "trying", until=14.0), 9.0, 11.0, Pair())
    assert counted is not None and timed is not None
    assert (counted.progress, counted.until, timed.progress) == (0.25, 11.0, 0.25)


def test_the_panel_has_a_rung_for_what_it_knows_only() -> None:
    assert phase_in_words(PhaseStatus("telepathy", "trying", 0.0), None, 0.0, Pair()) is None


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ("trying", "Birthday began"),
        ("won", "Birthday worked"),
        ("failed", "Birthday did not work"),
        ("cancelled", "Birthday was stopped"),
    ],
)
def test_marks_of_the_strip(outcome: PhaseOutcome, text: str) -> None:
    assert phase_mark(PhaseBecame(1.0, "birthday", outcome)) == text


@pytest.mark.parametrize("kind", [kind for kind in NatKind])
def test_every_kind_of_network_has_words(kind: NatKind) -> None:
    profiles = (
        NatProfile(mapping, filtering, allocation, udp_blocked=blocked)
        for mapping in Mapping
        for filtering in Filtering
        for allocation in Allocation
        for blocked in (None, True)
    )
    profile = next(one for one in profiles if one.kind is kind)
    shown = nat_in_words(profile)
    assert shown.headline and shown.detail
    assert shown.ease == ("blocked" if profile.udp_blocked else "hard" if profile.symmetric else shown.ease)
    chances = call_chances(profile)
    assert len(chances) >= 5 and all(one.peer and one.text for one in chances)
    if kind is NatKind.UDP_BLOCKED:
        assert {one.chance for one in chances} == {"relay"}


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (HOME, {"home router": "direct", "counts": "search", "random": "search", "carrier": "search", "UDP": "relay"}),
        (RANDOM, {"home router": "search", "counts": "relay", "random": "relay", "carrier": "relay", "UDP": "relay"}),
        (COUNTED, {"home router": "search", "counts": "search", "random": "relay", "carrier": "relay"}),
        (BLOCK, {"home router": "search", "counts": "relay", "random": "relay", "carrier": "search"}),
        (NatProfile(), {"home router": "maybe", "counts": "maybe", "UDP": "relay"}),
    ],
)
def test_what_to_expect_counts_the_hard_techniques(ours: NatProfile, expected: dict[str, str]) -> None:
    told = call_chances(ours)
    for word, chance in expected.items():
        found = [one.chance for one in told if word in one.peer and not re.search("lenient|open", one.peer)]
        assert found == [chance], (word, told)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (None, ""),
        (MappingStatus("waiting"), ""),
        (MappingStatus("trying"), "Your router is asked to open a door for Segue."),
        (MappingStatus("won", "", "nat-pmp"), "Your router opened a door for Segue (NAT-PMP)."),
        (MappingStatus("failed", "silent"), "Your router does not open doors on request."),
    ],
)
def test_port_mapping_while_nobody_calls(mapping: MappingStatus | None, words: str) -> None:
    shown = network_in_words(RANDOM, 0.0, mapping)
    assert shown.door == words and network_in_words(None, 0.0, mapping).door == words
    assert shown.door_open == (mapping is not None and mapping.outcome == "won")
    # Whoever has an open door is reached by all who can send.
    assert sum(one.chance == "relay" for one in shown.chances) == (1 if shown.door_open else 4)


def test_a_door_behind_another_router_promises_nothing() -> None:
    shown = network_in_words(RANDOM, 0.0, MappingStatus("won", "second-nat", "upnp"))
    assert shown.door.endswith("between it and the internet (UPnP).")
    assert shown.chances == call_chances(RANDOM)


def test_port_mapping_is_a_row_of_the_call() -> None:
    won = status("port_mapping", "won", ended=10.2)
    rung = phase_in_words(won, 9.0, 12.0, Pair())
    assert rung is not None and (rung.outcome, rung.ended) == ("won", pytest.approx(1.2))
    assert phase_line(rung) == "port mapping: Your router opened a door for Segue."
    assert phase_mark(PhaseBecame(1.0, "port_mapping", "won")) == "Port mapping worked"


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ([50_412] * 8, "8 answers of 2 servers saw port 50412"),
        ([9_000, 41_000, 2_000, 60_001], "4 answers of 2 servers saw 4 ports, 2000 to 60001"),
        ([7], "1 answer of 1 server saw port 7"),
        ([], ""),
    ],
)
def test_what_many_servers_saw_is_told_in_a_few_words(ports: list[int], words: str) -> None:
    seen = [
        Observation((f"198.51.100.{1 + number % 2}", 3_478 + number // 2), ("203.0.113.9", port), number, True, 0.02)
        for number, port in enumerate(ports)
    ]
    profile = classify(seen, ("192.168.1.7", 4_000), ["192.168.1.7"], 0.0)
    assert nat_in_words(profile).evidence == words
    assert len(profile.evidence) == len(ports)


def test_the_own_network_has_an_age() -> None:
    assert network_in_words(None, 1e9).measured is None
    assert network_in_words(replace(HOME, made_at=50.0), 1_000.0).measured == 1_050.0
