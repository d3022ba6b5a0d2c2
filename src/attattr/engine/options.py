"""How to attribute: the options of `Attributor.attribute`, checked once."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from attattr import asked
from attattr.choices import BASELINES, METHODS, OUTPUTS, STORES
from attattr.engine import quadrature
from attattr.errors import InputError

ROWS = 1 << 31  # more than any memory holds


@dataclass(frozen=True)
class Options:
    """How to attribute; checked once."""

    output: str | None
    method: str
    n_steps: int | str
    tol: float
    baseline: str
    internal_batch_size: int | None
    layers: tuple[int, ...] | None
    store: str
    refine: int | None = None
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        asked.choice(self.baseline, "baseline", BASELINES)
        asked.choice(self.store, "store", STORES)
        if self.output is not None:
            asked.choice(self.output, "output", OUTPUTS)
        asked.choice(self.method, "method", METHODS)
        # as plain numbers: a result's facts are written as JSON
        plain: dict[str, object] = {"tol": asked.number(self.tol, "tol", "positive", sys.float_info.min)}
        if self.internal_batch_size is not None:
            plain["internal_batch_size"] = asked.whole(
                self.internal_batch_size, "internal_batch_size", 1, ROWS
            )
        if self.memory_budget is not None:
            plain["memory_budget"] = asked.whole(self.memory_budget, "memory_budget", 1)
        if self.refine is not None:
            if self.method != "gradient":
                raise InputError("refine goes with method='gradient': it says how many sites are integrated")
            plain["refine"] = asked.whole(self.refine, "refine", 1)
        if self.layers is not None:
            plain["layers"] = tuple(asked.whole(layer, "each of layers", None) for layer in self.layers)
        if self.method == "gradient" and self.n_steps != "auto":
            raise InputError("method='gradient' has no nodes, and what refine asks for has n_steps='auto'")
        if not isinstance(self.n_steps, str):
            plain["n_steps"] = quadrature.fixed(self.method, self.n_steps).n_steps
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        _ = self.stages

    @property
    def stages(self) -> tuple[quadrature.Rule, ...]:
        """Rules in turn, of what is integrated."""
        if self.n_steps == "auto":
            if self.method not in ("gausslegendre", "gradient"):
                raise InputError(f"n_steps='auto' goes with gausslegendre; give {self.method} a number")
            return quadrature.auto()
        return (quadrature.fixed(self.method, self.n_steps),)  # type: ignore[arg-type]
