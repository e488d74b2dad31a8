"""Text that somebody typed, or a stranger sent, before it is kept, sent on or shown: the one place where it is cleaned.

:func:`one_line` cleans what a window shows; :func:`printable` is for terminals and logs, and hides nothing.

Characters that nobody sees, or that turn the direction of what stands beside them (UAX #9), can make one name look like
another. So controls, formats (Cf), private use, surrogates, unassigned characters and invisible letters go. Three are
needed to write, and stay only where they do something: the two joiners (U+200C, U+200D) between letters of scripts that
join or stack (Persian, Hindi) and between emoji, and the emoji style (U+FE0F) after a symbol. Tags (U+E0020…) go: the
flags made of them fall back to a plain one.
"""

import json
import unicodedata

_LINE_BREAKS = "\t\n\r\x0b\x0c\x85\u2028\u2029"
_JOINERS = "\u200c\u200d"
_EMOJI_STYLE = "\ufe0f"
# Letters, marks and symbols without a shape of their own (Default_Ignorable_Code_Point of Unicode, and a blank cell).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_DROPPED = frozenset(("Cc", "Cf", "Cn", "Co", "Cs"))


def one_line(text: str, max_chars: int) -> str:
    """``text`` as one line of at most ``max_chars`` characters. Looks no further than four times that."""
    head = text[: max_chars * 4]
    kept: list[str] = []
    for place, sign in enumerate(head):
        before, following = kept[-1] if kept else "", head[place + 1 : place + 2]
        if sign in _LINE_BREAKS:
            kept.append(" ")
        elif sign in _JOINERS:
            kept += [sign] if _is_joined(before) and _is_joined(following) and following != _EMOJI_STYLE else []
        elif sign == _EMOJI_STYLE:
            kept += [sign] if before and unicodedata.category(before) == "So" else []
        elif sign not in _INVISIBLE and not _is_variation(sign) and unicodedata.category(sign) not in _DROPPED:
            kept.append(sign)
    return " ".join("".join(kept).split())[:max_chars].rstrip(" " + _JOINERS)


def printable(text: str) -> str:
    """``text`` on one line, with JSON's escapes for controls, line ends, formats (Cf) and all else without a shape.

    A terminal obeys escape sequences (ECMA-48: ESC, or C1 alone), and a line end in a log begins a record."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def _is_joined(sign: str) -> bool:
    """Whether a joiner beside it changes what is seen; wide letters (CJK) stand alone."""
    if not sign or sign in _INVISIBLE:
        return False
    category = unicodedata.category(sign)
    if category == "Lo":
        return unicodedata.east_asian_width(sign) not in ("W", "F")
    return category in ("So", "Sk", "Mc") or (category == "Mn" and (sign == _EMOJI_STYLE or not _is_variation(sign)))


def _is_variation(sign: str) -> bool:
    return "\ufe00" <= sign <= "\ufe0f" or "\u180b" <= sign <= "\u180f" or "\U000e0100" <= sign <= "\U000e01ef"
