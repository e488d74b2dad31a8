"""What earlier calls between two networks have found: hints for the next call, and a list for the settings."""

from typing import get_args

from app.ipc.engine_state import MAX_KNOWN_SHOWN, KnownPair
from app.model.network_history import NetworkOutcome, NetworkPair, hints, tag, tag_key
from app.model.terms import PhaseName
from app.store.networks import Networks
from transport.nat.profile import NatProfile
from transport.traversal.context import Hints

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
        """For a traversal between these outside addresses; ``now`` in the loop's clock."""
        tags = tag(self._key, ours), tag(self._key, theirs)
        if tags[0] is None or tags[1] is None:
            return Hints()
        return hints(self._networks.get(tags[0], tags[1]), now + self._wall_offset_s, self._wall_offset_s)

    def note(self, ours: str, theirs: str, call: NetworkOutcome) -> None:
        """A call between these has ended so."""
        tags = tag(self._key, ours), tag(self._key, theirs)
        if tags[0] is not None and tags[1] is not None:
            self._networks.add(tags[0], tags[1], call)

    def erase(self) -> None:
        """Forget all."""
        self._networks.erase()

    def shown(self, nat: NatProfile | None) -> tuple[tuple[KnownPair, ...], int]:
        """The newest pairs for the settings, and how many there are in all. ``nat``: of the network we are in."""
        here = None if nat is None or nat.reflexive is None else tag(self._key, nat.reflexive[0])
        pairs = self._networks.newest_first()
        return tuple(_shown(pair, here) for pair in pairs[:MAX_KNOWN_SHOWN]), len(pairs)


def _shown(pair: NetworkPair, present: bytes | None) -> KnownPair:
    return KnownPair(
        ours=pair.our_kind.value,
        theirs=pair.their_kind.value,
        here=pair.ours == present,
        way=pair.way if pair.way in _WAYS else None,  # type: ignore[arg-type]
        seconds=pair.seconds,
        worked=pair.worked,
        failed=pair.failed,
        at=pair.at,
    )
