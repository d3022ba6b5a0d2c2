"""A reply without some of its sources, as measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attattr.result.shown import brief, short


@dataclass(frozen=True)
class TakenOut:
    """log p of each span of a reply without some sources, and what the model writes then.

    clean, without: (S,), log p of each span with the whole prompt and without the sources; the contrast's, if
    there is one, stands behind. reply: the likeliest one without them. stopped: as of `Generation`.
    """

    sources: tuple[str, ...]
    clean: np.ndarray
    without: np.ndarray
    reply: str
    stopped: str

    @property
    def effect(self) -> np.ndarray:
        """(S,), what each span's log p loses: positive where the sources had helped."""
        return self.clean - self.without

    def __repr__(self) -> str:
        return brief(self, " + ".join(map(short, self.sources)), f"would say {short(self.reply)}")
