"""Identities and messages for tests of the relay: deterministic, and made once, since signing is what costs."""

import random
from functools import cache

from transport.identity.keys import Identity, new_identity
from transport.identity.statements import registration_statement, session_statement
from transport.wire.relay_messages import CONTROL_VERSION, Authenticate, Challenge, Register


@cache
def person(number: int) -> Identity:
    """The same identity for the same number, in every run."""
    rng = random.Random(number)
    return new_identity(rng.randbytes(32), number + 1)


def call_id(number: int) -> str:
    return f"{number:032x}"


def authenticate(challenge: Challenge, who: Identity, name: str = "", home: str = "") -> Authenticate:
    statement = session_statement(challenge.nonce, challenge.certificate)
    return Authenticate(CONTROL_VERSION, who.key, who.certificate, who.sign(statement), name, home)


def register(challenge: Challenge, who: Identity, name: str, request: int = 1) -> Register:
    statement = registration_statement(challenge.nonce, challenge.certificate, name, who.certificate)
    return Register(request, name, who.certificate, who.sign(statement))
