"""What pages ask of the engine. They are given :data:`Send`, which is the bridge's, and never wait for an answer."""

from collections.abc import Callable

import msgspec

from app.ipc.engine_state import CallStatus
from app.ipc.messages import (
    AnswerCall,
    ChangeSettings,
    DeclineCall,
    DismissCall,
    HangUpCall,
    PlaceCall,
    SetMuted,
    WindowMessage,
)
from app.model.settings import Settings

Send = Callable[[WindowMessage], None]


def change_settings(send: Send, settings: Settings, **fields: object) -> None:
    """Ask for ``settings`` with ``fields`` replaced. Raises TypeError for a field that does not exist."""
    send(ChangeSettings(settings=msgspec.structs.replace(settings, **fields)))


class CallCommands:
    """The commands of ``call``, the one that is shown. Without a call they do nothing."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.call: CallStatus | None = None

    def answer(self) -> None:
        """Take an incoming call."""
        self._for_call(AnswerCall)

    def decline(self) -> None:
        """Refuse an incoming call."""
        self._for_call(DeclineCall)

    def hang_up(self) -> None:
        """End a call that was placed or answered."""
        self._for_call(HangUpCall)

    def dismiss(self) -> None:
        """Leave the page of a call that has ended."""
        self._for_call(DismissCall)

    def refuse(self) -> None:
        """Be rid of the call, whatever its phase."""
        match self.call and self.call.phase:
            case "ended":
                self.dismiss()
            case "incoming":
                self.decline()
            case _:
                self.hang_up()

    def redial(self) -> None:
        """Call the same person again."""
        self._for_call(DismissCall)
        if self.call is not None:
            self._send(PlaceCall(address=self.call.address))

    def toggle_mute(self) -> None:
        """Mute the microphone, or open it again."""
        if self.call is not None:
            self._send(SetMuted(muted=not self.call.muted))

    def _for_call(self, command: type[AnswerCall | DeclineCall | DismissCall | HangUpCall]) -> None:
        if self.call is not None:
            self._send(command(call_id=self.call.call_id))
