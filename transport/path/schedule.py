"""Which paths carry the next packet, and how often each is asked for an echo (pure).

One that is in use, and one more while it has to be covered: in a trial, for a while after a change, in suspicion. Never
more than two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from transport.path.liveness import MEDIA_PACE_S
from transport.path.path import IN_USE, PathRecord
from transport.path.probes import ECHO_EVERY_S
from transport.path.selector import PathEvaluation
from transport.path.state import PathState
from transport.path.stats import PathKind

# Seconds between echo requests by role of the path.
TRIAL_PACE_S = 0.1
QUIET_TRIAL_PACE_S = 0.04
LONE_PACE_S = 0.05
"""The path in use when the peer sends by another: only answers to us show that it lives."""
DIRECT_STANDBY_PACE_S = 1.0
RELAY_STANDBY_PACE_S = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the choice rests on beside the states of the paths. ``cover`` carries everything as well if it can."""

    trial: PathEvaluation | None
    cover: int | None
    peer_uses: PathKind


def carriers(paths: Mapping[int, PathRecord], plan: Plan) -> tuple[int, ...]:
    """The paths that the next packet is sent on, the one in use first. When all are dead, the one that was heard last:
    silence may end by itself."""
    in_use = next((number for number, path in paths.items() if path.state in IN_USE), None)
    if in_use is None:
        dead = [(path.quality.heard or 0.0, number) for number, path in paths.items() if path.state is PathState.DEAD]
        return (max(dead)[1],) if dead else ()
    second = _second(paths, in_use, plan)
    return (in_use,) if second is None else (in_use, second)


def fallback(paths: Mapping[int, PathRecord], number: int | None) -> int | None:
    """The best path but ``number`` that stands by: the relay, which needs no luck, before other direct ones."""
    standbys = [
        (path.kind != "relay", path.quality.round_trip.smoothed or 0.0, each)
        for each, path in paths.items()
        if path.state is PathState.STANDBY and each != number
    ]
    return min(standbys)[2] if standbys else None


def echo_paces(paths: Mapping[int, PathRecord], chosen: tuple[int, ...], plan: Plan) -> dict[int, float]:
    """Seconds between echo requests, by path, when ``chosen`` carry; a path that is not here is not asked."""
    paces = ((number, _pace(paths, number, chosen, plan)) for number in paths)
    return {number: pace for number, pace in paces if pace is not None}


def _second(paths: Mapping[int, PathRecord], in_use: int, plan: Plan) -> int | None:
    trial = plan.trial
    if trial is not None and in_use in (trial.candidate, trial.other):
        second: int | None = trial.other if in_use == trial.candidate else trial.candidate
    elif paths[in_use].state is PathState.SUSPECT:
        second = fallback(paths, in_use)
    else:
        second = plan.cover
    if second is None or second == in_use or paths[second].state is not PathState.STANDBY:
        return None
    return second


def _pace(paths: Mapping[int, PathRecord], number: int, chosen: tuple[int, ...], plan: Plan) -> float | None:
    path = paths[number]
    if number in chosen[:1]:
        is_alone = path.kind != plan.peer_uses or _peer_talks_elsewhere(paths, number)
        if len(paths) > 1 and (is_alone or path.state is PathState.SUSPECT):
            return LONE_PACE_S
        return ECHO_EVERY_S
    if plan.trial is not None and number in chosen:
        return TRIAL_PACE_S if plan.trial.talking else QUIET_TRIAL_PACE_S
    if number in chosen:
        return ECHO_EVERY_S
    if path.state is PathState.STANDBY:
        return DIRECT_STANDBY_PACE_S if path.kind == "direct" else RELAY_STANDBY_PACE_S
    return DIRECT_STANDBY_PACE_S if path.state is PathState.DEAD else None


def _peer_talks_elsewhere(paths: Mapping[int, PathRecord], number: int) -> bool:
    """Whether the peer's voice has come by another path since it last came by this one. The peer names the kind that
    it uses, and there may be more than one direct path."""
    last = paths[number].quality.media_at
    others = (path.quality.media_at for each, path in paths.items() if each != number)
    return any(at is not None and (last is None or at > last + MEDIA_PACE_S) for at in others)
