"""What really happened when edges and heads were taken out of one result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attattr.result.shown import brief, counted
from attattr.result.values import Edge


@dataclass(frozen=True)
class Effects:
    """F − F without it, for single edges and single heads; positive where it had helped.

    edges: the strongest, strongest first. edge_change: (E,). head_change: (L, H), NaN beyond a site's heads.
    """

    clean: float
    edges: tuple[Edge, ...]
    edge_change: np.ndarray
    head_change: np.ndarray

    def __repr__(self) -> str:
        heads = int(np.isfinite(self.head_change).sum())
        return brief(
            self,
            f"output {self.clean:.3f}",
            f"without {counted(len(self.edges), 'edge')}",
            f"without {counted(heads, 'head')}",
        )
