"""People and relays as text: ``name@host[:port][#pin]`` and ``host[:port][#pin]``."""

import ipaddress
import re
from dataclasses import dataclass

from transport.wire.errors import AddressError

# Not assigned to any service by IANA; one port below is never privileged and above is the media port by default.
DEFAULT_PORT = 7850
MAX_NAME_CHARS = 32
# \\Z and not $, which also matches before a line end: "bob\\n" would be another name that looks like "bob".
NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?\Z"
# Shown for callers who have no name anywhere, followed by the beginning of their key; nobody can register such a name.
GUEST_PREFIX = "guest-"
# 80 bits: finding another certificate with the same prefix is out of reach; shorter ones are not accepted.
MIN_PIN_HEX = 20
# What Segue prints: 128 bits, still short enough to read out.
PIN_HEX = 32

_NAME = re.compile(NAME_PATTERN)
_PIN = re.compile(rf"^[0-9a-f]{{{MIN_PIN_HEX},64}}\Z")
_HOST = re.compile(r"^(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9](?:[a-z0-9-]{0,62}))*\.?\Z")


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Where a relay listens (``host``: DNS name or IP, ``port``: UDP) and the pin of its certificate.

    ``pin`` is a prefix of the lower-case hex SHA-256 of the certificate's DER form, or ``""`` when the
    certificate is to be checked against the public certificate authorities.
    """

    host: str
    port: int = DEFAULT_PORT
    pin: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f"#{self.pin}" if self.pin else "")

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port without the pin: what makes two addresses the same relay."""
        return self.host, self.port


@dataclass(frozen=True, slots=True)
class PersonAddress:
    """A person: a name on a relay."""

    name: str
    relay: RelayAddress

    def __str__(self) -> str:
        return f"{self.name}@{self.relay}"

    @property
    def short(self) -> str:
        """The address without its pin, for people to read."""
        return str(PersonAddress(self.name, RelayAddress(self.relay.host, self.relay.port)))


def is_name(text: str) -> bool:
    """Whether ``text`` is a name exactly as it is."""
    return _NAME.match(text) is not None


def parse_name(text: str) -> str:
    """A person's name on a relay, in lower case. Raises :class:`AddressError` with the rule it breaks."""
    name = text.strip().lower()
    if not is_name(name):
        raise AddressError(
            f"“{text.strip()[:40]}” is not a name: 1 to {MAX_NAME_CHARS} letters a–z, digits, dots, dashes or "
            "underscores, with a letter or digit first and last",
            "address-name",
            text.strip()[:40],
        )
    return name


def parse_relay(text: str) -> RelayAddress:
    """Parse ``host[:port][#pin]``; an IPv6 host stands in brackets. Raises :class:`AddressError`."""
    body, _, pin = text.strip().partition("#")
    pin = pin.lower()
    if "#" in text and not _PIN.match(pin):
        raise AddressError(
            f"the part after # is the relay's pin: {MIN_PIN_HEX} to 64 hexadecimal digits", "address-pin"
        )
    if body.startswith("["):
        host, bracket, rest = body[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise AddressError("an IPv6 address stands in brackets, like [2001:db8::1]:7850", "address-brackets")
        port_text = rest[1:] if rest else None
        try:
            host = ipaddress.IPv6Address(host).compressed
        except ValueError as error:
            raise AddressError(f"“{host[:60]}” is not an IPv6 address", "address-ipv6", host[:60]) from error
    else:
        host, colon, port_text_raw = body.partition(":")
        port_text = port_text_raw if colon else None
        host = host.lower()
        if not _HOST.match(host):
            raise AddressError(f"“{host[:60]}” is not a host name or IP address", "address-host", host[:60])
    port = DEFAULT_PORT
    if port_text is not None:
        if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 0 < int(port_text) < 65536):
            raise AddressError(f"“{port_text[:20]}” is not a port: 1 to 65535", "address-port", port_text[:20])
        port = int(port_text)
    return RelayAddress(host, port, pin)


def parse_person(text: str) -> PersonAddress:
    """Parse ``name@host[:port][#pin]``. Raises :class:`AddressError` with what is wrong."""
    name, at, relay = text.strip().partition("@")
    if not at:
        raise AddressError("an address looks like name@relay.example, and this one has no @", "address-no-at")
    return PersonAddress(parse_name(name), parse_relay(relay))
