"""Carries out what one :class:`app.call.session.CallSession` asks for: sockets and timer, relay, audio."""

import asyncio
from collections.abc import Callable

from app.call import events as ev
from app.call.session import CallSession
from app.engine.audio import EngineAudio
from transport.io.relay_session import RelayClient
from transport.io.runner import Runner
from transport.quic.session_events import CheckConnection, SendRelayMessage


class CallRunner:
    """``on_event`` is called when the call is over, and when windows would show something else."""

    def __init__(
        self,
        session: CallSession,
        relay: RelayClient,
        audio: EngineAudio,
        on_event: Callable[[ev.Finished | ev.ViewChanged], None],
    ) -> None:
        self._relay = relay
        self._audio = audio
        self._on_event = on_event
        self._runner = Runner(session, self._carry_out)
        self._released = asyncio.Event()

    def submit(self, event: ev.SessionEvent) -> None:
        """Let something happen to the call."""
        self._runner.submit(event)

    async def leave(self) -> None:
        """Give the link a moment to say goodbye, then let go of everything."""
        self.submit(ev.UserLeft())
        await self._released.wait()
        self.close()

    def close(self) -> None:
        """Let go of everything at once."""
        self._runner.close()

    def _carry_out(self, command: ev.SessionCommand) -> None:
        audio = self._audio
        match command:
            case SendRelayMessage(message):
                self._relay.send(message)
            case CheckConnection():
                self._relay.network_changed()
            case ev.OpenSpeaker():
                audio.open_speaker()
            case ev.OpenMicrophone():
                audio.open_microphone()
            case ev.StartAudio():
                audio.start(lambda: self.submit(ev.AudioReady()))
            case ev.StopAudio():
                audio.stop()
            case ev.PlayTone(tone):
                audio.play_tone(tone)
            case ev.StopTone():
                audio.stop_tone()
            case ev.Finished() | ev.ViewChanged():
                self._on_event(command)
            case ev.Released():
                self._released.set()
