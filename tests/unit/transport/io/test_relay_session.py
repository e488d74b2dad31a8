"""transport.io.relay_session against a real relay on loopback."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from relay.config import Ready, RelayConfig
from relay.limits import RelayLimits
from relay.server import Relay
from tests.unit.relay.people import call_id, person
from transport.io import relay_session as rc
from transport.net.token_bucket import Rate
from transport.quic import relay_session as session_machine
from transport.quic import session_events as events
from transport.quic.relay_channel import ControlChannel
from transport.quic.relay_channel_server import ControlServer, bind_udp
from transport.wire.addresses import RelayAddress
from transport.wire.relay_messages import (
    CONTROL_VERSION,
    Answer,
    Answered,
    Authenticate,
    Challenge,
    Draining,
    Ended,
    Granted,
    HangUp,
    Incoming,
    Invite,
    Presence,
    Ring,
    Ringing,
    Watch,
    Welcome,
    decode_client_message,
)

WAIT_S = 10.0


class Log:
    """A client's events, to be waited for in order."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[events.RelayEvent] = asyncio.Queue()

    async def next(self) -> events.RelayEvent:
        async with asyncio.timeout(WAIT_S):
            return await self.queue.get()

    async def message(self) -> object:
        event = await self.next()
        assert isinstance(event, events.RelayMessageReceived), event
        return event.message


def client(address: RelayAddress, number: int, **options: object) -> tuple[rc.RelayClient, Log]:
    log = Log()
    made = rc.RelayClient(
        address,
        person(number),
        log.queue.put_nowait,
        rng=random.Random(number),
        **options,  # type: ignore[arg-type]
    )
    made.start()
    return made, log


def with_relay(
    tmp_path: Path, scenario: Callable[[Relay, Ready], Awaitable[None]], limits: RelayLimits | None = None
) -> None:
    async def main() -> None:
        relay = Relay(RelayConfig(tmp_path, ("127.0.0.1",), 0, limits=limits or RelayLimits()))
        ready = await relay.start()
        try:
            await scenario(relay, ready)
        finally:
            await relay.close()

    asyncio.run(main())


