"""app.call.session: what link and router say reaches panel, strip and report; what the relay is asked, and when."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from app.call import events as ev
from app.call.machine import INVITE_TIMEOUT_S
from app.call.session import CHECK_AFTER_S, LEAVE_TIMEOUT_S, CallSession, SessionSetup
from app.engine import view
from app.report.report import MediaReport
from app.store import Store
from media.pipeline import CaptureChain
from media.pump import AudioPump
from media.ring import SampleRing
from tests.natsim.call import identity
from transport.link import events as link
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.machine import TimerFired
from transport.portmap.status import MappingStatus
from transport.quic.session_events import CheckConnection, SendRelayMessage
from transport.traversal.events import PhaseChanged, PhaseStatus, ProfileKnown
from transport.wire import relay_messages
from transport.wire.addresses import parse_person

HOME = NatProfile(Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, made_at=40.0)
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.RANDOM)
BLOCK = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.BLOCK, block=(1, 900))
START = 1_000.0
CALL_ID = "0" * 32
BOB = relay_messages.DirectoryEntry("bob", "", identity(1).key, identity(1).certificate)
LEG = relay_messages.LegCredentials("username-of-a-leg", "password-of-a-leg", 7851, 60.0)
PLACED = ev.Placed(CALL_ID, "bob@relay.example", "bob")
CONNECTED = ev.RelayConnected("192.0.2.1")


def session(mapping: MappingStatus | None = None) -> CallSession:
    setup = SessionSetup(
        identity(2),
        "ann@relay.example",
        parse_person("bob@relay.example"),
        AudioPump(SampleRing(), SampleRing()),
        random.Random(1),
        mapping=mapping,
    )
    return CallSession(setup, START)


class OverLink:
    """A session, and how often it would have sent windows a new state because of its link."""

    def __init__(self) -> None:
        self.session = session()
        self.changes = 0

    def says(self, command: link.Command) -> None:
        self.session._from_link(command)
        self.changes += self.session._changed
        self.session._changed = False


def rows(call: CallSession) -> list[tuple[str, str | None, str]]:
    return [(phase.name, phase.outcome, phase.reason) for phase in call.record.report(MediaReport()).phases]


def test_phases_of_a_traversal_reach_report_and_strip() -> None:
    over = OverLink()
    punch = PhaseStatus("punch", "trying", START)
    search = PhaseStatus("birthday", "trying", START + 0.3, of=1_024)
    over.says(PhaseChanged(punch))
    over.says(ProfileKnown("local", HOME))
    over.says(ProfileKnown("remote", RANDOM))
    over.says(PhaseChanged(search))
    before = over.changes
    # Progress alone is shown with the samples, five times a second.
    over.says(PhaseChanged(replace(search, tried=32, packets=40, sockets=9)))
    assert over.changes == before
    over.says(PhaseChanged(replace(punch, outcome="failed", ended=START + 2, reason="both-symmetric")))
    over.says(PhaseChanged(replace(search, outcome="won", ended=START + 3, tried=871)))
    assert rows(over.session) == [
        ("punch", "failed", "both-symmetric"),
        ("birthday", "won", ""),
        ("prediction", "skipped", "random"),
    ]
    marks = [(mark.phase, mark.outcome) for mark in over.session.record.strip().marks]
    assert marks == [
        ("punch", "trying"),
        ("birthday", "trying"),
        ("punch", "failed"),
        ("birthday", "won"),
    ]


def test_blocks_are_offered_where_not_both_have_chosen_them() -> None:
    over = OverLink()
    for whose in ("local", "remote"):
        over.says(ProfileKnown(whose, BLOCK))  # type: ignore[arg-type]
    ended = PhaseStatus("punch", "failed", START, START + 1, reason="both-symmetric")
    over.says(PhaseChanged(ended))
    assert over.session.record.phases["blocks"].reason == "not-opted-in"
    # Chosen in the next call by both: it runs, and nothing is reported of a choice.
    over.says(PhaseChanged(PhaseStatus("blocks", "trying", START + 2)))
    over.says(PhaseChanged(replace(ended, started=START + 3, ended=START + 4)))
    assert over.session.record.phases["blocks"].outcome == "trying"
    assert over.session.record.phases["birthday"].reason == "both-blocks"


def test_a_mapped_port_is_a_row_from_the_beginning_and_only_news_is_shown() -> None:
    call = session(MappingStatus("won", "", "pcp"))
    call.handle(PLACED, START)
    assert rows(call) == [("port_mapping", "won", "")], "the report of the call began after it"
    assert call.handle(ev.PortMappingChanged((), MappingStatus("won", "", "upnp")), START + 1) == []
    trying, failed = MappingStatus("trying"), MappingStatus("failed", "silent")
    assert call.handle(ev.PortMappingChanged((), trying), START + 2) == [ev.ViewChanged()]
    assert call.handle(ev.PortMappingChanged((), failed), START + 3) == [ev.ViewChanged()]
    assert rows(call) == [("port_mapping", "won", ""), ("port_mapping", "failed", "silent")]


def test_an_invitation_without_an_answer_has_the_relay_checked_once() -> None:
    call = session()
    call.handle(PLACED, START)
    invited = call.handle(CONNECTED, START)
    assert SendRelayMessage(relay_messages.Invite(CALL_ID, "bob")) in invited
    assert call.next_deadline() == START + CHECK_AFTER_S
    assert call.handle(TimerFired(), START + CHECK_AFTER_S) == [CheckConnection()]
    assert call.next_deadline() == START + INVITE_TIMEOUT_S


def test_a_granted_leg_ends_the_question_and_opens_the_link_at_the_relays_address() -> None:
    call = session()
    call.handle(PLACED, START)
    call.handle(CONNECTED, START)
    opened = call.handle(ev.CalleeFound(BOB, LEG, "first-use"), START + 0.1)
    assert [command.toward for command in opened if isinstance(command, link.OpenSocket)] == [("192.0.2.1", 7851)]
    assert CheckConnection() not in call.handle(TimerFired(), START + CHECK_AFTER_S)


def test_what_is_left_is_released_when_the_link_has_ended_and_in_time_at_the_latest() -> None:
    alone = session()
    alone.handle(PLACED, START)
    alone.handle(ev.UserHungUp(), START + 1)
    assert alone.handle(ev.UserLeft(), START + 2) == [ev.Released()]
    linked = session()
    for event in (PLACED, CONNECTED, ev.CalleeFound(BOB, LEG, "first-use")):
        linked.handle(event, START)
    assert ev.Released() not in linked.handle(ev.UserLeft(), START + 1), "the link may still say goodbye"
    assert ev.Released() in linked.handle(TimerFired(), START + 1 + LEAVE_TIMEOUT_S)
    assert linked.next_deadline() is None
    assert linked.handle(ev.UserHungUp(), START + 9) == []


def test_muting_before_the_answer_holds_for_the_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    muted: list[bool] = []
    monkeypatch.setattr(CaptureChain, "set_muted", lambda chain, on: muted.append(on))
    call = session()
    call.handle(PLACED, START)
    call.handle(ev.UserMuted(True), START)
    call.media.start(START + 1)
    assert muted == [True]


def test_the_picture_tells_of_the_own_network(tmp_path: Path) -> None:
    store = Store(tmp_path / "segue.db")
    try:
        picture = view.ViewInputs(nat=HOME, mapping=MappingStatus("won", "", "pcp"))
        built = view.build(picture, store, None, view.Notices(), view.SafetyNumbers(b"k" * 32), 1_000.0, 50.0)
    finally:
        store.close()
    assert (built.network.nat.kind, built.network.measured) == ("port-restricted", 1_040.0)
    assert (built.network.mapping, built.network.mapping_protocol) == ("won", "pcp")
    assert built.network.chances
