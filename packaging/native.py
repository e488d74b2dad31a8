"""Says which native libraries Segue would not find when it starts. Exit status 1 when one is missing."""

import ctypes.util
import sys

NEEDED = {"opus": "libopus (the voice codec)"}
if sys.platform not in ("darwin", "win32"):  # there the sounddevice wheel brings it
    NEEDED["portaudio"] = "PortAudio (microphone and speaker)"

HOW = {
    "darwin": "With Homebrew:  brew install opus",
    "win32": "Put opus.dll into a folder of PATH.",
}


def main() -> int:
    """Look where ctypes, and with it opuslib and sounddevice, will look."""
    missing = [what for name, what in NEEDED.items() if ctypes.util.find_library(name) is None]
    if missing:
        how = HOW.get(sys.platform, "Install them with your system's package manager.")
        sys.stderr.write(f"segue: missing: {', '.join(missing)}. {how}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
