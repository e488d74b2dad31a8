"""A private PulseAudio with a microphone and a speaker made of null sinks: real devices without hardware.

Needs the Debian packages pulseaudio, pulseaudio-utils and libasound2-plugins (PortAudio speaks ALSA; the plugin
carries that to PulseAudio). Give ``lab.env`` to the child process that is to use the devices; PortAudio reads it
when it is loaded, so it is of no use inside the process that made the lab::

    with PulseLab() as lab:
        child = subprocess.Popen([...], env=os.environ | lab.env)
        recorder = lab.record_speaker(path)          # starts recording what the speaker plays
        lab.play_into_mic(wav)                       # waits until the file has been played
        recorder.stop()                              # path is a complete WAV file now

The child sees the devices ``segue_mic`` (input), ``segue_speaker`` (output) and both behind ``default``.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import wave
from pathlib import Path
from types import TracebackType

MIC = "segue_mic"
SPEAKER = "segue_speaker"
_RATE_HZ = 48_000
_START_S = 10.0

_ALSA = """
</usr/share/alsa/alsa.conf>
pcm.segue_mic {{ type pulse device "{mic}.monitor" hint {{ show on description "Lab microphone" }} }}
pcm.segue_speaker {{ type pulse device "{speaker}" hint {{ show on description "Lab speaker" }} }}
pcm.!default {{ type asym playback.pcm "segue_speaker" capture.pcm "segue_mic" }}
ctl.!default {{ type pulse }}
"""


def missing_tools() -> list[str]:
    """Programs of the lab that are not installed."""
    return [tool for tool in ("pulseaudio", "pactl", "parec", "paplay") if shutil.which(tool) is None]


class Recorder:
    """``parec`` into a WAV file until :meth:`stop`."""

    def __init__(self, process: "subprocess.Popen[bytes]", raw: Path, wav: Path) -> None:
        self._process = process
        self._raw = raw
        self._wav = wav

    def stop(self) -> Path:
        """End the recording; the WAV file: 48 kHz, mono, 16 bit."""
        _end(self._process)
        with wave.open(str(self._wav), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE_HZ)
            data = self._raw.read_bytes()
            file.writeframes(data[: len(data) // 2 * 2])
        self._raw.unlink()
        return self._wav


class PulseLab:
    """Context manager; see the module. Every process it starts is ended with it."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="segue-pulse-"))
        self._socket = self._directory / "native"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._modules: dict[str, str] = {}
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        config = self._directory / "asound.conf"
        config.write_text(_ALSA.format(mic=MIC, speaker=SPEAKER))
        self.env = {
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_RUNTIME_PATH": str(self._directory),
            "PULSE_STATE_PATH": str(self._directory),
            "PULSE_COOKIE": str(self._directory / "cookie"),
            "PULSE_SINK": SPEAKER,
            "PULSE_SOURCE": f"{MIC}.monitor",
            "ALSA_CONFIG_PATH": str(config),
        }

    def __enter__(self) -> "PulseLab":
        try:
            self.start_server()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove the files."""
        self.stop_server()
        shutil.rmtree(self._directory, ignore_errors=True)

    def load_sink(self, name: str) -> None:
        """Plug a null sink in; what is played into it comes out of ``<name>.monitor``. Blocks for about 2 s."""
        self._await_probe(self._load_sink(name))

    def _load_sink(self, name: str) -> tuple["subprocess.Popen[bytes]", Path]:
        self._modules[name] = self.pactl(
            "load-module", "module-null-sink", f"sink_name={name}", f"rate={_RATE_HZ}", "channels=1"
        ).strip()
        # A null sink sleeps for up to 2 s unless somebody asks for less, and newcomers wait until it wakes up.
        keeper = ["parec", f"--device={name}.monitor", "--raw", "--channels=1", "--latency-msec=20", "/dev/null"]
        self._keepers[name] = self._start(keeper)
        probe = self._directory / f"{name}.raw"
        return self._start_recording(name, probe), probe

    def _await_probe(self, probe: tuple["subprocess.Popen[bytes]", Path]) -> None:
        process, raw = probe
        _await_samples(process, raw)
        _end(process)
        raw.unlink()

    def unload_sink(self, name: str) -> None:
        """Pull it out, in mid-stream or not."""
        _end(self._keepers.pop(name))
        self.pactl("unload-module", self._modules.pop(name))

    def pactl(self, *arguments: str) -> str:
        """Run ``pactl`` against this server and return what it prints."""
        done = subprocess.run(
            ["pactl", *arguments], env=os.environ | self.env, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout

    def play_into_mic(self, wav: Path) -> None:
        """Speak a WAV file into the microphone; returns when it has been played."""
        command = ["paplay", f"--device={MIC}", "--latency-msec=50", str(wav)]
        subprocess.run(command, env=os.environ | self.env, timeout=120, check=True)

    def start_playing_into_mic(self, wav: Path) -> "subprocess.Popen[bytes]":
        """The same, without waiting."""
        return self._start(["paplay", f"--device={MIC}", "--latency-msec=50", str(wav)])

    def record_speaker(self, path: Path) -> Recorder:
        """Record what the speaker plays into ``path`` until ``stop()``."""
        raw = path.with_suffix(".raw")
        process = self._start_recording(SPEAKER, raw)
        _await_samples(process, raw)
        return Recorder(process, raw, path)

    def stop_server(self) -> None:
        """Kill PulseAudio, as if the sound card and all that knows of it were gone."""
        for process in reversed(self._processes):
            _end(process)
        self._processes.clear()
        self._keepers.clear()
        self._modules.clear()

    def start_server(self) -> None:
        """Start PulseAudio with both devices; blocks for up to a few seconds."""
        command = ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "-n"]
        command += ["--realtime=no", "--high-priority=no", "--log-target=stderr"]
        command += ["-L", f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"]
        self._start(command, stderr=self._directory / "pulseaudio.log")
        self._await_server()
        probes = [self._load_sink(name) for name in (SPEAKER, MIC)]
        for probe in probes:
            self._await_probe(probe)

    def _start_recording(self, sink: str, raw: Path) -> "subprocess.Popen[bytes]":
        command = ["parec", f"--device={sink}.monitor", "--format=s16le", f"--rate={_RATE_HZ}", "--channels=1"]
        return self._start([*command, "--raw", "--latency-msec=20", str(raw)])

    def _start(self, command: list[str], stderr: Path | None = None) -> "subprocess.Popen[bytes]":
        log = stderr.open("wb") if stderr else None
        try:
            process = subprocess.Popen(
                command,
                env=os.environ | self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log or subprocess.DEVNULL,
            )
        finally:
            if log:
                log.close()
        self._processes.append(process)
        return process

    def _await_server(self) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.pactl("info")
                return
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                if time.monotonic() > deadline or self._processes[0].poll() is not None:
                    log = (self._directory / "pulseaudio.log").read_text(errors="replace")
                    raise RuntimeError(f"PulseAudio does not start:\n{log}") from None
                time.sleep(0.05)


def _await_samples(process: "subprocess.Popen[bytes]", raw: Path) -> None:
    """Until parec has written something."""
    deadline = time.monotonic() + _START_S
    while not (raw.exists() and raw.stat().st_size > 0):
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError("nothing can be recorded")
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
