"""Lists of devices: ids that last, defaults, and machines that have none."""

import pytest

from media.devices import portaudio
from media.devices.portaudio import NO_LIBRARY, Device, DeviceList, PortAudio


class PortAudioError(Exception):
    pass


class FakeSounddevice:
    """What sounddevice says on a machine."""

    PortAudioError = PortAudioError

    def __init__(self, apis: list[dict[str, object]], found: list[dict[str, object]]) -> None:
        self._apis, self._found = apis, found

    def query_hostapis(self) -> list[dict[str, object]]:
        return self._apis

    def query_devices(self) -> list[dict[str, object]]:
        if not self._found:
            raise PortAudioError("Error querying device -1")
        return self._found


def info(name: str, api: int, inputs: int, outputs: int) -> dict[str, object]:
    return {
        "name": name,
        "hostapi": api,
        "max_input_channels": inputs,
        "max_output_channels": outputs,
        "default_samplerate": 44_100.0,
    }


def api(name: str, numbers: list[int], default_input: int, default_output: int) -> dict[str, object]:
    return {
        "name": name,
        "devices": numbers,
        "default_input_device": default_input,
        "default_output_device": default_output,
    }


def scan(monkeypatch: pytest.MonkeyPatch, module: object) -> DeviceList:
    def load(name: str) -> object:
        assert name == "sounddevice"
        if isinstance(module, Exception):
            raise module
        return module

    monkeypatch.setattr(portaudio, "import_module", load)
    return PortAudio().scan(streams_running=True)


def test_ids_are_host_api_and_name_and_twins_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [info("USB headset", 0, 1, 2), info("USB headset", 0, 1, 2), info("Line", 0, 0, 2)]
    listed = scan(monkeypatch, FakeSounddevice([api("ALSA", [0, 1, 2], 1, 2)], found))
    assert [device.id for device in listed.inputs] == ["ALSA: USB headset", "ALSA: USB headset #2"]
    assert [device.id for device in listed.outputs] == ["ALSA: USB headset", "ALSA: USB headset #2", "ALSA: Line"]
    assert [device.is_default for device in listed.inputs] == [False, True]
    assert listed.outputs[2] == Device("ALSA: Line", "Line", "ALSA", 2, 2, 44_100, True)
    assert listed.problem == ""


def test_on_windows_the_default_is_that_of_wasapi(monkeypatch: pytest.MonkeyPatch) -> None:
    apis = [api("MME", [0], 0, -1), api("Windows WASAPI", [1], 1, -1)]
    listed = scan(monkeypatch, FakeSounddevice(apis, [info("Mic", 0, 1, 0), info("Mic", 1, 1, 0)]))
    default = listed.find("input", None)
    assert default is not None and default.id == "Windows WASAPI: Mic"


def test_no_device_no_library_and_an_error_are_states(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "querying" in scan(monkeypatch, FakeSounddevice([], [])).problem
    assert scan(monkeypatch, OSError("PortAudio library not found")) == DeviceList(problem=NO_LIBRARY)
    assert "host error" in scan(monkeypatch, PortAudioError("host error")).problem
    empty = DeviceList()
    assert empty.find("input", None) is empty.find("output", "ALSA: x") is None


def test_without_a_default_the_first_is_taken() -> None:
    only = Device("ALSA: a", "a", "ALSA", 0, 1, 48_000, False)
    assert DeviceList((only,), ()).find("input", None) is only
    assert DeviceList((only,), ()).find("input", "ALSA: b") is None
    assert DeviceList((only,), (only,)).ids == {"ALSA: a"}


def test_this_machine_answers_and_never_raises() -> None:
    listed = PortAudio().scan(streams_running=False)
    assert listed.problem or listed.inputs or listed.outputs
