"""Whether the call on the relay suffers from what is sent to find a direct path (DESIGN §5: never harm the network).

What the relay leg is like without probe rounds is the measure. A home's uplink that fills up shows first as a
round trip that grows, a full table or a policed line as loss.
"""

# A queue of two packets more on a slow uplink (1 Mbit/s) is as long; and what varies by itself is no harm.
MIN_DELAY_RISE_S = 0.02
VARIATIONS = 4.0
# Share of the last seconds' frames: of 250, eight more than before are no chance where up to 2 % are lost anyway.
LOSS_RISE = 0.03


class RelayGuard:
    """Remembers how the leg was, and notices when it is worse."""

    __slots__ = ("_loss", "_rtt_s", "_variation_s")

    def __init__(self) -> None:
        self._rtt_s: float | None = None
        self._variation_s = 0.0
        self._loss = 0.0

    def is_worse(self, rtt_s: float, variation_s: float, loss: float | None, *, is_busy: bool) -> bool:
        """A new measurement (smoothed as in RFC 6298 §2; ``loss`` a share or unknown), taken while probe rounds run
        or not; returns whether the leg has become worse since one does."""
        if not is_busy or self._rtt_s is None:
            self._rtt_s, self._variation_s, self._loss = rtt_s, variation_s, loss or 0.0
            return False
        later = rtt_s - self._rtt_s > max(MIN_DELAY_RISE_S, VARIATIONS * self._variation_s)
        return later or (loss or 0.0) - self._loss > LOSS_RISE
