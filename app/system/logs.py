"""What is logged and in which form, and a standard error that stays open while audio devices are looked for."""

import logging
import os
import sys

from app.model.sanitize import printable

LEVEL_VARIABLE = "SEGUE_LOG"
# A line of a traceback begins with it, so that none looks like a record.
CONTINUED = "  | "
# aioquic tells at INFO and DEBUG what strangers do, several records a packet.
QUIC_LEVEL = logging.WARNING


class LineFormatter(logging.Formatter):
    """A record is one line, whatever a stranger has put into it; a traceback follows in lines that are marked."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line itself."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback if there is one."""
        text = super().format(record)
        head = self.formatMessage(record)
        return "\n".join((head, *(CONTINUED + printable(line) for line in text[len(head) :].splitlines() if line)))


def use_handler(handler: logging.Handler, default_level: int) -> None:
    """Log to ``handler`` alone, from the level that ``SEGUE_LOG`` names or ``default_level`` on."""
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log_level(default_level))
    logging.getLogger("quic").setLevel(max(QUIC_LEVEL, root.level))


def log_level(default: int) -> int:
    """The level that ``SEGUE_LOG`` names (DEBUG, INFO, WARNING, ERROR); ``default`` when it names none."""
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "").upper(), default)


def keep_stderr() -> None:
    """Let ``sys.stderr`` write to a copy of descriptor 2, on Linux.

    sounddevice turns descriptor 2 to the null device, for the whole process, while PortAudio looks for devices, which
    can take seconds: ALSA and JACK complain there. Our own messages must not get lost meanwhile."""
    if not sys.platform.startswith("linux"):
        return
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return  # there is none, or somebody has put something else in its place
    sys.stderr = open(  # noqa: SIM115 - open until the program ends
        descriptor, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
