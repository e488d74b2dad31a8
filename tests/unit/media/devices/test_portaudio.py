"""Lists of devices: ids that last, defaults, and machines that have none."""

import sys
from pathlib import Path

import pytest

from media.devices.device_list import Device, DeviceList
from media.devices.hardware import NOT_INSTALLED, load_portaudio


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


def scan(monkeypatch: pytest.MonkeyPatch, sounddevice: object) -> DeviceList:
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
    return scan_as_it_is(monkeypatch)


def scan_without(monkeypatch: pytest.MonkeyPatch, folder: Path, error: str) -> DeviceList:
    """On a machine where importing sounddevice raises ``error``."""
    (folder / "sounddevice.py").write_text(f"class PortAudioError(Exception): pass\nraise {error}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    return scan_as_it_is(monkeypatch)


def scan_as_it_is(monkeypatch: pytest.MonkeyPatch) -> DeviceList:
    monkeypatch.delitem(sys.modules, "media.devices.portaudio", raising=False)
    library = load_portaudio()
    monkeypatch.delitem(sys.modules, "media.devices.portaudio", raising=False)
    return DeviceList(problem=library) if isinstance(library, str) else library.scan(streams_running=True)


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


def test_no_device_no_library_and_an_error_are_states(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "querying" in scan(monkeypatch, FakeSounddevice([], [])).problem
    missing = scan_without(monkeypatch, tmp_path, "OSError('PortAudio library not found')")
    assert missing == DeviceList(problem=NOT_INSTALLED)
    assert "host error" in scan_without(monkeypatch, tmp_path, "PortAudioError('host error')").problem
    empty = DeviceList()
    assert empty.find("input", None) is empty.find("output", "ALSA: x") is None


def test_without_a_default_the_first_is_taken() -> None:
    only = Device("ALSA: a", "a", "ALSA", 0, 1, 48_000, False)
    assert DeviceList((only,), ()).find("input", None) is only
    assert DeviceList((only,), ()).find("input", "ALSA: b") is None
    assert DeviceList((only,), (only,)).ids == {"ALSA: a"}


def test_this_machine_answers_and_never_raises() -> None:
    library = load_portaudio()
    listed = DeviceList(problem=library) if isinstance(library, str) else library.scan(streams_running=False)
    assert listed.problem or listed.inputs or listed.outputs
