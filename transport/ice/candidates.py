"""Candidates (RFC 8445 §5.1): where a side can perhaps be reached, in which order, and what may be asked at all."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address
from transport.wire.call_messages import MAX_CANDIDATES, WireCandidate

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 8445 §5.1.2.2 recommends 126, 110 and 100; a mapped port needs no luck with filters, so it is in between.
_TYPE_PREFERENCE = {"host": 126, "peer-reflexive": 110, "mapped": 105, "server-reflexive": 100}
# One whose external address no server sees leads behind another NAT, or nowhere: it comes after all others.
_DOUBTFUL_PREFERENCE = 90
# A router in front of us, one behind it, and what two protocols of one router say differently.
MAX_MAPPED = 3
_MAX_LOCAL_PREFERENCE = 65_535
_COMPONENT = 1
# Host addresses that a side sends: Wi-Fi, cable and a tunnel, each with IPv4 and two kinds of IPv6, and two to spare.
MAX_HOST_ADDRESSES = 10
# Ports below are assigned to servers (RFC 6335 §6): no socket of ours and hardly a NAT ever has one, and a victim
# that a hostile peer names does.
FIRST_CANDIDATE_PORT = 1_024

_VIRTUAL_INTERFACES = ("docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "lxc", "lxd", "cni", "vethernet", "podman")
_PRIVATE: tuple[IpNetwork, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598, behind carrier NATs
        "169.254.0.0/16",  # RFC 3927
        "fc00::/7",  # RFC 4193
    )
)
_NEVER: tuple[IpNetwork, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, with the broadcast address
        "::/128",
        "::1/128",
        "::ffff:0:0/96",  # IPv4 in disguise
        "64:ff9b::/96",
        "2002::/16",  # 6to4: IPv4 in disguise as well
        "fe80::/10",  # without an interface it leads nowhere
        "ff00::/8",
    )
)


class CandidateKind(Enum):
    """RFC 8445 §5.1.1 and §7.2.5.3; a mapped one comes from a port mapping protocol."""

    HOST = "host"
    SERVER_REFLEXIVE = "server-reflexive"
    MAPPED = "mapped"
    PEER_REFLEXIVE = "peer-reflexive"


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address of one of our interfaces."""

    ip: str
    prefix_length: int
    interface: str = ""

    @property
    def network(self) -> IpNetwork:
        """The subnet that the address is in."""
        return ipaddress.ip_network(f"{self.ip}/{self.prefix_length}", strict=False)

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.ip).version


@dataclass(frozen=True, slots=True)
class Candidate:
    """``base`` is the local address that a candidate of ours is sent from (RFC 8445 §5.1.1.2)."""

    kind: CandidateKind
    address: Address
    base: Address
    priority: int
    foundation: str = ""


def priority(kind: CandidateKind, local_preference: int = _MAX_LOCAL_PREFERENCE) -> int:
    """RFC 8445 §5.1.2.1. ``local_preference`` is 0 to 65,535."""
    return (_TYPE_PREFERENCE[kind.value] << 24) + (local_preference << 8) + (256 - _COMPONENT)


def pair_priority(controlling: int, controlled: int) -> int:
    """RFC 8445 §6.1.2.3, from the priorities of the controlling and of the controlled side's candidate."""
    return (min(controlling, controlled) << 32) + 2 * max(controlling, controlled) + (controlling > controlled)


def useful_hosts(hosts: Iterable[HostAddress], limit: int = MAX_HOST_ADDRESSES) -> tuple[HostAddress, ...]:
    """The addresses worth sending, best first: IPv6 and IPv4 by turns (RFC 8421 §4), bridges to containers and
    virtual machines and self-assigned addresses last, so that they go first when there are too many."""
    usable = list(dict.fromkeys(host for host in hosts if _is_dialable(ipaddress.ip_address(host.ip))))
    doubtful = [host for host in usable if _is_doubtful(host)]
    sixes = [host for host in usable if host.version == 6 and host not in doubtful]
    fours = [host for host in usable if host.version == 4 and host not in doubtful]
    turns = [host for pair in zip(sixes, fours, strict=False) for host in pair]
    shorter = min(len(sixes), len(fours))
    return tuple([*turns, *sixes[shorter:], *fours[shorter:], *doubtful][:limit])


def _ranked(kind: CandidateKind, addresses: Iterable[Address], base: Address) -> list[Candidate]:
    """By falling priority; the foundation (RFC 8445 §5.1.1.3) is the kind's letter and the place in the list."""
    return [
        Candidate(kind, address, base, priority(kind, _MAX_LOCAL_PREFERENCE - n), f"{kind.value[0]}{n}")
        for n, address in enumerate(addresses)
    ]


def host_candidates(hosts: Sequence[HostAddress], port: int, base: Address) -> list[Candidate]:
    """Our interface addresses of one family, on the port of a socket that is bound to all of them."""
    return _ranked(CandidateKind.HOST, ((host.ip, port) for host in hosts), base)


def reflexive_candidates(mapped: Sequence[Address], base: Address, hosts: Iterable[HostAddress]) -> list[Candidate]:
    """What STUN servers saw. One that is a host candidate already is redundant (RFC 8445 §5.1.3)."""
    known = {(host.ip, base[1]) for host in hosts}
    found = _ranked(CandidateKind.SERVER_REFLEXIVE, dict.fromkeys(mapped), base)
    return [candidate for candidate in found if candidate.address not in known]


