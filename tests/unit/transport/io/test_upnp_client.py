"""UPnP against a web server that is a gateway, and against one that is anything but."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import defusedxml.ElementTree as ElementTree
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.io import upnp_client
from transport.io.upnp_client import MAX_ANSWER_BYTES, MAX_REQUESTS_PER_SEARCH, UpnpClient, location_in
from transport.portmap import igd

HERE = "127.0.0.1"
XMLNS = 'xmlns="urn:schemas-upnp-org:device-1-0"'
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"


def description(services: str, extra: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{extra}<root {XMLNS}><specVersion><major>1</major><minor>0</minor></specVersion><device>'
        "<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>r</friendlyName>"
        "<manufacturer>m</manufacturer><modelName>n</modelName><UDN>uuid:1</UDN>"
        f"<serviceList>{services}</serviceList></device></root>"
    )


def service(control: str = "/ctl", scpd: str = "/scpd.xml", kind: str = SERVICE, number: int = 1) -> str:
    return (
        f"<service><serviceType>{kind}</serviceType><serviceId>urn:upnp-org:serviceId:{number}</serviceId>"
        f"<controlURL>{control}</controlURL><eventSubURL>/evt</eventSubURL><SCPDURL>{scpd}</SCPDURL></service>"
    )


def scpd(*actions: tuple[str, tuple[str, ...], tuple[str, ...]]) -> str:
    """Actions with the names of their arguments in and out."""
    types = {"NewExternalPort": "ui2", "NewInternalPort": "ui2", "NewLeaseDuration": "ui4", "NewEnabled": "boolean"}
    names = sorted({name for _, inward, outward in actions for name in (*inward, *outward)})
    actions = "".join(
        f"<action><name>{action}</name><argumentList>"
        + "".join(
            f"<argument><name>{name}</name><direction>{way}</direction>"
            f"<relatedStateVariable>{name}</relatedStateVariable></argument>"
            for way, group in (("in", inward), ("out", outward))
            for name in group
        )
        + "</argumentList></action>"
        for action, inward, outward in actions
    )
    variables = "".join(
        f'<stateVariable sendEvents="no"><name>{name}</name>'
        f"<dataType>{types.get(name, 'string')}</dataType></stateVariable>"
        for name in names
    )
    return (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major><minor>0'
        f"</minor></specVersion><actionList>{actions}</actionList><serviceStateTable>{variables}</serviceStateTable></scpd>"
    )


ENTRY = ("NewRemoteHost", "NewExternalPort", "NewProtocol")
FULL = scpd(
    ("GetExternalIPAddress", (), ("NewExternalIPAddress",)),
    (
        "AddPortMapping",
        (
            *ENTRY,
            *("NewInternalPort", "NewInternalClient", "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration"),
        ),
        (),
    ),
    (
        "GetSpecificPortMappingEntry",
        ENTRY,
        ("NewInternalPort", "NewInternalClient", "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration"),
    ),
    ("DeletePortMapping", ENTRY, ()),
)


def envelope(body: str) -> str:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{body}</s:Body></s:Envelope>'
    )


def response(action: str, **values: object) -> str:
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    return envelope(f'<u:{action}Response xmlns:u="{SERVICE}">{fields}</u:{action}Response>')


def fault(code: int) -> str:
    return envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
        "<errorDescription>no</errorDescription></UPnPError></detail></s:Fault>"
    )


@dataclass
class Web:
    """A server of canned answers on loopback; by path, and for /ctl by the name of the action."""

    pages: dict[str, bytes | tuple[int, bytes] | Callable[[], bytes]]
    asked: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    port: int = 0
    serving: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(task := asyncio.current_task())  # type: ignore[arg-type]
        try:
            await self.serve_one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.serving.discard(task)  # type: ignore[arg-type]

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        length = [line for line in head.splitlines() if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
        action = [line for line in head.splitlines() if line.lower().startswith("soapaction:")]
        if action:
            path = action[0].split("#")[1].strip('"')
        self.asked.append(path)
        self.bodies.append(body.decode())
        page = self.pages.get(path, (404, b""))
        page = page() if callable(page) else page
        status, data = page if isinstance(page, tuple) else (200, page)
        if status:
            head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(data)}\r\nLocation: /desc.xml\r\n\r\n"
            writer.write(head.encode() + data)
            await writer.drain()
        else:
            await reader.read()


@contextlib.asynccontextmanager
async def gateway(
    pages: dict[str, bytes | tuple[int, bytes] | Callable[[], bytes]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[UpnpClient, Web]]:
    """A gateway at this machine's loopback, which a search finds at once (searching is tested in tests/netlab)."""
    web = Web(pages)
    server = await asyncio.start_server(web.serve, HERE, 0)
    web.port = server.sockets[0].getsockname()[1]

    async def locations(local_ip: str, gateway: str) -> AsyncIterator[str]:
        yield f"http://{HERE}:{web.port}/desc.xml"

    monkeypatch.setattr(upnp_client, "_locations", locations)
    client = UpnpClient()
    try:
        yield client, web
    finally:
        await client.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*web.serving)
        # A transport closes its socket in the turn after.
        await asyncio.sleep(0)


