"""Colours of a terminal by sign and strength, as its ground allows."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.style import Style

# Nothing, the strongest for, the strongest against; blue and orange stay apart for colour-blind readers. On
# a light and a dark ground strength rises from it. Where it is not known, from a grey that is as far from
# white as from black, to hues as light as that: there, more colour is stronger.
SHADES = {
    "light": ((255, 255, 255), (0, 90, 181), (194, 86, 0)),
    "dark": ((28, 28, 28), (96, 176, 255), (255, 156, 72)),
    "unknown": ((118, 118, 118), (0, 115, 222), (192, 86, 0)),
}
LEAST = 0.04  # of the strongest; less has no ground


def terminal() -> str:
    """light, dark or unknown: what COLORFGBG, which some terminals set, says of the ground.

    >>> import os
    >>> os.environ["COLORFGBG"] = "15;default;0"
    >>> terminal()
    'dark'
    """
    colour = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    if not (colour.isascii() and colour.isdigit() and int(colour) < 16):
        return "unknown"
    return "dark" if int(colour) < 7 or int(colour) == 8 else "light"


def ground(share: float) -> Style:
    """Nothing for nothing, the full hue for the strongest; with the ink that can be read best on it."""
    paper, positive, negative = SHADES[terminal()]
    if not abs(share) >= LEAST:  # nan too
        return Style()
    strength = min(1.0, abs(share))
    hue = positive if share > 0 else negative
    found = [round(p + (h - p) * strength) for p, h in zip(paper, hue, strict=True)]
    white = contrast(found, (255, 255, 255)) > contrast(found, (0, 0, 0))
    return Style(color="rgb(255,255,255)" if white else "rgb(0,0,0)", bgcolor=_rgb(found))


def ink(score: float) -> Style:
    """Of a number on the terminal's own ground."""
    _, positive, negative = SHADES[terminal()]
    return Style(color=_rgb(positive if score > 0 else negative))


def contrast(one: Sequence[int], other: Sequence[int]) -> float:
    """Of two colours, 1 to 21 (WCAG 2).

    >>> contrast((0, 0, 0), (255, 255, 255))
    21.0
    """
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Sequence[int]) -> float:
    parts = (c / 255 for c in colour)
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _rgb(colour: Sequence[int]) -> str:
    return "rgb({},{},{})".format(*colour)
