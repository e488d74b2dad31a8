"""What pages ask of the engine. They are given ``send``, which is the bridge's, and never wait for an answer."""

from collections.abc import Callable

import msgspec

from app.ipc import messages as ipc
from app.ipc.engine_state import CallStatus
from app.model.settings import Settings

Send = Callable[[ipc.WindowMessage], None]
Now = Callable[[], float]
"""The time in Unix seconds, for what runs on between two states: clocks and ages."""


def change_settings(send: Send, settings: Settings, **fields: object) -> None:
    """Ask for ``settings`` with ``fields`` replaced. Raises TypeError for a field that does not exist."""
    send(ipc.ChangeSettings(settings=msgspec.structs.replace(settings, **fields)))


_OfCall = ipc.AnswerCall | ipc.BlockCaller | ipc.DeclineCall | ipc.DismissCall | ipc.HangUpCall


class CallCommands:
    """The commands of ``call``, the one that is shown. Without a call they do nothing."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.call: CallStatus | None = None

    def answer(self) -> None:
        """Take an incoming call."""
        self._for_call(ipc.AnswerCall)

    def decline(self) -> None:
        """Refuse an incoming call."""
        self._for_call(ipc.DeclineCall)

    def hang_up(self) -> None:
        """End a call that was placed or answered."""
        self._for_call(ipc.HangUpCall)

    def dismiss(self) -> None:
        """Leave the page of a call that has ended."""
        self._for_call(ipc.DismissCall)

    def block(self) -> None:
        """Let the other side ring no more, and end the call."""
        self._for_call(ipc.BlockCaller)

    def refuse(self) -> None:
        """End the call, whatever its phase."""
        match self.call and self.call.phase:
            case "ended":
                self.dismiss()
            case "incoming":
                self.decline()
            case _:
                self.hang_up()

    def redial(self) -> None:
        """Call the same person again."""
        self._for_call(ipc.DismissCall)
        if self.call is not None:
            self._send(ipc.PlaceCall(address=self.call.address))

    def toggle_mute(self) -> None:
        """Mute or unmute the microphone."""
        if self.call is not None:
            self._send(ipc.SetMuted(muted=not self.call.muted))

    def _for_call(self, command: type[_OfCall]) -> None:
        if self.call is not None:
            self._send(command(call_id=self.call.call_id))
