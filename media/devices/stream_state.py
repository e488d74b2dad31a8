"""Audio stream: one direction of sound, from opening its device to trying again when it is missing (pure).

A missing device never ends or delays a call: the direction waits and tries again, and whoever owns it supplies silence
meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

RETRY_S = 2.0
"""Between attempts: quick enough for somebody who plugs a headset in, slow enough to cost nothing."""


class State(Enum):
    """``MISSING``: there is no such device; ``FAILED``: there is, but it cannot be used."""

    CLOSED = "closed"
    OPENING = "opening"
    RUNNING = "running"
    MISSING = "missing"
    FAILED = "failed"


class Trigger(Enum):
    """What moves a stream from one state to the next."""

    WANTED = "a device is wanted"
    RELEASED = "no device is wanted"
    OPENED = "the device runs"
    NOT_FOUND = "there is no such device"
    REFUSED = "the device cannot be used"
    VANISHED = "the device has gone"
    RETRY_DUE = "the time to try again has come"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.CLOSED, Trigger.WANTED): State.OPENING,
    (State.OPENING, Trigger.WANTED): State.OPENING,
    (State.OPENING, Trigger.OPENED): State.RUNNING,
    (State.OPENING, Trigger.NOT_FOUND): State.MISSING,
    (State.OPENING, Trigger.REFUSED): State.FAILED,
    (State.OPENING, Trigger.RELEASED): State.CLOSED,
    (State.RUNNING, Trigger.WANTED): State.OPENING,
    (State.RUNNING, Trigger.VANISHED): State.MISSING,
    (State.RUNNING, Trigger.RELEASED): State.CLOSED,
    (State.MISSING, Trigger.WANTED): State.OPENING,
    (State.MISSING, Trigger.RETRY_DUE): State.OPENING,
    (State.MISSING, Trigger.RELEASED): State.CLOSED,
    (State.FAILED, Trigger.WANTED): State.OPENING,
    (State.FAILED, Trigger.RETRY_DUE): State.OPENING,
    (State.FAILED, Trigger.RELEASED): State.CLOSED,
}


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """``device`` is the name of the device in use or wanted; ``reason`` says why it is missing or failed."""

    state: State = State.CLOSED
    device: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Want:
    """Use this device from now on (an id of :mod:`media.devices.device_list`), or the system's default."""

    device_id: str | None


@dataclass(frozen=True, slots=True)
class Release:
    """Use none."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The attempt succeeded."""

    device: str


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """The attempt failed; ``missing`` when there is no such device."""

    reason: str
    missing: bool


@dataclass(frozen=True, slots=True)
class Vanished:
    """A running stream died."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The deadline has passed."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Try to open; answer with :class:`Opened` or :class:`OpenFailed`."""

    device_id: str | None


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close what is open; no answer."""


StreamEvent = Want | Release | Opened | OpenFailed | Vanished | RetryDue
StreamCommand = OpenStream | CloseStream


class StreamMachine:
    """One direction. ``handle`` and ``next_deadline`` as in every machine; ``status`` is for showing."""

    def __init__(self) -> None:
        self._status = StreamStatus()
        self._wanted: str | None = None
        self._retry_at: float | None = None

    @property
    def status(self) -> StreamStatus:
        """As it is now."""
        return self._status

    def next_deadline(self) -> float | None:
        """When to try again."""
        return self._retry_at

    def handle(self, event: StreamEvent, now: float) -> list[StreamCommand]:
        """Take one event; the commands that follow."""
        before = self._status.state
        match event:
            case Want(device_id=device_id):
                self._wanted = device_id
                # While an attempt is repeated the reason for the last one still stands.
                if self._move(Trigger.WANTED, device_id or "", self._status.reason):
                    closing: list[StreamCommand] = [CloseStream()] if before is State.RUNNING else []
                    return [*closing, self._open()]
            case RetryDue() if self._retry_at is not None and now >= self._retry_at:
                if self._move(Trigger.RETRY_DUE, self._wanted or "", self._status.reason):
                    return [self._open()]
            case Release():
                self._retry_at = None
                if self._move(Trigger.RELEASED) and before in (State.RUNNING, State.OPENING):
                    return [CloseStream()]
            case Opened(device=device):
                self._move(Trigger.OPENED, device)
            case OpenFailed(reason=reason, missing=missing):
                trigger = Trigger.NOT_FOUND if missing else Trigger.REFUSED
                if self._move(trigger, self._wanted or self._status.device, reason):
                    self._retry_at = now + RETRY_S
            case Vanished(reason=reason):
                if self._move(Trigger.VANISHED, self._wanted or self._status.device, reason):
                    self._retry_at = now + RETRY_S
                    return [CloseStream()]
        return []

    def _move(self, trigger: Trigger, device: str = "", reason: str = "") -> bool:
        state = TRANSITIONS.get((self._status.state, trigger))
        if state is None:
            return False
        self._status = StreamStatus(state, device, reason)
        return True

    def _open(self) -> OpenStream:
        self._retry_at = None
        return OpenStream(self._wanted)
