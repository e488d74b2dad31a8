"""Scenarios as TOML files. A mistake in one is named with the place where it stands."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tests.natsim.kinds import STACKS
from tests.natsim.nat import NatKind
from tests.natsim.scenario import Fault, RelaySpec, Scenario, Side
from tests.natsim.wire import WireSpec

FOLDER = Path(__file__).parents[1] / "scenarios"


class ScenarioError(ValueError):
    """A scenario that cannot be built; the text says where and why."""


def load(file: Path | str) -> Scenario:
    """A scenario of a TOML file, or of one in tests/scenarios by name. Raises :class:`ScenarioError`."""
    path = file if isinstance(file, Path) else FOLDER / f"{file}.toml"
    try:
        return parse(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path.name}: {error}") from error


def names() -> list[str]:
    """All scenarios of tests/scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def parse(name: str, raw: Mapping[str, Any]) -> Scenario:
    """A scenario of plain values. Raises :class:`ScenarioError`."""
    known = dict(raw)
    sides = known.pop("sides", [])
    if not isinstance(sides, list) or len(sides) != 2:
        raise ScenarioError(f"{name}: two [[sides]], please")
    try:
        return _make(
            Scenario,
            f"{name}",
            {
                **known,
                "name": name,
                "sides": tuple(_side(f"{name}, side {number}", side) for number, side in enumerate(sides)),
                "shared": _stack(f"{name}, shared", known.get("shared", [])),
                "relay": _convert(RelaySpec, f"{name}, relay", known.get("relay", {})),
                "faults": tuple(_fault(f"{name}, fault {n}", each) for n, each in enumerate(known.get("faults", []))),
            },
        )
    except ValueError as error:
        raise error if isinstance(error, ScenarioError) else ScenarioError(f"{name}: {error}") from error


def _side(where: str, raw: Mapping[str, Any]) -> Side:
    values = dict(raw)
    wire = values.pop("wire", {})
    for way in ("up", "down"):
        values[way] = _convert(WireSpec, f"{where}, {way}", {**wire, **values.get(way, {})})
    values["nats"] = _stack(where, values.get("nats", []))
    if "ipv6" in values:
        values["ipv6"] = _kind(where, values["ipv6"])
    return _make(Side, where, values)


def _fault(where: str, raw: Mapping[str, Any]) -> Fault:
    values = dict(raw)
    if "to" in values:
        values["to"] = _kind(where, values["to"])
    return _make(Fault, where, values)


def _stack(where: str, raw: object) -> tuple[NatKind, ...]:
    if isinstance(raw, str):
        return _named(where, raw)
    if not isinstance(raw, list):
        raise ScenarioError(f"{where}: a stack is a name or a list of NATs, from the host outwards")
    return tuple(
        kind for each in raw for kind in (_named(where, each) if isinstance(each, str) else (_kind(where, each),))
    )


def _named(where: str, name: str) -> tuple[NatKind, ...]:
    if name not in STACKS:
        raise ScenarioError(f"{where}: no NAT is called “{name}”; there are {', '.join(sorted(STACKS))}")
    return STACKS[name]


def _kind(where: str, raw: object) -> NatKind:
    """A NAT by name, or one's own, maybe ``like`` a named one with some values changed."""
    if isinstance(raw, str):
        named = _named(where, raw)
        if len(named) != 1:
            raise ScenarioError(f"{where}: “{raw}” is a stack, not one NAT")
        return named[0]
    if not isinstance(raw, dict):
        raise ScenarioError(f"{where}: a NAT is a name or a table")
    values = dict(raw)
    like = values.pop("like", None)
    if like is not None:
        base = _kind(where, like)
        values = {each.name: getattr(base, each.name) for each in fields(NatKind)} | values
    return _convert(NatKind, where, values)


T = TypeVar("T")


def _make(kind: type[T], where: str, values: Mapping[str, Any]) -> T:
    unknown = set(values) - {each.name for each in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise ScenarioError(f"{where}: unknown {', '.join(sorted(unknown))}")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{where}: {error}") from error


def _convert(kind: type[T], where: str, values: Mapping[str, Any]) -> T:
    checked = _make(kind, where, values)
    try:
        return msgspec.convert(msgspec.to_builtins(checked), kind)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{where}: {error}") from error
