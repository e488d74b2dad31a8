"""A person's standing connection to a relay: log in, stay, come back.

:class:`RelayClient` keeps one session for as long as it lives. What a relay says once and for all (another pin,
another version, not your name) ends it with :class:`Rejected`; everything else is waited out, 0.5 s at first and
30 s at most. Media and STUN go to :attr:`RelayClient.host_ip`, the one address that the session stands on, so that a
host name with several addresses cannot send the parts of a call to different machines.
"""

import asyncio
import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from transport.identity.keys import Identity
from transport.identity.statements import registration_statement, session_statement
from transport.io.tasks import Tasks
from transport.net.sockets import Address
from transport.quic.relay_channel_client import (
    HANDSHAKE_TIMEOUT_S,
    ControlConnection,
    ControlError,
    OtherVersion,
    RelayRefused,
    Unreachable,
    Untrusted,
    Verified,
    WrongPin,
    connect_control,
    resolve,
)
from transport.wire.addresses import RelayAddress
from transport.wire.relay_messages import (
    CONTROL_VERSION,
    Authenticate,
    ClientMessage,
    Found,
    Lookup,
    Ping,
    Pong,
    Refused,
    Register,
    Registered,
    RelayMessage,
    Replaced,
    Watch,
    Welcome,
)

# Doubling from what a person does not notice to what does not burden a relay that has just come back.
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# A session that lasted this long was a good one: the next trouble starts from the beginning of the list.
GOOD_SESSION_S = 30.0
# A ping that has no answer by then is missed; two in a row, and the relay counts as gone.
PING_TIMEOUT_S = 5.0
MAX_MISSED_PINGS = 2
# After a change of networks the old path is dead or answers within any plausible round trip.
PROBE_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 10.0
_FINAL_CODES = ("version", "bad-proof", "not-registered")

AnswerT = TypeVar("AnswerT", Registered, Found)


# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """Logged in. ``host_ip`` is where this relay's media and STUN are, too."""

    welcome: Welcome
    host_ip: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is gone, or could not be had; the next attempt comes in ``retry_in_s`` seconds."""

    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message that is nobody's answer: calls, presence, draining."""

    message: RelayMessage


@dataclass(frozen=True, slots=True)
class Rejected:
    """No, for good: nothing is tried any more. ``code`` is a refusal code of the relay, or ``wrong-pin``,
    ``untrusted``, ``version`` or ``replaced``; ``text`` says it in words."""

    code: str
    text: str


RelayEvent = Connected | Disconnected | MessageReceived | Rejected


