"""The engine in this process, with a real relay and files for sound."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.account.registration import register_name
from app.account.relay_sessions import Route
from app.engine.events import FromRelay
from app.engine.runner import Engine, EngineConfig
from app.engine.sound_system import SoundPlan
from app.engine.view import MAX_NUMBERS, SafetyNumbers
from app.ipc import engine_state, messages
from app.model.exit_status import ExitStatus
from app.model.network_history import NetworkOutcome
from app.network import nat_monitor
from app.system.data_dir import HomeLock, find_home
from app.system.errors import AppError
from tests.unit.relay.live import running
from transport.ice.candidates import HostAddress
from transport.nat.profile import Mapping, NatKind, NatProfile
from transport.net.sockets import Address
from transport.quic.session_events import RelayMessageReceived
from transport.wire import relay_messages
from transport.wire.addresses import PersonAddress, parse_person

SPEECH = Path(__file__).parents[3] / "data" / "speech.wav"
TIMEOUT_S = 20.0


class Person:
    """An engine, and what it sends."""

    def __init__(self, folder: Path, **files: Path) -> None:
        sound = SoundPlan(play=SPEECH, record=folder / "recorded.wav")
        self.engine = Engine(EngineConfig(find_home(folder), sound, **files))
        self.received: list[messages.EngineMessage] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        await self.engine.start()
        self.engine.subscribe(self._receive)

    def do(self, command: messages.WindowMessage) -> None:
        self.engine.command(command, self._receive)

    async def until(self, wanted: Callable[[messages.EngineState], bool]) -> messages.EngineState:
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted(self.engine.state):
                self._news.clear()
                await self._news.wait()
        return self.engine.state

    async def in_phase(self, *phases: str) -> engine_state.CallStatus:
        state = await self.until(lambda now: now.call is not None and now.call.phase in phases)
        assert state.call is not None
        return state.call

    async def has_audio(self) -> None:
        """Each has played the first audio of the other."""
        async with asyncio.timeout(TIMEOUT_S):
            times = self.report()["times"]
            while None in (times["first_audio_sent"], times["first_audio_played"]):
                await asyncio.sleep(0.01)
                times = self.report()["times"]

    def report(self) -> dict[str, Any]:
        self.do(messages.GetReport(call_id=""))
        report = next(message for message in reversed(self.received) if isinstance(message, messages.Report))
        decoded: dict[str, Any] = json.loads(report.json)
        return decoded

    def _receive(self, message: messages.EngineMessage) -> None:
        self.received.append(message)
        self._news.set()


@contextlib.asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[Person, Person, PersonAddress]]:
    """A guest, Bob, and Bob's address."""
    async with running(folder / "relay") as (_, ready):
        bob_address = parse_person(f"bob@{ready.address}")
        registered = await register_name(find_home(folder / "bob"), bob_address)
        assert registered.status is ExitStatus.OK
        guest, bob = Person(folder / "guest"), Person(folder / "bob")
        try:
            await guest.start()
            await bob.start()
            await bob.until(lambda now: now.me.relay == "online")
            yield guest, bob, bob_address
        finally:
            await guest.engine.close()
            await bob.engine.close()


