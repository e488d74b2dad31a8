"""app.network.netcheck: with a real relay in this process, and with one whose STUN endpoints see a NAT."""

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.account.registration import register_name
from app.cli.main import parse, run
from app.engine.runner import Engine, EngineConfig
from app.engine.sound_system import SoundPlan
from app.model.exit_status import ExitStatus
from app.network import netcheck
from app.network.netcheck import NetworkFacts, look_at_network
from app.network.network_view import call_chances, nat_summary
from app.store import Profile, Store
from app.system.data_dir import Home, HomeLock, find_home
from app.text.netcheck import lines as lines_of
from app.text.networks import chance_text, peer_text
from relay.config import Ready
from relay.server import Relay
from tests.unit.relay.live import log_in, running
from tests.unit.relay.people import person
from tests.unit.transport.io.stun_places import stun_places
from transport.nat.compatibility import feasibilities
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind, NatProfile
from transport.net.sockets import Address
from transport.quic.relay_channel import ControlChannel
from transport.quic.relay_channel_server import ControlServer, bind_udp
from transport.wire.addresses import parse_person
from transport.wire.relay_messages import (
    CONTROL_VERSION,
    Authenticate,
    Challenge,
    Found,
    Lookup,
    Ping,
    Pong,
    Welcome,
    decode_client_message,
)

SPEECH = Path(__file__).parents[3] / "data" / "speech.wav"
NAT_KEYS = {
    "kind",
    "mapping",
    "filtering",
    "allocation",
    "delta",
    "block",
    "hairpin",
    "evidence",
    "unknowns",
}
PEERS = {"open", "full cone", "address-restricted", "port-restricted", "symmetric", "UDP blocked"}


def home_at(folder: Path, relay: str, name: str = "ann") -> Home:
    """A home that believes itself registered."""
    home = find_home(folder)
    home.folder.mkdir(parents=True, exist_ok=True)
    store = Store(home.database)
    store.documents.change_profile(Profile(name=name, relay=relay))
    store.close()
    return home


