"""Text that somebody typed, or a stranger sent, before it is kept and shown."""

import unicodedata

# Characters that turn the direction of what stands after them, and so can dress one name up as another (UAX #9).
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSHOWN = frozenset(("Cc", "Cs", "Zl", "Zp"))


def one_line(text: str, max_chars: int) -> str:
    """``text`` without control characters, line ends, lone surrogates and direction overrides, cut to size."""
    kept = "".join(
        " " if character in "\t\r\n\u2028\u2029" else character
        for character in text
        if character in "\t\r\n\u2028\u2029"
        or (character not in _DIRECTION and unicodedata.category(character) not in _UNSHOWN)
    )
    return " ".join(kept.split())[:max_chars].rstrip()
