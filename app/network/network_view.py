"""What windows show of networks, as codes and figures (pure)."""

import re

from app.ipc import engine_state
from transport.nat.compatibility import PEERS, Feasibility, compatibility, feasibilities, strategy
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind, NatProfile
from transport.portmap.status import MappingStatus

# As transport.nat.profile notes an observation.
_SAW = re.compile(r"server (\d+) port \d+ saw port (\d+)")
_APDM, _APDF = Mapping.ADDRESS_AND_PORT_DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT
# A peer whose router is strict, by the way it chooses its ports.
_STRICT: dict[NatKind, NatProfile] = {
    NatKind.SYMMETRIC_SEQUENTIAL: NatProfile(_APDM, _APDF, Allocation.SEQUENTIAL, delta=1),
    NatKind.SYMMETRIC_RANDOM: NatProfile(_APDM, _APDF, Allocation.RANDOM),
    NatKind.SYMMETRIC_BLOCK: NatProfile(_APDM, _APDF, Allocation.BLOCK, block=(1, 2_048)),
}


def nat_summary(profile: NatProfile | None) -> engine_state.NatSummary:
    """One side's network; empty while nothing is known. What servers saw is counted, the report has it one by one."""
    if profile is None:
        return engine_state.NatSummary()
    seen = [match for line in profile.evidence if (match := _SAW.fullmatch(line))]
    ports = [int(match[2]) for match in seen]
    return engine_state.NatSummary(
        kind=profile.kind.value,
        answers=len(seen),
        servers=len({match[1] for match in seen}),
        ports=len(set(ports)),
        port_range=(min(ports), max(ports)) if ports else (0, 0),
        notes=tuple(line for line in profile.evidence if not _SAW.fullmatch(line)),
    )


def call_chances(profile: NatProfile) -> tuple[engine_state.CallFeasibility, ...]:
    """What to expect of a call, for each kind of network that the other person may have."""
    found: list[engine_state.CallFeasibility] = []
    for kind, chance in feasibilities(profile).items():
        if kind is NatKind.SYMMETRIC:
            found += [
                _chance(profile, one, compatibility(profile, strict).feasibility) for one, strict in _STRICT.items()
            ]
        else:
            found.append(_chance(profile, kind, chance))
    return tuple(found)


def _chance(profile: NatProfile, kind: NatKind, chance: Feasibility) -> engine_state.CallFeasibility:
    is_known = profile.mapping is not Mapping.UNKNOWN or bool(profile.udp_blocked)
    peer = _STRICT.get(kind, PEERS.get(kind))
    technique = None if peer is None else strategy(profile, peer, try_harder=True).technique
    if technique is not None and chance is not Feasibility.GOOD:
        return engine_state.CallFeasibility(kind.value, "search", technique.value)
    # Not knowing our own side is a reason to try, and none to expect anything.
    if chance is Feasibility.NONE:
        return engine_state.CallFeasibility(kind.value, "relay")
    return engine_state.CallFeasibility(kind.value, "direct" if is_known and chance is Feasibility.GOOD else "maybe")


def network_state(
    profile: NatProfile | None, wall_offset_s: float, mapping: MappingStatus | None = None
) -> engine_state.NetworkState:
    """The user's own network while nobody calls. ``wall_offset_s`` turns the clock of the profile into Unix seconds."""
    state = engine_state.NetworkState()
    if mapping is not None and mapping.outcome != "waiting":
        state = engine_state.NetworkState(
            mapping=mapping.outcome, mapping_reason=mapping.reason, mapping_protocol=mapping.protocol or ""
        )
    if profile is None:
        return state
    expected = call_chances(profile)
    if state.mapping == "won" and not state.mapping_reason:
        # A port that is open to the internet is open to everybody who can send at all.
        expected = tuple(
            one if one.peer == NatKind.UDP_BLOCKED.value else engine_state.CallFeasibility(one.peer, "direct")
            for one in expected
        )
    return engine_state.NetworkState(
        nat=nat_summary(profile),
        measured=profile.made_at + wall_offset_s,
        chances=expected,
        mapping=state.mapping,
        mapping_reason=state.mapping_reason,
        mapping_protocol=state.mapping_protocol,
    )
