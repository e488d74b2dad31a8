"""Whatever happens to a NAT, in any order: nobody's port is given away, and nobody comes in who may not."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.natsim.nat import Address, Nat, NatKind, Translated

OUTSIDE = "203.0.113.1"
INSIDERS: list[Address] = [(f"192.168.1.{host}", port) for host in (10, 11) for port in (1_025, 1_026, 5_000)]
REMOTES: list[Address] = [(f"192.0.2.{host}", port) for host in (1, 2) for port in (1, 2)]
DEPENDENCES = st.sampled_from(["endpoint-independent", "address-dependent", "address-and-port-dependent"])

kinds = st.builds(
    NatKind,
    mapping=DEPENDENCES,
    filtering=DEPENDENCES,
    allocation=st.sampled_from(["preserving", "preserving-else-random", "sequential", "random", "block"]),
    delta=st.sampled_from([1, 2, -1, 3]),
    keep_parity=st.booleans(),
    # So few that they run out.
    first_port=st.just(1_024),
    last_port=st.sampled_from([1_027, 1_039]),
    block_ports=st.just(2),
    idle_s=st.just(30.0),
    life_s=st.sampled_from([None, 50.0]),
    unanswered_s=st.sampled_from([None, 10.0]),
    refreshed_by=st.sampled_from(["outbound", "both"]),
    max_mappings=st.sampled_from([2, 100]),
    max_mappings_per_host=st.sampled_from([None, 1]),
    when_full=st.sampled_from(["drop", "evict-oldest"]),
    new_mappings_per_s=st.sampled_from([None, 1.0]),
    new_mappings_burst=st.just(2),
    cross_traffic_per_s=st.sampled_from([0.0, 0.5]),
    hairpin=st.sampled_from(["no", "external-source", "internal-source"]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["out", "in", "hairpin", "flush"]),
        st.sampled_from(INSIDERS),
        st.sampled_from(REMOTES),
        st.integers(1_024, 1_039),
        st.floats(0.0, 40.0),
    ),
    max_size=40,
)


@given(kinds, steps, st.integers(0, 2**32))
def test_no_port_is_shared_and_no_stranger_comes_in(
    kind: NatKind, taken: list[tuple[str, Address, Address, int, float]], seed: int
) -> None:
    nat = Nat(kind, (OUTSIDE,), random.Random(seed))
    now = 0.0
    owner: dict[Address, tuple[Address, float]] = {}
    """Who last left from an external endpoint, and when."""
    spoken: dict[tuple[Address, Address], float] = {}
    """When an insider last spoke to a remote endpoint, or was spoken to by it where that refreshes."""
    for what, insider, remote, port, wait_s in taken:
        now += wait_s
        match what:
            case "flush":
                nat.flush()
                owner.clear()
                spoken.clear()
            case "out":
                left = nat.from_inside(insider, remote, now)
                if left is not None:
                    assert (left.inward, left.destination, left.source[0]) == (False, remote, OUTSIDE)
                    assert 1_024 <= left.source[1] <= kind.last_port
                    before = owner.get(left.source)
                    is_new = before is None or before[0] != insider
                    # A port changes hands when its mapping is gone: by time, or because the table was full.
                    gone_s = min(kind.idle_s, kind.unanswered_s or kind.idle_s)
                    expired = before is not None and (now - before[1] > gone_s or kind.life_s is not None)
                    assert not is_new or before is None or expired or kind.when_full == "evict-oldest"
                    owner[left.source] = (insider, now)
                    spoken[insider, remote] = now
            case "in":
                came = nat.from_outside(remote, (OUTSIDE, port), now)
                if came is not None:
                    assert (came.inward, came.source) == (True, remote)
                    assert owner[OUTSIDE, port][0] == came.destination
                    assert _may_come_in(kind, came, spoken, now)
                    if kind.refreshed_by == "both":
                        owner[OUTSIDE, port] = (came.destination, now)
                        spoken[came.destination, remote] = now
            case "hairpin":
                before_len = len(nat)
                turned = nat.from_inside(insider, (OUTSIDE, port), now)
                assert turned is None or (kind.hairpin != "no" and turned.inward and turned.destination in INSIDERS)
                assert kind.hairpin != "no" or len(nat) == before_len
                # Hairpin makes and refreshes mappings of its own; the book above starts anew.
                nat.flush()
                owner.clear()
                spoken.clear()


def _may_come_in(kind: NatKind, came: Translated, spoken: dict[tuple[Address, Address], float], now: float) -> bool:
    """The filter of RFC 4787 §5, from what was seen to leave."""
    for (insider, remote), when in spoken.items():
        if insider == came.destination and now - when <= kind.idle_s:
            matches = {
                "endpoint-independent": True,
                "address-dependent": remote[0] == came.source[0],
                "address-and-port-dependent": remote == came.source,
            }
            if matches[kind.filtering]:
                return True
    # Where what comes in refreshes, any remote that an open filter lets in keeps the mapping alive.
    return kind.refreshed_by == "both" and kind.filtering == "endpoint-independent"
