"""The local socket: proof before anything is read, newest state first, and no window is ever waited for."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.ipc import messages
from app.ipc import socket as local_socket
from app.ipc.client import EngineClient, EngineUnreachable
from app.ipc.server import MAX_WINDOWS, LocalServer
from transport.wire.framing import LOCAL_FRAMING, Deframer, frame


class Engine:
    """The least of an engine: keeps its commands."""

    def __init__(self, home: Path) -> None:
        self.commands: list[messages.WindowMessage] = []
        self.windows: list[int] = []
        self.server = LocalServer(home, lambda message, answer: self._hear(message, answer), self.windows.append)

    def _hear(self, message: messages.WindowMessage, answer: object) -> None:
        self.commands.append(message)
        if isinstance(message, messages.EraseHistory):
            answer(messages.CommandFailed("EraseHistory", "there is none"))  # type: ignore[operator]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.005)


def test_a_window_attaches_hears_the_state_and_commands(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        engine.server.tell(messages.EngineState(ready=True))
        client = await EngineClient.connect(tmp_path)
        first = await client.next_message()
        assert isinstance(first, messages.EngineState) and first.ready
        client.send(messages.EraseHistory())
        assert await client.next_message() == messages.CommandFailed("EraseHistory", "there is none")
        assert engine.commands == [messages.EraseHistory()]
        assert engine.windows == [1]
        await client.close()
        await settle()
        assert engine.windows == [1, 0]
        await engine.server.close()
        assert not (tmp_path / local_socket.INFO_FILE).exists()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="TCP there: the port is another one each time")
def test_an_engine_that_comes_in_the_place_of_another_while_a_window_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window has read where the one before listened, and gets through to the one after."""
    connect = local_socket.connect

    async def main() -> None:
        before, after = Engine(tmp_path), Engine(tmp_path)
        await before.server.open()

        async def late(info: local_socket.EngineInfo) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            await before.server.close()
            await after.server.open()
            after.server.tell(messages.EngineState(ready=True))
            return await connect(info)

        monkeypatch.setattr(local_socket, "connect", late)
        client = await EngineClient.connect(tmp_path)
        assert await client.next_message() == messages.EngineState(ready=True)
        await client.close()
        await after.server.close()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="TCP there: the port is known once it listens")
