"""Which microphones and speakers there are, asked through PortAudio. The only importer of sounddevice.

PortAudio looks for devices when it is initialised, and never again: to see a new one it has to be initialised anew,
which kills every running stream. So :meth:`PortAudio.scan` does that only when it is told that none runs. All calls
may block for seconds, and belong on one thread (on Windows the host APIs are bound to it).

Importing sounddevice initialises PortAudio, so it is imported there too and not with this module.
"""

import ctypes
import importlib.metadata
import sys
from collections.abc import Callable
from ctypes.util import find_library
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Device:
    """``id`` is host API and name, which survive a restart (PortAudio's numbers do not)."""

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
        """Of both kinds."""
        return frozenset(device.id for device in self.inputs + self.outputs)

    def find(self, direction: str, device_id: str | None) -> Device | None:
        """The device with this id, or the default one, or the first where no default is set."""
        devices = self.inputs if direction == "input" else self.outputs
        if device_id is not None:
            return next((device for device in devices if device.id == device_id), None)
        return next((device for device in devices if device.is_default), devices[0] if devices else None)


NO_LIBRARY = "PortAudio is not installed (on Debian: apt install libportaudio2)"


class PortAudio:
    """The library, or its absence. Make and use it on one thread."""

    def __init__(self) -> None:
        self._module: Any = None
        self._problem = ""
        try:
            self._module = import_module("sounddevice")
        except OSError:
            self._problem = NO_LIBRARY
        except Exception as error:
            # PortAudioError cannot be named before the import that raises it has succeeded.
            self._problem = f"PortAudio does not start: {error}"
        else:
            _hush_backends()

    @property
    def problem(self) -> str:
        """Why it cannot be used; empty when it can."""
        return self._problem

    def scan(self, *, streams_running: bool) -> DeviceList:
        """List the devices; looks for new ones only when no stream runs. Never raises."""
        if self._module is None:
            return DeviceList(problem=self._problem)
        try:
            if not streams_running:
                self._initialise_again()
            return self._list()
        except self._module.PortAudioError as error:
            return DeviceList(problem=f"PortAudio: {error}")

    def _initialise_again(self) -> None:
        # sounddevice has no public way; PortAudio's own C interface counts calls, so one of each changes nothing else.
        library = _portaudio_library()
        if library is not None and library.Pa_Terminate() == 0:
            library.Pa_Initialize()

    def _list(self) -> DeviceList:
        apis = self._module.query_hostapis()
        inputs: list[Device] = []
        outputs: list[Device] = []
        seen: dict[str, int] = {}
        default_api = self._default_api(apis)
        for index, info in enumerate(self._module.query_devices()):
            api = apis[info["hostapi"]]
            # Two cards of one make have one name; their order is all that tells them apart.
            base = f"{api['name']}: {info['name']}"
            seen[base] = seen.get(base, 0) + 1
            device_id = base if seen[base] == 1 else f"{base} #{seen[base]}"
            for kind, found in (("input", inputs), ("output", outputs)):
                channels = int(info[f"max_{kind}_channels"])
                if channels > 0:
                    is_default = info["hostapi"] == default_api and index == api[f"default_{kind}_device"]
                    rate_hz = round(info["default_samplerate"])
                    found.append(Device(device_id, info["name"], api["name"], index, channels, rate_hz, is_default))
        return DeviceList(tuple(inputs), tuple(outputs), "" if inputs or outputs else "no sound device is there")

    @staticmethod
    def _default_api(apis: Any) -> int | None:
        # On Windows the first host API is MME, with its 200 ms; WASAPI is what to use there (DESIGN §12).
        names = [api["name"] for api in apis]
        if "Windows WASAPI" in names:
            return names.index("Windows WASAPI")
        return next((number for number, api in enumerate(apis) if api["devices"]), None)

    def open_stream(
        self,
        direction: str,
        device: Device,
        rate_hz: int,
        channels: int,
        callback: Callable[..., None],
        on_finished: Callable[[], None],
    ) -> Any:
        """Open and start a raw int16 stream. Raises :attr:`error` when the device refuses."""
        kind = self._module.RawInputStream if direction == "input" else self._module.RawOutputStream
        # PulseAudio behind ALSA breaks up below 40 ms (DESIGN §12), and calls evenly only for blocks of half of
        # that; elsewhere PortAudio knows the device's best.
        is_alsa = device.host_api == "ALSA"
        latency: float | str = 0.04 if is_alsa else "low"
        stream = kind(
            samplerate=rate_hz,
            blocksize=rate_hz // (50 if is_alsa else 100),
            device=device.index,
            channels=channels,
            dtype="int16",
            latency=latency,
            callback=callback,
            finished_callback=on_finished,
        )
        try:
            stream.start()
        except self.error:
            stream.close()
            raise
        return stream

    @property
    def error(self) -> type[Exception]:
        """What PortAudio's calls raise."""
        error: type[Exception] = self._module.PortAudioError
        return error


def _hush_backends() -> None:
    """Keep ALSA and JACK from writing to stderr about devices that are not there; PortAudio reports what matters."""
    if not sys.platform.startswith("linux"):
        return
    # A function of C that ignores its arguments: a Python one would make the sound threads wait for the interpreter.
    ignore = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
    setters = (
        ("asound", ("snd_lib_error_set_handler",)),
        ("jack", ("jack_set_error_function", "jack_set_info_function")),
    )
    for library, functions in setters:
        name = find_library(library)
        if name is None:
            continue
        loaded = ctypes.CDLL(name)
        for function in functions:
            getattr(loaded, function)(ignore)


def _portaudio_library() -> ctypes.CDLL | None:
    """The very library that sounddevice has loaded: the system's, or the one packed into its wheel."""
    name = find_library("portaudio")
    if name is None:
        files = importlib.metadata.files("sounddevice") or []
        packed = [file for file in files if file.name.startswith("libportaudio")]
        loaded = [file for file in packed if not file.name.endswith("-asio.dll")]
        name = str(loaded[0].locate()) if loaded else None
    try:
        return ctypes.CDLL(name) if name else None
    except OSError:
        return None
