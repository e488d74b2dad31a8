"""The relay's ports: which sockets it binds, and which endpoints of them clients get."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator

from relay.config import RelayConfig
from relay.errors import RelayError
from transport.quic.relay_channel_server import bind_udp

# How often a free pair of ports is looked for when the system chooses: another program may hold the second one.
_PORT_ATTEMPTS = 20
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - a relay is there for everybody
# Discard prefix (RFC 6666) and TEST-NET-1 (RFC 5737): nothing is ever sent there, the kernel only picks a source.
_ELSEWHERE = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("100::1", 9)}


def available_hosts() -> Iterator[str]:
    """The wildcard addresses of the families that this machine has."""
    for host in _ANY_ADDRESS:
        try:
            bind_udp(host, 0).close()
        except OSError:
            continue
        yield host


def bind_pairs(
    hosts: tuple[str, ...], port: int, media_port: int | None, stack: contextlib.ExitStack
) -> tuple[list[socket.socket], list[socket.socket]]:
    """Control and media sockets, the same two ports on every address. Raises :class:`RelayError`."""
    attempts = _PORT_ATTEMPTS if 0 in (port, media_port) else 1
    while True:
        attempts -= 1
        with contextlib.ExitStack() as attempt:
            try:
                control = _bind_all(hosts, port, attempt)
                after = control[0].getsockname()[1] + 1 if port else 0
                media = _bind_all(hosts, after if media_port is None else media_port, attempt)
            except RelayError:
                if attempts == 0:
                    raise
                continue
            stack.push(attempt.pop_all())
            return control, media


def bind_stun(
    hosts: tuple[str, ...], config: RelayConfig, media_port: int, stack: contextlib.ExitStack
) -> list[socket.socket]:
    """The ports for STUN alone. Raises :class:`RelayError` when one that the operator named cannot be had."""
    if config.stun_ports is not None:
        return [udp for number in config.stun_ports for udp in _bind_all(hosts, number, stack)]
    found: list[socket.socket] = []
    for number in (media_port + 1, media_port + 2):
        chosen = [number] if config.port and number < 2**16 else [0] * _PORT_ATTEMPTS
        for wanted in chosen:
            with contextlib.suppress(RelayError), contextlib.ExitStack() as attempt:
                found += _bind_all(hosts, wanted, attempt)
                stack.push(attempt.pop_all())
                break
    return found


def _bind_all(hosts: tuple[str, ...], port: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for host in hosts:
        try:
            udp = stack.enter_context(contextlib.closing(bind_udp(host, port)))
        except (OSError, OverflowError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            raise RelayError(f"the relay cannot listen on {host}, UDP port {port}: {problem}") from error
        sockets.append(udp)
        # Where the system chose, it chose for the first address; the others follow.
        port = udp.getsockname()[1]
    return sockets


def stun_endpoints(hosts: tuple[str, ...], media_port: int, ports: list[int]) -> Iterator[tuple[str, int]]:
    """What clients get: an address of this machine where the operator named one, else "where you came to"."""
    named = dict.fromkeys("" if ipaddress.ip_address(host).is_unspecified else host for host in hosts)
    for port in dict.fromkeys((media_port, *ports)):
        for host in named:
            yield host, port


def likely_host(hosts: tuple[str, ...]) -> str:
    """The address that people will most likely use: the one that was named, or the one that leads elsewhere."""
    address = ipaddress.ip_address(hosts[0])
    if not address.is_unspecified:
        return hosts[0]
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(_ELSEWHERE[family])
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(udp.getsockname()[0])
