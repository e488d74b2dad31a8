"""What could not be done, and what was put right without asking, in sentences (pure).

An :class:`app.system.errors.AppError` and a notice have a code and values; here is what they say. ``cause`` among the
values is a code of :data:`CAUSES`, or what the system says.
"""

from app.model.terms import Values
from app.text.accounts import relay_problem_text
from app.text.calls import reason_text
from app.text.catalogue import UserMessage, joined, plural, sentence

_START_AGAIN = "Put that right, then start Segue again."
_OTHER_FOLDER = "Choose another folder with --home."
_NEW_KEY = "Segue made a new key. To others you are a new person until they accept it."
_NEW_NAME = "Your name at the relay belongs to the old key: register another name."

CAUSES: dict[str, str] = {
    # of the disk
    "disk-full": "The disk is full.",
    "disk-read-only": "The disk is read-only.",
    "not-permitted": "The system does not allow it.",
    "file-in-the-way": "There is a file where a folder should be.",
    "folder-in-the-way": "There is a folder where a file should be.",
    "no-folder": "There is no such folder.",
    "disk-error": "The disk is not working properly.",
    # of the database
    "in-use": "Another program is using it.",
    "damaged": "Its content is damaged.",
    "not-a-database": "It is not a database.",
    "wrong-tables": "Its tables are not those of Segue.",
    "empty": "It is empty.",
    "other-program": "It belongs to another program.",
    "cut-off": "Its end is missing.",
    "newer": "A newer Segue wrote it, and this one cannot read it.",
    "cannot-set-aside": "It is damaged and cannot be set aside.",
    # of the keyring
    "keyring-silent": "It did not answer in time.",
    "keyring-none": "There is none on this computer.",
    "keyring-locked": "It is locked.",
}
OTHER_CAUSE = "The system says: “{cause}”."

