"""When both sides start (DESIGN D5, as in libp2p's DCUtR): by the round-trip time between them, without clocks."""

from transport.wire.call_messages import Connect, ConnectAck, Sync

SyncMessage = Connect | ConnectAck | Sync


class Synchroniser:
    """One round. The leading side sends Connect, gets ConnectAck and so knows the round-trip time; when both sides
    have sent their candidates it sends Sync and starts half a round trip later, while the other starts on Sync."""

    __slots__ = ("_answered", "_asked_at", "_leads", "_ready", "_round", "rtt_s", "starts_at")

    def __init__(self, number: int, *, leads: bool) -> None:
        self._round = number
        self._leads = leads
        self._asked_at: float | None = None
        self._answered = False
        self._ready = False
        self.rtt_s: float | None = None
        """Over the relay, there and back; known to the leading side."""
        self.starts_at: float | None = None

    def begin(self, now: float) -> list[SyncMessage]:
        """The round begins."""
        if not self._leads or self._asked_at is not None:
            return []
        self._asked_at = now
        return [Connect(self._round)]

    def received(self, message: SyncMessage, now: float) -> list[SyncMessage]:
        """The peer sent this. What belongs to another round, or comes unasked, does nothing."""
        if message.round != self._round:
            return []
        match message:
            case Connect():
                if not self._leads and not self._answered:
                    self._answered = True
                    return [ConnectAck(self._round)]
            case ConnectAck():
                if self._leads and self._asked_at is not None and self.rtt_s is None:
                    self.rtt_s = max(0.0, now - self._asked_at)
                    return self._sync(now)
            case Sync():
                if not self._leads and self.starts_at is None:
                    self.starts_at = now
        return []

    def ready(self, now: float) -> list[SyncMessage]:
        """Both sides' candidates are known here, and ours were sent before this."""
        self._ready = True
        return self._sync(now)

    def _sync(self, now: float) -> list[SyncMessage]:
        if not self._leads or not self._ready or self.rtt_s is None or self.starts_at is not None:
            return []
        self.starts_at = now + self.rtt_s / 2
        return [Sync(self._round)]
