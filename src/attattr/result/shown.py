"""A result in one line, as a prompt or a log shows it."""

from __future__ import annotations

LENGTH = 160


def brief(thing: object, *facts: str) -> str:
    """Its class and some facts: one printable line, whatever they hold.

    >>> brief(result, "sst2 positive 0.942", "6 × 12 heads", "a line" + chr(10) + "break")
    '<Attribution sst2 positive 0.942 · 6 × 12 heads · a line break>'
    """
    text = short(" · ".join(fact for fact in facts if fact), LENGTH)
    return f"<{type(thing).__name__} {text}>" if text else f"<{type(thing).__name__}>"


def short(text: str, length: int = 40) -> str:
    """The text without what cannot be printed, cut to a length."""
    start = text[: 2 * length]  # a text of megabytes is not read to its end
    clean = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return clean if len(clean) <= length and len(text) <= 2 * length else f"{clean[: length - 1]}…"


def counted(number: int, what: str) -> str:
    """
    >>> counted(1, "head"), counted(1200, "head")
    ('1 head', '1,200 heads')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Control characters, lone surrogates and marks of direction made visible; joined emoji stay joined."""
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else repr(c)[1:-1] for c in text)
