"""Proof that somebody receives at an address, without state (RFC 8489 §9.2): a NONCE that is sent there and comes back.

Pure: the secret and the time are arguments.
"""

import hmac

# An answer takes one round trip; a client repeats a lost request for some seconds.
WINDOW_S = 30.0
# 64 bits: guessing one takes 2^63 packets within a minute.
NONCE_HEX = 16


class Nonces:
    """Makes and checks NONCEs for an IP address and port. ``secret``: 32 random bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, address: tuple[str, int], now: float) -> bytes:
        """The NONCE for an address, good for 30 to 60 s."""
        return self._of(address, int(now // WINDOW_S))

    def is_valid(self, nonce: bytes | None, address: tuple[str, int], now: float) -> bool:
        """Whether ``nonce`` was sent to this address a short while ago; compared in constant time."""
        window = int(now // WINDOW_S)
        return nonce is not None and any(
            hmac.compare_digest(nonce, self._of(address, known)) for known in (window, window - 1)
        )

    def _of(self, address: tuple[str, int], window: int) -> bytes:
        text = f"{address[0]} {address[1]} {window}"
        return hmac.digest(self._secret, text.encode(), "sha256").hex()[:NONCE_HEX].encode()