def test_who_gets_through_finds_the_secret_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listen = asyncio.start_unix_server
    secrets: list[bytes] = []

    async def main() -> None:
        listener = local_socket.LocalListener(tmp_path)

        async def watched(handler: local_socket.Handler, path: Path) -> asyncio.Server:
            secrets.append(local_socket.read_info(tmp_path).secret)
            return await listen(handler, path)

        async def handler(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            raise AssertionError("nobody connects")

        async def refused(_handler: local_socket.Handler, _path: Path) -> asyncio.Server:
            raise OSError("no more sockets")

        monkeypatch.setattr(asyncio, "start_unix_server", watched)
        await listener.open(handler)
        assert secrets == [listener.secret]
        await listener.close()
        monkeypatch.setattr(asyncio, "start_unix_server", refused)
        with pytest.raises(local_socket.LocalSocketError):
            await local_socket.LocalListener(tmp_path).open(handler)
        assert not (tmp_path / local_socket.INFO_FILE).exists()

    asyncio.run(main())


def test_a_watcher_does_not_count_as_a_window(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        client = await EngineClient.connect(tmp_path, watch_only=True)
        await settle()
        assert engine.server.watched and engine.server.windows == 0 and engine.windows == []
        await client.close()
        await engine.server.close()

    asyncio.run(main())


def test_without_the_secret_nothing_is_read_or_sent(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        engine.server.tell(messages.EngineState(ready=True))
        info = local_socket.read_info(tmp_path)
        reader, writer = await local_socket.connect(info)
        wrong = messages.Attach(version=messages.ENGINE_VERSION, proof=b"\0" * 32)
        for message in (wrong, messages.EndEngine()):
            writer.write(frame(messages.encode(message), LOCAL_FRAMING))
        sent = await reader.read()
        hello = [messages.decode_engine_message(document) for document in Deframer(LOCAL_FRAMING).feed(sent)]
        assert [type(message) for message in hello] == [messages.EngineHello]
        assert engine.commands == []
        writer.close()
        await engine.server.close()

    asyncio.run(main())


@pytest.mark.parametrize("garbage", [b"\0\0\0\0", b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096)])
def test_garbage_is_dropped_and_the_engine_lives(tmp_path: Path, garbage: bytes) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        _, writer = await local_socket.connect(local_socket.read_info(tmp_path))
        writer.write(garbage)
        writer.write_eof()
        await settle()
        writer.close()
        client = await EngineClient.connect(tmp_path)
        engine.server.tell(messages.EngineState(busy="registering"))
        message = await client.next_message()
        assert isinstance(message, messages.EngineState) and message.busy == "registering"
        await client.close()
        await engine.server.close()

    asyncio.run(main())


def test_a_window_that_does_not_read_gets_the_newest_state_and_costs_little(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        client = await EngineClient.connect(tmp_path)
        await settle()
        for number in range(2_000):
            engine.server.tell(messages.EngineState(data_place=f"{number} " + "x" * 2_000))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await settle()
        received = 0
        while True:
            message = await client.next_message()
            assert isinstance(message, messages.EngineState)
            received += 1
            if message.data_place.startswith("1999 "):
                break
        assert received < 2_000, "states were queued instead of replaced"
        await client.close()
        await engine.server.close()

    asyncio.run(main())


def test_only_so_many_windows(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        clients = [await EngineClient.connect(tmp_path) for _ in range(MAX_WINDOWS)]
        with pytest.raises(EngineUnreachable):
            await EngineClient.connect(tmp_path)
        for client in clients:
            await client.close()
        await engine.server.close()

    asyncio.run(main())


def test_no_engine_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(EngineUnreachable, match="engine-missing"):
            await EngineClient.connect(tmp_path)
        dead = local_socket.EngineInfo(pid=1, secret=b"s" * 32, path=str(tmp_path / "gone.sock"))
        (tmp_path / local_socket.INFO_FILE).write_bytes(__import__("msgspec").json.encode(dead))
        with pytest.raises(EngineUnreachable, match="engine-silent"):
            await EngineClient.connect(tmp_path)

    asyncio.run(main())


def test_a_long_folder_name_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    async def main() -> None:
        home = tmp_path / ("long-" * 20)
        home.mkdir()
        engine = Engine(home)
        await engine.server.open()
        path = Path(local_socket.read_info(home).path)
        assert home not in path.parents
        client = await EngineClient.connect(home)
        await client.close()
        await engine.server.close()
        assert not path.parent.exists()

    asyncio.run(main())


def test_the_info_file_is_for_the_owner_alone_and_shows_no_secret(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        info = local_socket.read_info(tmp_path)
        assert (tmp_path / local_socket.INFO_FILE).stat().st_mode & 0o077 == 0
        assert info.secret.hex() not in repr(info) and repr(info.secret) not in repr(info)
        await engine.server.close()

    asyncio.run(main())


def test_an_attach_may_come_in_pieces(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        await engine.server.open()
        info = local_socket.read_info(tmp_path)
        reader, writer = await local_socket.connect(info)
        [document] = Deframer(LOCAL_FRAMING).feed(await reader.read(65_536))
        hello = messages.decode_engine_message(document)
        assert isinstance(hello, messages.EngineHello)
        proof = local_socket.proof(info.secret, hello.nonce)
        attach = frame(messages.encode(messages.Attach(version=messages.ENGINE_VERSION, proof=proof)), LOCAL_FRAMING)
        writer.write(attach[:7])
        await settle()
        assert engine.windows == []
        writer.write(attach[7:])
        await settle()
        assert engine.windows == [1]
        writer.close()
        await writer.wait_closed()
        await settle()
        await engine.server.close()

    asyncio.run(main())
