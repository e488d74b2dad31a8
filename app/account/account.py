"""The user's name and relay: registering, trying it on this machine, signing off, and how the session stands."""

import getpass
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from app.account.local_relay import ECHO_NAME, LocalRelay, LocalRelayPlace
from app.account.relay_sessions import RelaySessions
from app.account.status import AccountStatus, State, Trigger, own_address
from app.account.view import AccountView
from app.ipc import engine_state, messages
from app.model.end_reasons import end_reason, relay_problem
from app.model.terms import RelayProblem, Values
from app.store import Profile, Store
from app.system.data_dir import Home
from app.system.errors import AppError, Finding
from transport.io.relay_session import RequestFailed
from transport.io.tasks import Tasks
from transport.quic.session_events import Connected, Disconnected, Rejected, RelayEvent
from transport.wire.addresses import PersonAddress, parse_name, parse_relay
from transport.wire.errors import WireError

LOCAL_NAME = "me"
ECHO_ALIAS = "Echo"

Answer = Callable[[messages.EngineMessage], None]
Step = Coroutine[Any, Any, None]


class Account:
    """Owns the home session and the relay on this machine. One change at a time: others are refused meanwhile."""

    def __init__(
        self,
        home: Home,
        store: Store,
        relays: RelaySessions,
        picture: AccountView,
        changed: Callable[[], None],
        notify: Callable[[Finding], None],
    ) -> None:
        self._home = home
        self._store = store
        self._relays = relays
        self._picture = picture
        self._changed = changed
        self._notify = notify
        self._tasks = Tasks("account")
        self._local_relay: LocalRelay | None = None
        self.status = AccountStatus()

    def resume(self) -> None:
        """Go on where the last run ended."""
        self._show()
        if self._store.documents.profile.local_trial:
            self._start("starting-local-relay", self._try_here(self._store.documents.profile.name))
        elif (person := own_address(self._store.documents.profile)) is not None:
            self._move(Trigger.REGISTERED)
            self._tasks.start(self._relays.go_home(person), name="go-home")

    async def close(self) -> None:
        """End the trial, if it runs."""
        await self._tasks.close()
        if self._local_relay is not None:
            await self._local_relay.close()

    def handle(self, message: messages.WindowMessage, answer: Answer) -> None:
        """Begin what was asked; failures are answered later. Raises :class:`AppError` or ``WireError`` at once."""
        if self._picture.busy:
            raise AppError("account-busy")
        match message:
            case messages.RegisterName(name, relay):
                person = PersonAddress(parse_name(name), parse_relay(relay))
                self._start("registering", self._register(person), answer, "RegisterName")
            case messages.TryHere(name):
                chosen = parse_name(name) if name else _login_name()
                self._start("starting-local-relay", self._try_here(chosen), answer, "TryHere")
            case messages.SignOff():
                self._start("signing-off", self._sign_off(), answer, "SignOff")

    def from_home(self, event: RelayEvent) -> None:
        """What the session with the user's own relay says."""
        match event:
            case Connected():
                self._move(Trigger.LOGGED_IN)
            case Disconnected(reason, retry_in_s):
                self._picture.online.clear()
                self._move(Trigger.LOST, "unreachable", reason, retry_in_s)
            case Rejected(code, text):
                self._picture.online.clear()
                problem = relay_problem(code)
                self._move(Trigger.REJECTED, problem, text, rejection=event)
                values: Values = {"problem": problem, "relay": self._relay, "detail": text}
                self._notify(Finding("error", "relay-refused", values))

    # -- steps -----------------------------------------------------------------------------------------------------

    def _start(self, busy: engine_state.Busy, work: Step, answer: Answer | None = None, command: str = "") -> None:
        self._picture.busy = busy
        self._changed()
        self._tasks.start(self._carry_out(work, answer, command), name=command or "resume")

    async def _carry_out(self, work: Step, answer: Answer | None, command: str) -> None:
        try:
            await work
        except AppError as error:
            self._failed(answer, messages.CommandFailed(command, error.code, error.values))
        except RequestFailed as error:
            field = "name" if error.code in ("name-taken", "not-registered") else "relay"
            detail: Values = {"detail": error.text}
            self._failed(answer, messages.CommandFailed(command, end_reason(error.code), detail, field))
        finally:
            self._picture.busy = ""
            self._changed()

    def _failed(self, answer: Answer | None, failure: messages.CommandFailed) -> None:
        """Answer whoever asked; what began by itself is shown to everybody."""
        if answer is not None:
            answer(failure)
        else:
            self._move(Trigger.LOST, "no-local-relay")
            self._notify(Finding("error", "no-local-relay", {"code": failure.code, **failure.values}))

    async def _register(self, person: PersonAddress) -> None:
        await self._relays.register(person)
        if self._local_relay is not None:
            await self._local_relay.close()
            self._local_relay = None
        await self._settle(person, local_trial=False)

    async def _try_here(self, name: str) -> None:
        relay = self._local_relay
        if relay is None:
            relay = LocalRelay(self._home.folder, self._moved)
        try:
            place = await relay.start() if self._local_relay is None else None
        except BaseException:  # also when the engine ends meanwhile: no child shall be left
            await relay.close()
            raise
        self._local_relay = relay
        if place is not None:
            await self._live_at(place, name or LOCAL_NAME)

    def _moved(self, place: LocalRelayPlace) -> None:
        name = self._store.documents.profile.name or LOCAL_NAME
        self._tasks.start(self._carry_out(self._live_at(place, name), None, ""), name="local-relay-moved")

    async def _live_at(self, place: LocalRelayPlace, name: str) -> None:
        person = PersonAddress(name, place.relay)
        await self._relays.register(person)
        for contact in self._store.people.contacts():
            # The private relay's Echo of an earlier run, at a port that is gone.
            if contact.address.name == ECHO_NAME and contact.address.relay.host == place.relay.host:
                self._store.people.remove(contact.address)
        self._store.people.add(place.echo, ECHO_ALIAS)
        await self._settle(person, local_trial=True)

    async def _settle(self, person: PersonAddress, *, local_trial: bool) -> None:
        profile = Profile(name=person.name, relay=str(person.relay), local_trial=local_trial)
        self._store.documents.change_profile(profile)
        self._move(Trigger.REGISTERED)
        await self._relays.go_home(person)

    async def _sign_off(self) -> None:
        await self._relays.leave_home()
        if self._local_relay is not None:
            await self._local_relay.close()
            self._local_relay = None
        self._store.documents.change_profile(Profile())
        self._picture.online.clear()
        self._move(Trigger.SIGNED_OFF)

    @property
    def _relay(self) -> str:
        return self._store.documents.profile.relay

    # -- showing ---------------------------------------------------------------------------------------------------

    def _move(
        self,
        trigger: Trigger,
        problem: RelayProblem | None = None,
        detail: str = "",
        retry_s: float | None = None,
        rejection: Rejected | None = None,
    ) -> None:
        self.status.move(trigger, problem, detail, retry_s, rejection)
        self._show()
        self._changed()

    def _show(self) -> None:
        profile, own, home = (
            self._store.documents.profile,
            own_address(self._store.documents.profile),
            self._relays.home,
        )
        self._picture.me = msgspec.structs.replace(
            self._picture.me,
            name=profile.name,
            address=str(own) if own is not None else "",
            local_trial=profile.local_trial,
            relay=self.status.shown,
            relay_problem=self.status.problem,
            relay_detail=self.status.detail,
            relay_retry_s=self.status.retry_s,
            relay_rtt_ms=home.client.rtt_ms if home is not None and self.status.state is State.ONLINE else None,
        )


def _login_name() -> str:
    """A first proposal: what the user is called on this machine, if a relay can call them that."""
    try:
        return parse_name(getpass.getuser())
    except (WireError, OSError, KeyError, ImportError):
        return LOCAL_NAME
