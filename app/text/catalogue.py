"""Sentences with named placeholders, and the one place where a window puts in its translation (pure)."""

from collections.abc import Callable
from dataclasses import dataclass

Translator = Callable[[str, int | None], str]
"""Gives the translation of an English template; the number is the count that decides about the plural, if any."""


class _Hook:
    translate: Translator = staticmethod(lambda template, _count: template)


def use_translator(translator: Translator) -> None:
    """Have every sentence from now on translated by this."""
    _Hook.translate = staticmethod(translator)


def sentence(template: str, **values: object) -> str:
    """The translated template with its values; values are never taken for templates."""
    return _Hook.translate(template, None).format(**values)


def plural(count: int, *, one: str, other: str, **values: object) -> str:
    """The form for ``count``, which the template may name as ``{count}``. ``other`` is the key of the translation."""
    found = _Hook.translate(other, count)
    if found == other and count == 1:
        found = one
    return found.format(count=count, **values)


@dataclass(frozen=True, slots=True)
class UserMessage:
    """Up to three templates, whole sentences each: what happened, what Segue does about it, what the person can do."""

    what: str
    status: str = ""
    action: str = ""

    def text(self, **values: object) -> str:
        """All of them as one text."""
        return joined(*(sentence(part, **values) for part in (self.what, self.status, self.action) if part))


def joined(*sentences: str) -> str:
    """Whole sentences, one after another; empty ones are left out."""
    return " ".join(part for part in sentences if part)


def capital(text: str) -> str:
    """With a capital at the beginning, where a name or a word of ours may come first."""
    return text[:1].upper() + text[1:]
