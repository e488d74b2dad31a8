"""What is wrong with microphone or speaker, in sentences (pure)."""

from app.ipc.engine_state import DeviceProblem
from app.model.sanitize import one_line
from app.model.terms import DeviceSide
from app.text.catalogue import UserMessage

_MAX_DEVICE_CHARS = 80
_SILENT, _DEAF = "Others hear silence.", "You hear nothing."
_NEXT_MICROPHONE = "Plug it in again, or choose another microphone."
_NEXT_SPEAKER = "Plug it in again, or choose another speaker."
_PLUG_IN = "Plug one in; Segue will use it at once."
_START_SOUND = "Start it; Segue will keep looking for it."
_NO_SOUND = "Your computer's sound system is not running."

DEVICES: dict[tuple[DeviceSide, str], UserMessage] = {
    ("input", "none"): UserMessage("There is no microphone.", "Others cannot hear you.", _PLUG_IN),
    ("input", "gone"): UserMessage("The microphone was unplugged.", _SILENT, _NEXT_MICROPHONE),
    ("input", "no-sound-system"): UserMessage(_NO_SOUND, _SILENT, _START_SOUND),
    ("input", "failed"): UserMessage("The microphone does not work.", _SILENT, _NEXT_MICROPHONE),
    ("output", "none"): UserMessage("There is no speaker.", "You cannot hear others.", _PLUG_IN),
    ("output", "gone"): UserMessage("The speaker was unplugged.", _DEAF, _NEXT_SPEAKER),
    ("output", "no-sound-system"): UserMessage(_NO_SOUND, _DEAF, _START_SOUND),
    ("output", "failed"): UserMessage("The speaker does not work.", _DEAF, _NEXT_SPEAKER),
}
NAMED_DEVICES: dict[tuple[DeviceSide, str], UserMessage] = {
    ("input", "gone"): UserMessage("The microphone “{device}” was unplugged.", _SILENT, _NEXT_MICROPHONE),
    ("input", "failed"): UserMessage("The microphone “{device}” does not work.", _SILENT, _NEXT_MICROPHONE),
    ("output", "gone"): UserMessage("The speaker “{device}” was unplugged.", _DEAF, _NEXT_SPEAKER),
    ("output", "failed"): UserMessage("The speaker “{device}” does not work.", _DEAF, _NEXT_SPEAKER),
}


def device_text(side: DeviceSide, found: DeviceProblem | None) -> str:
    """One side's problem; empty where there is none."""
    if found is None:
        return ""
    key, device = (side, found.problem), one_line(found.device, _MAX_DEVICE_CHARS)
    message = NAMED_DEVICES.get(key) if device else None
    return (message or DEVICES[key]).text(device=device)
