"""A session of a client, and what it gets when something is refused."""

from collections import Counter
from dataclasses import dataclass, field

from relay.events import SendMessage, SessionId, Source
from transport.identity.errors import IdentityError
from transport.identity.keys import certificate_key
from transport.net.token_bucket import TokenBucket
from transport.wire.relay_messages import DirectoryEntry, RefusalCode, Refused


@dataclass(slots=True)
class Session:
    """One client. Small: an idle relay holds thousands."""

    number: SessionId
    source: Source
    subject: str
    nonce: bytes | None
    bucket: TokenBucket
    key: bytes = b""
    name: str = ""
    home: str = ""
    certificate: bytes = b""
    # What the registration statement is bound to; the challenge itself serves once.
    opened_with: bytes = field(default=b"", repr=False)

    @property
    def is_authenticated(self) -> bool:
        return bool(self.key)

    def person(self) -> DirectoryEntry:
        """This person as the directory shows them."""
        return DirectoryEntry(self.name, self.home, self.key, self.certificate)


@dataclass(slots=True)
class Refusals:
    """Makes refusals, and counts them by code."""

    counts: Counter[str] = field(default_factory=Counter)

    def make(
        self, session: SessionId, request: int, code: RefusalCode, text: str, retry_after_s: float = 0.0
    ) -> SendMessage:
        """A refusal for ``session``; ``request`` is 0 when it answers none."""
        self.counts[code] += 1
        return SendMessage(session, Refused(request, code, text[:300], min(86_400.0, retry_after_s)))


def carries_key(certificate: bytes, key: bytes) -> bool:
    """Whether a certificate (DER) is for ``key``."""
    try:
        return certificate_key(certificate) == key
    except IdentityError:
        return False
