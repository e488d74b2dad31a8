"""relay.server on loopback: sockets, legs, STUN, metrics, signals."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from relay import call_table as relay_calls
from relay import server as relay_server
from relay.certificate import IDENTITY_FILE, own_identity
from relay.config import RelayConfig
from relay.errors import RelayError
from relay.server import Relay, relay_loop_factory, run_relay
from relay.store import DATABASE_FILE, NameStore
from tests.unit.relay.live import Udp, free_port, log_in, running
from tests.unit.relay.people import call_id, person, register
from tests.unit.transport.quic.control_client import fails
from transport.io import private_files
from transport.io.private_files import database_files
from transport.wire import stun
from transport.wire.addresses import parse_relay
from transport.wire.relay_messages import Answer, Answered, Draining, Ended, Granted, Incoming, Invite, Lookup, Refused

ROOT = Path(__file__).parents[3]
CALL = call_id(1)
PACKET = b"\x41" + bytes(range(250)) * 4


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
@pytest.mark.parametrize("name", [".", IDENTITY_FILE, *database_files(DATABASE_FILE)])
def test_a_relay_trusts_nothing_that_others_can_write_to(tmp_path: Path, name: str) -> None:
    own_identity(tmp_path)
    path = tmp_path / name
    if not path.exists():
        path.write_bytes(b"")
    path.chmod(path.stat().st_mode | 0o020)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RelayError, match=f"others can write to {path}"):
        asyncio.run(Relay(RelayConfig(tmp_path, ("127.0.0.1",), port=0)).start())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_a_key_that_others_could_read_is_closed_and_noticed(tmp_path: Path) -> None:
    own_identity(tmp_path)
    (tmp_path / IDENTITY_FILE).chmod(0o644)

    async def main() -> None:
        async with running(tmp_path) as (_, ready):
            assert len(ready.notices) == 1 and IDENTITY_FILE in ready.notices[0]

    asyncio.run(main())
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX owners")
def test_a_relay_trusts_no_key_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_identity(tmp_path)
    monkeypatch.setattr(private_files, "_ROOT", -1)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(RelayError, match="belongs to another user"):
        asyncio.run(Relay(RelayConfig(tmp_path, ("127.0.0.1",), port=0)).start())


@pytest.mark.parametrize("factory", [asyncio.SelectorEventLoop, relay_loop_factory()])
def test_a_call_is_carried_by_authenticated_legs(tmp_path: Path, factory: type[asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        async with running(tmp_path) as (relay, ready):
            bob = await log_in(ready, 2, claim="bob")
            ann = await log_in(ready, 1)
            ann.connection.send(Invite(CALL, "bob"))
            granted, incoming = await ann.receive(), await bob.receive()
            assert isinstance(granted, Granted) and isinstance(incoming, Incoming)
            with Udp() as one, Udp() as two, Udp() as third:
                # The first flight waits until the other leg is bound.
                answer = await one.bind(granted.leg)
                assert answer.mapped == one.address and answer.authentic(granted.leg.password)
                one.send(PACKET, granted.leg.port)
                await two.bind(incoming.leg)
                assert await two.receive() == PACKET
                two.send(b"\xc0reply", incoming.leg.port)
                assert await one.receive() == b"\xc0reply"
                # Neither a stranger's packet nor a wrong password gets anywhere.
                third.send(b"\x40stranger", granted.leg.port)
                assert (await third.bind(granted.leg, "wrong-password-here")).error == stun.UNAUTHENTICATED
                two.send(b"\xc0still", incoming.leg.port)
                assert await one.receive() == b"\xc0still"
                assert third.pending() is None
                # The right one moves the leg.
                assert (await third.bind(granted.leg)).kind is stun.StunClass.SUCCESS
                two.send(b"\xc0moved", incoming.leg.port)
                assert await third.receive() == b"\xc0moved"
                assert one.pending() is None
            bob.connection.send(Answer(CALL))
            assert await ann.receive() == Answered(CALL)
            snapshot = relay.snapshot()
            assert snapshot["media_packets_total"] == 4
            assert snapshot["media_drops_total"] == {"unbound": 1.0, "unauthenticated": 1.0}
            assert (snapshot["calls"], snapshot["legs"], snapshot["answers_total"]) == (1, 2, 1)
            ann.connection.close()
            bob.connection.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_stun_answers_on_every_port_and_address(tmp_path: Path) -> None:
    async def main() -> None:
        options = {"binds": ("127.0.0.1", "127.0.0.2"), "stun_ports": (0, 0)}
        async with running(tmp_path, **options) as (_, ready):
            ports = {port for _, port in ready.stun}
            assert len(ports) == 3 and ready.media_port in ports
            assert set(ready.stun) == {(host, port) for host in ("127.0.0.1", "127.0.0.2") for port in ports}
            loop = asyncio.get_running_loop()
            with Udp() as udp:
                for host, port in ready.stun:
                    udp._socket.sendto(stun.binding_request(b"t" * 12), (host, port))
                    async with asyncio.timeout(10):
                        data, source = await loop.sock_recvfrom(udp._socket, 2_048)
                    # From the very address that was asked: anything else would not pass a NAT.
                    assert source == (host, port)
                    assert stun.parse(data).mapped == udp.address

    asyncio.run(main())


def test_the_pin_stays_over_a_restart_and_so_do_the_names(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (_, first):
            bob = await log_in(first, 2, claim="bob")
            bob.connection.close()
        async with running(tmp_path) as (_, second):
            assert second.address.pin == first.address.pin
            again = await log_in(second, 2, name="bob")
            again.connection.close()

    asyncio.run(main())


def test_a_full_disk_is_reported_and_the_relay_lives_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_server, "NameStore", lambda folder: NameStore(folder, max_pages=2))

    async def main() -> None:
        async with running(tmp_path) as (_, ready):
            codes = set()
            for number in range(1, 30):
                guest = await log_in(ready, number)
                guest.connection.send(register(guest.challenge, person(number), f"name-{number}"))
                answer = await guest.receive()
                codes.add(answer.code if isinstance(answer, Refused) else "registered")
                if isinstance(answer, Refused):
                    assert "full" in answer.text
                    guest.connection.send(Lookup(7, "name-1"))
                    assert (await guest.receive()).request == 7  # type: ignore[union-attr]
                guest.connection.close()
                if "storage" in codes:
                    break
            assert codes == {"registered", "storage"}

    asyncio.run(main())


def test_a_damaged_database_is_reported_and_the_relay_starts(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"rubbish" * 1_000)

    async def main() -> None:
        async with running(tmp_path) as (_, ready):
            assert len(ready.notices) == 1 and "damaged" in ready.notices[0]

    asyncio.run(main())


def test_draining_tells_the_clients_and_ends_with_the_calls(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (relay, ready):
            bob = await log_in(ready, 2, claim="bob")
            ann = await log_in(ready, 1)
            ann.connection.send(Invite(CALL, "bob"))
            assert isinstance(await ann.receive(), Granted)
            relay.drain(0.2)
            draining = await ann.receive()
            assert isinstance(draining, Draining) and 0.0 < draining.seconds <= 0.2 + 1e-6  # the clock is a float
            ann.connection.send(Invite(call_id(2), "bob"))
            refused = await ann.receive()
            assert isinstance(refused, Ended) and refused.reason == "draining"
            async with asyncio.timeout(10):
                await relay.stopped.wait()
            ended = await ann.receive()
            assert isinstance(ended, Ended) and (ended.call_id, ended.reason) == (CALL, "draining")
            await relay.close()
            with fails("unreachable", "stopped"):
                await ann.receive()
            bob.connection.close()
            ann.connection.close()

    asyncio.run(main())


def test_a_call_that_both_have_left_ends_with_its_legs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_server, "IDLE_S", 0.15)
    monkeypatch.setattr(relay_calls, "LEG_GRACE_S", 0.02)

    async def main() -> None:
        async with running(tmp_path) as (relay, ready):
            bob = await log_in(ready, 2, claim="bob")
            ann = await log_in(ready, 1)
            ann.connection.send(Invite(CALL, "bob"))
            granted = await ann.receive()
            assert isinstance(granted, Granted) and granted.leg.lifetime_s == 0.15
            bob.connection.send(Answer(CALL))
            assert await ann.receive() == Answered(CALL)
            ann.connection.close()
            bob.connection.close()
            assert relay.legs_in_use == 2
            async with asyncio.timeout(10):
                while relay.legs_in_use:  # noqa: ASYNC110 - nothing but the count is there to wait for
                    await asyncio.sleep(0.01)
            assert relay.snapshot()["call_ends_total"] == {"failed": 1.0}

    asyncio.run(main())


def test_metrics_are_served_on_loopback_and_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, metrics_port=0) as (_, ready):
            assert ready.metrics is not None and ready.metrics[0] == "127.0.0.1"
            url = f"http://127.0.0.1:{ready.metrics[1]}/metrics"
            guest = await log_in(ready, 1)
            guest.connection.send(Invite(CALL, "nobody"))
            await guest.receive()
            with Udp() as udp:
                await udp.ask(ready.media_port)
            text = await asyncio.get_running_loop().run_in_executor(None, _get, url)
            assert "segue_relay_authenticated 1.0" in text
            assert 'segue_relay_call_ends_total{reason="unknown-name"} 1.0' in text
            assert 'segue_relay_stun_total{outcome="answered"} 1.0' in text
            guest.connection.close()

    asyncio.run(main())


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def test_a_port_that_is_taken_is_reported_plainly_and_nothing_is_left_open(tmp_path: Path) -> None:
    async def main() -> None:
        with Udp() as taken:
            for options in ({"port": taken.address[1]}, {"port": 0, "stun_ports": (taken.address[1],)}):
                relay = Relay(RelayConfig(tmp_path, ("127.0.0.1",), **options))
                with pytest.raises(RelayError, match="cannot listen on"):
                    await relay.start()

    asyncio.run(main())


def test_an_address_that_is_not_this_machines_is_reported_plainly(tmp_path: Path) -> None:
    async def main() -> None:
        for bind in ("192.0.2.1", "not an address"):
            with pytest.raises(RelayError, match="cannot listen on"):
                await Relay(RelayConfig(tmp_path, (bind,), 0)).start()

    asyncio.run(main())


def test_the_media_port_follows_the_control_port(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(20):
            port = free_port()
            try:
                async with running(tmp_path, port=port) as (_, ready):
                    assert (ready.address.port, ready.media_port) == (port, port + 1)
                    return
            except RelayError:
                continue  # another program holds the port after it
        pytest.fail("twenty pairs of ports and none was free")

    asyncio.run(main())


def test_without_binds_it_listens_everywhere_and_shows_an_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, binds=()) as (_, ready):
            shown = parse_relay(str(ready.address))
            assert shown == ready.address and shown.host not in ("0.0.0.0", "::")
            with Udp() as udp:
                assert (await udp.ask(ready.media_port)).mapped == udp.address

    asyncio.run(main())


def test_run_relay_ends_on_the_event_of_its_caller(tmp_path: Path) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        seen: list[str] = []

        def on_ready(ready: object) -> None:
            seen.append(str(ready))
            stop.set()

        async with asyncio.timeout(20):
            await run_relay(RelayConfig(tmp_path, ("127.0.0.1",), 0), on_ready, stop)
        assert len(seen) == 1

    with asyncio.Runner(loop_factory=relay_loop_factory()) as runner:
        runner.run(main())


_PROGRAM = """
import asyncio, sys
from pathlib import Path
from relay.config import RelayConfig
from relay.server import relay_loop_factory, run_relay

