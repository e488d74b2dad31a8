"""What is remembered from one start to the next: people and keys, recent calls, relays, networks, settings, profile."""

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
