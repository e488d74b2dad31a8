"""What happened, in words for a person, and as an exit status for a script (pure).

Every text says what happened, what Segue does now, and what the person can do, as far as there is something to do or
to be done. No jargon, no blame. What a stranger wrote (``detail``) is cut, cleaned and quoted.
"""

from dataclasses import dataclass
from typing import Literal

from app.model.sanitize import one_line
from app.model.terms import CallPhase, PathKind
from app.system.errors import FindingKind

NoticeKind = FindingKind
LocalReason = Literal[
    "key-changed",  # another key than the pinned one, and the user has not accepted it
    "relay-unreachable",  # no session with the relay
    "wrong-pin",  # a relay that is not the one the address names
    "relay-untrusted",  # a relay without pin, whose certificate no authority vouches for
    "connect-timeout",  # taken, but no end-to-end connection came to be
    "lost",  # every path was silent for too long
    "leg-refused",  # the relay did not take our leg
    "wrong-certificate",  # who answered is not who the directory says
    "protocol",  # the other program said something that is not allowed
    "closed",
    "peer-left",
]
"""Beside :data:`transport.wire.relay_messages.EndReason` and :data:`transport.wire.relay_messages.RefusalCode`."""
RelayProblem = Literal["unreachable", "wrong-pin", "untrusted", "version", "refused", "draining", "replaced"]
DeviceProblem = Literal["none", "gone", "in-use", "not-allowed", "no-sound-system", "failed"]
DeviceSide = Literal["input", "output"]

# Enough for one sentence of a relay; more would push our own words out of sight.
_MAX_DETAIL_CHARS = 200


@dataclass(frozen=True, slots=True)
class UserMessage:
    """Three sentences, the last two of which may be missing."""

    happened: str
    now: str = ""
    can_do: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(part for part in (self.happened, self.now, self.can_do) if part)


