"""A report or a trace that can be shown to strangers: the same story, without who and where (pure).

Addresses, names, hosts, keys and the call's id become pseudonyms that are the same wherever the same thing stood
within one document, and mean nothing in another. Ports stay (a NAT cannot be understood without them), and so does
whether an address was a public one.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable

import msgspec

from app.report.report import CallReport, NatReport, Nats
from app.report.trace import CallTrace, Event, NatKnown, PathBecame, PhaseBecame

_PERSON = re.compile(r"(?<![\w.@-])([\w.-]+)@(\[[0-9A-Fa-f:.%]+\]|[\w.-]*\w)(:\d+)?(#[0-9A-Fa-f]+)?")
# Whatever looks like one: to hide a version number of four parts costs less than to show an address in disguise.
_IPV4_LIKE = re.compile(r"\d+(?:\.\d+){3}")
# Candidates only, in which the longest parts that are addresses are looked for: what stands around an IPv6 address
# (a colon, a dot, hexadecimal letters of a word) can look like a piece of it.
_IPV6_LIKE = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_MAX_IPV6_CHARS = 45
# Keys, fingerprints, pins and call ids; a pin has at least 20 digits.
_HEX = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{20,}(?![0-9A-Fa-f])")
# Two letters could be part of anything.
_MIN_NAME_CHARS = 3


class _Pseudonyms:
    """The names that one document has for what it must not show."""

    __slots__ = ("_known", "_names")

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._names: dict[str, str] = {}
        for name in names:
            self.learn(name, "name")

    def learn(self, name: str, kind: str) -> None:
        """A word that shall not appear in any text from now on."""
        if len(name) >= _MIN_NAME_CHARS:
            self._names.setdefault(name.casefold(), self.of(kind, name.casefold()))

    def of(self, kind: str, original: str) -> str:
        """``kind-1``, ``kind-2`` …, the same for the same thing."""
        key = (kind, original)
        if key not in self._known:
            self._known[key] = f"{kind}-{1 + sum(known == kind for known, _ in self._known)}"
        return self._known[key]

    def host(self, text: str) -> str:
        """An IP address or host name."""
        bare = text.strip("[]").partition("%")[0]
        if not _is_address(bare):
            return self.of("host", text.casefold())
        address = ipaddress.ip_address(bare)
        return self.of("public" if address.is_global else "private", address.compressed)

    def text(self, text: str) -> str:
        """Any text, with all that can be recognised replaced."""
        for pattern, change in self._patterns():
            text = pattern.sub(change, text)
        for name in sorted(self._names, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", self._names[name], text, flags=re.IGNORECASE)
        return text

    def _patterns(self) -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]:
        return (
            (_PERSON, self._person),
            (_HEX, lambda match: self.of("key", match[0].casefold())),
            (_IPV6_LIKE, self._ipv6_within),
            (_IPV4_LIKE, lambda match: self.host(match[0])),
        )

    def _person(self, match: re.Match[str]) -> str:
        name, host, port, _ = match.groups()
        return f"{self.of('person', name.casefold())}@{self.host(host)}{port or ''}"

    def _ipv6_within(self, match: re.Match[str]) -> str:
        rest, done = match[0], ""
        while rest:
            for length in range(min(len(rest), _MAX_IPV6_CHARS), 1, -1):
                if ":" in rest[:length] and _is_address(rest[:length]):
                    done += self.host(rest[:length])
                    rest = rest[length:]
                    break
            else:
                done += rest[0]
                rest = rest[1:]
        return done


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def redacted(report: CallReport, names: Iterable[str] = ()) -> CallReport:
    """``report`` without addresses, names and keys. ``names``: more words to hide (own name, aliases, host names)."""
    return _report(report, _Pseudonyms(names))


def redacted_trace(trace: CallTrace, names: Iterable[str] = ()) -> CallTrace:
    """The same for a trace: one pseudonym for one thing in all of it."""
    known = _Pseudonyms(names)
    report = _report(trace.report, known)
    events = tuple(_event(event, known) for event in trace.events)
    return msgspec.structs.replace(trace, has_addresses=False, report=report, events=events)


def _event(event: Event, known: _Pseudonyms) -> Event:
    """Three kinds of event hold text that is not one of a few words of our own."""
    match event:
        case PathBecame(remote=remote):
            return msgspec.structs.replace(event, remote=known.text(remote))
        case NatKnown(nat=nat):
            return msgspec.structs.replace(event, nat=_nat(nat, known))
        case PhaseBecame(reason=reason):
            return msgspec.structs.replace(event, reason=known.text(reason))
    return event


def _report(report: CallReport, known: _Pseudonyms) -> CallReport:
    person = _PERSON.fullmatch(report.peer)
    peer = known.text(report.peer) if person else known.of("person", report.peer.casefold())
    if person is not None:
        known.learn(person[1], "person")
        known.learn(person[2], "host")
    return msgspec.structs.replace(
        report,
        call_id=known.of("call", report.call_id),
        peer=peer,
        reason=known.text(report.reason),
        nat=Nats(_nat(report.nat.local, known), _nat(report.nat.remote, known)),
        phases=tuple(msgspec.structs.replace(phase, reason=known.text(phase.reason)) for phase in report.phases),
        paths=tuple(
            msgspec.structs.replace(path, local=known.text(path.local), remote=known.text(path.remote))
            for path in report.paths
        ),
    )


def _nat(profile: NatReport | None, known: _Pseudonyms) -> NatReport | None:
    if profile is None:
        return None
    return msgspec.structs.replace(
        profile,
        address=known.text(profile.address),
        evidence=tuple(known.text(line) for line in profile.evidence),
        unknowns=tuple(known.text(line) for line in profile.unknowns),
    )
