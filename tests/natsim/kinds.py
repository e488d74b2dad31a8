"""The NATs that scenarios name, in the words of docs/laboratories.md; a stack is listed from the host outwards."""

from tests.natsim.nat import Dependence, NatKind
from tests.natsim.relay import MEDIA_PORT

SYMMETRIC: Dependence = "address-and-port-dependent"

KINDS: dict[str, NatKind] = {
    # A router with no NAT and no filter in front of a public address.
    "open": NatKind(allocation="none", filtering="endpoint-independent"),
    "full-cone": NatKind(filtering="endpoint-independent"),
    "address-restricted": NatKind(filtering="address-dependent"),
    "port-restricted": NatKind(),
    "symmetric-sequential": NatKind(mapping=SYMMETRIC, allocation="sequential"),
    "symmetric-random": NatKind(mapping=SYMMETRIC, allocation="random"),
    # One port for each address, as some carriers' firewalls have it: two relay addresses tell it, nothing else does.
    "adm-sequential": NatKind(mapping="address-dependent", filtering="address-dependent", allocation="sequential"),
    "adm-random": NatKind(mapping="address-dependent", filtering="address-dependent", allocation="random"),
    # The same with a filter that lets in only whom the host has spoken to: every port of the peer's has to be right.
    "adm-sequential-strict": NatKind(mapping="address-dependent", allocation="sequential"),
    # RFC 4787 §4.2.2: an even port stays even.
    "symmetric-sequential-parity": NatKind(mapping=SYMMETRIC, allocation="sequential", keep_parity=True),
    # Counters that strangers' flows advance as well, and blocks of other sizes.
    "busy-counter": NatKind(mapping=SYMMETRIC, allocation="sequential", cross_traffic_per_s=20.0),
    "shared-counter": NatKind(mapping=SYMMETRIC, allocation="sequential", cross_traffic_per_s=5.0),
    "shared-counter-by-2": NatKind(mapping=SYMMETRIC, allocation="sequential", delta=2, cross_traffic_per_s=5.0),
    "shared-counter-down": NatKind(mapping=SYMMETRIC, allocation="sequential", delta=-1, cross_traffic_per_s=5.0),
    "block": NatKind(mapping=SYMMETRIC, allocation="block", block_ports=1_024),
    "block-512": NatKind(mapping=SYMMETRIC, allocation="block", block_ports=512),
    "block-4096": NatKind(mapping=SYMMETRIC, allocation="block", block_ports=4_096),
    # As RFC 6888 wants a carrier's NAT: endpoint-independent, hairpin, a limit for each subscriber; ports in blocks.
    "cgn": NatKind(
        filtering="address-dependent",
        allocation="block",
        block_ports=2_048,
        max_mappings_per_host=2_048,
        hairpin="external-source",
    ),
    "cgn-no-hairpin": NatKind(filtering="address-dependent", allocation="block", block_ports=2_048),
    "hairpin": NatKind(hairpin="external-source"),
    # nftables: masquerade, and masquerade fully-random.
    "linux": NatKind(
        mapping=SYMMETRIC,
        allocation="preserving-else-random",
        is_conntrack=True,
        unanswered_s=30.0,
        refreshed_by="both",
    ),
    "linux-random": NatKind(
        mapping=SYMMETRIC, allocation="random", is_conntrack=True, unanswered_s=30.0, refreshed_by="both"
    ),
    # The machine that masquerades takes what comes unsolicited for its own: the trap of DESIGN §6.7.
    "linux-open-input": NatKind(
        mapping=SYMMETRIC,
        allocation="preserving-else-random",
        is_conntrack=True,
        accepts_input=True,
        unanswered_s=30.0,
        refreshed_by="both",
    ),
    "firewall": NatKind(allocation="none"),
    "udp-blocked": NatKind(allowed_udp_ports=()),
    # A company's firewall that lets UDP out to the relay alone.
    "udp-to-relay-only": NatKind(allowed_udp_ports=(MEDIA_PORT - 1, MEDIA_PORT)),
}

STACKS: dict[str, tuple[NatKind, ...]] = {
    **{name: (kind,) for name, kind in KINDS.items()},
    "cgn-over-home": (KINDS["port-restricted"], KINDS["cgn"]),
    "symmetric-cgn-over-home": (KINDS["port-restricted"], KINDS["block"]),
}