def with_relay(tmp_path: Path, scenario: Callable[[Relay, Ready], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), running(tmp_path / "relay", **options) as (relay, ready):
            await scenario(relay, ready)

    asyncio.run(main())


class Names:
    """A relay's control port that names STUN endpoints of the test's, and remembers who came."""

    def __init__(self, stun: tuple[Address, ...]) -> None:
        self.stun = stun
        self.came: list[Authenticate] = []

    def channel_open(self, channel: ControlChannel) -> None:
        channel.send(Challenge(CONTROL_VERSION, b"n" * 32, person(2_000).certificate))

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        message = decode_client_message(document)
        if isinstance(message, Authenticate):
            self.came.append(message)
            channel.send(Welcome("", channel.remote, list(self.stun), 60.0))
        elif isinstance(message, Ping):
            channel.send(Pong(message.request))

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        return


def for_people(facts: NetworkFacts) -> list[str]:
    return lines_of(facts, nat_summary(facts.nat), () if facts.nat is None else call_chances(facts.nat))


def looked(tmp_path: Path, stun: tuple[Address, ...]) -> tuple[NetworkFacts, Names]:
    """What a look finds at a relay that names ``stun``."""

    async def main() -> tuple[NetworkFacts, Names]:
        return await look_through(tmp_path, stun)

    return asyncio.run(main())


async def look_through(tmp_path: Path, stun: tuple[Address, ...]) -> tuple[NetworkFacts, Names]:
    names = Names(stun)
    server = ControlServer(person(2_000), names)
    udp = bind_udp("127.0.0.1", 0)
    port = udp.getsockname()[1]
    await server.listen(udp)
    pin = hashlib.sha256(person(2_000).certificate).hexdigest()[:32]
    try:
        async with asyncio.timeout(20):
            return await look_at_network(home_at(tmp_path / "home", f"127.0.0.1:{port}#{pin}")), names
    finally:
        server.close()


@pytest.mark.parametrize("ports", [(), (0, 0)])
def test_a_relay_on_this_machine_is_named_as_such(tmp_path: Path, ports: tuple[int, ...]) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        facts = await look_at_network(home_at(tmp_path / "home", str(ready.address)))
        assert facts.is_usable and facts.rtt_ms is not None and facts.relay_ip == "127.0.0.1"
        assert len(facts.stun) == len(ready.stun) == 1 + len(ports)
        report = facts.for_programs()
        nat = report["nat"]
        assert isinstance(nat, dict) and set(nat) == NAT_KEYS
        assert nat["kind"] == "unknown" and nat["mapping"] == "unknown" and nat["hairpin"] is None
        assert "relay-on-this-machine" in nat["unknowns"] and "mapping" in nat["unknowns"]
        asked = relay.snapshot()["stun_total"]
        assert isinstance(asked, dict) and asked["answered"] > len(ports) and set(asked) <= {"answered", "unchangeable"}
        text = "\n".join(for_people(facts))
        assert "the relay runs on this computer" in text and "A home router: Direct\n" not in text

    with_relay(tmp_path, scenario, stun_ports=ports)


def test_a_strict_router_gets_its_verdict_and_what_to_expect(tmp_path: Path) -> None:
    async def main() -> tuple[NetworkFacts, Names]:
        def see(number: int, source: Address) -> Address:
            return "203.0.113.7", 40_000 + 2 * number

        async with stun_places(("127.0.0.2", "127.0.0.3") * 3, see) as places:
            return await look_through(tmp_path, (*places, ("relay.example", 3478)))

    facts, names = asyncio.run(main())
    assert len(facts.stun) == 6  # a name is not asked
    report = json.loads(json.dumps(facts.for_programs()))
    nat = report["nat"]
    assert set(nat) == NAT_KEYS and len(nat.pop("evidence")) == 6
    assert nat.pop("unknowns") == ["relay-on-this-machine", "filtering", "hairpin"]
    assert nat == {
        "kind": "symmetric sequential",
        "mapping": "address-and-port-dependent",
        "filtering": "unknown",
        "allocation": "sequential",
        "delta": 2,
        "block": None,
        "hairpin": None,
    }
    assert set(report["chances"]) == PEERS
    assert report["chances"]["full cone"] == "good" and report["chances"]["symmetric"] == "none"
    lines = for_people(facts)
    assert "Your network: Strict router. A new port for each destination, in sequence: hard to connect." in lines
    assert "  An open home router: Direct" in lines
    assert "  A strict router with random ports: On the relay" in lines
    # A guest, with another key than any that is kept.
    [came] = names.came
    assert came.name == "" and came.home == ""
    assert not (tmp_path / "home" / "identity.key").exists()


def test_one_endpoint_leaves_the_mapping_open(tmp_path: Path) -> None:
    async def main() -> tuple[NetworkFacts, Names]:
        async with stun_places(("127.0.0.2",), lambda number, source: ("10.0.0.9", source[1])) as places:
            return await look_through(tmp_path, places)

    facts, _ = asyncio.run(main())
    assert facts.nat is not None and facts.nat.kind is NatKind.UNKNOWN
    assert {"mapping", "filtering", "relay-in-private-network"} <= set(facts.unknowns)
    assert any("takes a relay with two addresses" in line for line in for_people(facts))


def test_no_endpoint_to_ask_and_one_over_ipv6_only(tmp_path: Path) -> None:
    facts, _ = looked(tmp_path, (("::1", 3478),))
    assert facts.stun == [("::1", 3478)] and "no-ipv4-stun" in facts.unknowns
    facts, _ = looked(tmp_path, ())
    assert facts.is_usable and "no-ipv4-stun" in facts.unknowns


def test_measuring_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert netcheck.CONNECT_TIMEOUT_S + netcheck.MEASURE_TIMEOUT_S < 7.0
    monkeypatch.setattr(netcheck, "MEASURE_TIMEOUT_S", 0.05)
    facts, _ = looked(tmp_path, (("127.0.0.2", 9), ("127.0.0.3", 9)))
    assert facts.is_usable and "out-of-time" in facts.unknowns
    assert facts.nat is not None and facts.nat.kind is NatKind.UNKNOWN


def test_a_relay_that_is_silent_is_a_problem_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netcheck, "CONNECT_TIMEOUT_S", 0.1)
    with bind_udp("127.0.0.1", 0) as mute:
        home = home_at(tmp_path / "home", f"127.0.0.1:{mute.getsockname()[1]}#{'0' * 32}")
        facts = asyncio.run(look_at_network(home))
    assert facts.problem == "The relay does not answer within 0.1 s." and not facts.is_usable
    report = facts.for_programs()
    assert report["nat"] is None and report["chances"] is None


