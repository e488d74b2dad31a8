"""The default gateways of this machine, and our addresses toward them. Nothing is sent to find out.

Linux has them in /proc; elsewhere the system's own tool is asked (``netstat -rn`` on macOS and the BSDs, ``route
print`` on Windows), whose rows are read without regard to the words around them.
"""

import asyncio
import ipaddress
import socket
import subprocess
import sys
from pathlib import Path

from transport.portmap.mapper_events import DefaultGateways

_RTF_UP, _RTF_GATEWAY = 1, 2
TOOL_S = 3.0
# Documentation addresses (RFC 5737, RFC 3849): whatever leads there is the default route.
_FAR_4, _FAR_6 = ("192.0.2.1", 9), ("2001:db8::1", 9)


async def network_now() -> DefaultGateways:
    """As the system would route packets to the internet at this moment."""
    if sys.platform.startswith("linux"):
        gateway, gateway6 = _linux()
    else:
        gateway, gateway6 = await asyncio.get_running_loop().run_in_executor(None, _asked)
    local_ip = _local_toward(_FAR_4, socket.AF_INET) if gateway else ""
    local_ip6 = _local_toward(_FAR_6, socket.AF_INET6) if gateway6 else ""
    return DefaultGateways(
        gateway if local_ip else "", local_ip, gateway6 if _is_global(local_ip6) else "", _global_or_none(local_ip6)
    )


def linux_gateway(table: str) -> str:
    """From the text of /proc/net/route: the default route with the lowest metric; "" if there is none."""
    found: list[tuple[int, str]] = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":
            continue
        flags, metric = int(fields[3], 16), int(fields[6])
        if flags & _RTF_UP and flags & _RTF_GATEWAY:
            ip = ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(fields[2]), sys.byteorder))
            found.append((metric, str(ip)))
    return min(found, default=(0, ""))[1]


def linux_gateway6(table: str) -> str:
    """From the text of /proc/net/ipv6_route; link-local gateways with their scope."""
    found: list[tuple[int, str]] = []
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[0] != "0" * 32 or fields[1] != "00":
            continue
        flags, metric = int(fields[8], 16), int(fields[5], 16)
        if flags & _RTF_UP and flags & _RTF_GATEWAY:
            ip = ipaddress.IPv6Address(bytes.fromhex(fields[4]))
            found.append((metric, f"{ip}%{fields[9]}" if ip.is_link_local else str(ip)))
    return min(found, default=(0, ""))[1]


def netstat_gateways(text: str) -> tuple[str, str]:
    """From ``netstat -rn``: rows that begin with "default"."""
    four = six = ""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 2 or fields[0] not in ("default", "0.0.0.0/0", "::/0"):
            continue
        ip, scope = fields[1].partition("%")[::2]
        version = _version(ip)
        if version == 4:
            four = four or ip
        elif version == 6:
            six = six or (f"{ip}%{scope}" if scope else ip)
    return four, six


def windows_gateways(text: str) -> tuple[str, str]:
    """From ``route print``: IPv4 rows "0.0.0.0 0.0.0.0 gateway interface metric", IPv6 rows "interface metric ::/0
    gateway"."""
    four: list[tuple[int, str]] = []
    six: list[tuple[int, str]] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[:2] == ["0.0.0.0", "0.0.0.0"] and _version(fields[2]) == 4:  # noqa: S104
            four.append((int(fields[4]) if fields[4].isdigit() else 0, fields[2]))
        elif len(fields) >= 4 and fields[2] == "::/0" and fields[1].isdigit() and _version(fields[3]) == 6:
            ip = ipaddress.IPv6Address(fields[3])
            six.append((int(fields[1]), f"{ip}%{fields[0]}" if ip.is_link_local else str(ip)))
    return min(four, default=(0, ""))[1], min(six, default=(0, ""))[1]


def _linux() -> tuple[str, str]:
    def read(path: str) -> str:
        try:
            return Path(path).read_text()
        except OSError:
            # A system without IPv6, or a sandbox without /proc.
            return ""

    return linux_gateway(read("/proc/net/route")), linux_gateway6(read("/proc/net/ipv6_route"))


def _asked() -> tuple[str, str]:
    is_windows = sys.platform == "win32"
    command = ["route", "print"] if is_windows else ["netstat", "-rn"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TOOL_S, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "", ""
    text = done.stdout.decode(errors="replace")
    return windows_gateways(text) if is_windows else netstat_gateways(text)


def _version(ip: str) -> int:
    try:
        return ipaddress.ip_address(ip).version
    except ValueError:
        return 0


def _local_toward(far: tuple[str, int], family: int) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as scout:
            scout.connect(far)
            return str(scout.getsockname()[0])
    except OSError:
        return ""


def _is_global(ip: str) -> bool:
    # The documentation prefix is a global one to laboratories, and to nobody else.
    return bool(ip) and not ipaddress.ip_address(ip).is_link_local and not ipaddress.ip_address(ip).is_loopback


def _global_or_none(ip: str) -> str:
    return ip if _is_global(ip) else ""
