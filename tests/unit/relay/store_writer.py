"""A process that registers names as fast as it can and prints each one that was acknowledged. It is to be killed."""

import sys
import threading
from pathlib import Path

from relay.events import NameStored, StoreName
from relay.store import NameStore, StoreThread


def main() -> None:
    room = threading.Semaphore(64)

    def report(stored: NameStored) -> None:
        assert not stored.problem
        sys.stdout.write(f"{stored.ticket}\n")
        sys.stdout.flush()
        room.release()

    store = StoreThread(NameStore(Path(sys.argv[1])), report)
    ticket = 0
    while True:
        ticket += 1
        room.acquire()
        store.put(StoreName(ticket, f"name-{ticket}", ticket.to_bytes(32, "big"), b"certificate"))


if __name__ == "__main__":
    main()
