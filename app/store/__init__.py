"""What is remembered from one start to the next: people and keys, recent calls, relays, networks, settings, profile.

:class:`~app.store.store.Store` opens one SQLite file (:mod:`~app.store.database`, :mod:`~app.store.schema`), loads all
of it into memory and writes changes through. Its collections are plain objects with methods in the words of their
subject: :mod:`~app.store.people`, :mod:`~app.store.calls`, :mod:`~app.store.relays`, :mod:`~app.store.networks` and
:mod:`~app.store.documents` (settings, profile, own port). Each says which keys have changed, and makes the statement
for a key; the store writes these in one transaction.

A disk that is full, read-only or damaged stops nothing: the store keeps going from memory, has a typed
``trouble`` (:mod:`~app.store.errors`), and findings for the person.
:mod:`~app.store.profile_snapshot` reads beside a running engine.
"""

from app.store.documents import Profile
from app.store.errors import ListFull, StoreBusy, StoreDamaged, StoreError, StoreFull, StoreReadOnly
from app.store.people import KnownPerson
from app.store.relays import KnownRelay
from app.store.store import Store

__all__ = [
    "KnownPerson",
    "KnownRelay",
    "ListFull",
    "Profile",
    "Store",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
]