_ENDED: dict[str, UserMessage] = {
    "hung-up": UserMessage("The call has ended."),
    "closed": UserMessage("The call has ended."),
    "peer-left": UserMessage("The call has ended."),
    "cancelled": UserMessage("The call was cancelled before it was answered."),
    "declined": UserMessage("They did not take the call.", "", "Try again later."),
    "busy": UserMessage("They are in another call.", "", "Try again in a few minutes."),
    "no-answer": UserMessage("Nobody answered.", "", "Try again later."),
    "offline": UserMessage(
        "They cannot be reached at the moment: their Segue is not running, or has no network.",
        "",
        "Try again later, or ask them another way to start it.",
    ),
    "unknown-name": UserMessage(
        "Nobody has this name at that relay.", "", "Check the address: the part before the @, and the relay after it."
    ),
    "key-changed": UserMessage(
        "This address now answers with another key than before. They may have a new computer, or somebody else may "
        "be answering in their place.",
        "Segue did not connect the call.",
        "Ask them another way whether they have set up Segue anew; only then accept the new key.",
    ),
    "wrong-certificate": UserMessage(
        "Who answered is not the person at this address.",
        "Segue ended the call before anything was heard.",
        "Try again; if it happens again, ask them another way.",
    ),
    "bad-proof": UserMessage(
        "The other side could not prove who they are.",
        "Segue ended the call before anything was heard.",
        "Try again; if it happens again, ask them another way.",
    ),
    "relay-unreachable": UserMessage(
        "The relay of this address does not answer.",
        "",
        "Check your network and the relay's name in the address, then try again.",
    ),
    "wrong-pin": UserMessage(
        "Another relay answers at this address than the one it names: the part after # does not fit.",
        "Segue told it nothing.",
        "Ask whoever runs the relay for its present address.",
    ),
    "relay-untrusted": UserMessage(
        "Nobody that your computer trusts vouches for this relay.",
        "Segue told it nothing.",
        "If it is a private relay, ask whoever runs it for the address with the part after #.",
    ),
    "connect-timeout": UserMessage(
        "The call was taken, but no connection between the two of you came about.",
        "",
        "Try again; if it happens again, one of the two networks may block such calls.",
    ),
    "lost": UserMessage("The connection was lost and did not come back.", "", "Check your network, then call again."),
    "leg-refused": UserMessage("The relay did not carry the call.", "", "Try again in a minute."),
    "limit": UserMessage("The relay takes no more calls from you just now.", "", "Wait a minute, then try again."),
    "draining": UserMessage("The relay is about to stop and takes no new calls.", "", "Try again in a few minutes."),
    "not-registered": UserMessage(
        "The relay does not know you by your name any more.", "", "Register your name again in the settings."
    ),
    "name-taken": UserMessage("Somebody else has this name at that relay.", "", "Choose another name."),
    "version": UserMessage(
        "The other side uses another version of Segue, and the two do not understand each other.",
        "",
        "Bring both to the newest version.",
    ),
    "storage": UserMessage("The relay could not write it down; nothing was changed.", "", "Try again later."),
    "bad-message": UserMessage("The relay did not understand Segue.", "", "Bring Segue to the newest version."),
    "protocol": UserMessage(
        "The other side said something that Segue does not understand.",
        "Segue ended the call.",
        "Bring both to the newest version.",
    ),
    "failed": UserMessage("The call did not work.", "", "Try again."),
}
_MISSED: dict[str, UserMessage] = {
    "cancelled": UserMessage("They stopped calling before you answered.", "", "You can call them back."),
    "hung-up": UserMessage("They stopped calling before you answered.", "", "You can call them back."),
    "no-answer": UserMessage("You did not answer.", "", "You can call them back."),
    "declined": UserMessage("You declined the call."),
    "busy": UserMessage("They called while you were in another call.", "", "You can call them back."),
    "offline": UserMessage("They stopped calling before you answered.", "", "You can call them back."),
}
# Only these are helped by what the relay adds: it knows how long to wait, or what went wrong on its side.
_QUOTED: frozenset[str] = frozenset(("limit", "draining", "failed", "storage", "leg-refused", "version"))
_RELAY: dict[RelayProblem, UserMessage] = {
    "unreachable": UserMessage("The relay {0} does not answer.", "", "Check your network, and the relay's name."),
    "wrong-pin": UserMessage(
        "Another relay answers at {0} than the one you chose.",
        "Segue told it nothing and stays off line.",
        "Ask whoever runs the relay for its present address.",
    ),
    "untrusted": UserMessage(
        "Nobody that your computer trusts vouches for the relay {0}.",
        "Segue told it nothing and stays off line.",
        "If it is a private relay, ask whoever runs it for the address with the part after #.",
    ),
    "version": UserMessage("The relay {0} speaks another version of Segue.", "", "Bring Segue to the newest version."),
    "refused": UserMessage("The relay {0} does not let you in.", "Segue stays off line.", "Register your name again."),
    "draining": UserMessage("The relay {0} is about to stop.", "A call that is going on stays.", ""),
    "replaced": UserMessage(
        "Another Segue with your key has signed in at {0}.", "This one stays off line.", "Use one of them at a time."
    ),
}
_DEVICE: dict[DeviceSide, dict[DeviceProblem, UserMessage]] = {
    "input": {
        "none": UserMessage(
            "There is no microphone.", "Others cannot hear you.", "Plug one in; Segue takes it at once."
        ),
        "gone": UserMessage(
            "The microphone {0} is gone.", "Others hear silence.", "Plug it in again, or choose another one."
        ),
        "in-use": UserMessage(
            "Another program keeps the microphone {0} to itself.",
            "Others hear silence.",
            "Close that program, or choose another microphone.",
        ),
        "not-allowed": UserMessage(
            "Your computer does not let Segue use the microphone.",
            "Others hear silence.",
            "Allow it in the privacy settings of your computer.",
        ),
        "no-sound-system": UserMessage(
            "Your computer's sound does not run.", "Others hear silence.", "Start it; Segue looks for it again."
        ),
        "failed": UserMessage(
            "The microphone {0} does not work.", "Others hear silence.", "Plug it in again, or choose another one."
        ),
    },
    "output": {
        "none": UserMessage("There is no speaker.", "You cannot hear others.", "Plug one in; Segue takes it at once."),
        "gone": UserMessage(
            "The speaker {0} is gone.", "You hear nothing.", "Plug it in again, or choose another one."
        ),
        "in-use": UserMessage(
            "Another program keeps the speaker {0} to itself.",
            "You hear nothing.",
            "Close that program, or choose another speaker.",
        ),
        "not-allowed": UserMessage(
            "Your computer does not let Segue use the speaker.",
            "You hear nothing.",
            "Allow it in the sound settings of your computer.",
        ),
        "no-sound-system": UserMessage(
            "Your computer's sound does not run.", "You hear nothing.", "Start it; Segue looks for it again."
        ),
        "failed": UserMessage(
            "The speaker {0} does not work.", "You hear nothing.", "Plug it in again, or choose another one."
        ),
    },
}


