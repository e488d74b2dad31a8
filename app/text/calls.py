"""A call in sentences: how it ended, and the line under the name (pure).

No jargon, no blame. What a stranger wrote (``detail``) is cut, cleaned and quoted.
"""

from app.ipc.engine_state import CallStatus, PathMark
from app.ipc.messages import CallSample
from app.model.sanitize import one_line
from app.text.catalogue import UserMessage, joined, sentence
from app.text.traversal import PHASE_NAMES

# Enough for one sentence of a relay; more would push our own words out of sight.
_MAX_DETAIL_CHARS = 200
_OVER = UserMessage("The call has ended.")
_TRY_LATER = "Try again later."
_CALL_BACK = "You can call them back."
_UPDATE_BOTH = "Update both to the newest version."
_ASK_RELAY = "Ask whoever runs the relay for its current address."
_STOPPED_CALLING = UserMessage("They stopped calling before you answered.", action=_CALL_BACK)

ENDED: dict[str, UserMessage] = {
    "hung-up": _OVER,
    "closed": _OVER,
    "peer-left": _OVER,
    "cancelled": UserMessage("The call was cancelled before it was answered."),
    "declined": UserMessage("They declined the call.", action=_TRY_LATER),
    "busy": UserMessage("They are in another call.", action="Try again in a few minutes."),
    "no-answer": UserMessage("Nobody answered.", action=_TRY_LATER),
    "offline": UserMessage(
        "They cannot be reached right now: their Segue is not running, or has no network.",
        action="Try again later, or ask them another way to start it.",
    ),
    "unknown-name": UserMessage(
        "Nobody has this name at that relay.",
        action="Check the address: the part before the @, and the relay after it.",
    ),
    "key-changed": UserMessage(
        "This address now answers with a different key than before. They may have a new computer, or somebody else may "
        "be answering in their place.",
        "Segue did not connect the call.",
        "Ask them another way whether they have set up Segue again; only then accept the new key.",
    ),
    "wrong-certificate": UserMessage(
        "Whoever answered is not the person at this address.",
        "Segue ended the call before either of you could hear anything.",
        "Try again; if it happens again, ask them another way.",
    ),
    "bad-proof": UserMessage(
        "The other side could not prove who they are.",
        "Segue ended the call before either of you could hear anything.",
        "Try again; if it happens again, ask them another way.",
    ),
    "relay-unreachable": UserMessage(
        "The relay of this address does not answer.",
        action="Check your network and the relay's name in the address, then try again.",
    ),
    "wrong-pin": UserMessage(
        "A different relay answers at this address: the part after # does not match.",
        "Segue did not send it anything.",
        _ASK_RELAY,
    ),
    "relay-untrusted": UserMessage(
        "No authority that your computer trusts vouches for this relay.",
        "Segue did not send it anything.",
        "If it is a private relay, ask whoever runs it for the address with the part after #.",
    ),
    "connect-timeout": UserMessage(
        "The call was answered, but the two of you could not be connected.",
        action="Try again; if it happens again, one of the two networks may block such calls.",
    ),
    "lost": UserMessage(
        "The connection was lost and did not come back.", action="Check your network, then call again."
    ),
    "leg-refused": UserMessage("The relay did not carry the call.", action="Try again in a minute."),
    "limit": UserMessage("The relay accepts no more calls from you for now.", action="Wait a minute, then try again."),
    "draining": UserMessage(
        "The relay is about to stop and accepts no new calls.", action="Try again in a few minutes."
    ),
    "not-registered": UserMessage(
        "The relay no longer knows you by your name.", action="Register your name again in the settings."
    ),
    "name-taken": UserMessage("Somebody else has this name at that relay.", action="Choose another name."),
    "version": UserMessage(
        "The other side uses a different version of Segue, and the two do not understand each other.",
        action=_UPDATE_BOTH,
    ),
    "storage": UserMessage("The relay could not save it; nothing was changed.", action=_TRY_LATER),
    "bad-message": UserMessage("The relay did not understand Segue.", action="Update Segue to the newest version."),
    "protocol": UserMessage(
        "The other side sent something that Segue does not understand.", "Segue ended the call.", _UPDATE_BOTH
    ),
    "failed": UserMessage("The call did not work.", action="Try again."),
}
MISSED: dict[str, UserMessage] = {
    "cancelled": _STOPPED_CALLING,
    "hung-up": _STOPPED_CALLING,
    "offline": _STOPPED_CALLING,
    "no-answer": UserMessage("You did not answer.", action=_CALL_BACK),
    "declined": UserMessage("You declined the call."),
    "busy": UserMessage("They called while you were in another call.", action=_CALL_BACK),
}
# Only these are helped by what the relay adds: it knows how long to wait, or what went wrong on its side.
_QUOTED = frozenset(("limit", "draining", "failed", "storage", "leg-refused", "version"))
QUOTE = "The relay says: “{detail}”."
MARKS = {
    "swap": "Moved to the direct path",
    "failover": "Back on the relay",
    "lost": "Connection lost, reconnecting",
    "back": "Connected again",
    "network": "Your network changed",
}
PHASE_MARKS = {
    "trying": "{phase} started",
    "won": "{phase} succeeded",
    "failed": "{phase} did not work",
    "cancelled": "{phase} was stopped",
}
FIRST_CALL = "First call from this person"
NOBODY_VOUCHES = "Nobody vouches for it: anybody can call as a guest and say so."
KEY_CHANGED = "Careful: their key has changed."
KEY_OF_ANOTHER = "Careful: the key is not the one that you know of this person."
GUEST, CLAIM = "A guest", "Says to be {address}"
INCOMING, INCOMING_GUEST = "incoming call from {address}", "incoming call from a guest who says to be {address}"
LINES = {
    ("direct", False): "Direct",
    ("direct", True): "Direct · {rtt_ms:.0f} ms",
    ("relay", False): "On the relay",
    ("relay", True): "On the relay · {rtt_ms:.0f} ms",
}
CONNECTING, RECONNECTING = "Connecting…", "Reconnecting…"
CODEC = "Opus 48 kHz mono, 20 ms, FEC, {bitrate_kbps:.0f} kbit/s"


