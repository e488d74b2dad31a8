"""What pages need to command the engine."""

from collections.abc import Callable

import msgspec

from app.ipc.messages import WindowMessage
from app.model.settings import Settings


def changed(settings: Settings, **fields: object) -> Settings:
    """A copy of ``settings`` with ``fields`` replaced. Raises TypeError for a field that does not exist."""
    return msgspec.structs.replace(settings, **fields)


# Long enough to be seen, short enough to be gone at the next look.
COPIED_SHOWN_MS = 1_500


Send = Callable[[WindowMessage], None]