def ended(reason: str, detail: str = "", *, outgoing: bool = True, answered: bool = False) -> UserMessage:
    """Why a call is over, or never came to be. An unknown ``reason`` is a failure, with what is known of it."""
    if not outgoing and not answered and reason in _MISSED:
        return _MISSED[reason]
    found = _ENDED.get(reason)
    said = one_line(detail, _MAX_DETAIL_CHARS)
    if found is None:
        return _quoting(_ENDED["failed"], said or one_line(reason, _MAX_DETAIL_CHARS))
    return _quoting(found, said) if reason in _QUOTED else found


def end_text(reason: str, detail: str = "", *, outgoing: bool = True, answered: bool = False) -> str:
    """:func:`ended` as one text."""
    return ended(reason, detail, outgoing=outgoing, answered=answered).text


def relay_problem(problem: RelayProblem, relay: str, detail: str = "", retry_s: float | None = None) -> UserMessage:
    """Why there is no session with the user's relay, and when Segue tries again (``None``: it does not)."""
    template = _RELAY[problem]
    place = one_line(relay.partition("#")[0], _MAX_DETAIL_CHARS)
    now = template.now
    if retry_s is not None:
        now = "Segue tries again now." if retry_s < 1 else f"Segue tries again in {retry_s:.0f} s."
    found = UserMessage(template.happened.format(place), now, template.can_do)
    return _quoting(found, one_line(detail, _MAX_DETAIL_CHARS)) if problem == "refused" else found


def reason_of_refusal(code: str) -> str:
    """The end reason for what a session or a request with a relay failed with (codes of the relay client)."""
    return {"unreachable": "relay-unreachable", "untrusted": "relay-untrusted", "replaced": "failed"}.get(code, code)


def refusal_text(code: str, detail: str) -> str:
    """Why a request to a relay came to nothing."""
    return end_text(reason_of_refusal(code), detail)


def relay_problem_of(code: str) -> RelayProblem:
    """The kind of trouble behind the code with which a relay turned the user's session away for good."""
    known: dict[str, RelayProblem] = {
        "wrong-pin": "wrong-pin",
        "untrusted": "untrusted",
        "version": "version",
        "replaced": "replaced",
    }
    return known.get(code, "refused")


def device_problem(side: DeviceSide, problem: DeviceProblem, device: str = "") -> UserMessage:
    """What is wrong with microphone or speaker. ``device`` is its name, where there is one."""
    template = _DEVICE[side][problem]
    named = f"“{one_line(device, 80)}”" if device else ""
    return UserMessage(" ".join(template.happened.format(named).split()), template.now, template.can_do)


def path_text(phase: CallPhase, path: PathKind | None, rtt_ms: float | None) -> str:
    """The line under the name in a call; empty while there is nothing to tell."""
    if phase == "connecting":
        return "Connecting…"
    if phase == "reconnecting":
        return "Reconnecting…"
    if phase != "talking" or path is None:
        return ""
    place = "Direct" if path == "direct" else "On the relay"
    return place if rtt_ms is None else f"{place} · {rtt_ms:.0f} ms"


def _quoting(found: UserMessage, said: str) -> UserMessage:
    if not said:
        return found
    return UserMessage(f"{found.happened} (“{said}”)", found.now, found.can_do)
