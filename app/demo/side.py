"""One of the two people of the demo, as their engine reports them (pure)."""

from dataclasses import dataclass, field
from pathlib import Path

from app.ipc import messages

# Five a second; the screen draws a few of the newest.
MAX_SAMPLES = 120


@dataclass(slots=True)
class Side:
    """``name`` as shown; in lower case it is the name at the relay and of the household."""

    name: str
    home: Path
    state: messages.EngineState | None = None
    levels: messages.Levels | None = None
    samples: list[messages.CallSample] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The household (:data:`app.demo.networks.HOUSEHOLDS`)."""
        return self.name.lower()

    @property
    def report_path(self) -> Path:
        """Where the report of the call will be."""
        return self.home / "report.json"

    @property
    def sample(self) -> messages.CallSample | None:
        """The newest figures of the call."""
        return self.samples[-1] if self.samples else None

    def receive(self, message: messages.EngineMessage) -> None:
        """Keep what the engine reports."""
        match message:
            case messages.EngineState():
                self.state = message
            case messages.CallSample():
                self.samples.append(message)
                del self.samples[:-MAX_SAMPLES]
            case messages.Levels():
                self.levels = message