def test_it_works_beside_an_engine_and_leaves_its_session_and_its_home_alone(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        home = find_home(tmp_path / "home")
        done = await register_name(home, parse_person(f"ann@{ready.address}"))
        assert done.status == ExitStatus.OK, done.text
        engine = Engine(EngineConfig(home, SoundPlan(play=SPEECH, record=tmp_path / "received.wav")))
        statuses: list[str] = []
        await engine.start()
        try:
            engine.subscribe(lambda _: statuses.append(engine.state.me.relay))
            while engine.state.me.relay != "online":  # noqa: ASYNC110 - ends with the scenario's time
                await asyncio.sleep(0.01)
            statuses.clear()
            before = {path.name for path in home.folder.iterdir()}
            facts = await look_at_network(home)
            assert facts.is_usable and facts.nat is not None
            assert {path.name for path in home.folder.iterdir()} == before
            # A replaced session would have been reported before the guest was welcomed, or with the next message.
            witness = await log_in(ready, 7)
            witness.connection.send(Lookup(1, "ann"))
            found = await witness.receive()
            assert isinstance(found, Found) and found.online
            witness.connection.close()
            assert set(statuses) <= {"online"} and engine.state.me.relay == "online"
        finally:
            await engine.close()
        # And where no engine runs, with the folder as it was left.
        left = {path.name: path.read_bytes() for path in home.folder.iterdir() if path.is_file()}
        with HomeLock(home):
            assert (await look_at_network(home)).is_usable
        assert {path.name: path.read_bytes() for path in home.folder.iterdir() if path.is_file()} == left

    with_relay(tmp_path, scenario)


def test_a_home_without_a_name_is_shown_what_to_do_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nobody"
    status = run(*parse(["netcheck", "--home", os.fspath(missing), "--json"]))
    assert status == ExitStatus.UNREACHABLE
    facts = json.loads(capsys.readouterr().out)
    assert "segue register" in facts["problem"] and facts["nat"] is None
    assert not missing.exists()


CONE = NatProfile(
    Mapping.ENDPOINT_INDEPENDENT, Filtering.UNKNOWN, Allocation.PRESERVING, hairpin=True, udp_blocked=False
)


def test_a_home_router_in_words() -> None:
    facts = NetworkFacts(relay="r", relay_ip="198.51.100.1", stun=[("198.51.100.1", 1)], nat=CONE)
    lines = for_people(facts)
    assert "Your network: Home router. It uses one port for all destinations: easy to connect." in lines
    assert "  A home router: Direct" in lines
    assert "  A strict router with sequential ports: Direct, after a guess or two" in lines
    assert "  A strict router with random ports: Direct, after a few seconds of searching" in lines
    assert "  A network that blocks UDP: On the relay" in lines


@pytest.mark.parametrize("profile", [NatProfile(), CONE, NatProfile(udp_blocked=True)])
def test_every_kind_of_peer_has_its_line_and_nothing_unknown_is_promised(profile: NatProfile) -> None:
    chances_here = call_chances(profile)
    lines = [f"{peer_text(one)}: {chance_text(one)}" for one in chances_here]
    # A strict router is known by the way it takes its ports.
    assert len(set(lines)) == len(feasibilities(profile)) + 2 == len(PEERS) + 2
    promised = [one for one in chances_here if one.chance == "direct"]
    assert bool(promised) == (profile is CONE)