PROBLEMS: dict[str, UserMessage] = {
    # commands
    "own-address": UserMessage("That is your own address.", action="To hear yourself, call Echo."),
    "in-call": UserMessage("You are in a call.", action="Hang up first."),
    "account-busy": UserMessage("Segue is still busy with the last step."),
    "key-not-offered": UserMessage(
        "Another key has come in the meantime.", "Segue did not accept any.", "Look at it again, then decide."
    ),
    "key-not-vouched": UserMessage(
        "This caller says to be {address}, but that person's relay does not vouch for the caller's key.",
        "Segue keeps the key that it knows.",
        "Call {address} yourself: if the key has really changed, Segue asks you then.",
    ),
    "unknown-command": UserMessage("This version of Segue cannot do that."),
    "no-report": UserMessage("There is no report of that call any more.", "Segue keeps only that of the last call."),
    "no-trace": UserMessage("There is no trace of that call any more.", "Segue keeps only that of the last call."),
    "report-not-written": UserMessage("The report could not be written to {path}."),
    "trace-not-written": UserMessage("The trace could not be written to {path}."),
    "list-full": UserMessage("The list holds {limit:,} people and is full.", action="Remove somebody first."),
    "registered-not-saved": UserMessage("The name is registered, but it could not be saved on this computer."),
    "sound-file": UserMessage("The sound file cannot be used: {detail}."),
    # addresses
    "address-no-at": UserMessage("An address looks like name@relay.example, and this one has no @."),
    "address-name": UserMessage(
        "“{part}” is not a name: 1 to 32 letters a–z, digits, dots, dashes or underscores, with a letter or digit "
        "first and last."
    ),
    "address-pin": UserMessage("The part after # is the relay's pin: 20 to 64 hexadecimal digits."),
    "address-brackets": UserMessage("An IPv6 address stands in brackets, like [2001:db8::1]:7850."),
    "address-ipv6": UserMessage("“{part}” is not an IPv6 address."),
    "address-host": UserMessage("“{part}” is not a host name or IP address."),
    "address-port": UserMessage("“{part}” is not a port: 1 to 65535."),
    # the folder of the local data
    "home-unusable": UserMessage("Segue cannot use the folder {path}.", action=_OTHER_FOLDER),
    "home-open-to-all": UserMessage(
        "Others on this computer can write to {path}, so Segue trusts nothing there.",
        action="Take that right away (“chmod go-w”), or choose another folder with --home.",
    ),
    "home-of-another": UserMessage(
        "Another user of this computer owns {path}, so Segue trusts nothing there.", action=_OTHER_FOLDER
    ),
    "home-not-lockable": UserMessage("Segue cannot lock the folder {path}."),
    "home-not-writable": UserMessage("Segue cannot write to the folder {path}."),
    "already-running": UserMessage("Segue is already running with this folder: {path}"),
    # the engine
    "engine-not-started": UserMessage("The engine could not be started."),
    "engine-ended": UserMessage(
        "Segue's engine ended as soon as it was started.", action="Its messages are in {path}."
    ),
    "engine-missing": UserMessage("No engine is running with this folder."),
    "engine-gone": UserMessage("Segue's engine is not running, so nothing was done."),
    "engine-silent": UserMessage("The engine does not answer."),
    "engine-version": UserMessage(
        "The running engine is a different version of Segue.", action="Quit it and start Segue again."
    ),
    "engine-not-listening": UserMessage("Segue cannot listen for its window in {path}."),
    # the private relay
    "local-relay-folder": UserMessage("The private relay needs the folder {path}."),
    "local-relay-not-started": UserMessage(
        "The private relay did not start.", action="Check whether something blocks UDP on this computer."
    ),
    "local-relay-not-running": UserMessage("The private relay on this computer is not running."),
    "echo-not-registered": UserMessage("Echo could not register with the private relay."),
    "echo-not-started": UserMessage("Echo did not start."),
    "process-not-started": UserMessage("Another process of Segue could not be started."),
    # the demo
    "demo-stopped": UserMessage("The demo was stopped."),
    "demo-folder": UserMessage("The demo needs a folder for temporary files."),
    "demo-relay-not-started": UserMessage("The relay of the demo did not start."),
    "demo-not-registered": UserMessage("{name} could not register with the relay of the demo."),
    "demo-not-online": UserMessage("{name} did not come online."),
    # the key
    "key-unreadable": UserMessage(
        "Segue cannot read your key in {path}.",
        "It was not changed.",
        "Give yourself permission to read it, then start Segue again.",
    ),
    "key-damaged-in-place": UserMessage(
        "Your key file {path} is damaged, and Segue cannot set it aside.",
        "Nothing was changed.",
        "Put a copy of the key in its place, or move it away, then start Segue again.",
    ),
    "key-in-keyring-only": UserMessage(
        "The key of {path} is in this computer's keyring, and Segue may use only the file here.",
        action="Start it without --home and without {variable}.",
    ),
    "keyring-locked": UserMessage(
        "Your key is in this computer's keyring, and Segue cannot get it.",
        action="Unlock the keyring (signing out and in again often helps), then start Segue again.",
    ),
    "key-not-saved": UserMessage("Segue cannot write your key to {path}.", action=_START_AGAIN),
    "key-folder-not-writable": UserMessage("Segue cannot write to the folder {path}.", "Nothing was changed."),
}
NOTICES: dict[str, tuple[str, UserMessage]] = {
    "report-not-written": ("The report was not written", PROBLEMS["report-not-written"]),
    "trace-not-written": ("The trace was not written", PROBLEMS["trace-not-written"]),
    "key-file-damaged": (
        "Your key file was damaged",
        UserMessage(
            "Segue kept it as {kept}. If you have a copy of your key, close Segue and put it back as {path}.",
            _NEW_KEY,
            _NEW_NAME,
        ),
    ),
    "key-gone": (
        "Your key is gone",
        UserMessage("Segue found no key any more, and kept the old certificate as {kept}.", _NEW_KEY, _NEW_NAME),
    ),
    "key-gone-from-keyring": (
        "Your key is gone",
        UserMessage("It is no longer in this computer's keyring.", _NEW_KEY, _NEW_NAME),
    ),
    "key-damaged-in-keyring": (
        "Your key was damaged",
        UserMessage("Segue left the old one as it is in this computer's keyring.", _NEW_KEY, _NEW_NAME),
    ),
    "key-was-open": (
        "Others could read your key",
        UserMessage(
            "The file {path} was open to other users of this computer.",
            "Segue has closed it to them.",
            "If you do not trust them, start again with another folder.",
        ),
    ),
    "key-is-open": (
        "Others can read your key",
        UserMessage(
            "The file {path} is open to other users of this computer, and Segue could not close it.",
            action="If you do not trust them, start again with another folder.",
        ),
    ),
    "certificate-not-written": (
        "A file could not be written",
        UserMessage("Segue could not write {path}.", "Calls work; Segue will try again at the next start."),
    ),
    "settings-reset": (
        "Some settings could not be read",
        UserMessage("They have their default values again: {names}."),
    ),
    "data-replaced": (
        "Your contacts, calls and settings could not be read",
        UserMessage(
            "The file {name} cannot be used.",
            "Segue kept it as {kept} and made a new one.",
            "The keys of people you call are trusted on first use again.",
        ),
    ),
    "data-rewritten": (
        "The file with your contacts was damaged",
        UserMessage(
            "The file {name} cannot be used.",
            "Segue kept it as {kept} and made a new one from its memory.",
        ),
    ),
    "not-saving": (
        "Changes are not being saved",
        UserMessage(
            "Segue cannot write to {path}.",
            "It keeps everything until you quit, and saves it as soon as that is possible.",
        ),
    ),
    "saved-again": (
        "Saved again",
        UserMessage("Everything that could not be saved for a while is saved now."),
    ),
}
ENTRIES_UNREADABLE = "Some entries could not be read"
ENTRIES_ONE, ENTRIES_OTHER = "{count} entry was left out.", "{count:,} entries were left out."
OFFLINE, NO_LOCAL_RELAY = "Segue is offline", "The private relay is not running"


def problem_text(code: str, values: Values) -> str:
    """Why something could not be done. An unknown code is a reason of a relay or of a call."""
    if code not in PROBLEMS:
        return reason_text(code, str(values.get("detail", "")))
    return _text(PROBLEMS[code], values)


def notice_text(code: str, values: Values) -> tuple[str, str]:
    """Title and text of a notice, or of a :class:`app.system.errors.Finding`."""
    match code:
        case "entries-unreadable":
            count = int(values["count"])
            return sentence(ENTRIES_UNREADABLE), plural(count, one=ENTRIES_ONE, other=ENTRIES_OTHER)
        case "relay-refused":
            problem, relay, detail = (str(values[name]) for name in ("problem", "relay", "detail"))
            return sentence(OFFLINE), relay_problem_text(problem, relay, detail)  # type: ignore[arg-type]
        case "no-local-relay":
            return sentence(NO_LOCAL_RELAY), problem_text(str(values["code"]), values)
    title, message = NOTICES[code]
    return sentence(title), _text(message, values)


def _text(message: UserMessage, values: Values) -> str:
    cause = str(values.get("cause", ""))
    why = sentence(CAUSES.get(cause, OTHER_CAUSE), cause=cause) if cause else ""
    rest = [sentence(part, **values) for part in (message.status, message.action) if part]
    return joined(sentence(message.what, **values), why, *rest)
