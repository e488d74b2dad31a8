"""Carries out what the router commands: channels, legs and timers, on any clock.

:mod:`relay.server` runs it on an event loop with sockets and a store; ``tests/natsim`` on a virtual clock.
"""

from collections import deque
from collections.abc import Callable

from relay import events as ev
from relay.legs import LegTable
from relay.router import Router
from transport.net.machine import TimerFired
from transport.quic.relay_channel import CloseCode, ControlChannel
from transport.quic.relay_channel_server import Clock, Timer
from transport.wire.errors import WireError
from transport.wire.relay_messages import decode_client_message

# What was sent just before a session is closed has this long to arrive, and the client to close by itself.
LINGER_S = 1.0


class RelayService:
    """The handler of every control channel. ``store`` begins to write a name down and returns False when too many
    wait; ``on_stop`` is called when draining is over."""

    def __init__(
        self,
        router: Router,
        legs: LegTable,
        clock: Clock,
        store: Callable[[ev.StoreName], bool],
        on_stop: Callable[[], None],
    ) -> None:
        self.router = router
        self.channels: dict[ev.SessionId, ControlChannel] = {}
        self.ended_sessions = 0
        self._legs = legs
        self._clock = clock
        self._store = store
        self._on_stop = on_stop
        self._lingering: dict[ev.SessionId, Timer] = {}
        self._next_session = 1
        self._events: deque[ev.RouterEvent] = deque()
        self._is_handling = False
        self._timer: Timer | None = None
        self._timer_due_s = 0.0
        self._legs_timer: Timer | None = None

    def close(self) -> None:
        """End every call and session, and every timer."""
        self.post(ev.DrainRequested(0.0))
        for number in list(self._lingering):
            self._close_channel(number, "the relay has stopped")
        self.cancel_timers()

    def cancel_timers(self) -> None:
        """Nothing happens any more by itself."""
        for timer in (self._timer, self._legs_timer, *self._lingering.values()):
            if timer is not None:
                timer.cancel()
        self._timer = self._legs_timer = None
        self._lingering.clear()

    def post(self, event: ev.RouterEvent) -> None:
        """Feed the router; what carrying out its commands causes is fed after them, not within them."""
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                for command in self.router.handle(self._events.popleft(), self._clock.time()):
                    self._carry_out(command)
        finally:
            self._is_handling = False
        self._arm()

    # -- ChannelHandler

    def channel_open(self, channel: ControlChannel) -> None:
        """A client's handshake has come far enough to send it something."""
        channel.number = self._next_session
        self._next_session += 1
        self.channels[channel.number] = channel
        self.post(ev.SessionOpened(channel.number, (channel.remote[0], channel.remote[1])))

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        """A client's message, to be decoded."""
        try:
            message = decode_client_message(document)
        except WireError as error:
            self.post(ev.GarbageArrived(channel.number, str(error)))
            return
        self.post(ev.MessageArrived(channel.number, message))

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        """A client is gone."""
        if self.channels.pop(channel.number, None) is not None:
            self.ended_sessions += 1
            self.post(ev.SessionClosed(channel.number))
        linger = self._lingering.pop(channel.number, None)
        if linger is not None:
            linger.cancel()

    # -- carrying out

    def _carry_out(self, command: ev.RouterCommand) -> None:
        match command:
            case ev.SendMessage(session, message):
                channel = self.channels.get(session)
                if channel is not None:
                    channel.send(message)
            case ev.CloseSession(session, reason):
                if session in self.channels and session not in self._lingering:
                    due_s = self._clock.time() + LINGER_S
                    close = lambda: self._close_channel(session, reason)  # noqa: E731
                    self._lingering[session] = self._clock.call_at(due_s, close)
            case ev.StoreName(ticket):
                if not self._store(command):
                    self.post(ev.NameStored(ticket, "too many names wait to be written"))
            case ev.CreateLegs(call_id, caller, callee):
                self._legs.create(call_id, caller, callee, self._clock.time())
                self._arm_legs()
            case ev.PlaceLeg(username, host, key):
                self._legs.place(username, host, key)
            case ev.DestroyLegs(call_id):
                self._legs.destroy(call_id)
            case ev.StopRelay():
                self._on_stop()

    def _close_channel(self, number: ev.SessionId, reason: str) -> None:
        self._lingering.pop(number, None)
        channel = self.channels.get(number)
        if channel is not None:
            channel.end(CloseCode.DONE, reason)

    def _arm(self) -> None:
        due_s = self.router.next_deadline()
        if self._timer is not None:
            if due_s == self._timer_due_s:
                return
            self._timer.cancel()
            self._timer = None
        if due_s is not None:
            self._timer_due_s = due_s
            self._timer = self._clock.call_at(due_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.post(TimerFired())

    def _arm_legs(self) -> None:
        due_s = self._legs.next_deadline() if self._legs_timer is None else None
        if due_s is not None:
            self._legs_timer = self._clock.call_at(due_s, self._legs_due)

    def _legs_due(self) -> None:
        self._legs_timer = None
        for call_id in self._legs.idle(self._clock.time()):
            self.post(ev.LegsIdle(call_id))
        self._arm_legs()
