"""``segue register``: claim a name without an engine."""

import random
import time
from dataclasses import dataclass

from app.account.key_store import load_identity_of
from app.account.relay_sessions import RelaySessions
from app.model.end_reasons import end_reason
from app.model.exit_status import ExitStatus
from app.store import Profile, Store
from app.system.data_dir import Home, HomeLock, prepare
from app.system.errors import AppError
from transport.io.relay_session import RequestFailed
from transport.wire.addresses import PersonAddress


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """The exit status, and where a relay refused, its code and words."""

    status: ExitStatus
    refusal: str = ""
    detail: str = ""


async def register_name(home: Home, person: PersonAddress) -> RegisterResult:
    """Claim ``person`` for the key in ``home`` and remember it there. Raises :class:`app.system.errors.AppError`."""
    prepare(home)
    with HomeLock(home):
        identity = load_identity_of(home).identity
        store = Store(home.database, time.time)
        try:
            await RelaySessions(identity, store, random.SystemRandom(), lambda route, event: None).register(person)
            store.documents.change_profile(Profile(name=person.name, relay=str(person.relay)))
            if store.trouble is not None:
                raise AppError("registered-not-saved", cause=store.trouble.cause)
        except RequestFailed as error:
            status = ExitStatus.UNREACHABLE if error.code in ("unreachable", "wrong-pin") else ExitStatus.FAILED
            return RegisterResult(status, end_reason(error.code), error.text)
        finally:
            store.close()
    return RegisterResult(ExitStatus.OK)
