"""What a connectivity check must prove (RFC 8445 §7, RFC 8489 §9.1): credentials of one round.

The path manager gets the keys of the round that found its path, so that it can go on asking and answering on it.
"""

from dataclasses import dataclass, field
from random import Random

from transport.wire import stun
from transport.wire.stun import IceRole, StunClass, StunMessage

# RFC 8445 §5.3 asks for 24 random bits at least: with 48 nobody off the path guesses one within a call.
UFRAG_CHARS = 8
# RFC 8445 §5.3 asks for 128 random bits at least, which are 22 characters of six bits.
PASSWORD_CHARS = 24
ICE_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name fragment and a password (RFC 8445 §5.3), made by the side that is asked with them."""

    ufrag: str
    password: str = field(repr=False)


def make_credentials(rng: Random) -> Credentials:
    """Fresh ones. ``rng`` must be a :class:`random.SystemRandom` outside simulations."""
    return Credentials(
        "".join(rng.choices(ICE_CHARS, k=UFRAG_CHARS)), "".join(rng.choices(ICE_CHARS, k=PASSWORD_CHARS))
    )


@dataclass(frozen=True, slots=True)
class CheckKeys:
    """Both sides' credentials in one round, and who controls (the caller does)."""

    local: Credentials
    remote: Credentials
    role: IceRole
    tie_breaker: int

    def request(self, transaction_id: bytes, priority: int, nomination: int | None = None) -> bytes:
        """A check to the peer. The controlling side nominates with it (aggressively: with every one)."""
        controlling = self.role is IceRole.CONTROLLING
        check = stun.Check(self.role, self.tie_breaker, priority, controlling, nomination)
        return stun.connectivity_check(
            transaction_id, f"{self.remote.ufrag}:{self.local.ufrag}", self.remote.password, check
        )

    def is_for_us(self, request: StunMessage) -> bool:
        """Whether a check names this round and comes from the other role: cheap, proves nothing, asked first."""
        return (
            request.kind is StunClass.REQUEST
            and request.username == f"{self.local.ufrag}:{self.remote.ufrag}"
            and request.role is not None
            and request.role is not self.role
        )

    def answered(self, answer: StunMessage) -> bool:
        """Whether a success is the peer's. The transaction identifier is for the asker to compare."""
        return answer.kind is StunClass.SUCCESS and answer.authentic(self.remote.password)
