"""Plays the engine for the device tests: sends the microphone to the speaker, and says what happens, a line each.

Ends when its standard input is closed.
"""

import json
import sys
import threading

from media.devices.hardware import DeviceStreams
from media.devices.streams import DevicesListed, StreamChanged
from media.format import FRAME_SAMPLES


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    ended = threading.Event()
    woken = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set(), woken.set()), name="stdin", daemon=True).start()
    streams = DeviceStreams(woken.set)
    streams.open("input", "ALSA: segue_mic")
    streams.open("output", "ALSA: segue_speaker")
    frames = 0
    while not ended.is_set():
        woken.wait()
        woken.clear()
        for event in streams.take_events():
            match event:
                case StreamChanged(direction=direction, status=status):
                    say(direction=direction, status=status.state.value, device=status.device, reason=status.reason)
                case DevicesListed(devices=devices):
                    say(devices=sorted(devices.ids), problem=devices.problem)
        while streams.capture_ring.level >= FRAME_SAMPLES and streams.playout_ring.level < 5 * FRAME_SAMPLES:
            streams.playout_ring.write(streams.capture_ring.read())
            frames += 1
            if frames % 50 == 0:
                say(frames=frames)
    streams.close()
    say(
        closed=True,
        threads=[thread.name for thread in threading.enumerate() if thread.name.startswith("segue")],
    )


if __name__ == "__main__":
    main()