def test_register_look_up_and_a_whole_call(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        bob, bob_log = client(ready.address, 1)
        ann, ann_log = client(ready.address, 2, home="ann@elsewhere.example")
        assert isinstance(await bob_log.next(), events.Connected)
        connected = await ann_log.next()
        assert isinstance(connected, events.Connected) and connected.host_ip == ann.host_ip == "127.0.0.1"
        assert (await bob.register("bob")).name == "bob"
        found = await ann.lookup("bob")
        assert (found.key, found.certificate, found.online) == (person(1).key, person(1).certificate, True)

        assert ann.send(Invite(call_id(1), "bob"))
        granted, incoming = await ann_log.message(), await bob_log.message()
        assert isinstance(granted, Granted) and granted.callee.key == person(1).key
        assert isinstance(incoming, Incoming) and incoming.caller.home == "ann@elsewhere.example"
        assert granted.leg.port == incoming.leg.port == ready.media_port
        bob.send(Ring(call_id(1)))
        assert await ann_log.message() == Ringing(call_id(1))
        bob.send(Answer(call_id(1)))
        assert await ann_log.message() == Answered(call_id(1))
        ann.send(HangUp(call_id(1)))
        assert await bob_log.message() == Ended(call_id(1), "hung-up")
        assert bob.rtt_ms is not None and 0 < bob.rtt_ms < 60_000
        await ann.close()
        await bob.close()

    with_relay(tmp_path, scenario)


def test_requests_that_fail_say_why(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        bob, _ = client(ready.address, 1)
        ann, _ = client(ready.address, 2)
        await bob.register("bob")
        with pytest.raises(rc.RequestFailed) as taken:
            await ann.register("bob")
        assert taken.value.code == "name-taken"
        with pytest.raises(rc.RequestFailed) as unknown:
            await ann.lookup("nobody")
        assert unknown.value.code == "unknown-name"
        with pytest.raises(rc.RequestFailed) as limited:
            for _ in range(3):
                await ann.lookup("bob")
        assert limited.value.code == "limit" and limited.value.retry_after_s > 0
        await ann.close()
        await bob.close()
        with pytest.raises(rc.RequestFailed) as closed:
            await bob.lookup("bob")
        assert closed.value.code == "unreachable"

    with_relay(tmp_path, scenario, RelayLimits(lookup=Rate(3, 0.001)))


def test_a_wrong_pin_is_final(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        wrong = RelayAddress(ready.address.host, ready.address.port, "0" * 32)
        ann, log = client(wrong, 2)
        event = await log.next()
        assert isinstance(event, events.Rejected) and event.code == "wrong-pin"
        with pytest.raises(rc.RequestFailed) as failed:
            await ann.lookup("bob")
        assert failed.value.code == "wrong-pin"
        assert relay.snapshot()["authenticated"] == 0
        await ann.close()

    with_relay(tmp_path, scenario)


def test_a_name_of_somebody_else_is_final(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        ann, log = client(ready.address, 2, name="bob")
        event = await log.next()
        assert isinstance(event, events.Rejected) and event.code == "not-registered"
        await ann.close()

    with_relay(tmp_path, scenario)


def test_a_second_login_of_the_same_key_ends_the_first_for_good(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        one, one_log = client(ready.address, 1)
        assert isinstance(await one_log.next(), events.Connected)
        two, two_log = client(ready.address, 1)
        assert isinstance(await two_log.next(), events.Connected)
        event = await one_log.next()
        assert isinstance(event, events.Rejected) and event.code == "replaced"
        assert two.is_connected and not one.is_connected
        await one.close()
        await two.close()

    with_relay(tmp_path, scenario)


def test_it_comes_back_after_the_relay_with_its_name_and_its_watch_list(tmp_path: Path) -> None:
    async def main() -> None:
        relay = Relay(RelayConfig(tmp_path, ("127.0.0.1",), 0))
        ready = await relay.start()
        bob, bob_log = client(ready.address, 1)
        ann, ann_log = client(ready.address, 2)
        assert isinstance(await ann_log.next(), events.Connected)
        assert isinstance(await bob_log.next(), events.Connected)
        await bob.register("bob")
        ann.send(Watch(["bob"]))
        assert await ann_log.message() == Presence("bob", True)
        await relay.close()
        assert isinstance(await bob_log.message(), Draining)
        gone = await bob_log.next()
        assert isinstance(gone, events.Disconnected) and gone.retry_in_s <= 0.5

        # The same data directory: the same key, and the same port so that the address still holds.
        port = ready.address.port
        again = Relay(RelayConfig(tmp_path, ("127.0.0.1",), port, media_port=ready.media_port))
        assert (await again.start()).address == ready.address
        while not isinstance(event := await bob_log.next(), events.Connected):
            assert isinstance(event, events.Disconnected)
        assert event.welcome.name == "bob"
        seen: list[object] = []
        while Presence("bob", True) not in seen:
            event = await ann_log.next()
            seen.append(event.message if isinstance(event, events.RelayMessageReceived) else event)
        assert any(isinstance(one, events.Connected) for one in seen)
        await ann.close()
        await bob.close()
        await again.close()

    asyncio.run(main())


def test_nobody_there_is_waited_out_with_growing_pauses(tmp_path: Path) -> None:
    async def main() -> None:
        # Port 1 is nobody's on a machine that runs tests; a connected socket learns so at once.
        ann, log = client(RelayAddress("127.0.0.1", 1, "0" * 32), 2)
        found = [await log.next(), await log.next()]
        assert all(isinstance(event, events.Disconnected) and "nothing listens" in event.reason for event in found)
        waits = [event.retry_in_s for event in found if isinstance(event, events.Disconnected)]
        assert len(waits) == 2 and 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0
        with pytest.raises(rc.RequestFailed) as failed:
            await ann.lookup("bob", timeout_s=0.05)
        assert failed.value.code == "unreachable"
        await ann.close()

    asyncio.run(main())


def test_a_host_that_cannot_be_found_is_reported() -> None:
    async def main() -> None:
        assert await rc.resolve("no-such-host.invalid", 1) == ()
        ann, log = client(RelayAddress("no-such-host.invalid"), 2)
        event = await log.next()
        assert isinstance(event, events.Disconnected) and "cannot be found" in event.reason
        await ann.close()

    asyncio.run(main())


class Mute:
    """A relay that logs anybody in and then says nothing more."""

    def channel_open(self, channel: ControlChannel) -> None:
        channel.send(Challenge(CONTROL_VERSION, b"n" * 32, person(2_000).certificate))

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        if isinstance(decode_client_message(document), Authenticate):
            channel.send(Welcome("", channel.remote, [], 60.0))

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        return


@pytest.mark.parametrize("hurried", [True, False])
def test_a_relay_that_falls_silent_is_left(monkeypatch: pytest.MonkeyPatch, hurried: bool) -> None:
    monkeypatch.setattr(session_machine, "PING_TIMEOUT_S", 60.0 if hurried else 0.02)
    monkeypatch.setattr(session_machine, "PROBE_TIMEOUT_S", 0.02)

    async def main() -> None:
        server = ControlServer(person(2_000), Mute())
        udp = bind_udp("127.0.0.1", 0)
        port = udp.getsockname()[1]
        await server.listen(udp)
        pin = hashlib.sha256(person(2_000).certificate).hexdigest()[:32]
        ann, log = client(RelayAddress("127.0.0.1", port, pin), 2)
        if hurried:
            # The machine's addresses change while it connects, so the first thing it does is to find out.
            ann.network_changed()
        assert isinstance(await log.next(), events.Connected)
        event = await log.next()
        assert isinstance(event, events.Disconnected) and "does not answer any more" in event.reason
        assert ann.rtt_ms is None
        await ann.close()
        server.close()

    asyncio.run(main())


def test_the_certificate_that_was_read_matches_the_pin(tmp_path: Path) -> None:
    async def scenario(relay: Relay, ready: Ready) -> None:
        ann, log = client(ready.address, 2)
        assert isinstance(await log.next(), events.Connected)
        assert ann.certificate is not None
        assert hashlib.sha256(ann.certificate).hexdigest().startswith(ready.address.pin)
        again, again_log = client(ready.address, 3, certificate=ann.certificate)
        assert isinstance(await again_log.next(), events.Connected)
        await again.close()
        await ann.close()

    with_relay(tmp_path, scenario)