def mapped_candidates(ports: Iterable[MappedPort], base: Address, seen: Iterable[str]) -> list[Candidate]:
    """Port mappings that lead to the socket ``base``. ``seen`` are the IPv4 addresses that STUN servers see of us:
    one that is none of them is no public one, whatever the router claims."""
    known = {ip for ip in seen if not is_private(ip)}
    listed = list(ports)[:MAX_MAPPED]
    doubt = (_TYPE_PREFERENCE["mapped"] - _DOUBTFUL_PREFERENCE) << 24
    return [
        one
        if port.is_public and (not known or port.external[0] in known)
        else replace(one, priority=one.priority - doubt)
        for port, one in zip(
            listed, _ranked(CandidateKind.MAPPED, [port.external for port in listed], base), strict=True
        )
    ]


def prune(candidates: Iterable[Candidate], limit: int = MAX_CANDIDATES) -> tuple[Candidate, ...]:
    """By falling priority, each address once (RFC 8445 §5.1.3), at most ``limit``."""
    ordered = sorted(candidates, key=lambda candidate: -candidate.priority)
    first: dict[Address, Candidate] = {}
    for candidate in ordered:
        first.setdefault(candidate.address, candidate)
    return tuple(first.values())[:limit]


def to_wire(candidates: Iterable[Candidate]) -> list[WireCandidate]:
    """For the peer; the base stays here, and so do peer-reflexive ones, which the peer knows better."""
    return [
        WireCandidate(kind, *candidate.address, candidate.priority, candidate.foundation)
        for candidate in candidates
        if (kind := _WIRE_KINDS.get(candidate.kind)) is not None
    ]


def acceptable(
    candidates: Iterable[WireCandidate], hosts: Sequence[HostAddress], our_public: Iterable[str]
) -> list[WireCandidate]:
    """What of a peer's list may be sent to, by falling priority, each address once, in canonical spelling.

    Private addresses count only when the peer can be near: it shares a reflexive IP address with us
    (``our_public``), or the address is in one of our own subnets.
    """
    listed = list(candidates)[:MAX_CANDIDATES]
    same_nat = is_behind_same_nat(listed, our_public)
    subnets = [host.network for host in hosts]
    kept: dict[Address, WireCandidate] = {}
    mapped = 0
    for candidate in sorted(listed, key=lambda candidate: -candidate.priority):
        ip = _parse(candidate.ip)
        if ip is None or candidate.port < FIRST_CANDIDATE_PORT or not _may_be_asked(ip, subnets, same_nat=same_nat):
            continue
        mapped += candidate.kind == "mapped"
        if candidate.kind == "mapped" and mapped > MAX_MAPPED:
            # They are checked beside the others, not in their turn, so nobody may have them by the dozen.
            continue
        canonical = WireCandidate(
            candidate.kind, ip.compressed, candidate.port, candidate.priority, candidate.foundation
        )
        kept.setdefault((canonical.ip, canonical.port), canonical)
    return list(kept.values())


def is_behind_same_nat(candidates: Iterable[WireCandidate], our_public: Iterable[str]) -> bool:
    """Whether the peer that sent ``candidates`` shares an outside IP address with us."""
    reflexive = {candidate.ip for candidate in candidates if candidate.kind == "server-reflexive"}
    return not reflexive.isdisjoint(our_public)


def may_be_peer(source: Address) -> bool:
    """Whether an authentic check from ``source`` may make it a candidate (RFC 8445 §7.3.1.3)."""
    ip = _parse(source[0])
    return ip is not None and source[1] >= FIRST_CANDIDATE_PORT and _is_dialable(ip)


def is_private(ip: str) -> bool:
    """Whether the address has a meaning in some networks only (RFC 1918, 3927, 4193, 6598)."""
    parsed = _parse(ip)
    return parsed is not None and _within(parsed, _PRIVATE)


def is_believable_reflexive(address: Address) -> bool:
    """Whether a STUN server can truly have seen this as a source: an address that exists, and a port."""
    ip = _parse(address[0])
    return ip is not None and address[1] > 0 and _is_dialable(ip)


_WIRE_KINDS: dict[CandidateKind, Literal["host", "server-reflexive", "mapped"]] = {
    CandidateKind.HOST: "host",
    CandidateKind.SERVER_REFLEXIVE: "server-reflexive",
    CandidateKind.MAPPED: "mapped",
}


def _parse(ip: str) -> IpAddress | None:
    if "%" in ip:
        return None
    try:
        return ipaddress.ip_address(ip)
    except ValueError:
        return None


def _within(ip: IpAddress, networks: Iterable[IpNetwork]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _is_dialable(ip: IpAddress) -> bool:
    return not _within(ip, _NEVER)


def _is_doubtful(host: HostAddress) -> bool:
    name = host.interface.lower()
    return name.startswith(_VIRTUAL_INTERFACES) or ipaddress.ip_address(host.ip).is_link_local


def _may_be_asked(ip: IpAddress, subnets: Sequence[IpNetwork], *, same_nat: bool) -> bool:
    if not _is_dialable(ip):
        return False
    near = [subnet for subnet in subnets if ip.version == subnet.version and ip in subnet]
    if any(isinstance(subnet, ipaddress.IPv4Network) and _is_edge(ip, subnet) for subnet in near):
        return False
    return bool(near) or same_nat or not _within(ip, _PRIVATE)


def _is_edge(ip: IpAddress, subnet: ipaddress.IPv4Network) -> bool:
    """The first and the last address of a subnet are broadcasts (RFC 919); below /31 only (RFC 3021)."""
    return subnet.prefixlen < 31 and ip in (subnet.network_address, subnet.broadcast_address)
