"""app.call.session and app.engine.view: what the ladder and the router say reaches panel, strip and report."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from app.call import events as ev
from app.call.session import CallSession, SessionSetup
from app.engine import view
from app.report.report import MediaReport
from app.store import Store
from app.text.traversal import phase_mark
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.portmap.mapper import MappingStatus
from transport.traversal.events import PhaseChanged, PhaseStatus, ProfileKnown
from transport.wire.addresses import parse_person

HOME = NatProfile(Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, made_at=40.0)
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.RANDOM)
BLOCK = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.BLOCK, block=(1, 900))


def in_session(work: Callable[[CallSession, list[None]], None]) -> None:
    """Run ``work`` with a session that has neither link nor voice, and what it has said of changes."""

    async def main() -> None:
        nobody: Any = MagicMock()
        setup = SessionSetup(nobody, "", nobody, nobody, random.Random(1))
        told: list[None] = []
        session = CallSession(
            setup, parse_person("bob@relay.example"), "Bob", lambda: told.append(None), lambda finished: None
        )
        work(session, told)

    asyncio.run(main())


def rows(session: CallSession) -> list[tuple[str, str | None, str]]:
    return [(phase.name, phase.outcome, phase.reason) for phase in session.record.report(MediaReport()).phases]


def test_phases_of_a_climb_reach_report_and_strip() -> None:
    def work(session: CallSession, told: list[None]) -> None:
        start = session.now()
        punch = PhaseStatus("punch", "trying", start)
        search = PhaseStatus("birthday", "trying", start + 0.3, of=1_024)
        session._on_link(PhaseChanged(punch))
        session._on_link(ProfileKnown("local", HOME))
        session._on_link(ProfileKnown("remote", RANDOM))
        session._on_link(PhaseChanged(search))
        before = len(told)
        # Progress alone is told with the samples, five times a second.
        session._on_link(PhaseChanged(replace(search, tried=32, packets=40, sockets=9)))
        assert len(told) == before
        session._on_link(PhaseChanged(replace(punch, outcome="failed", ended=start + 2, reason="both-symmetric")))
        session._on_link(PhaseChanged(replace(search, outcome="won", ended=start + 3, tried=871)))
        assert rows(session) == [
            ("punch", "failed", "both-symmetric"),
            ("birthday", "won", ""),
            ("prediction", "skipped", "random"),
        ]
        marks = [phase_mark(mark.phase) for mark in session.record.strip().marks]
        assert marks == ["Punch began", "Birthday began", "Punch did not work", "Birthday worked"]

    in_session(work)


def test_blocks_are_offered_where_not_both_have_chosen_them() -> None:
    def work(session: CallSession, told: list[None]) -> None:
        start = session.now()
        for whose in ("local", "remote"):
            session._on_link(ProfileKnown(whose, BLOCK))  # type: ignore[arg-type]
        ended = PhaseStatus("punch", "failed", start, start + 1, reason="both-symmetric")
        session._on_link(PhaseChanged(ended))
        assert session.record.phases["blocks"].reason == "not-opted-in"
        # Chosen in the next call by both: it runs, and nothing is said of a choice.
        session._on_link(PhaseChanged(PhaseStatus("blocks", "trying", start + 2)))
        session._on_link(PhaseChanged(replace(ended, started=start + 3, ended=start + 4)))
        assert session.record.phases["blocks"].outcome == "trying"
        assert session.record.phases["birthday"].reason == "both-blocks"

    in_session(work)


def test_a_mapped_port_is_a_row_from_the_beginning_and_only_news_is_told() -> None:
    def work(session: CallSession, told: list[None]) -> None:
        session.mapping_changed(MappingStatus("won", "", "pcp"))
        session.feed(ev.Placed("0" * 32, "bob@relay.example", "bob", False))
        assert rows(session) == [("port_mapping", "won", "")], "the report of the call began after it"
        before = len(told)
        session.mapping_changed(MappingStatus("won", "", "upnp"))
        assert len(told) == before
        session.mapping_changed(MappingStatus("trying"))
        session.mapping_changed(MappingStatus("failed", "silent"))
        assert rows(session) == [("port_mapping", "won", ""), ("port_mapping", "failed", "silent")]

    in_session(work)


def test_the_picture_tells_of_the_own_network(tmp_path: Path) -> None:
    store = Store(tmp_path / "segue.db")
    try:
        picture = view.ViewInputs(nat=HOME, mapping=MappingStatus("won", "", "pcp"))
        built = view.build(picture, store, None, view.Notices(), view.SafetyNumbers(b"k" * 32), 1_000.0)
    finally:
        store.close()
    assert (built.network.nat.headline, built.network.measured) == ("Home router", 1_040.0)
    assert built.network.door_open and built.network.door.endswith("(PCP).")
    assert built.network.chances
