"""Runs a :class:`transport.quic.relay_session.RelaySession` on asyncio: host names, its socket, its one timer."""

import asyncio
import random
import socket
from collections.abc import Callable
from typing import TypeVar

from transport.identity.keys import Identity
from transport.io.runner import Runner
from transport.io.tasks import Tasks
from transport.net.sockets import (
    Address,
)
from transport.quic import session_events as session
from transport.quic.relay_channel_client import Failure
from transport.quic.relay_session import RelaySession
from transport.wire.addresses import RelayAddress
from transport.wire.relay_messages import ClientMessage, Found, Registered, Welcome

AnswerT = TypeVar("AnswerT", Registered, Found)


class RequestFailed(Exception):
    """A registration or a look-up that came to nothing. ``code`` is a refusal code, or ``unreachable``."""

    def __init__(self, code: str, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s


class RelayClient:
    """A relay session on the running loop. ``on_event`` is called from the loop, one event at a time, and must not
    block. The other arguments are those of :class:`RelaySessionConfig`."""

    def __init__(
        self,
        address: RelayAddress,
        identity: Identity,
        on_event: Callable[[session.RelayEvent], None],
        *,
        rng: random.Random,
        name: str = "",
        home: str = "",
        certificate: bytes | None = None,
    ) -> None:
        self.session = RelaySession(session.RelaySessionConfig(address, name, home, certificate), identity, rng)
        self._on_event = on_event
        self._tasks = Tasks("relay-client")
        self._runner = Runner(self.session, self._carry_out, connected=True)
        self._closed = False
        self._requests: dict[int, asyncio.Future[Registered | Found]] = {}
        self._last_ticket = 0

    @property
    def address(self) -> RelayAddress:
        """The relay's address."""
        return self.session.address

    @property
    def name(self) -> str:
        """The registered name, or ``""``."""
        return self.session.name

    @property
    def certificate(self) -> bytes | None:
        """The relay's certificate (DER), once it is known."""
        return self.session.certificate

    @property
    def host_ip(self) -> str:
        """The address that the session stands on, or stood on last."""
        return self.session.host_ip

    @property
    def rtt_ms(self) -> float | None:
        """The round trip of the newest ping."""
        return self.session.rtt_ms

    @property
    def welcome(self) -> Welcome | None:
        """The relay's answer to the log-in; ``None`` without a session."""
        return self.session.welcome

    @property
    def is_connected(self) -> bool:
        """Whether the session stands."""
        return self.session.is_connected

    @property
    def stun(self) -> tuple[Address, ...]:
        """The relay's STUN endpoints, as far as they are IP addresses; none without a session."""
        return self.session.stun

    def start(self) -> None:
        """Begin to connect, and go on until :meth:`close` or :class:`Rejected`."""
        self._runner.submit(session.StartSession())

    async def close(self) -> None:
        """Log out."""
        self._runner.submit(session.LogOut())
        self._runner.close()
        self._closed = True
        await self._tasks.close()

    def send(self, message: ClientMessage) -> bool:
        """Send now; ``False`` when there is no session. The last ``Watch`` is kept and sent again."""
        is_connected = self.session.is_connected
        self._runner.submit(session.SendRelayMessage(message))
        return is_connected

    def network_changed(self) -> None:
        """The machine's addresses have changed: find out at once whether the session still stands."""
        self._runner.submit(session.CheckConnection())

    async def register(self, name: str, timeout_s: float = session.REQUEST_TIMEOUT_S) -> Registered:
        """Claim ``name`` for this identity; from then on it is also the name to log in with.

        Raises :class:`RequestFailed`.
        """
        return await self._request(session.ClaimName(self._ticket(), name, timeout_s), Registered)

    async def lookup(self, name: str, timeout_s: float = session.REQUEST_TIMEOUT_S) -> Found:
        """A person's key and certificate. Raises :class:`RequestFailed`, with ``unknown-name`` if there is nobody."""
        return await self._request(session.LookUpName(self._ticket(), name, timeout_s), Found)

    def _ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket

    async def _request(self, event: session.ClaimName | session.LookUpName, answer: type[AnswerT]) -> AnswerT:
        if self._closed:
            raise RequestFailed("unreachable", "the connection to the relay is closed")
        waiting = self._requests[event.ticket] = asyncio.get_running_loop().create_future()
        try:
            self._runner.submit(event)
            result = await waiting
        finally:
            del self._requests[event.ticket]
        if not isinstance(result, answer):  # the session has answered with the right kind already
            raise TypeError(f"{type(result).__name__} answers no {type(event).__name__}")
        return result

    # -- carrying out

    def _carry_out(self, command: session.SessionCommand) -> None:
        match command:
            case session.ResolveHost(host, port):
                self._tasks.start(self._resolve(host, port), name=f"resolve-{host}")
            case session.RequestAnswered(ticket, result):
                self._answer(ticket, result)
            case session.Connected() | session.Disconnected() | session.RelayMessageReceived() | session.Rejected():
                self._on_event(command)

    async def _resolve(self, host: str, port: int) -> None:
        self._runner.submit(session.HostResolved(await resolve(host, port)))

    def _answer(self, ticket: int, result: Registered | Found | Failure) -> None:
        waiting = self._requests.get(ticket)
        if waiting is None or waiting.done():
            return
        if isinstance(result, Failure):
            waiting.set_exception(RequestFailed(result.code, result.text, result.retry_after_s))
        else:
            waiting.set_result(result)


async def resolve(host: str, port: int) -> tuple[Address, ...]:
    """All addresses of a host for UDP, in the system's order (RFC 6724); none when there are none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys((str(sockaddr[0]), port) for _, _, _, _, sockaddr in found))
