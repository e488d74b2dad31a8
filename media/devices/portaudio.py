"""PortAudio through sounddevice, of which this is the only importer; ``hardware`` loads it where devices are wanted.

PortAudio looks for devices when it is initialised and never again. Seeing a new one means initialising it anew, which
kills every running stream, so :meth:`PortAudio.scan` does that only while none runs.
"""

import ctypes
import importlib.metadata
import sys
from collections.abc import Callable
from ctypes.util import find_library
from typing import Any

import sounddevice

from media.devices.device_list import Device, DeviceList, Direction


class PortAudio:
    """Finds and opens devices. All calls may block for seconds and belong on one thread: on Windows the host APIs are
    bound to it."""

    error: type[Exception] = sounddevice.PortAudioError
    """Raised by :meth:`open_stream` when the device refuses."""

    def __init__(self) -> None:
        _silence_backends()

    def scan(self, *, streams_running: bool) -> DeviceList:
        """List the devices; looks for new ones only when no stream runs. Never raises."""
        try:
            if not streams_running:
                self._initialise_again()
            return self._list()
        except self.error as error:
            return DeviceList(problem=f"PortAudio: {error}")

    def _initialise_again(self) -> None:
        # sounddevice has no public way; PortAudio's own C interface counts calls, so one of each changes nothing else.
        library = _portaudio_library()
        if library is not None and library.Pa_Terminate() == 0:
            library.Pa_Initialize()

    def _list(self) -> DeviceList:
        apis = sounddevice.query_hostapis()
        inputs: list[Device] = []
        outputs: list[Device] = []
        seen: dict[str, int] = {}
        default_api = self._default_api(apis)
        for index, info in enumerate(sounddevice.query_devices()):
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
        direction: Direction,
        device: Device,
        rate_hz: int,
        channels: int,
        callback: Callable[..., None],
        on_finished: Callable[[], None],
    ) -> Any:
        """Open and start a raw int16 stream. Raises :attr:`error` when the device refuses."""
        kind = sounddevice.RawInputStream if direction == "input" else sounddevice.RawOutputStream
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


def _silence_backends() -> None:
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
