"""The sessions with relays: the one where the user is at home, and those visited as a guest for a call."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from app.store import Store
from transport.identity.keys import Identity
from transport.io.relay_session import RelayClient
from transport.io.tasks import Tasks
from transport.quic.relay_session import RelaySession
from transport.quic.session_events import RelayEvent
from transport.wire import relay_messages
from transport.wire.addresses import PersonAddress, RelayAddress

# The protocol's limit for one list (see transport.wire.relay_messages.Watch).
MAX_WATCHED = 256


@dataclass(slots=True)
class Route:
    """A way to a relay. ``is_home``: logged in with the user's own name."""

    address: RelayAddress
    is_home: bool
    client: RelayClient

    @property
    def session(self) -> RelaySession:
        """How the session stands."""
        return self.client.session


class RelaySessions:
    """Owns the clients. ``on_event(route, event)`` hears what they say."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        rng: random.Random,
        on_event: Callable[[Route, RelayEvent], None],
    ) -> None:
        self._identity = identity
        self._store = store
        self._rng = rng
        self._on_event = on_event
        self._tasks = Tasks("relays")
        self.home: Route | None = None
        self._guests: dict[tuple[str, int], Route] = {}

    async def go_home(self, person: PersonAddress) -> None:
        """Log in as ``person``, instead of whoever was logged in."""
        await self.leave_home()
        self.home = self._open(person.relay, name=person.name, home=str(person))

    async def leave_home(self) -> None:
        """Log out."""
        home, self.home = self.home, None
        if home is not None:
            await home.client.close()

    async def register(self, person: PersonAddress) -> None:
        """Claim a name for this installation's key. Raises :class:`transport.io.relay_session.RequestFailed`."""
        client = self._client(person.relay, lambda event: None)
        client.start()
        try:
            await client.register(person.name)
        finally:
            await client.close()
        if client.certificate is not None:
            self._store.relays.remember(person.relay, client.certificate)

    def route_to(self, relay: RelayAddress, own_address: str) -> Route:
        """The way to a relay: home if it is the user's own, else as a guest who is at home at ``own_address``."""
        if self.home is not None and self.home.address.endpoint == relay.endpoint:
            return self.home
        if relay.endpoint not in self._guests:
            self._guests[relay.endpoint] = self._open(relay, name="", home=own_address)
        return self._guests[relay.endpoint]

    def release(self, route: Route) -> None:
        """The call is over; a guest leaves."""
        if not route.is_home and self._guests.pop(route.address.endpoint, None) is route:
            self._tasks.start(route.client.close(), name="guest-leaves")

    def watch(self, people: list[PersonAddress]) -> None:
        """Follow the presence of the contacts at the home relay."""
        if self.home is not None:
            names = {person.name for person in people if person.relay.endpoint == self.home.address.endpoint}
            self.home.client.send(relay_messages.Watch(names=sorted(names)[:MAX_WATCHED]))

    def network_changed(self) -> None:
        """The machine's addresses have changed: find out which sessions still stand."""
        for route in (self.home, *self._guests.values()):
            if route is not None:
                route.client.network_changed()

    async def close(self) -> None:
        """Say goodbye everywhere."""
        await self.leave_home()
        for route in list(self._guests.values()):
            await route.client.close()
        self._guests.clear()
        await self._tasks.close()

    def _open(self, relay: RelayAddress, *, name: str, home: str) -> Route:
        # The route and its client know each other: the client reports on the route that owns it.
        routes: list[Route] = []
        client = self._client(relay, lambda event: self._on_event(routes[0], event), name=name, home=home)
        routes.append(Route(relay, is_home=bool(name), client=client))
        client.start()
        return routes[0]

    def _client(
        self, relay: RelayAddress, on_event: Callable[[RelayEvent], None], *, name: str = "", home: str = ""
    ) -> RelayClient:
        known = self._store.relays.get(relay)
        certificate = known.certificate if known is not None else None
        return RelayClient(
            relay, self._identity, on_event, rng=self._rng, name=name, home=home, certificate=certificate
        )
