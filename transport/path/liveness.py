"""When the silence of a path means something, and since when what was sent on it is missing (pure, DESIGN §7).

A path is silent when no authentic traffic of the peer comes by it though some was promised: media each 20 ms, or
echoes (:mod:`transport.path.probes`). What the peer sends by is of importance, because little is promised elsewhere.
"""

from transport.path.path import PathRecord
from transport.path.probes import PROMISE_S
from transport.path.retransmit import SENT_S
from transport.path.state import PathState
from transport.path.stats import PathKind

# DESIGN §7: 60 ms beyond what was promised is unexpected.
UNEXPECTED_S = 0.06
# While media flows: two frames are missing, the second of them by a hair. The third would show nothing more, and every
# millisecond here is heard.
MEDIA_UNEXPECTED_S = 0.042
SUSPECT_AFTER_S = PROMISE_S + UNEXPECTED_S
DEAD_AFTER_S = 1.0
# Twice the mean deviation is what a late packet may be later; more than this is no jitter but a fault.
MAX_JITTER_SLACK_S = 0.1
# Media came by the path within this time before it fell silent: then a frame was due each 20 ms.
MEDIA_PACE_S = 0.1
# Timers may fire a little early.
CLOCK_SLACK_S = 0.001


def patience_s(path: PathRecord, peer_uses: PathKind) -> float:
    """How long the path in use may be silent. Where nothing could take over, haste has no use."""
    if path.kind == "relay":
        # When the peer sends by another path only answers come by this one, and they take a round trip.
        alone = peer_uses != "relay"
        return SUSPECT_AFTER_S + (path.quality.round_trip.smoothed or 0.0 if alone else 0.0)
    quality = path.quality
    slack = min(MAX_JITTER_SLACK_S, 2 * (quality.jitter.value or 0.0))
    media_flows = (
        peer_uses == path.kind
        and quality.heard is not None
        and quality.media_at is not None
        and quality.heard - quality.media_at < MEDIA_PACE_S
    )
    return (MEDIA_UNEXPECTED_S if media_flows else SUSPECT_AFTER_S) + slack


def silent_at(path: PathRecord, peer_uses: PathKind, *, heard_ever: bool) -> float | None:
    """When the silence of a path in use means something more; None while it means nothing. ``heard_ever``: the peer
    has been heard, by whatever path."""
    silent_from = path.silent_from
    if silent_from is None or (path.quality.heard is None and not heard_ever):
        return None
    if path.state is PathState.ACTIVE:
        return silent_from + patience_s(path, peer_uses)
    return silent_from + DEAD_AFTER_S if path.state is PathState.SUSPECT else None


def is_silent(path: PathRecord, peer_uses: PathKind, now: float) -> bool:
    """Whether it has been silent for longer than it may be, whatever its state is."""
    silent_from = path.silent_from
    return silent_from is not None and now >= silent_from + patience_s(path, peer_uses) - CLOCK_SLACK_S


def lost_since(path: PathRecord, now: float) -> float:
    """Since when what was sent on a path that we find silent has perhaps not arrived."""
    heard, trip = path.quality.heard, path.quality.round_trip
    if heard is None or trip.smoothed is None:
        return now - SENT_S
    return heard - trip.smoothed - 4 * trip.variation - UNEXPECTED_S


def missing_since(path: PathRecord, carrier: PathRecord, silent_s: float, now: float) -> float:
    """The same of a path that the peer finds silent, and has said so by ``carrier``: the last that came had left before
    its trip, the silence, and the trip of the word about it. How a round trip divides is not known, so all counts."""
    trips = (path.quality.round_trip.smoothed or 0.0) + (carrier.quality.round_trip.smoothed or 0.0)
    return now - silent_s - trips - UNEXPECTED_S