class RequestFailed(Exception):
    """A registration or a look-up that came to nothing. ``code`` is a refusal code, or ``unreachable``."""

    def __init__(self, code: str, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s


# -- decisions, pure ---------------------------------------------------------------------------------------------


class BackOff:
    """How long to wait before the next attempt. Jitter takes off up to half, so that a relay's clients spread."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def after(self, session_s: float, asked_s: float) -> float:
        """The wait after a session of ``session_s`` seconds (0 for none); a relay may ask for longer."""
        if session_s >= GOOD_SESSION_S:
            self._failures = 0
        base_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        return max(base_s * self._rng.uniform(0.5, 1.0), asked_s)


def rejection(error: ControlError) -> Rejected | None:
    """Whether an error is the relay's last word."""
    if isinstance(error, WrongPin):
        return Rejected("wrong-pin", str(error))
    if isinstance(error, Untrusted):
        return Rejected("untrusted", str(error))
    if isinstance(error, OtherVersion):
        return Rejected("version", str(error))
    if isinstance(error, _TakenOver):
        return Rejected("replaced", str(error))
    if isinstance(error, RelayRefused) and error.refused.code in _FINAL_CODES:
        return Rejected(error.refused.code, error.refused.text)
    return None


class _TakenOver(ControlError):
    """Another session of the same identity has taken this one's place."""


# -- the driver --------------------------------------------------------------------------------------------------


class RelayClient:
    """See the module's text. ``on_event`` is called from the event loop, one event at a time, and must not block.

    ``name`` is the registered name; without one the client is a guest, who is at home at ``home``. ``certificate``
    is the relay's, if it was learnt before (:attr:`certificate`); that saves a handshake.
    """

    def __init__(
        self,
        address: RelayAddress,
        identity: Identity,
        on_event: Callable[[RelayEvent], None],
        *,
        rng: random.Random,
        name: str = "",
        home: str = "",
        certificate: bytes | None = None,
    ) -> None:
        self.address = address
        self.certificate = certificate
        self.name = name
        self.host_ip = ""
        self.rtt_ms: float | None = None
        self.welcome: Welcome | None = None
        self._identity = identity
        self._home = home
        self._on_event = on_event
        self._tasks = Tasks("relay-client")
        self._back_off = BackOff(rng)
        self._session: Verified | None = None
        self._watch: Watch | None = None
        self._requests: dict[int, asyncio.Future[Registered | Found]] = {}
        self._next_request = 1
        self._ping = 0
        self._pong: asyncio.Future[None] | None = None
        self._hurry = asyncio.Event()
        # Set while logged in or rejected: the two states in which a request need not wait.
        self._settled = asyncio.Event()
        self._rejected: Rejected | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the session stands."""
        return self.welcome is not None

    @property
    def stun(self) -> tuple[Address, ...]:
        """The relay's STUN endpoints, as far as they are IP addresses; none without a session."""
        told = self.welcome.stun if self.welcome is not None else []
        return tuple((host or self.host_ip, port) for host, port in told if _is_ip(host or self.host_ip))

    def start(self) -> None:
        """Begin to connect, and go on until :meth:`close` or :class:`Rejected`."""
        self._tasks.start(self._keep(), name=str(self.address.host))

    async def close(self) -> None:
        """Log out."""
        await self._tasks.close()
        self._lost("the connection to the relay is closed")
        self._settled.set()

    def send(self, message: ClientMessage) -> bool:
        """Send now; ``False`` when there is no session. The last :class:`Watch` is kept and sent again."""
        if isinstance(message, Watch):
            self._watch = message
        if self._session is None or self.welcome is None:
            return False
        return self._session.connection.send(message)

    def network_changed(self) -> None:
        """The machine's addresses have changed: find out at once whether the session still stands."""
        self._hurry.set()

    async def register(self, name: str, timeout_s: float = REQUEST_TIMEOUT_S) -> Registered:
        """Claim ``name`` for this identity; from then on it is also the name to log in with.

        Raises :class:`RequestFailed`.
        """
        session = await self._logged_in(timeout_s)
        certificate = self._identity.certificate
        challenge = session.challenge
        statement = registration_statement(challenge.nonce, challenge.certificate, name, certificate)
        number = self._number()
        message = Register(number, name, certificate, self._identity.sign(statement))
        registered = await self._request(number, message, Registered, timeout_s)
        self.name = name
        return registered

    async def lookup(self, name: str, timeout_s: float = REQUEST_TIMEOUT_S) -> Found:
        """A person's key and certificate. Raises :class:`RequestFailed`, with ``unknown-name`` if there is nobody."""
        await self._logged_in(timeout_s)
        number = self._number()
        return await self._request(number, Lookup(number, name), Found, timeout_s)

    # -- requests

    async def _logged_in(self, timeout_s: float) -> Verified:
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError as error:
            raise RequestFailed("unreachable", f"the relay at {self.address.host} is not reachable") from error
        if self._rejected is not None or self._session is None:
            rejected = self._rejected or Rejected("unreachable", "the connection to the relay is closed")
            raise RequestFailed(rejected.code, rejected.text)
        return self._session

    def _number(self) -> int:
        self._next_request = self._next_request % (2**32 - 1) + 1
        return self._next_request

    async def _request(
        self, number: int, message: Register | Lookup, answer: type[AnswerT], timeout_s: float
    ) -> AnswerT:
        waiting: asyncio.Future[Registered | Found] = asyncio.get_running_loop().create_future()
        self._requests[number] = waiting
        try:
            if not self.send(message):
                raise RequestFailed("unreachable", "the connection to the relay is gone")
            async with asyncio.timeout(timeout_s):
                got = await waiting
        except TimeoutError as error:
            raise RequestFailed("unreachable", "the relay did not answer in time") from error
        finally:
            self._requests.pop(number, None)
        if not isinstance(got, answer):
            raise RequestFailed("bad-message", "the relay answered something else than it was asked")
        return got

    # -- the session

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            logged_in_s: float | None = None
            try:
                session = await self._connect()
                try:
                    welcome = await self._log_in(session)
                    logged_in_s = loop.time()
                    self._joined(session, welcome)
                    await self._attend(session.connection, welcome)
                finally:
                    session.connection.close()
            except ControlError as error:
                rejected = rejection(error)
                self._lost(str(error))
                if rejected is not None:
                    self._rejected = rejected
                    self._settled.set()
                    self._on_event(rejected)
                    return
                asked_s = error.refused.retry_after_s if isinstance(error, RelayRefused) else 0.0
                session_s = loop.time() - logged_in_s if logged_in_s is not None else 0.0
                wait_s = self._back_off.after(session_s, asked_s)
                self._hurry.clear()
                self._on_event(Disconnected(str(error), wait_s))
                await self._pause(wait_s)

    async def _connect(self) -> Verified:
        problem: ControlError = Unreachable(f"the relay's host “{self.address.host}” has no address")
        for endpoint in await resolve(self.address):
            try:
                return await connect_control(self.address, endpoint, certificate=self.certificate)
            except Unreachable as error:
                problem = error
        raise problem

    async def _log_in(self, session: Verified) -> Welcome:
        challenge = session.challenge
        self.certificate = challenge.certificate
        signature = self._identity.sign(session_statement(challenge.nonce, challenge.certificate))
        session.connection.send(
            Authenticate(
                CONTROL_VERSION, self._identity.key, self._identity.certificate, signature, self.name, self._home
            )
        )
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                answer = await session.connection.receive()
        except TimeoutError as error:
            raise Unreachable("the relay did not answer the login in time") from error
        if isinstance(answer, Refused):
            raise RelayRefused(answer)
        if not isinstance(answer, Welcome):
            raise Unreachable("the relay answered something else than a login")
        return answer

    def _joined(self, session: Verified, welcome: Welcome) -> None:
        self._session = session
        self.welcome = welcome
        self.host_ip = session.connection.endpoint.ip
        self._settled.set()
        if self._watch is not None:
            self.send(self._watch)
        self._on_event(Connected(welcome, self.host_ip))

    def _lost(self, reason: str) -> None:
        self._session = None
        self.welcome = None
        self._settled.clear()
        for waiting in self._requests.values():
            if not waiting.done():
                waiting.set_exception(RequestFailed("unreachable", reason))

    async def _attend(self, connection: ControlConnection, welcome: Welcome) -> None:
        """Read until the connection ends, which it says by raising; a second task pings."""
        pinging = self._tasks.start(self._ping_on(connection, max(1.0, welcome.ping_every_s)), name="ping")
        try:
            while True:
                self._received(await connection.receive())
        finally:
            pinging.cancel()

    async def _ping_on(self, connection: ControlConnection, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        missed = 0
        while True:
            is_hurried = self._hurry.is_set()
            self._hurry.clear()
            sent_s = loop.time()
            self._ping = self._number()
            self._pong = loop.create_future()
            connection.send(Ping(self._ping))
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S if is_hurried else PING_TIMEOUT_S):
                    await self._pong
            except TimeoutError:
                missed += 1
                if is_hurried or missed >= MAX_MISSED_PINGS:
                    # Wakes the reader with this reason.
                    connection.close("the relay does not answer any more")
                    return
                continue
            missed = 0
            self.rtt_ms = (loop.time() - sent_s) * 1000.0
            await self._pause(sent_s + every_s - loop.time())

    def _received(self, message: RelayMessage) -> None:
        if isinstance(message, Pong):
            if message.request == self._ping and self._pong is not None and not self._pong.done():
                self._pong.set_result(None)
            return
        if isinstance(message, Replaced):
            raise _TakenOver("you are logged in elsewhere now")
        if isinstance(message, Registered | Found | Refused):
            waiting = self._requests.get(message.request)
            if waiting is not None and not waiting.done():
                if isinstance(message, Refused):
                    waiting.set_exception(RequestFailed(message.code, message.text, message.retry_after_s))
                else:
                    waiting.set_result(message)
                return
            if isinstance(message, Refused) and message.code in _FINAL_CODES:
                raise RelayRefused(message)
        self._on_event(MessageReceived(message))

    async def _pause(self, seconds: float) -> None:
        """Wait, but not when the network has changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
