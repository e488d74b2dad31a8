"""What the path manager holds of one path."""

from transport.net.sockets import Address
from transport.path.selector import Seen
from transport.path.state import AddPath, PathState
from transport.path.stats import PathKind, PathQuality, PathStats, milliseconds

IN_USE = (PathState.ACTIVE, PathState.SUSPECT)
USABLE = (*IN_USE, PathState.STANDBY)
NEVER = float("-inf")


class PathRecord:
    """State and measurements; changed by the manager alone."""

    __slots__ = (
        "active_from",
        "active_to",
        "added",
        "behind",
        "counted",
        "died",
        "failures",
        "local",
        "missed_at",
        "missed_since",
        "proven",
        "quality",
        "remote",
        "reported",
        "state",
        "told",
        "wait_until",
        "watched_from",
    )

    def __init__(self, added: AddPath) -> None:
        self.added = added
        self.remote = added.remote
        self.local: Address | None = None
        self.state = PathState.CANDIDATE
        self.quality = PathQuality()
        self.active_from: float | None = None
        self.active_to: float | None = None
        self.proven = False
        """The peer has received enough media by it."""
        self.behind: float | None = None
        """How much later than by the fastest path ours arrives there, in seconds."""
        self.failures = 0
        self.wait_until = NEVER
        self.watched_from: float | None = None
        """Silence counts from here, if the path has not been heard since."""
        self.missed_since: float | None = None
        """The peer has said that it hears nothing by it, first then, and nothing has refuted that."""
        self.missed_at = NEVER
        """When it said so last."""
        self.reported = 0
        """Frames that the peer expected, in its newest report."""
        self.told = NEVER
        self.died = 0.0
        self.counted: tuple[int, int] | None = None
        """The peer's count at the beginning of the present stretch of :data:`DOUBTFUL_FRAMES`."""

    @property
    def kind(self) -> PathKind:
        return self.added.kind

    @property
    def seen(self) -> Seen:
        return Seen(self.added.kind, self.quality.round_trip.smoothed)

    @property
    def silent_from(self) -> float | None:
        heard, watched = self.quality.heard, self.watched_from
        if heard is None or watched is None:
            return heard if watched is None else watched
        return max(heard, watched)

    def stats(self) -> PathStats:
        quality = self.quality
        return PathStats(
            kind=self.added.kind,
            via=self.added.via,
            local=self.local,
            remote=self.remote,
            state=self.state.value,
            rtt_ms=milliseconds(quality.round_trip.smoothed),
            min_rtt_ms=milliseconds(quality.round_trip.minimum),
            loss=quality.loss.share(),
            jitter_ms=milliseconds(quality.jitter.value),
            active_from=self.active_from,
            active_to=self.active_to,
            packets_sent=quality.packets_sent,
            packets_received=quality.packets_received,
            bytes_sent=quality.bytes_sent,
            bytes_received=quality.bytes_received,
        )
