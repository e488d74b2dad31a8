"""Port mapping with a real router: miniupnpd on a masquerade that gives every destination a random port."""

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.natsim.scenario import RELAY_IPV6, ipv6_ip
from tests.natsim.scenario_file import load
from tests.netlab.lab import MID, KernelWorld, kernel_world
from tests.netlab.miniupnpd import PUBLIC, Miniupnpd, PinholeRouter, behind_a_mapping_router, why_not
from tests.netlab.namespaces import TIMEOUT_S
from tests.netlab.people import in_call
from tests.processes import Running, program

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.usefixtures("kernel"),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

ROUTERS: dict[str, tuple[str, ...]] = {
    "pcp": (),
    "nat-pmp": (),
    "upnp": ("enable_natpmp=no",),
}


@dataclass
class Mapping:
    """The mapper's process, and what it says."""

    running: Running

    def says(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            report: dict[str, Any] = json.loads(self.running.wait_for("{"))
            if wanted(report):
                return report

    def ports(self) -> list[list[Any]]:
        return list(self.says(lambda report: bool(report.get("ports")))["ports"])


@contextlib.contextmanager
def mapping(world: KernelWorld, folder: Path, lease_s: int = 3_600) -> Iterator[Mapping]:
    """The product's port mapping on side 0, with the real sockets of that host."""
    memory = folder / "memory.json"
    module = ("-m", "tests.netlab.mapper_station", str(memory), str(lease_s))
    with program(*world.held.prefix(world.host(0)), sys.executable, *module) as running:
        yield Mapping(running)


def eventually(holds: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("protocol", list(ROUTERS))
def test_a_stranger_reaches_the_mapped_port_and_it_is_given_back(protocol: str, tmp_path: Path) -> None:
    with kernel_world(behind_a_mapping_router()) as world:
        router = Miniupnpd.of(world, world.nat(0, 0), tmp_path)
        if protocol == "nat-pmp":
            router.deaf_to_pcp()
        with router.running(*ROUTERS[protocol]), mapping(world, tmp_path) as mapper:
            ((external, internal_port, by, is_public),) = mapper.ports()
            assert (external[0], by, is_public) == (PUBLIC, protocol, True)
            assert len(router.forwards()) == 1 and f"dport {external[1]}" in router.forwards()[0]
            host = world.held.start(world.host(0), "tests.netlab.station")
            stranger = world.held.start(MID, "tests.netlab.station")
            host.ask({"do": "open", "local": ["0.0.0.0", internal_port]})
            port = stranger.ask({"do": "open", "local": ["192.0.2.1", 0]})["port"]
            there = ["192.0.2.1", port]
            stranger.ask({"do": "send", "local": there, "to": external, "data": "aa"})
            got = host.ask({"do": "receive", "local": ["0.0.0.0", internal_port], "wait_s": 5.0})
            assert got == {"data": "aa", "source": there}, "the router forwards what nobody has asked for"
            host.ask({"do": "send", "local": ["0.0.0.0", internal_port], "to": there, "data": "bb"})
            back = stranger.ask({"do": "receive", "local": there, "wait_s": 5.0})
            assert back == {"data": "bb", "source": external}, "the answer comes from the mapped port"
            mapper.running.process.send_signal(signal.SIGTERM)
            assert mapper.says(lambda report: "over" in report)["took_s"] < 1.0
            assert router.forwards() == []


def test_a_lease_is_renewed_before_it_ends(tmp_path: Path) -> None:
    with kernel_world(behind_a_mapping_router()) as world:
        router = Miniupnpd.of(world, world.nat(0, 0), tmp_path)
        with router.running(), mapping(world, tmp_path, lease_s=8) as mapper:
            ports = mapper.ports()
            time.sleep(9.0)
            assert len(router.forwards()) == 1 and str(ports[0][0][1]) in router.forwards()[0]
            mapper.running.process.kill()
            # Nobody renews it any more: not a permanent lease.
            eventually(lambda: router.forwards() == [], 30.0)


@pytest.mark.parametrize("protocol", ["pcp", "upnp"])
def test_what_a_killed_program_had_mapped_is_found_again(protocol: str, tmp_path: Path) -> None:
    with kernel_world(behind_a_mapping_router()) as world:
        router = Miniupnpd.of(world, world.nat(0, 0), tmp_path)
        with router.running(*ROUTERS[protocol]):
            with mapping(world, tmp_path) as mapper:
                before = mapper.ports()
                mapper.running.process.kill()
            assert len(router.forwards()) == 1
            with mapping(world, tmp_path) as mapper:
                assert mapper.ports() == before
                assert len(router.forwards()) == 1
                mapper.running.process.send_signal(signal.SIGTERM)
                mapper.says(lambda report: "over" in report)
            assert router.forwards() == []


@pytest.mark.parametrize("protocol", ["pcp", "upnp"])
def test_a_router_that_has_started_anew_is_noticed_when_a_call_begins(protocol: str, tmp_path: Path) -> None:
    with kernel_world(behind_a_mapping_router()) as world:
        router = Miniupnpd.of(world, world.nat(0, 0), tmp_path)
        with mapping_over(world, tmp_path, router, ROUTERS[protocol]) as mapper:
            assert router.forwards() == []
            with router.running(*ROUTERS[protocol]):
                # A router needs longer than that; its clock must be seen to have gone back.
                time.sleep(1.5)
                mapper.running.process.send_signal(signal.SIGUSR1)
                eventually(lambda: len(router.forwards()) == 1)


def test_a_router_that_starts_anew_says_so_and_is_asked_at_once(tmp_path: Path) -> None:
    """It multicasts an announcement; a mapping that nobody asked for again would be missing for up to a minute."""
    with kernel_world(behind_a_mapping_router()) as world:
        router = Miniupnpd.of(world, world.nat(0, 0), tmp_path)
        with mapping_over(world, tmp_path, router, ()), router.running():
            eventually(lambda: len(router.forwards()) == 1)


@contextlib.contextmanager
def mapping_over(world: KernelWorld, folder: Path, router: Miniupnpd, extra: tuple[str, ...]) -> Iterator[Mapping]:
    """A mapping of a router that then is switched off, and has forgotten everything."""
    with mapping(world, folder) as mapper:
        with router.running(*extra):
            mapper.ports()
            # Old enough that a young table is seen to be another one (RFC 6887 §8.5 allows for two seconds).
            time.sleep(4.0)
        router.forget()
        yield mapper


def test_an_ipv6_firewall_lets_strangers_in_at_the_pinhole_alone(tmp_path: Path) -> None:
    with kernel_world(load("ipv6-firewalls")) as world:
        router = PinholeRouter(world, 0, tmp_path)
        with router.running("ext_ifname6=wan", "ipv6_disable=no"), mapping(world, tmp_path) as mapper:
            ((external, internal_port, by, is_public),) = mapper.ports()
            assert (external, by, is_public) == ([ipv6_ip(0), internal_port], "pcp", True)
            assert len(router.pinholes()) == 1
            host = world.held.start(world.host(0), "tests.netlab.station")
            stranger = world.held.start(MID, "tests.netlab.station")
            there = [RELAY_IPV6[0], stranger.ask({"do": "open", "local": [RELAY_IPV6[0], 0]})["port"]]
            for port, data in ((internal_port + 1, "aa"), (internal_port, "bb")):
                host.ask({"do": "open", "local": [ipv6_ip(0), port]})
                stranger.ask({"do": "send", "local": there, "to": [ipv6_ip(0), port], "data": data})
            got = host.ask({"do": "receive", "local": [ipv6_ip(0), internal_port], "wait_s": 5.0})
            assert got == {"data": "bb", "source": there}
            assert host.ask({"do": "receive", "local": [ipv6_ip(0), internal_port + 1]}) == {}, "sent before the other"
            mapper.running.process.send_signal(signal.SIGTERM)
            mapper.says(lambda report: "over" in report)
            assert router.pinholes() == []


def test_a_real_call_from_behind_it_goes_direct_to_a_symmetric_peer(tmp_path: Path) -> None:
    """Both give every destination a random port: without the mapping the relay would have to carry this call."""
    with kernel_world(behind_a_mapping_router("linux-random", "symmetric-random", delay_ms=5.0)) as world:
        router = Miniupnpd.of(world, world.nat(0, 0), tmp_path)
        with router.running():
            with in_call(world, tmp_path, 4.0) as people:
                assert len(router.forwards()) == 1
            # The programs are over, and have given back what was theirs.
            assert router.forwards() == []
    for person in people:
        path = person.report["paths"][-1]
        assert (path["kind"], path["via"]) == ("direct", "port_mapping"), person.report["paths"]
        media = person.report["media"]
        assert media["frames_received"] > 100 and media["frames_lost"] == 0, media
    row = next(phase for phase in people[0].report["phases"] if phase["name"] == "port_mapping")
    assert row["outcome"] == "won", row
