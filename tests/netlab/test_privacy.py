"""Who learns whose address, and when: on captured packets, and in the messages inside the seal."""

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.natsim.scenario import host_ip, outside_ip, pair
from tests.natsim.wire import WireSpec
from tests.netlab.capture import Capture, Seen
from tests.netlab.lab import KernelWorld, kernel_world
from tests.netlab.overheard import Overheard, overheard
from tests.netlab.people import in_call

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

HOMES = pair("port-restricted", "port-restricted", WireSpec(delay_ms=5.0))
RING_S = 1.5
FIRST_QUIC_BYTE = 0x40
# RFC 8489 §5 and §14.2: what the address in a STUN message is XORed with.
MAGIC_COOKIE = 0x2112A442


@dataclass(frozen=True, slots=True)
class Witness:
    """One side's own addresses and the relay's, what crossed its host's interface, and the messages it exchanged
    encrypted."""

    addresses: tuple[str, ...]
    relay: tuple[str, ...]
    packets: list[Seen]
    messages: list[Overheard]


def call_with_witnesses(folder: Path, *caller_options: str, ring_s: float = 0.2) -> tuple[Witness, Witness]:
    """A stranger's call that rings for a while and is then taken, as caller and callee saw it."""
    files = [folder / "caller.jsonl", folder / "callee.jsonl"]
    with kernel_world(HOMES) as world:
        captures = [Capture(world, world.host(side)) for side in (0, 1)]
        one, other = ([sys.executable, "-m", "tests.netlab.overheard", str(file)] for file in files)
        with in_call(world, folder, 1.2, programs=(one, other), ring_s=ring_s, caller_options=caller_options):
            pass
        caller, callee = (
            Witness(addresses_of(world, side), world.relay_ips, captures[side].seen(), overheard(files[side]))
            for side in (0, 1)
        )
        return caller, callee


def addresses_of(world: KernelWorld, side: int) -> tuple[str, ...]:
    return host_ip(world.scenario, side), outside_ip(world.scenario, side, 0)


def beside_the_relay(witness: Witness, before: float = float("inf")) -> list[Seen]:
    """Datagrams to or from anybody else. What stays at home is nobody's: one's own NAT may be asked for a port mapping
    and for its hairpin."""
    home = ipaddress.IPv4Interface(f"{witness.addresses[0]}/24").network

    def is_known(ip: str) -> bool:
        address = ipaddress.IPv4Address(ip)
        return ip in witness.relay or ip in witness.addresses or address in home or address.is_multicast

    return [
        packet
        for packet in witness.packets
        if packet.at < before and not (is_known(packet.source[0]) and is_known(packet.destination[0]))
    ]


def telling(messages: Iterable[Overheard], addresses: Iterable[str]) -> list[Overheard]:
    """Messages that hold one of these addresses, as text or as four bytes."""
    forms = [form for ip in addresses for form in (ip.encode(), ipaddress.IPv4Address(ip).packed)]
    return [message for message in messages if any(form in message.document for form in forms)]


def readable(packets: Iterable[Seen], addresses: Iterable[str]) -> list[Seen]:
    """Datagrams in which anybody could read one of these addresses: as text, or in STUN, plain or XORed."""
    texts = [ip.encode() for ip in addresses]
    numbers = [int(ipaddress.IPv4Address(ip)) for ip in addresses]
    raw = [number.to_bytes(4, "big") for ip in numbers for number in (ip, ip ^ MAGIC_COOKIE)]
    return [
        packet
        for packet in packets
        if any(text in packet.payload for text in texts)
        or (packet.payload[:1] < bytes([FIRST_QUIC_BYTE]) and any(form in packet.payload for form in raw))
    ]


def test_a_stranger_learns_no_address_before_the_call_is_taken(tmp_path: Path) -> None:
    caller, callee = call_with_witnesses(tmp_path, ring_s=RING_S)
    taken = next(each.at for each in callee.messages if (each.way, each.kind) == ("sent", "Accept"))
    rang = next(each.at for each in callee.messages if each.kind == "Incoming")
    assert taken - rang >= RING_S - 0.1, "long enough for anything to be sent"
    for mine, theirs in ((caller, callee), (callee, caller)):
        before = [packet for packet in mine.packets if packet.at < taken]
        assert len(before) >= 20 and not beside_the_relay(mine, taken)
        assert not readable(before, theirs.addresses)
        exchanged = [message for message in mine.messages if message.at < taken]
        assert len(exchanged) >= 5
        assert not telling(exchanged, theirs.addresses)
        assert not telling([message for message in exchanged if message.way == "sent"], mine.addresses)
        # The same eyes see it once the call is taken.
        assert {packet.destination[0] for packet in beside_the_relay(mine)} & set(theirs.addresses)
        after = [message for message in mine.messages if message.at >= taken and message.whom == "peer"]
        assert telling(after, theirs.addresses) and telling(after, mine.addresses)


def test_who_hides_the_address_never_shows_it(tmp_path: Path) -> None:
    """One of the two is enough: no datagram passes between them, and the other learns nothing."""
    caller, callee = call_with_witnesses(tmp_path, "--always-relay")
    for witness in (caller, callee):
        assert len(witness.packets) >= 100 and not beside_the_relay(witness)
        assert not telling((each for each in witness.messages if each.whom == "peer"), caller.addresses)
    assert not telling(callee.messages, caller.addresses)
    assert not readable(callee.packets, caller.addresses)
