"""Which microphones and speakers there are: values, whatever library found them (pure)."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Device:
    """``id`` joins host API and name, which survive a restart; PortAudio's ``index`` does not."""

    id: str
    name: str
    host_api: str
    index: int
    channels: int
    rate_hz: int
    is_default: bool


@dataclass(frozen=True, slots=True)
class DeviceList:
    """``problem`` says why there are none at all, where that is known."""

    inputs: tuple[Device, ...] = ()
    outputs: tuple[Device, ...] = ()
    problem: str = ""

    @property
    def ids(self) -> frozenset[str]:
        """Ids of inputs and outputs together."""
        return frozenset(device.id for device in self.inputs + self.outputs)

    def find(self, direction: Direction, device_id: str | None) -> Device | None:
        """The device with this id, or the default one, or the first where no default is set."""
        devices = self.inputs if direction == "input" else self.outputs
        if device_id is not None:
            return next((device for device in devices if device.id == device_id), None)
        return next((device for device in devices if device.is_default), devices[0] if devices else None)
