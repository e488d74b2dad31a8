"""app.text.traversal and networks: every code of the transport has a sentence that says whose network is why."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.view import progress
from app.ipc.engine_state import CallStatus, NatSummary, NetworkState, TraversalStep
from app.model.terms import PhaseName, PhaseOutcome
from app.network.network_view import call_chances, nat_summary, network_state
from app.text import networks, traversal
from app.text.traversal import harder_side, networks_text, step_line, step_text
from transport.ice.stun_client import Observation
from transport.nat import profile as nat
from transport.nat.classification import classify
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind
from transport.portmap.status import MappingStatus
from transport.traversal.events import PhaseStatus

ROOT = Path(__file__).parents[4]
NAMES = get_args(PhaseName)
OUTCOMES = get_args(PhaseOutcome)
CODE = re.compile(r"[a-z]+(-[a-z]+)+")
# Functions and constructors whose string is a reason for people, and which of their arguments it is.
FIRST = ("_fail", "stop", "_lose", "_refuse", "RoundLost", "Stop")
TAKES_REASON = {**dict.fromkeys(FIRST, 0), "_end": 1, "Compatibility": 1, "Strategy": 1}
# Strings of that form in those modules that say something else: kinds of candidate and NAT, an interface, a flag.
NO_REASON = re.compile(
    r"host|nat-pmp|.*-reflexive|.*-dependent|.*-independent|.*-restricted|hard-round|out-of-time|"
    r"no-ipv4-stun|preserving|utf-8|us-ascii"
)

HOME = nat.NatProfile(Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, Allocation.PRESERVING)
RANDOM = nat.NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.RANDOM)
COUNTED = nat.NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.SEQUENTIAL, delta=2)
BLOCK = nat.NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.BLOCK, block=(4_096, 6_143))
BLOCKED = nat.NatProfile(udp_blocked=True)
PROFILES = (None, HOME, RANDOM, COUNTED, BLOCK, BLOCKED, nat.NatProfile())


def call(local: nat.NatProfile | None = None, remote: nat.NatProfile | None = None, title: str = "Bob") -> CallStatus:
    nats = nat_summary(local), nat_summary(remote)
    return CallStatus("0f", "talking", True, "bob@relay.example", title, local_nat=nats[0], remote_nat=nats[1])


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
def test_every_reason_in_the_transport_has_a_sentence(module: Path) -> None:
    missing = reasons_in(module.read_text()) - set(traversal.REASONS)
    assert not missing, "give them a sentence in REASONS of app/text/traversal.py, or say in NO_REASON what they are"


def test_the_scan_finds_reasons() -> None:
    known = reasons_in((ROOT / "transport" / "traversal" / "hole_punch.py").read_text())
    assert {"no-answer", "nobody-to-ask", "both-symmetric"} <= known
    assert reasons_in(
        "x = Compatibility(GOOD, 'punchable'); y: Literal['a-b']; self._end('failed', 'silent', now)"
    ) == {
        "punchable",
        "silent",
    }


def step(name: str, outcome: str, reason: str = "", **more: Any) -> TraversalStep:
    return TraversalStep(name, outcome, started=1.0, reason=reason, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", sorted({code.rpartition("/")[2] for code in traversal.REASONS}))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outcome", ["failed", "skipped", "cancelled"])
def test_every_reason_is_a_sentence(code: str, name: str, outcome: str) -> None:
    for one in (call(), call(RANDOM, HOME), call(BLOCK, BLOCK)):
        text = step_text(step(name, outcome, code, tried=7), one)
        assert text and text[0].isupper() and text[-1] in ".)" and "{" not in text and "  " not in text
        assert not re.search(r"\b(NAT|STUN|APDM|EIM|symmetric|hairpin)\b", text), text


counts = st.integers(0, 70_000)
times = st.none() | st.floats(0, 1e5)


@given(
    st.builds(
        TraversalStep,
        st.sampled_from(NAMES),
        st.sampled_from(OUTCOMES),
        started=times,
        ended=times,
        packets=counts,
        reason=st.sampled_from(sorted(traversal.REASONS)) | st.text(max_size=20),
        tried=counts,
        of=counts,
    ),
    st.builds(call, *[st.sampled_from(PROFILES)] * 2, st.sampled_from(["Bob", "", "{0}{because}"])),
)
def test_any_step_has_a_text(one: TraversalStep, its_call: CallStatus) -> None:
    text = step_text(one, its_call)
    assert text or one.outcome in ("failed", "skipped", "cancelled")
    assert "\n" not in step_line(one, its_call)


@pytest.mark.parametrize(
    ("its_call", "harder", "reason"),
    [
        (call(), "neither", ""),
        (call(HOME, HOME), "neither", ""),
        (call(RANDOM, HOME), "ours", "Your network uses a random port for every destination."),
        (call(HOME, RANDOM), "theirs", "Bob's network uses a random port for every destination."),
        (call(HOME, RANDOM, ""), "theirs", "The other person's network uses a random port for every destination."),
        (call(HOME, RANDOM, "bob"), "theirs", "Bob's network uses a random port for every destination."),
        (call(RANDOM, RANDOM), "both", "Both networks use a random port for every destination."),
        (
            call(COUNTED, RANDOM),
            "theirs",
            "Your network uses a new port for every destination, in sequence. Bob's network uses a random port for "
            "every destination.",
        ),
        (call(BLOCK, HOME), "ours", "Your network uses a random port from a small block for every destination."),
        (
            call(BLOCK, replace(BLOCK, block=(0, 987))),
            "both",
            "Both networks use a random port from a small block for every destination.",
        ),
        (call(HOME, BLOCKED), "theirs", "Bob's network blocks UDP."),
    ],
)
def test_whose_network_is_the_reason(its_call: CallStatus, harder: str, reason: str) -> None:
    assert harder_side(its_call) == harder
    assert networks_text(its_call) == reason


RANDOM_THERE = "Bob's network uses a random port for every destination."
RANDOM_HERE = "Your network uses a random port for every destination."
BLOCKS = "Both networks use a random port from a small block for every destination."


@pytest.mark.parametrize(
    ("one", "its_call", "text", "line"),
    [
        (
            step("birthday", "trying", of=1_024, tried=487, sockets=1),
            call(HOME, RANDOM),
            f"{RANDOM_THERE} Trying 1,024 ports there.",
            "birthday: trying 1,024 ports on their side",
        ),
        (
            step("birthday", "trying", of=1_024, tried=200, sockets=204),
            call(RANDOM, HOME),
            f"{RANDOM_HERE} Opening 1,024 ports here, one of which the other side tries to find.",
            "birthday: opening 1,024 ports on our side for theirs to find",
        ),
        (
            step("blocks", "trying", tried=5_940, sockets=8, until=310.0),
            call(BLOCK, BLOCK),
            f"{BLOCKS} Trying port after port from both sides, until one is found or the time is up.",
            "carrier blocks: searching the ports of both carriers, for minutes",
        ),
        (
            step("blocks", "failed", "no-answer", ended=301.0, tried=19_800, sockets=8),
            call(BLOCK, BLOCK),
            f"{BLOCKS} None of the 19,800 ports tried was open.",
            f"carrier blocks: did not work after 300.0 s. {BLOCKS} None of the 19,800 ports tried was open.",
        ),
        (
            step("prediction", "trying", of=20, tried=20, sockets=2),
            call(HOME, COUNTED),
            "Bob's network uses a new port for every destination, in sequence. Trying the port that should come next, "
            "20 ports in all.",
            "prediction: trying the port that should come next",
        ),
        (
            step("birthday", "won", ended=5.7, tried=871, of=1_024, packets=902),
            call(HOME, RANDOM),
            f"{RANDOM_THERE} An open port was found after 871 tries.",
            "birthday: worked after 4.7 s, 902 packets",
        ),
        (
            step("birthday", "won", ended=5.7, tried=300, of=1_024, packets=1),
            call(RANDOM, HOME),
            f"{RANDOM_HERE} The other side found one of the 300 ports that were opened here.",
            "birthday: worked after 4.7 s, 1 packet",
        ),
        (
            step("prediction", "failed", "no-answer", ended=11.0, tried=1),
            call(HOME, COUNTED, "Bob"),
            "Bob's network uses a new port for every destination, in sequence. The predicted port was not the right "
            "one.",
            "prediction: did not work after 10.0 s. Bob's network uses a new port for every destination, in sequence. "
            "The predicted port was not the right one.",
        ),
        (
            step("prediction", "skipped", "not-needed"),
            call(HOME, HOME),
            "Both routers use one port for all destinations: hole punching is enough.",
            "",
        ),
        (
            step("birthday", "skipped", "both-random"),
            call(RANDOM, RANDOM),
            "Both networks use a random port for every destination. A search would not find a common port in any "
            "useful time. The call stays on the relay.",
            "birthday: not tried. Both networks use a random port for every destination. A search would not find a "
            "common port in any useful time. The call stays on the relay.",
        ),
        (step("punch", "cancelled", "not-needed", ended=1.6), call(HOME, COUNTED), "Another technique was faster.", ""),
        (
            step("prediction", "skipped", "both-random"),
            call(RANDOM, RANDOM),
            "Random ports cannot be predicted.",
            "prediction: not tried. Random ports cannot be predicted.",
        ),
        (
            step("port_mapping", "won", "mapped", ended=1.2),
            call(),
            "Your router opened a port for Segue.",
            "port mapping: Your router opened a port for Segue.",
        ),
        (
            step("port_mapping", "won", "second-nat", ended=1.2),
            call(),
            "Your router opened a port, but another router stands between it and the internet.",
            "port mapping: Your router opened a port, but another router stands between it and the internet.",
        ),
    ],
)
def test_a_step_as_window_and_command_line_show_it(
    one: TraversalStep, its_call: CallStatus, text: str, line: str
) -> None:
    assert (step_text(one, its_call), step_line(one, its_call)) == (text, line)


def test_progress_is_by_what_is_counted_else_by_time() -> None:
    assert progress(PhaseStatus("birthday", "trying", 10.0, tried=256, of=1_024, until=20.0), 19.0) == 0.25
    assert progress(PhaseStatus("prediction", "trying", 10.0, until=14.0), 11.0) == 0.25
    assert progress(PhaseStatus("punch", "won", 10.0), 10.0) == 1.0


@pytest.mark.parametrize("kind", list(NatKind))
def test_every_kind_of_network_has_a_text(kind: NatKind) -> None:
    profiles = (
        nat.NatProfile(mapping, filtering, allocation, udp_blocked=blocked)
        for mapping in Mapping
        for filtering in Filtering
        for allocation in Allocation
        for blocked in (None, True)
    )
    profile = next(one for one in profiles if one.kind is kind)
    assert networks.headline(kind.value) and networks.detail(kind.value).endswith(".")
    expected = "blocked" if profile.udp_blocked else "hard" if profile.symmetric else "easy"
    assert networks.ease(kind.value) == (
        "" if profile.mapping is Mapping.UNKNOWN and not profile.udp_blocked else expected
    )
    chances = call_chances(profile)
    assert len(chances) >= 5 and all(networks.peer_text(one) and networks.chance_text(one) for one in chances)
    if kind is NatKind.UDP_BLOCKED:
        assert {one.chance for one in chances} == {"relay"}


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (HOME, {"port-restricted": "direct", "symmetric sequential": "search", "symmetric random": "search"}),
        (RANDOM, {"port-restricted": "search", "symmetric sequential": "relay", "symmetric block": "relay"}),
        (COUNTED, {"port-restricted": "search", "symmetric sequential": "search", "symmetric random": "relay"}),
        (BLOCK, {"port-restricted": "search", "symmetric random": "relay", "symmetric block": "search"}),
        (nat.NatProfile(), {"port-restricted": "maybe", "symmetric sequential": "maybe", "UDP blocked": "relay"}),
    ],
)
def test_what_to_expect_counts_prediction_and_search(ours: nat.NatProfile, expected: dict[str, str]) -> None:
    found = {one.peer: one.chance for one in call_chances(ours)}
    assert {peer: found[peer] for peer in expected} == expected


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        (None, ""),
        (MappingStatus("waiting"), ""),
        (MappingStatus("trying"), "Asking your router to open a port for Segue."),
        (MappingStatus("won", "", "nat-pmp"), "Your router opened a port for Segue. Protocol: NAT-PMP."),
        (MappingStatus("failed", "silent"), "Your router does not open ports on request."),
    ],
)
def test_port_mapping_while_nobody_calls(mapping: MappingStatus | None, text: str) -> None:
    shown = network_state(RANDOM, 0.0, mapping)
    assert networks.port_text(shown) == text == networks.port_text(network_state(None, 0.0, mapping))
    # Whoever has an open port is reached by all who can send.
    assert sum(one.chance == "relay" for one in shown.chances) == (1 if shown.mapping == "won" else 4)


def test_a_port_behind_another_router_changes_no_chance() -> None:
    shown = network_state(RANDOM, 0.0, MappingStatus("won", "second-nat", "upnp"))
    assert networks.port_text(shown).endswith("between it and the internet. Protocol: UPnP.")
    assert shown.chances == call_chances(RANDOM)


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([50_412] * 8, "port 50412 in all answers (answers: 8, servers: 2)"),
        ([9_000, 41_000, 2_000, 60_001], "4 ports, 2000 to 60001 (answers: 4, servers: 2)"),
        ([7], "port 7 in all answers (answers: 1, servers: 1)"),
    ],
)
def test_what_many_servers_saw_is_counted(ports: list[int], text: str) -> None:
    seen = [
        Observation((f"198.51.100.{1 + number % 2}", 3_478 + number // 2), ("203.0.113.9", port), number, True, 0.02)
        for number, port in enumerate(ports)
    ]
    profile = classify(seen, ("192.168.1.7", 4_000), ["192.168.1.7"], 0.0)
    assert networks.small_print(nat_summary(profile)).split(" · ")[-1] == text
    assert len(profile.evidence) == len(ports)


def test_a_network_that_is_not_known_has_no_text() -> None:
    assert networks.small_print(NatSummary()) == networks.headline("") == networks.own_network(NatSummary()) == ""
    assert networks.port_text(NetworkState()) == ""


def test_the_own_network_has_an_age() -> None:
    assert network_state(None, 1e9).measured is None
    assert network_state(replace(HOME, made_at=50.0), 1_000.0).measured == 1_050.0
