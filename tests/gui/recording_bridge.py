"""A bridge without an engine, for tests that speak for the engine themselves."""

from app.ipc.messages import WindowMessage
from app.ui.bridge import Bridge, EngineLink


class RecordingBridge(Bridge):
    """Keeps the commands; nothing is connected."""

    def __init__(self) -> None:
        super().__init__(_NoEngine())
        self.sent: list[WindowMessage] = []
        self.opened = 0

    @property
    def attached(self) -> bool:
        return True

    def send(self, command: WindowMessage) -> None:
        self.sent.append(command)

    def open(self) -> None:
        self.opened += 1


class _NoEngine:
    def start(self) -> None:
        raise AssertionError("the recording bridge starts no engine")

    async def connect(self) -> EngineLink:
        raise AssertionError("the recording bridge reaches no engine")