def reason_text(reason: str, detail: str = "", *, outgoing: bool = True, answered: bool = False) -> str:
    """Why a call is over, or never came about, or why a relay refused something. An unknown ``reason`` is a failure,
    with what is known of it."""
    if not outgoing and not answered and reason in MISSED:
        return MISSED[reason].text()
    found = ENDED.get(reason, ENDED["failed"])
    quoted = one_line(detail if reason in ENDED else detail or reason, _MAX_DETAIL_CHARS)
    if not quoted or (reason in ENDED and reason not in _QUOTED):
        return found.text()
    parts = [found.what, QUOTE, found.status, found.action]
    return joined(*(sentence(part, detail=quoted) for part in parts if part))


def end_text(call: CallStatus) -> str:
    """Why a call has ended."""
    return reason_text(call.end_reason, call.end_detail, outgoing=call.outgoing, answered=call.answered is not None)


def claim_text(address: str) -> str:
    """The address of a guest for whom nobody vouches."""
    return sentence(CLAIM, address=address)


def caller_text(call: CallStatus, title: str, address: str) -> tuple[str, str]:
    """Name and address of the other side, given as they are to be shown. Of a guest for whose address nobody vouches
    the address is given as what they say, and their name is not taken from it."""
    return (title, address) if call.vouched else (sentence(GUEST), claim_text(address))


def caller_note(call: CallStatus) -> str:
    """What to know of a caller before answering; empty where there is nothing."""
    if call.trust == "changed":
        return sentence(KEY_CHANGED if call.vouched else KEY_OF_ANOTHER)
    if not call.vouched:
        return sentence(NOBODY_VOUCHES)
    return sentence(FIRST_CALL) if call.first_call else ""


def incoming_text(call: CallStatus) -> str:
    """Who calls, for the command line."""
    return sentence(INCOMING if call.vouched else INCOMING_GUEST, address=call.address)


def path_text(call: CallStatus) -> str:
    """The line under the name in a call; empty while there is nothing to tell."""
    if call.phase == "connecting":
        return sentence(CONNECTING)
    if call.phase == "reconnecting":
        return sentence(RECONNECTING)
    if call.phase != "talking" or call.path is None:
        return ""
    return sentence(LINES[call.path, call.rtt_ms is not None], rtt_ms=call.rtt_ms)


def mark_text(mark: PathMark) -> str:
    """Something that happened to the paths, for the strip."""
    if mark.kind != "phase":
        return sentence(MARKS[mark.kind])
    if mark.phase is None or mark.outcome not in PHASE_MARKS:
        return ""
    return sentence(PHASE_MARKS[mark.outcome], phase=sentence(PHASE_NAMES[mark.phase]))


def codec_text(sample: CallSample) -> str:
    """How the voice is encoded."""
    return sentence(CODEC, bitrate_kbps=sample.bitrate_kbps)
