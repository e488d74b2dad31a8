"""The settings and the profile: one JSON document each, read field by field so that one bad value costs only itself.

In memory; :class:`app.store.store.Store` writes through what changes.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from app.protocol import Settings
from app.store.database import Row, Statement
from app.text import one_line

_MAX_TEXT_CHARS = 400

StructT = TypeVar("StructT", bound=msgspec.Struct)


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user at their relay. Both texts are empty until a name is registered."""

    name: str = ""
    relay: str = ""
    """``host[:port][#pin]`` as it was given."""
    local_trial: bool = False
    """Whether the relay is the private one of "just try it on this machine"."""


class Documents:
    """What the user chose, and who they are."""

    QUERY = "SELECT name, json FROM documents"
    SETTINGS = "settings"
    PROFILE = "profile"

    __slots__ = ("_changed", "bad_fields", "profile", "settings")

    def __init__(self, changed: Callable[[Iterable[str]], None]) -> None:
        self._changed = changed
        self.settings = Settings()
        self.profile = Profile()
        self.bad_fields: tuple[str, ...] = ()
        """The fields that could not be used when loading, and have their default value now."""

    def change_settings(self, settings: Settings) -> None:
        """Replace the settings."""
        self.settings = msgspec.structs.replace(
            settings,
            input_device=one_line(settings.input_device, _MAX_TEXT_CHARS),
            output_device=one_line(settings.output_device, _MAX_TEXT_CHARS),
        )
        self._changed([self.SETTINGS])

    def change_profile(self, profile: Profile) -> None:
        """Replace the profile."""
        self.profile = msgspec.structs.replace(
            profile, name=one_line(profile.name, _MAX_TEXT_CHARS), relay=one_line(profile.relay, _MAX_TEXT_CHARS)
        )
        self._changed([self.PROFILE])

    def all_keys(self) -> list[str]:
        """The names of the documents."""
        return [self.SETTINGS, self.PROFILE]

    def load(self, rows: Iterable[Row], newer: set[str]) -> int:
        """Take over what is stored, except where memory is ``newer``; see :attr:`bad_fields`. Returns 0."""
        bad: list[str] = []
        for name, document in rows:
            if name in newer or not isinstance(document, bytes):
                continue
            if name == self.SETTINGS:
                self.settings, wrong = salvage(document, Settings)
                bad += wrong
            elif name == self.PROFILE:
                self.profile, wrong = salvage(document, Profile)
                bad += wrong
        self.bad_fields = tuple(bad)
        return 0

    def statement(self, key: str) -> Statement:
        """What makes the stored row equal to what is in memory."""
        value = self.settings if key == self.SETTINGS else self.profile
        return "INSERT OR REPLACE INTO documents VALUES (?, ?)", (key, msgspec.json.encode(value))


def salvage(document: bytes, kind: type[StructT]) -> tuple[StructT, list[str]]:
    """Decode what can be decoded; the rest, which is named, has its default. Never raises for any bytes."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return kind(), ["all"]
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, object] = {}
    bad = [one_line(str(name), 40) for name in found if name not in known]
    for name, field in known.items():
        if name not in found:
            continue
        try:
            values[name] = msgspec.convert(found[name], field.type)
        except (msgspec.ValidationError, RecursionError):
            bad.append(name)
    return kind(**values), bad
