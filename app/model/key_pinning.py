"""Trust on first use: which key is believed to be whose, and what happens when another one appears.

The first key that a person *proves* is pinned. The same key is the same person. Another key is never taken over in
silence: it is kept beside the pinned one until the user decides (DESIGN D9). Certificates follow their key: a new
certificate of the pinned key is the same person.

Give :func:`meet` only keys that were proven to belong to the address: by the end-to-end handshake, or by a relay
that was reached at its pinned certificate. What a stranger merely says about themselves pins nothing.
"""

import hmac
from dataclasses import dataclass, replace
from enum import Enum

from app.model.terms import KeyTrust


class Trust(Enum):
    """What an offered key is, seen from what is pinned."""

    FIRST_USE = "first-use"
    SAME = "same"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Pin:
    """What is known of one person's key. Keys are raw Ed25519 (32 bytes), certificates DER; empty: none."""

    key: bytes = b""
    certificate: bytes = b""
    verified: bool = False
    """The two people have compared the safety number of ``key``."""
    offered_key: bytes = b""
    """Another key that appeared under the same address; stays here until the user decides."""
    offered_certificate: bytes = b""

    @property
    def trust(self) -> KeyTrust:
        """The state in the words of the protocol."""
        if not self.key:
            return "unknown"
        if self.offered_key:
            return "changed"
        return "verified" if self.verified else "first-use"


def same_key(one: bytes, other: bytes) -> bool:
    """Whether both are the same key, in constant time; no key is the same as none."""
    return bool(one) and hmac.compare_digest(one, other)


def decide(pinned: bytes, offered: bytes) -> Trust:
    """Compare an offered key with the pinned one (empty: none yet)."""
    if not pinned:
        return Trust.FIRST_USE
    return Trust.SAME if same_key(pinned, offered) else Trust.CHANGED


def meet(pin: Pin, key: bytes, certificate: bytes) -> tuple[Trust, Pin]:
    """Somebody proved ``key`` under this address: the verdict, and what is to be remembered.

    When the pinned key is proven again the other offer falls: whoever made it is not who answers now, and nobody
    shall accept it later by a leftover button.
    """
    verdict = decide(pin.key, key)
    if verdict is Trust.CHANGED:
        return verdict, replace(pin, offered_key=key, offered_certificate=certificate)
    if verdict is Trust.FIRST_USE:
        return verdict, Pin(key, certificate)
    return verdict, replace(pin, certificate=certificate, offered_key=b"", offered_certificate=b"")


def accept_changed_key(pin: Pin) -> Pin:
    """The user takes the offered key as theirs; it has yet to be verified. Without an offer nothing changes."""
    if not pin.offered_key:
        return pin
    return Pin(pin.offered_key, pin.offered_certificate)


def mark_verified(pin: Pin) -> Pin:
    """The safety numbers were compared. They were those of the pinned key, so not while another one is offered."""
    if not pin.key or pin.offered_key:
        return pin
    return replace(pin, verified=True)
