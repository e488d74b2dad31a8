"""Wire formats: relay control, peer control, STUN, and telling them apart.

Every parser in this package raises :class:`WireError` and nothing else, whatever bytes it is given.
"""

from transport.wire.errors import WireError

__all__ = ["WireError"]
