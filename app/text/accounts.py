"""The user's relay, and the steps of setting up a name, in sentences (pure)."""

from app.ipc.engine_state import Me
from app.model.sanitize import one_line
from app.model.terms import RelayProblem
from app.text.calls import QUOTE
from app.text.catalogue import UserMessage, joined, plural, sentence

_MAX_CHARS = 200
RELAY: dict[RelayProblem, UserMessage] = {
    "unreachable": UserMessage(
        "The relay {relay} does not answer.", action="Check your network, and the relay's name."
    ),
    "wrong-pin": UserMessage(
        "A different relay than the one you chose answers at {relay}.",
        "Segue did not send it anything and stays offline.",
        "Ask whoever runs the relay for its current address.",
    ),
    "untrusted": UserMessage(
        "No authority that your computer trusts vouches for the relay {relay}.",
        "Segue did not send it anything and stays offline.",
        "If it is a private relay, ask whoever runs it for the address with the part after #.",
    ),
    "version": UserMessage(
        "The relay {relay} speaks a different version of Segue.", action="Update Segue to the newest version."
    ),
    "refused": UserMessage(
        "The relay {relay} does not let you in.", "Segue stays offline.", "Register your name again."
    ),
    "draining": UserMessage("The relay {relay} is about to stop.", "A call in progress continues."),
    "replaced": UserMessage(
        "Another Segue with your key has signed in at {relay}.", "This one stays offline.", "Use one of them at a time."
    ),
    "no-local-relay": UserMessage("The private relay on this computer is not running."),
}
RETRY_NOW = "Segue is trying again now."
RETRY_ONE, RETRY_OTHER = "Segue will try again in {count} second.", "Segue will try again in {count} seconds."
BUSY = {
    "": "",
    "registering": "Registering…",
    "starting-local-relay": "Starting a private relay and Echo…",
    "signing-off": "Signing off…",
}


def relay_text(me: Me) -> str:
    """Why there is no session with the user's relay, and when Segue tries again; empty where nothing is wrong."""
    if not me.relay_problem:
        return ""
    return relay_problem_text(me.relay_problem, me.address.partition("@")[2], me.relay_detail, me.relay_retry_s)


def relay_problem_text(problem: RelayProblem, relay: str, detail: str = "", retry_s: float | None = None) -> str:
    """The same from its parts; ``retry_s`` is ``None`` where Segue does not try again."""
    message = RELAY[problem]
    place = one_line(relay.partition("#")[0], _MAX_CHARS)
    quoted = one_line(detail, _MAX_CHARS) if problem == "refused" else ""
    status = message.status and sentence(message.status)
    if retry_s is not None:
        again = plural(round(retry_s), one=RETRY_ONE, other=RETRY_OTHER)
        status = sentence(RETRY_NOW) if retry_s < 1 else again
    return joined(
        sentence(message.what, relay=place),
        sentence(QUOTE, detail=quoted) if quoted else "",
        status,
        sentence(message.action) if message.action else "",
    )


def busy_text(busy: str) -> str:
    """A long step under way."""
    return sentence(BUSY.get(busy, ""))
