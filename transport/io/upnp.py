"""Loads UPnP when a router is to be asked.

Its libraries (aiohttp, async_upnp_client) take longer to load than the rest of the engine, and no call waits for them.
Beside the command table this is the one place that imports by name.
"""

import asyncio
import importlib
from typing import Protocol

from transport.portmap.igd import IgdCommand, IgdEvent


class _Client(Protocol):
    async def answer(self, command: IgdCommand) -> IgdEvent: ...

    async def close(self) -> None: ...


class UpnpGateway:
    """A :class:`transport.io.upnp_client.UpnpClient` that is loaded for the first question."""

    def __init__(self) -> None:
        self._client: _Client | None = None

    async def answer(self, command: IgdCommand) -> IgdEvent:
        """Ask the gateway; what goes wrong is :class:`~transport.portmap.igd.IgdFailed`."""
        if self._client is None:
            # In a thread: the event loop carries calls.
            module = await asyncio.to_thread(importlib.import_module, "transport.io.upnp_client")
            self._client = module.UpnpClient()
        return await self._client.answer(command)

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.close()
