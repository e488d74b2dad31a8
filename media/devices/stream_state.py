"""What becomes of one direction of sound (pure): open, fail, vanish, try again.

A device that is missing never ends or delays a talk: the direction waits and tries again, and whoever owns it
supplies silence meanwhile.
"""

from dataclasses import dataclass
from enum import Enum

RETRY_S = 2.0
"""Between attempts: quick enough for somebody who plugs a headset in, slow enough to cost nothing."""


class Status(Enum):
    """``MISSING``: there is no such device; ``FAILED``: there is, but it cannot be used."""

    CLOSED = "closed"
    OPENING = "opening"
    RUNNING = "running"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StreamState:
    """``device`` is the name of the device in use or wanted; ``reason`` says why it is missing or failed."""

    status: Status = Status.CLOSED
    device: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Want:
    """Use this device from now on (an id of :mod:`media.devices.portaudio`), or the system's default."""

    device_id: str | None


@dataclass(frozen=True, slots=True)
class Unwant:
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
class Tick:
    """The deadline has come."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Try to open; answer with :class:`Opened` or :class:`OpenFailed`."""

    device_id: str | None


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close what is open; no answer."""


StreamEvent = Want | Unwant | Opened | OpenFailed | Vanished | Tick
StreamCommand = OpenStream | CloseStream


class StreamMachine:
    """One direction. ``handle`` and ``next_deadline`` as in every machine; ``state`` is for showing."""

    def __init__(self) -> None:
        self._state = StreamState()
        self._wanted: str | None = None
        self._retry_at: float | None = None

    @property
    def state(self) -> StreamState:
        """As it is now."""
        return self._state

    def next_deadline(self) -> float | None:
        """When to try again."""
        return self._retry_at

    def handle(self, event: StreamEvent, now: float) -> list[StreamCommand]:
        """Take one event; the commands that follow."""
        status = self._state.status
        match event:
            case Want(device_id=device_id):
                closing: list[StreamCommand] = [CloseStream()] if status is Status.RUNNING else []
                self._wanted = device_id
                return closing + self._open()
            case Unwant():
                self._retry_at = None
                self._state = StreamState()
                return [CloseStream()] if status in (Status.RUNNING, Status.OPENING) else []
            case Opened(device=device) if status is Status.OPENING:
                self._state = StreamState(Status.RUNNING, device)
            case OpenFailed(reason=reason, missing=missing) if status is Status.OPENING:
                self._wait(Status.MISSING if missing else Status.FAILED, reason, now)
            case Vanished(reason=reason) if status is Status.RUNNING:
                self._wait(Status.MISSING, reason, now)
                return [CloseStream()]
            case Tick() if self._retry_at is not None and now >= self._retry_at:
                return self._open()
        return []

    def _open(self) -> list[StreamCommand]:
        self._retry_at = None
        # While an attempt is repeated the reason for the last one still stands.
        self._state = StreamState(Status.OPENING, self._wanted or "", self._state.reason)
        return [OpenStream(self._wanted)]

    def _wait(self, status: Status, reason: str, now: float) -> None:
        self._state = StreamState(status, self._wanted or self._state.device, reason)
        self._retry_at = now + RETRY_S
