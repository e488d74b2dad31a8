"""When the silence of a path means something, and since when what was sent on it is missing (pure).

A path is silent when no authentic traffic of the peer comes by it though some is due: media every 20 ms, or echoes
(:mod:`transport.path.probes`). Which path the peer sends by matters, because little is due on the others.
"""

from transport.path.path import Path, State
from transport.path.probes import KEEPALIVE_S
from transport.path.retransmit import SENT_S
from transport.path.stats import PathKind

# 60 ms beyond what is due is unexpected.
UNEXPECTED_S = 0.06
# While media flows: two frames are missing, the second of them by a hair. The third would show nothing more, and every
# millisecond here is audible.
MEDIA_UNEXPECTED_S = 0.042
SUSPECT_AFTER_S = KEEPALIVE_S + UNEXPECTED_S
DEAD_AFTER_S = 1.0
# Twice the mean deviation is what a late packet may be later; more than this is no jitter but a fault.
MAX_JITTER_SLACK_S = 0.1
# Media came by the path within this time before it fell silent: then a frame was due every 20 ms.
MEDIA_PACE_S = 0.1
# Timers may fire a little early.
CLOCK_SLACK_S = 0.001


def timeout_s(path: Path, peer_uses: PathKind) -> float:
    """How long the path in use may be silent. Where nothing could take over, haste has no use."""
    if path.kind == "relay":
        # When the peer sends by another path only answers come by this one, and they take a round trip.
        return SUSPECT_AFTER_S + (path.rtt_s or 0.0 if peer_uses != "relay" else 0.0)
    measured = path.measured
    slack = min(MAX_JITTER_SLACK_S, 2 * (measured.jitter.value or 0.0))
    media_flows = (
        peer_uses == path.kind
        and measured.received_at is not None
        and measured.media_at is not None
        and measured.received_at - measured.media_at < MEDIA_PACE_S
    )
    return (MEDIA_UNEXPECTED_S if media_flows else SUSPECT_AFTER_S) + slack


def silent_at(path: Path, peer_uses: PathKind, *, received_ever: bool) -> float | None:
    """When the silence of a path in use means something more; None while it means nothing. ``received_ever``: traffic
    of the peer has come by any path."""
    silent_from = path.silent_from
    if silent_from is None or (path.measured.received_at is None and not received_ever):
        return None
    if path.state is State.ACTIVE:
        return silent_from + timeout_s(path, peer_uses)
    return silent_from + DEAD_AFTER_S if path.state is State.SUSPECT else None


def is_silent(path: Path, peer_uses: PathKind, now: float) -> bool:
    """Whether it has been silent for longer than it may be, whatever its state is."""
    silent_from = path.silent_from
    return silent_from is not None and now >= silent_from + timeout_s(path, peer_uses) - CLOCK_SLACK_S


def lost_since(path: Path, now: float) -> float:
    """Since when what was sent on a path that we find silent has perhaps not arrived."""
    received, trip = path.measured.received_at, path.measured.round_trip
    if received is None or trip.smoothed is None:
        return now - SENT_S
    return received - trip.smoothed - 4 * trip.variation - UNEXPECTED_S


def missing_since(path: Path, carrier: Path, silent_s: float, now: float) -> float:
    """The same of a path that the peer finds silent, and has reported by ``carrier``: the last that came had left
    before its trip, the silence, and the trip of the report. How a round trip divides is not known, so all counts."""
    return now - silent_s - (path.rtt_s or 0.0) - (carrier.rtt_s or 0.0) - UNEXPECTED_S
