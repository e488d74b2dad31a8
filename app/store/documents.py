"""The settings and the profile: one JSON document each, read field by field so that one bad value costs only itself.

In memory; :class:`app.store.store.Store` writes through what changes.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import msgspec

from app.model.sanitize import one_line
from app.model.settings import Settings
from app.store.database import Row, Statement
from transport.portmap.pcp import NONCE_BYTES

_MAX_TEXT_CHARS = 400

StructT = TypeVar("StructT", bound=msgspec.Struct)


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user at their relay. Both texts are empty until a name is registered."""

    name: str = ""
    relay: str = ""
    """``host[:port][#pin]`` as it was given."""
    local_trial: bool = False
    """Whether the relay is the private one of "just try it on this machine"."""


class OwnPort(msgspec.Struct, frozen=True, omit_defaults=True):
    """The UDP port that routers map for us, so that a mapping is found again after a crash. ``nonce`` is what makes it
    ours (RFC 6887 §11.2)."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    nonce: Annotated[bytes, msgspec.Meta(max_length=12)] = b""
    external_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    protocol: Annotated[str, msgspec.Meta(max_length=20)] = ""
    gateway: Annotated[str, msgspec.Meta(max_length=60)] = ""

    def __repr__(self) -> str:
        return f"OwnPort({self.port}, {self.protocol})"


class Documents:
    """What the user chose, who they are, and which port is theirs."""

    QUERY = "SELECT name, json FROM documents"
    SETTINGS = "settings"
    PROFILE = "profile"
    OWN_PORT = "own-port"

    def __init__(self, changed: Callable[[Iterable[str]], None]) -> None:
        self._changed = changed
        self.settings = Settings()
        self.profile = Profile()
        self.own_port = OwnPort()
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

    def change_own_port(self, own_port: OwnPort) -> None:
        """Remember another port."""
        self.own_port = own_port
        self._changed([self.OWN_PORT])

    def all_keys(self) -> list[str]:
        """The names of the documents."""
        return [self.SETTINGS, self.PROFILE, self.OWN_PORT]

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
            elif name == self.OWN_PORT:
                # Nobody needs to know: another port is as good.
                found, wrong = salvage(document, OwnPort)
                self.own_port = OwnPort() if wrong or len(found.nonce) != NONCE_BYTES else found
        self.bad_fields = tuple(bad)
        return 0

    def statement(self, key: str) -> Statement:
        """What makes the stored row equal to what is in memory."""
        values = {self.SETTINGS: self.settings, self.PROFILE: self.profile, self.OWN_PORT: self.own_port}
        return "INSERT OR REPLACE INTO documents VALUES (?, ?)", (key, msgspec.json.encode(values[key]))


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
