"""Frozen settings with some fields replaced."""

import msgspec

from app.model.settings import Settings


def changed(settings: Settings, **fields: object) -> Settings:
    """A copy of ``settings`` with ``fields`` replaced. Raises TypeError for a field that does not exist."""
    return msgspec.structs.replace(settings, **fields)
