"""The memory of networks at work: asked by a call's ladder, told of calls that have ended, shown in the settings."""

from typing import get_args

import msgspec

from app.network_memory import Ended, NetworkPair, hints, tag, tag_key
from app.protocol import MAX_KNOWN_SHOWN, KnownPair, NetworkState, PhaseName
from app.store.networks import Networks
from app.traversal_words import headline
from transport.traverse.hints import Hints

# A later version's file may name others.
_WAYS = get_args(PhaseName)


class KnownNetworks:
    """``secret`` is the identity's; ``wall_offset_s`` turns the loop's clock into Unix seconds."""

    def __init__(self, networks: Networks, secret: bytes, wall_offset_s: float) -> None:
        self._networks = networks
        self._key = tag_key(secret)
        self._wall_offset_s = wall_offset_s
        networks.forget_old()

    def recall(self, ours: str, theirs: str, now: float) -> Hints:
        """For a ladder between these outside addresses; ``now`` in the loop's clock."""
        tags = tag(self._key, ours), tag(self._key, theirs)
        if tags[0] is None or tags[1] is None:
            return Hints()
        return hints(self._networks.get(tags[0], tags[1]), now + self._wall_offset_s, self._wall_offset_s)

    def note(self, ours: str, theirs: str, call: Ended) -> None:
        """A call between these has ended so."""
        tags = tag(self._key, ours), tag(self._key, theirs)
        if tags[0] is not None and tags[1] is not None:
            self._networks.add(tags[0], tags[1], call)

    def erase(self) -> None:
        """Forget all."""
        self._networks.erase()

    def shown(self, state: NetworkState, here: str) -> NetworkState:
        """With what is remembered; ``here`` is our outside address now, "" where it is not known."""
        present = tag(self._key, here)
        pairs = self._networks.newest_first()
        shown = tuple(_shown(pair, present) for pair in pairs[:MAX_KNOWN_SHOWN])
        return msgspec.structs.replace(state, known=shown, known_in_all=len(pairs))


def _shown(pair: NetworkPair, present: bytes | None) -> KnownPair:
    return KnownPair(
        ours=headline(pair.our_kind),
        theirs=headline(pair.their_kind),
        here=pair.ours == present,
        way=pair.way if pair.way in _WAYS else None,  # type: ignore[arg-type]
        seconds=pair.seconds,
        worked=pair.worked,
        failed=pair.failed,
        at=pair.at,
    )