GOOD: dict[str, bytes | tuple[int, bytes] | Callable[[], bytes]] = {
    "/desc.xml": description(service()).encode(),
    "/scpd.xml": FULL.encode(),
    "GetExternalIPAddress": response("GetExternalIPAddress", NewExternalIPAddress="198.51.100.1").encode(),
    "AddPortMapping": response("AddPortMapping").encode(),
    "DeletePortMapping": response("DeletePortMapping").encode(),
    "GetSpecificPortMappingEntry": response(
        "GetSpecificPortMappingEntry",
        NewInternalPort=25_000,
        NewInternalClient="192.168.1.20",
        NewEnabled=1,
        NewPortMappingDescription="Segue",
        NewLeaseDuration=3_599,
    ).encode(),
}
SEARCH = igd.IgdSearch(1, HERE, HERE)
ADD = igd.IgdAdd(3, 25_000, 25_000, "192.168.1.20", 3_600)


def test_a_gateway_that_does_all_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with gateway(GOOD, monkeypatch) as (client, web):
            assert await client.answer(SEARCH) == igd.IgdFound(1)
            assert await client.answer(igd.IgdAskAddress(2)) == igd.IgdAddress(2, "198.51.100.1")
            assert await client.answer(ADD) == igd.IgdDone(3)
            assert "<NewLeaseDuration>3600</NewLeaseDuration>" in web.bodies[-1]
            assert "<NewRemoteHost></NewRemoteHost>" in web.bodies[-1] and "UDP" in web.bodies[-1]
            entry = igd.IgdEntry(4, "192.168.1.20", 25_000, 3_599)
            assert await client.answer(igd.IgdLookUp(4, 25_000)) == entry
            assert await client.answer(igd.IgdDelete(5, 25_000)) == igd.IgdDone(5)

    asyncio.run(run())


