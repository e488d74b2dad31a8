"""What an operator says to a relay, and what the relay says when it is ready."""

from dataclasses import dataclass, field
from pathlib import Path

from relay.limits import RelayLimits
from transport.wire.addresses import DEFAULT_PORT, RelayAddress

# Most calls that run when a relay is to stop end by themselves or have found a direct path by then; service
# managers wait 90 s by default before they kill.
DRAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """``port`` and ``media_port`` 0 let the system choose; ``media_port`` ``None`` is the port after ``port``.

    ``binds`` are IP addresses; none means every address of the machine (IPv4 and, where there is one, IPv6). A
    machine with several addresses that is to serve as several STUN servers lists them. ``public_host`` is the host in
    the address that people use. ``stun_ports`` serve STUN alone; ``None`` is the two ports after the media port, as far
    as they are free: with one port no NAT can be classified. ``metrics_port`` serves Prometheus on 127.0.0.1; ``None``
    serves nothing.
    """

    data_dir: Path
    binds: tuple[str, ...] = ()
    port: int = DEFAULT_PORT
    media_port: int | None = None
    stun_ports: tuple[int, ...] | None = None
    public_host: str = ""
    drain_s: float = DRAIN_S
    metrics_port: int | None = None
    limits: RelayLimits = field(default_factory=RelayLimits)


@dataclass(frozen=True, slots=True)
class Ready:
    """The relay serves. ``stun`` are (host, port) that answer Binding requests; ``notices`` are for the operator."""

    address: RelayAddress
    media_port: int
    stun: tuple[tuple[str, int], ...]
    metrics: tuple[str, int] | None
    notices: tuple[str, ...] = ()
