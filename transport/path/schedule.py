"""Which paths carry the next packet, and how often each is sent an echo request (pure).

The one in use, and one more while it has to be redundant: during an evaluation, for a while after a change, and while
the one in use is suspect. Never more than two.
"""

from collections.abc import Collection

from transport.path.liveness import MEDIA_PACE_S
from transport.path.path import IN_USE, Path, State
from transport.path.probes import ECHO_EVERY_S
from transport.path.selector import PathEvaluation
from transport.path.stats import PathKind

# Seconds between echo requests by role of the path.
EVALUATION_PACE_S = 0.1
QUIET_EVALUATION_PACE_S = 0.04
# The path in use when the peer sends by another: only answers to us show that it lives.
LONE_PACE_S = 0.05
DIRECT_STANDBY_PACE_S = 1.0
RELAY_STANDBY_PACE_S = 15.0


def carriers(paths: Collection[Path], evaluation: PathEvaluation | None, redundant: Path | None) -> tuple[Path, ...]:
    """The paths that the next packet is sent on, the one in use first. When all are dead, the one that was received
    from last: silence may end by itself. ``redundant`` carries everything as well if it can."""
    in_use = next((path for path in paths if path.state in IN_USE), None)
    if in_use is None:
        dead = [path for path in paths if path.state is State.DEAD]
        return (max(dead, key=lambda path: (path.measured.received_at or 0.0, path.number)),) if dead else ()
    if evaluation is not None and evaluation.concerns(in_use):
        second: Path | None = evaluation.partner(in_use)
    elif in_use.state is State.SUSPECT:
        second = fallback(paths, in_use)
    else:
        second = redundant
    if second is None or second is in_use or second.state is not State.STANDBY:
        return (in_use,)
    return (in_use, second)


def fallback(paths: Collection[Path], excluded: Path | None = None) -> Path | None:
    """The best path that stands by: the relay, which needs no luck, before direct ones."""
    standbys = [path for path in paths if path.state is State.STANDBY and path is not excluded]
    return min(standbys, key=lambda path: (path.kind != "relay", path.rtt_s or 0.0, path.number), default=None)


def echo_paces(
    paths: Collection[Path], chosen: tuple[Path, ...], evaluation: PathEvaluation | None, peer_uses: PathKind
) -> dict[int, float]:
    """Seconds between echo requests, by number of the path, when ``chosen`` carry; a path that is not here is sent
    none."""
    paces = {path.number: _pace(path, paths, chosen, evaluation, peer_uses) for path in paths}
    return {number: pace for number, pace in paces.items() if pace is not None}


def _pace(
    path: Path,
    paths: Collection[Path],
    chosen: tuple[Path, ...],
    evaluation: PathEvaluation | None,
    peer_uses: PathKind,
) -> float | None:
    if path in chosen[:1]:
        is_alone = path.kind != peer_uses or _peer_talks_elsewhere(path, paths)
        return LONE_PACE_S if len(paths) > 1 and (is_alone or path.state is State.SUSPECT) else ECHO_EVERY_S
    if path in chosen:
        if evaluation is None:
            return ECHO_EVERY_S
        return EVALUATION_PACE_S if evaluation.talking else QUIET_EVALUATION_PACE_S
    if path.state is State.STANDBY:
        return DIRECT_STANDBY_PACE_S if path.kind == "direct" else RELAY_STANDBY_PACE_S
    return DIRECT_STANDBY_PACE_S if path.state is State.DEAD else None


def _peer_talks_elsewhere(path: Path, paths: Collection[Path]) -> bool:
    """Whether the peer's voice has come by another path since it last came by this one. The peer names the kind that
    it uses, and there may be more than one direct path."""
    last = path.measured.media_at
    others = (other.measured.media_at for other in paths if other is not path)
    return any(at is not None and (last is None or at > last + MEDIA_PACE_S) for at in others)
