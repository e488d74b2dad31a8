"""Default gateways, read from what each system says of its routes."""

import asyncio
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.io import gateways
from transport.io.gateways import linux_gateway, linux_gateway6, netstat_gateways, network_now, windows_gateways

LINUX = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
wlan0	00000000	0101A8C0	0003	0	0	600	00000000	0	0	0
eth0	00000000	FE02A8C0	0003	0	0	100	00000000	0	0	0
tun0	00000000	00000000	0001	0	0	0	00000000	0	0	0
eth0	0002A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
"""
NONE = "0" * 32


def _route6(destination: str, length: str, hop: str, metric: str, flags: str, interface: str) -> str:
    return f"{destination} {length} {NONE} 00 {hop} {metric} 00000001 00000000 {flags} {interface}\n"


LINUX_6 = (
    _route6("20010db8000a" + "0" * 20, "40", NONE, "00000100", "00000001", "eth0")
    + _route6(NONE, "00", "fe80" + "0" * 27 + "1", "00000400", "00000003", "eth0")
    + _route6(NONE, "00", NONE, "ffffffff", "00200200", "lo")
)
MACOS = """\
Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            192.168.1.1        UGScg                 en0
127                127.0.0.1          UCS                   lo0
169.254            link#12            UCS                   en0      !

Internet6:
Destination                             Gateway                                 Flags               Netif Expire
default                                 fe80::1c2%en0                           UGcg                  en0
default                                 fe80::%utun0                            UGcIg               utun0
"""
WINDOWS = """\
IPv4-Routentabelle
===========================================================================
Aktive Routen:
     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik
          0.0.0.0          0.0.0.0     10.0.0.254        10.0.0.20     55
          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.20     25
        127.0.0.0        255.0.0.0   Auf Verbindung         127.0.0.1    331
IPv6-Routentabelle
 If Metrik Netzwerkziel             Gateway
 12    281 ::/0                     fe80::1
  1    331 ::1/128                  Auf Verbindung
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the table above is of a little-endian machine")
def test_linux() -> None:
    assert linux_gateway(LINUX) == "192.168.2.254", "the lowest metric; a tunnel without a gateway has none"
    assert linux_gateway6(LINUX_6) == "fe80::1%eth0"
    assert linux_gateway("") == linux_gateway6("") == ""


def test_macos_and_windows_in_whatever_language() -> None:
    assert netstat_gateways(MACOS) == ("192.168.1.1", "fe80::1c2%en0")
    assert windows_gateways(WINDOWS) == ("192.168.1.1", "fe80::1%12")
    assert netstat_gateways("") == windows_gateways("") == ("", "")


@given(st.text(alphabet="0123456789abcdef.: %/\ndefault", max_size=300))
def test_strange_tables_are_no_error(text: str) -> None:
    netstat_gateways(text)
    windows_gateways(text)


def test_nothing_is_sent_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **options: object) -> None:
        raise AssertionError("a packet")

    monkeypatch.setattr(socket.socket, "sendto", forbidden)
    monkeypatch.setattr(socket.socket, "send", forbidden)
    asyncio.run(network_now())


def test_other_systems_ask_their_own_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **options: object) -> "subprocess.CompletedProcess[bytes]":
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, (WINDOWS if command[0] == "route" else MACOS).encode("cp850"))

    monkeypatch.setattr(subprocess, "run", run)
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(gateways.sys, "platform", platform)
        assert asyncio.run(network_now()).gateway in ("192.168.1.1", "")
    assert asked == [["netstat", "-rn"], ["route", "print"]]
