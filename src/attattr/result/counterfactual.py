"""Which other input's attention a result's baseline was, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 8  # differing tokens that are named


@dataclass(frozen=True)
class Counterfactual:
    """What `options["counterfactual"]` of a result holds. differs: by axis, (position, token, its token)."""

    text: str | None
    text_pair: str | None
    differs: dict[str, list[tuple[int, str, str]]]


def sentence(options: Mapping[str, Any]) -> str | None:
    """Which tokens of the counterfactual are other ones; None where the baseline is none.

    >>> sentence({"counterfactual": {"differs": {"input": [[2, "fine", "bad"]]}}})
    'The baseline is the attention of another input, in which 1 token differs: 2 “fine” → “bad”.'
    """
    other = options.get("counterfactual")
    if other is None:
        return None
    pairs = [
        f"{axis + ' ' if axis != 'input' else ''}{place} “{token}” → “{its}”"
        for axis, places in other["differs"].items()
        for place, token, its in places
    ]
    if not pairs:
        return "The baseline is the attention of another input, whose tokens have the same names."
    named = ", ".join(pairs[:SHOWN]) + (" …" if len(pairs) > SHOWN else "")
    differ = "1 token differs" if len(pairs) == 1 else f"{len(pairs)} tokens differ"
    return f"The baseline is the attention of another input, in which {differ}: {named}."