@pytest.mark.parametrize("code", [718, 725, 606])
def test_its_errors_are_known_by_their_number(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with gateway({**GOOD, "AddPortMapping": (500, fault(code).encode())}, monkeypatch) as (client, _):
            await client.answer(SEARCH)
            assert await client.answer(ADD) == igd.IgdFailed(3, code)

    asyncio.run(run())


BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {new} "{10 * f"&{old};"}">' for old, new in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "pages",
    [
        {},
        {"/desc.xml": b""},
        {"/desc.xml": b"<html>no</html>"},
        {"/desc.xml": b"\xff\xfe\x00rubbish"},
        {"/desc.xml": b"<" * 10_000},
        {"/desc.xml": b"<a>" * 20_000},
        {"/desc.xml": (302, b"")},
        {"/desc.xml": (0, b"")},
        {"/desc.xml": b" " * (MAX_ANSWER_BYTES + 1) + description(service()).encode()},
        {"/desc.xml": description(service(), BOMB + "]>").replace("<friendlyName>r", "<friendlyName>&i;").encode()},
        {"/desc.xml": description(service(control="http://192.0.2.7/ctl", scpd="http://192.0.2.7/s")).encode()},
        {"/desc.xml": description(service(control="http://[", scpd="file:///etc/passwd")).encode()},
        {"/desc.xml": description("".join(service(kind=f"urn:x:{n}", number=n) for n in range(500))).encode()},
        {"/desc.xml": description(service(kind="urn:schemas-upnp-org:service:SwitchPower:1")).encode()},
    ],
    ids=lambda pages: next(iter(pages.values()), b"nothing")[:20] if isinstance(pages, dict) else "",
)
def test_no_document_does_more_than_be_refused(
    pages: dict[str, bytes | tuple[int, bytes] | Callable[[], bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upnp_client, "REQUEST_S", 0.2)

    async def run() -> None:
        async with gateway({"/scpd.xml": FULL.encode(), **pages}, monkeypatch) as (client, web):
            assert await client.answer(SEARCH) == igd.IgdFailed(1, 0)
            assert len(web.asked) <= MAX_REQUESTS_PER_SEARCH
            assert await client.answer(ADD) == igd.IgdFailed(3, 0), "there is no gateway to ask"

    asyncio.run(run())


def elements(count: int) -> bytes:
    """A description of a service with at least as many elements."""
    variable = "<stateVariable><name>v</name><dataType>ui4</dataType></stateVariable>"
    return FULL.replace("</serviceStateTable>", variable * (count // 3 + 1) + "</serviceStateTable>").encode()


@pytest.mark.parametrize(
    "costly",
    [
        elements(upnp_client.MAX_ELEMENTS_PER_ANSWER),
        elements(9_000),
        FULL.replace("</actionList>", "<action><name>x</name></action>" * 4_000 + "</actionList>").encode(),
        FULL.replace("</actionList>", "<a/>" * 8_000 + "</actionList>").encode(),
        FULL.replace("</actionList>", "<a>" * 8_000 + "</a>" * 8_000 + "</actionList>").encode(),
        FULL.replace("</actionList>", "<![CDATA[" + "</" * 8_000 + "]]>" + "<a/>" * 8_000 + "</actionList>").encode(),
    ],
    ids=["just-too-many", "variables", "actions", "empty", "nested", "hidden"],
)
@pytest.mark.parametrize("page", ["/desc.xml", "/scpd.xml", "GetExternalIPAddress"])
def test_a_document_that_costs_too_much_is_not_parsed(
    costly: bytes, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(costly) <= MAX_ANSWER_BYTES
    longest: list[int] = []
    parse = ElementTree.fromstring

    def watched(text: str, *rest: object, **options: object) -> object:
        longest.append(text.count("<"))
        return parse(text, *rest, **options)

    monkeypatch.setattr(ElementTree, "fromstring", watched)

    async def run() -> None:
        async with gateway({**GOOD, page: costly}, monkeypatch) as (client, web):
            await client.answer(SEARCH)
            assert page in web.asked

    asyncio.run(run())
    assert max(longest, default=0) <= 2 * upnp_client.MAX_ELEMENTS_PER_ANSWER


def test_many_documents_cost_no_more_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        "/desc.xml": description("".join(service(scpd=f"/{n}.xml", number=n) for n in range(20))).encode(),
        **{f"/{n}.xml": elements(upnp_client.MAX_ELEMENTS_PER_ANSWER - 300) for n in range(20)},
    }

    async def run() -> None:
        async with gateway(pages, monkeypatch) as (client, web):
            assert await client.answer(SEARCH) == igd.IgdFailed(1, 0)
            assert len(web.asked) <= 8

    asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    [b"", b"rubbish", b"<a/>", response("Other").encode(), envelope("").encode(), b"x" * (MAX_ANSWER_BYTES + 1)],
    ids=["empty", "rubbish", "xml", "other", "nothing", "long"],
)
@pytest.mark.parametrize("status", [200, 500])
def test_no_answer_does_more_than_be_refused(body: bytes, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {**GOOD, "GetSpecificPortMappingEntry": (status, body)}

    async def run() -> None:
        async with gateway(pages, monkeypatch) as (client, _):
            assert await client.answer(SEARCH) == igd.IgdFound(1)
            failed = await client.answer(igd.IgdLookUp(4, 25_000))
            assert isinstance(failed, igd.IgdFailed)

    asyncio.run(run())


def test_an_action_that_it_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {**GOOD, "/scpd.xml": scpd(("GetExternalIPAddress", (), ("NewExternalIPAddress",))).encode()}

    async def run() -> None:
        async with gateway(pages, monkeypatch) as (client, _):
            assert await client.answer(SEARCH) == igd.IgdFound(1)
            assert await client.answer(ADD) == igd.IgdFailed(3, 401)

    asyncio.run(run())


def answer(location: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: {location}\r\nUSN: uuid:1\r\n\r\n".encode()


def test_only_the_gateway_itself_is_believed() -> None:
    own = "http://192.168.1.1:5000/desc.xml"
    router = ("192.168.1.1", 1_900)
    assert location_in(answer(own), router, "192.168.1.1") == own
    assert location_in(answer(own), ("192.168.1.66", 1_900), "192.168.1.1") == ""
    for elsewhere in ("http://192.168.1.66/d", "http://127.0.0.1/d", "https://192.168.1.1/d", "file:///etc/passwd", ""):
        assert location_in(answer(elsewhere), router, "192.168.1.1") == ""
    assert location_in(answer("http://192.168.1.1@192.0.2.9/"), router, "192.168.1.1") == ""
    assert location_in(b"NOTIFY * HTTP/1.1\r\nLOCATION: " + own.encode() + b"\r\n\r\n", router, "192.168.1.1") == ""


@given(st.binary(max_size=200))
def test_rubbish_is_no_answer(data: bytes) -> None:
    for beginning in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nLOCATION: http://[", b"HTTP/1.1 200\r\nA:"):
        assert location_in(beginning + data, ("192.168.1.1", 1_900), "192.168.1.1") == ""