config = RelayConfig(Path(sys.argv[1]), ("127.0.0.1",), 0, drain_s=120.0)
with asyncio.Runner(loop_factory=relay_loop_factory()) as runner:
    runner.run(run_relay(config, lambda ready: print("ready", ready.address, flush=True)))
print("ended", flush=True)
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_signals_drain_first_and_stop_at_the_second(tmp_path: Path, first: signal.Signals) -> None:
    async def main(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        try:
            loop = asyncio.get_running_loop()
            line = await loop.run_in_executor(None, process.stdout.readline)
            address = parse_relay(line.split()[1])
            pin = hashlib.sha256(own_identity(tmp_path).certificate).hexdigest()
            assert line.startswith("ready ") and pin.startswith(address.pin)
            ready = type("Shown", (), {"address": address})()
            bob = await log_in(ready, 2, claim="bob")
            ann = await log_in(ready, 1)
            ann.connection.send(Invite(CALL, "bob"))
            assert isinstance(await ann.receive(), Granted)
            process.send_signal(first)
            assert isinstance(await ann.receive(), Draining)
            # A call is under way, so it stays; the second signal does not ask.
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert await loop.run_in_executor(None, process.wait, 20) == 0
            assert process.stdout.read() == "ended\n"
            ann.connection.close()
            bob.connection.close()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    asyncio.run(main(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)))
