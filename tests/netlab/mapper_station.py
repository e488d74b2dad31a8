"""The product's port mapping alone, with its real sockets, in a namespace of the kernel laboratory.

    python -m tests.netlab.mapper_station MEMORY LEASE_S

Says each change as a line of JSON; what is to be remembered is kept in the file MEMORY. SIGUSR1 is a call that begins,
SIGTERM the end of the program.
"""

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

from transport.io.port_mapper_io import PortMapDriver
from transport.net.port_mapping import MappedPort
from transport.portmap.mapper_events import Remembered
from transport.portmap.status import MappingStatus


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def remember(memory: Path, what: Remembered) -> None:
    memory.write_text(
        json.dumps([what.internal_port, what.nonce.hex(), what.external_port, what.protocol, what.gateway])
    )


def remembered(memory: Path) -> Remembered | None:
    if not memory.exists():
        return None
    port, nonce, external, protocol, gateway = json.loads(memory.read_text())
    return Remembered(port, bytes.fromhex(nonce), external, protocol, gateway)


async def main(memory: Path, lease_s: int) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    def ports(now: tuple[MappedPort, ...]) -> None:
        ports = [[list(port.external), port.internal_port, port.protocol, port.is_public] for port in now]
        say(ports=ports, at_s=round(loop.time() - began, 3))

    def status(now: MappingStatus) -> None:
        say(status=now.outcome, reason=now.reason, protocol=now.protocol)

    driver = PortMapDriver(
        remembered(memory),
        random.SystemRandom(),
        on_ports=ports,
        on_status=status,
        on_remember=lambda what: remember(memory, what),
        lease_s=lease_s,
    )
    driver.start()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_signal_handler(signal.SIGUSR1, driver.call_begins)
    await over.wait()
    stopping = loop.time()
    await driver.close()
    say(over=True, took_s=round(loop.time() - stopping, 3))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