def run(work: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(work())  # type: ignore[arg-type]


async def talk(guest: Person, bob: Person, address: PersonAddress) -> None:
    guest.do(messages.PlaceCall(address=str(address)))
    call = await bob.in_phase("incoming")
    bob.do(messages.AnswerCall(call_id=call.call_id))
    await guest.in_phase("talking")
    await guest.has_audio()
    guest.do(messages.HangUpCall(call_id=call.call_id))
    await guest.in_phase("ended")
    await bob.in_phase("ended")


@pytest.mark.slow
def test_the_nat_is_known_before_the_first_call_and_is_what_the_call_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay on this machine tells nothing about a NAT, so what is measured is made up; who asks whom is real."""
    asked: list[tuple[Address, ...]] = []

    async def measure(
        stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: random.Random, *, online: bool
    ) -> NatProfile:
        asked.append(stun)
        now = asyncio.get_running_loop().time()
        return NatProfile(Mapping.ENDPOINT_INDEPENDENT, reflexive=("198.51.100.1", 4_000), made_at=now)

    monkeypatch.setattr(nat_monitor, "measure_profile", measure)
    monkeypatch.setattr(nat_monitor, "_is_on_this_machine", lambda *_: False)

    async def main() -> None:
        async with two(tmp_path) as (guest, bob, address):
            state = await bob.until(lambda now: now.network.nat.kind != "")
            assert state.network.nat.kind == "cone" and state.call is None
            assert len(asked) == 1 and {host for host, _ in asked[0]} == {"127.0.0.1"} and len(asked[0]) == 3
            guest.do(messages.PlaceCall(address=str(address)))
            call = await bob.in_phase("incoming")
            assert (
                bob.engine._core.session is not None
                and bob.engine._core.session.record.nats["local"] is bob.engine._nat.profile
            )
            assert call.local_nat.kind == "cone"
            # A guest has no relay of its own before it calls; that of the callee serves.
            await guest.in_phase("ringing")
            await guest.until(lambda now: now.network.nat.kind == "cone")
            assert len(asked) == 2, "fresh ones are not measured again"
            bob.do(messages.DeclineCall(call_id=call.call_id))
            await guest.in_phase("ended")

    run(main)


@pytest.mark.slow
def test_calling_again_by_the_same_guest_session(tmp_path: Path) -> None:
    """The page of the call that has ended is still shown: making room for the new one must not end its session."""

    async def main() -> None:
        async with two(tmp_path) as (guest, bob, address):
            await talk(guest, bob, address)
            await talk(guest, bob, address)
            assert [call.outcome for call in guest.engine.state.recents] == ["answered", "answered"]

    run(main)


@pytest.mark.slow
def test_an_unanswered_call_reports_no_audio_of_the_call_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (guest, bob, address):
            await talk(guest, bob, address)
            assert guest.report()["times"]["first_audio_sent"] is not None
            guest.do(messages.PlaceCall(address=str(address)))
            call = await guest.in_phase("ringing")
            guest.do(messages.HangUpCall(call_id=call.call_id))
            await guest.in_phase("ended")
            times = guest.report()["times"]
            assert times["answered"] is times["first_audio_sent"] is times["first_audio_played"] is None, times

    run(main)


@pytest.mark.slow
def test_report_and_trace_of_the_call_that_is_meant_or_of_none(tmp_path: Path) -> None:
    kept, shared = tmp_path / "kept.json", tmp_path / "shared.json"

    def last(guest: Person, kind: type[messages.EngineMessage]) -> Any:
        return next(message for message in reversed(guest.received) if isinstance(message, kind))

    async def main() -> None:
        async with two(tmp_path) as (guest, bob, address):
            guest.do(messages.GetReport(call_id=""))
            assert last(guest, messages.CommandFailed).code == "no-report"
            guest.do(messages.PlaceCall(address=str(address)))
            call_id = (await bob.in_phase("incoming")).call_id
            bob.do(messages.AnswerCall(call_id=call_id))
            await guest.in_phase("talking")
            assert (guest.report()["outcome"], last(guest, messages.Report).call_id) == (None, call_id), "it goes on"
            guest.do(messages.HangUpCall(call_id=call_id))
            await guest.in_phase("ended")
            assert (guest.report()["outcome"], last(guest, messages.Report).call_id) == ("answered", call_id)
            guest.do(messages.SaveTrace(call_id, str(kept), True))
            guest.do(messages.SaveTrace("", str(shared), False))
            assert last(guest, messages.TraceSaved) == messages.TraceSaved(call_id, str(shared))
            for command in (messages.GetReport("another"), messages.SaveTrace("another", str(tmp_path / "no"), True)):
                guest.do(command)
                assert last(guest, messages.CommandFailed).code in ("no-report", "no-trace")
            guest.do(messages.SaveTrace("", str(tmp_path / "no" / "where"), True))
            assert last(guest, messages.CommandFailed).code == "trace-not-written"

    run(main)
    assert "127.0.0.1" in kept.read_text() and "127.0.0.1" not in shared.read_text()
    assert json.loads(shared.read_text())["report"]["outcome"] == "answered"
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_reported_and_costs_no_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (guest, bob, address):
            nowhere = tmp_path / "no" / "where.json"
            other = Person(tmp_path / "other", report=nowhere, trace=nowhere)
            await other.start()
            try:
                await talk(other, bob, address)
                codes = {notice.code for notice in other.engine.state.notices}
                assert codes >= {"report-not-written", "trace-not-written"}
                assert other.report()["outcome"] == "answered"
            finally:
                await other.engine.close()
            assert guest.engine.state.call is None

    run(main)


@pytest.mark.slow
def test_a_blocked_caller_leaves_no_trace(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (guest, bob, address):
            await talk(guest, bob, address)
            before = bob.engine.state.call
            assert before is not None
            guest_address = before.address
            bob.do(messages.AddContact(address=guest_address, alias="Pest"))
            bob.do(messages.BlockContact(address=guest_address, blocked=True))
            guest.do(messages.PlaceCall(address=str(address)))
            ended = await guest.until(lambda now: now.call is not None and now.call.end_reason == "declined")
            assert ended.call is not None and ended.call.call_id != before.call_id
            state = await bob.until(lambda now: any(contact.blocked for contact in now.contacts))
            assert state.call is not None and state.call.call_id == before.call_id
            assert [call.call_id for call in state.recents] == [before.call_id]
            assert bob.report()["outcome"] == "answered"

    run(main)


def test_an_engine_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.wav"
    wrong.write_bytes(b"RIFF of another kind")
    home = find_home(tmp_path / "home")

    async def main() -> None:
        with pytest.raises(AppError):
            Engine(EngineConfig(home, SoundPlan(play=wrong)))

    run(main)
    with HomeLock(home):
        pass


def test_an_engine_is_silent_once_it_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        person = Person(tmp_path)
        await person.start()
        await person.engine.close()
        before = len(person.received)
        person.engine.changed()
        await asyncio.sleep(0.05)
        assert len(person.received) == before

    run(main)


def test_what_is_remembered_of_networks_is_shown_and_can_be_erased(tmp_path: Path) -> None:
    async def main() -> None:
        person = Person(tmp_path)
        await person.start()
        try:
            ended = NetworkOutcome(NatKind.CONE, NatKind.SYMMETRIC_RANDOM, "birthday", 4.7, time.time())
            person.engine._known.note("198.51.100.1", "203.0.113.1", ended)
            person.do(messages.RefreshDevices())
            state = await person.until(lambda now: now.network.known_in_all == 1)
            [pair] = state.network.known
            assert (pair.way, pair.seconds, pair.worked, pair.here) == ("birthday", 4.7, 1, False)
            person.do(messages.EraseNetworks())
            state = await person.until(lambda now: now.network.known_in_all == 0)
            assert state.network.known == () and not any(isinstance(m, messages.CommandFailed) for m in person.received)
        finally:
            await person.engine.close()

    run(main)


def test_a_relay_can_only_tell_of_people_one_knows(tmp_path: Path) -> None:
    async def main() -> None:
        person = Person(tmp_path)
        await person.start()
        try:
            bob = parse_person("bob@relay.example")
            person.do(messages.AddContact(address=str(bob), alias="Bob"))
            home = Route(bob.relay, is_home=True, client=None)  # type: ignore[arg-type]
            for name in ("bob", "stranger"):
                presence = RelayMessageReceived(relay_messages.Presence(name, True))
                person.engine._to_core(FromRelay(home, presence))
            assert person.engine._inputs.online == {bob.short: True}
        finally:
            await person.engine.close()

    run(main)


def test_safety_numbers_of_callers_without_end_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.view.safety_number", lambda own, other: other.hex())
    numbers = SafetyNumbers(bytes(32))
    for number in range(MAX_NUMBERS + 10):
        numbers.begin()
        key = number.to_bytes(32, "big")
        assert numbers.of(key) == key.hex()
    assert len(numbers._known) == MAX_NUMBERS
    numbers.begin()
    assert numbers.of(key) == key.hex() and not numbers.incomplete
