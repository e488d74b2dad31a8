"""UPnP on the wire: finds the Internet Gateway Device that is our default gateway, and calls its actions.

The only importer of async_upnp_client (descriptions, SOAP, and the words of SSDP; defusedxml against XML bombs) and of
aiohttp. Whatever comes from the local network is untrusted: it counts only from the gateway's own address, every
answer is bounded in size and time, and no address but the gateway's is ever asked, whatever a description says.
What to ask, and what the answers mean, is :mod:`transport.portmap.igd_client`'s decision.
"""

import asyncio
import ipaddress
import logging
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from async_upnp_client.client import UpnpDevice, UpnpRequester, UpnpService
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.exceptions import UpnpActionError, UpnpCommunicationError
from async_upnp_client.ssdp import build_ssdp_search_packet, decode_ssdp_packet

from transport.io.udp import UdpSocket
from transport.net.sockets import Address
from transport.portmap import igd

_log = logging.getLogger(__name__)
# The library takes a router's faults for errors of its own; here they are what is to be expected.
logging.getLogger("async_upnp_client").setLevel(logging.CRITICAL)

SSDP_PORT = 1900
SSDP_GROUP: Address = ("239.255.255.250", SSDP_PORT)
# Some gateways answer one of these only (UPnP Device Architecture 1.1 §1.3.2).
SEARCH_TARGETS = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "upnp:rootdevice",
)
MX_S = 1
# Packets are lost on radio; three rounds are over within two seconds.
SEARCH_AT_S = (0.0, 0.5, 1.2)
SEARCH_WAIT_S = 2.5
# Locations that are tried: a gateway has a root device for its WAN side, and perhaps one for its media server.
MAX_LOCATIONS = 3
# Descriptions in the field have some 5 to 60 kB, answers to actions under 2 kB.
MAX_ANSWER_BYTES = 256 * 1024
# What a document costs grows with its elements, not its bytes: a thousand take the library some 20 ms of CPU time, on
# the event loop. A service of IGD:2 with all of its actions has some 700, descriptions in the field under 300.
MAX_ELEMENTS_PER_ANSWER = 2_000
MAX_ELEMENTS_PER_SEARCH = 10_000
# A description with its services: IGD:2 has six; the rest is for gateways that are more things than that.
MAX_REQUESTS_PER_SEARCH = 24
REQUEST_S = 2.5
SERVICES = (
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
DESCRIPTION = "Segue"
INVALID_ACTION = 401
ACTION_FAILED = 501


class UpnpClient:
    """Answers the machine's questions, one at a time; :meth:`close` at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._service: UpnpService | None = None

    async def answer(self, command: igd.IgdCommand) -> igd.IgdEvent:
        """Ask the gateway; what goes wrong is :class:`IgdFailed`."""
        try:
            async with asyncio.timeout(igd.SEARCH_S if isinstance(command, igd.IgdSearch) else igd.ASK_S):
                return await self._answer(command)
        except UpnpActionError as error:
            return igd.IgdFailed(command.number, error.error_code or ACTION_FAILED)
        except Exception as error:
            # Beyond its own errors the library lets through whatever a strange document makes Python raise.
            _log.debug("UPnP %s: %r", type(command).__name__, error)
            return igd.IgdFailed(command.number, 0)

    async def close(self) -> None:
        """Close what is open."""
        self._service = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _answer(self, command: igd.IgdCommand) -> igd.IgdEvent:
        match command:
            case igd.IgdSearch(number, local_ip, gateway):
                await self.close()
                found = await self._find(local_ip, gateway)
                return igd.IgdFound(number) if found else igd.IgdFailed(number, 0)
            case igd.IgdAskAddress(number):
                result = await self._call("GetExternalIPAddress")
                return igd.IgdAddress(number, str(result["NewExternalIPAddress"]))
            case igd.IgdAdd(number, external_port, internal_port, client, lease_s):
                await self._call(
                    "AddPortMapping",
                    **_entry(external_port),
                    NewInternalPort=internal_port,
                    NewInternalClient=client,
                    NewEnabled=True,
                    NewPortMappingDescription=DESCRIPTION,
                    NewLeaseDuration=lease_s,
                )
                return igd.IgdDone(number)
            case igd.IgdLookUp(number, external_port):
                result = await self._call("GetSpecificPortMappingEntry", **_entry(external_port))
                client, port = str(result["NewInternalClient"]), int(result["NewInternalPort"])
                return igd.IgdEntry(number, client, port, int(result["NewLeaseDuration"]))
            case igd.IgdDelete(number, external_port):
                await self._call("DeletePortMapping", **_entry(external_port))
                return igd.IgdDone(number)

    async def _call(self, name: str, **arguments: Any) -> Any:
        if self._service is None:
            raise UpnpCommunicationError("no gateway has been found")
        if not self._service.has_action(name):
            raise UpnpActionError(error_code=INVALID_ACTION, error_desc=name)
        return await self._service.action(name).async_call(**arguments)

    async def _find(self, local_ip: str, gateway: str) -> bool:
        """Whether there is a connection service; the first that has an external address, or else the first."""
        # Neither cookies nor proxies nor packed answers, and one connection to one address.
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=True, local_addr=(local_ip, 0)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        self._session = session
        requester = BoundedRequester(session, gateway)
        factory = UpnpFactory(requester, non_strict=True)
        async for location in _locations(local_ip, gateway):
            try:
                device = await factory.async_create_device(location)
            except Exception as error:
                # As in answer(): a strange document. The next location may be the right one.
                _log.debug("UPnP description %s: %r", location, error)
                continue
            requester.is_trusted_longer()
            self._service = await self._best_service(device)
            if self._service is not None:
                return True
        return False

    async def _best_service(self, device: UpnpDevice) -> UpnpService | None:
        services = sorted(
            (service for service in device.all_services if service.service_type in SERVICES),
            key=lambda service: SERVICES.index(service.service_type),
        )
        for service in services:
            self._service = service
            try:
                ip = ipaddress.ip_address(str((await self._call("GetExternalIPAddress"))["NewExternalIPAddress"]))
            except Exception as error:
                _log.debug("UPnP %s: %r", service.service_type, error)
                continue
            if not ip.is_unspecified:
                return service
        return services[0] if services else None


class BoundedRequester(UpnpRequester):
    """HTTP to one host, ``http`` alone, with a limit on how often, how long and how much."""

    def __init__(self, session: aiohttp.ClientSession, host: str) -> None:
        self._session = session
        self._host = host
        self._left: int | None = MAX_REQUESTS_PER_SEARCH
        self._elements_left = MAX_ELEMENTS_PER_SEARCH

    def is_trusted_longer(self) -> None:
        """The description is read; from now on each request is one of the machine's questions."""
        self._left = None

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        """Raises :class:`UpnpCommunicationError` for what is not allowed, and aiohttp's errors and TimeoutError."""
        url = urlsplit(http_request.url)
        if url.scheme != "http" or url.hostname != self._host:
            raise UpnpCommunicationError(f"not the gateway's own address: {http_request.url[:100]}")
        if self._left is not None:
            if self._left == 0:
                raise UpnpCommunicationError("a description that never ends")
            self._left -= 1
        async with (
            asyncio.timeout(REQUEST_S),
            self._session.request(
                http_request.method,
                http_request.url,
                headers={**http_request.headers, "Accept-Encoding": "identity"},
                data=http_request.body,
                allow_redirects=False,
            ) as response,
        ):
            body = bytearray()
            while chunk := await response.content.read(MAX_ANSWER_BYTES + 1 - len(body)):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise UpnpCommunicationError("an answer that is too long")
            self._charge(body)
            return HttpResponse(response.status, response.headers, body.decode(errors="replace"))

    def _charge(self, body: bytearray) -> None:
        """Refuse what would cost too much to read, before it is parsed. Every element begins with ``<``."""
        elements = body.count(b"<") - body.count(b"</")
        if self._left is not None:
            self._elements_left -= elements
        if elements > MAX_ELEMENTS_PER_ANSWER or self._elements_left < 0:
            raise UpnpCommunicationError("an answer with too many elements")


async def _locations(local_ip: str, gateway: str) -> Any:
    """Where the gateway's descriptions are, as it answers to a search: by multicast, and asked itself, which not
    every gateway hears but those that do answer at once."""
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[str] = asyncio.Queue(MAX_LOCATIONS)
    seen: set[str] = set()

    def received(source: Address, data: bytes) -> None:
        location = location_in(data, source, gateway)
        if location and location not in seen and len(seen) < MAX_LOCATIONS:
            seen.add(location)
            found.put_nowait(location)

    def search() -> None:
        for target in (SSDP_GROUP, (gateway, SSDP_PORT)):
            for wanted in SEARCH_TARGETS:
                udp.send(target, build_ssdp_search_packet(target, MX_S, wanted))

    udp = UdpSocket(local_ip, (gateway, SSDP_PORT), received, loop)
    timers = [loop.call_later(after, search) for after in SEARCH_AT_S]
    end = loop.time() + SEARCH_WAIT_S
    try:
        while True:
            try:
                async with asyncio.timeout_at(end):
                    location = await found.get()
            except TimeoutError:
                return
            for timer in timers:
                timer.cancel()
            yield location
    finally:
        for timer in timers:
            timer.cancel()
        udp.close()


def location_in(data: bytes, source: Address, gateway: str) -> str:
    """The location that an answer to a search names; "" where it is not the gateway's, or no answer at all."""
    if source[0] != gateway or not data.startswith(b"HTTP/1.1 200"):
        return ""
    try:
        _, headers = decode_ssdp_packet(data, None, source)
        location = str(headers.get("location", ""))
        url = urlsplit(location)
        is_own = url.scheme == "http" and url.hostname == gateway
    except Exception as error:
        _log.debug("SSDP: %r", error)
        return ""
    return location if is_own else ""


def _entry(external_port: int) -> dict[str, Any]:
    """What names an entry of the table: any remote host, the port, UDP."""
    return {"NewRemoteHost": "", "NewExternalPort": external_port, "NewProtocol": "UDP"}
