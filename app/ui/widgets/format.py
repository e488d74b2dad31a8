"""Figures, times and states as people read them. Names from outside are made harmless here."""

import math

from PySide6.QtCore import QDateTime, QLocale

from app.ipc.engine_state import CallStatus, Contact
from app.model.history import RecentCall
from app.model.sanitize import one_line
from app.text.calls import caller_text
from app.text.catalogue import capital, plural, sentence

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
# A name of this length still says who it is; what is longer is cut so that it cannot fill a window.
MAX_NAME_CHARS = 60
# Longer than any sentence of Segue's own; what is longer came from outside.
MAX_LABEL_CHARS = 600
# No language that divides its words with spaces has longer ones in use.
MAX_WORD_CHARS = 32
ZERO_WIDTH_SPACE = "\u200b"


def plain(text: str, limit: int = MAX_NAME_CHARS) -> str:
    """``text`` cleaned as everywhere (:mod:`app.model.sanitize`), ending in “…” where it has more than ``limit``."""
    shown = one_line(text, limit + 1)
    return shown if len(shown) <= limit else one_line(shown, limit - 1) + "…"


def plain_lines(text: str) -> str:
    """``text`` for a label: as :func:`plain`, but line by line, and as long as a paragraph."""
    return "\n".join(plain(line, MAX_LABEL_CHARS) for line in text[: MAX_LABEL_CHARS * 4].split("\n"))[:MAX_LABEL_CHARS]


def breakable(text: str) -> str:
    """``text`` with places to break inside very long words, so that a wrapped label need not be as wide as one."""
    pieces = (
        word
        if len(word) <= MAX_WORD_CHARS
        else ZERO_WIDTH_SPACE.join(
            word[place : place + MAX_WORD_CHARS] for place in range(0, len(word), MAX_WORD_CHARS)
        )
        for word in text.split(" ")
    )
    return " ".join(pieces)


def menu_text(text: str) -> str:
    """``text`` for a button or menu, where a single ``&`` would underline a letter."""
    return plain(text).replace("&", "&&")


def short_address(address: str) -> str:
    """An address without the pin of its relay."""
    return plain(address.partition("#")[0], 120)


def caller(call: CallStatus) -> tuple[str, str]:
    """Name and address of the other side of a call: :func:`app.text.calls.caller_text`."""
    return caller_text(call, plain(call.title), short_address(call.address))


def initials(title: str) -> str:
    """One or two letters for the avatar."""
    words = [word for word in plain(title).replace(".", " ").replace("_", " ").replace("-", " ").split() if word]
    letters = [next((sign for sign in word if sign.isalnum()), "") for word in words]
    found = "".join(letters[:1] + (letters[-1:] if len(letters) > 1 else []))
    return found.upper() or "?"


def clock(seconds: float) -> str:
    """A running clock: 0:07, 12:03, 1:02:03."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, HOUR_S)
    minutes, left = divmod(rest, MINUTE_S)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def talked(seconds: float) -> str:
    """How long somebody talked."""
    whole = max(0, round(seconds))
    if whole < MINUTE_S:
        return sentence("{seconds} s", seconds=whole)
    if whole < HOUR_S:
        return sentence("{minutes} min", minutes=round(whole / MINUTE_S))
    return sentence("{hours} h {minutes} min", hours=whole // HOUR_S, minutes=whole % HOUR_S // MINUTE_S)


def time_left(seconds: float) -> str:
    """Time that is left: in seconds under two minutes, then in minutes."""
    whole = max(0, math.ceil(seconds))
    if whole < 2 * MINUTE_S:
        return sentence("{seconds} s", seconds=whole)
    return sentence("{minutes} min", minutes=round(whole / MINUTE_S))


def age(at: float, now: float) -> str:
    """How long ago something was (Unix seconds), the coarser the longer."""
    ago = max(0.0, now - at)
    if ago < MINUTE_S:
        return sentence("just now")
    if ago < HOUR_S:
        return sentence("{minutes} min ago", minutes=int(ago // MINUTE_S))
    if ago < DAY_S:
        return sentence("{hours} h ago", hours=int(ago // HOUR_S))
    return plural(int(ago // DAY_S), one="1 day ago", other="{count} days ago")


def when(at: float, now: float) -> str:
    """A moment in the past (Unix seconds) as seen from ``now``."""
    if now - at < HOUR_S:
        return capital(age(at, now))
    then = QDateTime.fromSecsSinceEpoch(int(at))
    days = then.daysTo(QDateTime.fromSecsSinceEpoch(int(now)))
    locale = QLocale()
    time = locale.toString(then.time(), QLocale.FormatType.ShortFormat)
    if days == 0:
        return sentence("Today {time}", time=time)
    if days == 1:
        return sentence("Yesterday {time}", time=time)
    if days < 7:
        return sentence("{weekday} {time}", weekday=locale.dayName(then.date().dayOfWeek()), time=time)
    # A date as Qt writes it.
    return locale.toString(then.date(), sentence("d MMMM yyyy"))


def milliseconds(value: float | None) -> str:
    """A span of time, or a dash while it is not known."""
    if value is None:
        return "–"
    return f"{value:.1f} ms" if 0 < value < 10 else f"{value:.0f} ms"


def percent(share: float | None) -> str:
    """A share of 0 to 1 in percent, or a dash while it is not known."""
    if share is None:
        return "–"
    return "0%" if share <= 0 else f"{share:.1%}"


def kilobits(value: float) -> str:
    """A bit rate."""
    return f"{value:.0f} kbit/s"


def safety_rows(number: str, groups_per_row: int = 4) -> list[list[str]]:
    """The safety number in rows of groups, as two people read it to each other."""
    groups = plain(number, 200).split()
    return [groups[place : place + groups_per_row] for place in range(0, len(groups), groups_per_row)]


def presence(contact: Contact) -> str:
    """Whether somebody can be called now."""
    if contact.blocked:
        return sentence("Blocked")
    if contact.online is None:
        return sentence("Not known")
    return sentence("Online") if contact.online else sentence("Offline")


def outcome(call: RecentCall) -> str:
    """How a past call went."""
    if call.outcome == "answered":
        return talked(call.seconds)
    words = {
        "missed": sentence("Missed"),
        "declined": sentence("Declined"),
        "busy": sentence("Busy"),
        "cancelled": sentence("Cancelled"),
        "no-answer": sentence("No answer"),
        "unreachable": sentence("Not reachable"),
        "failed": sentence("Failed"),
    }
    return words[call.outcome] if call.count == 1 else f"{words[call.outcome]} ({call.count})"


def outcome_icon(call: RecentCall) -> str:
    """The icon of a past call."""
    if call.outcome == "missed":
        return "phone-missed"
    return "phone-outgoing" if call.outgoing else "phone-incoming"
