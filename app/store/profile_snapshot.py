"""Who the user is and which relays are known, read while another program may have the data open."""

import time
from dataclasses import dataclass
from pathlib import Path

from app.store.database import open_for_reading
from app.store.documents import Documents, Profile
from app.store.relays import RelayCertificates
from transport.wire.addresses import RelayAddress


@dataclass(frozen=True, slots=True)
class ProfileSnapshot:
    """What was there. ``relays`` is a copy; nothing that is done with it is written."""

    profile: Profile
    relays: RelayCertificates

    def certificate_of(self, relay: RelayAddress) -> bytes | None:
        """The certificate (DER) that a relay showed earlier."""
        known = self.relays.get(relay)
        return known.certificate if known is not None else None


def read_profile(path: Path) -> ProfileSnapshot:
    """Read the data at ``path``; where there is none yet, nothing is known, and none is made.

    Raises :class:`app.store.errors.StoreError`.
    """
    documents, relays = Documents(lambda _: None), RelayCertificates(lambda _: None, time.time)
    if path.exists():
        database = open_for_reading(path)
        try:
            documents.load(database.rows(Documents.QUERY), set())
            relays.load(database.rows(RelayCertificates.QUERY), set())
        finally:
            database.close()
    return ProfileSnapshot(documents.profile, relays)
