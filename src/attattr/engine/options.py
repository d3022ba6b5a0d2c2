"""How to attribute: the options of `Attributor.attribute`, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from attattr.engine import quadrature
from attattr.engine.integral import BASELINES
from attattr.errors import InputError

STORES = ("dense", "edges", "heads")


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

    def __post_init__(self) -> None:
        for name, value, known in (("baseline", self.baseline, BASELINES), ("store", self.store, STORES)):
            if value not in known:
                raise InputError(f"unknown {name} '{value}': choose one of {', '.join(known)}")
        if not self.tol > 0:
            raise InputError(f"tol must be positive, not {self.tol}")
        if self.internal_batch_size is not None and self.internal_batch_size < 1:
            raise InputError(f"internal_batch_size must be at least 1, not {self.internal_batch_size}")
        _ = self.stages

    @property
    def stages(self) -> tuple[quadrature.Rule, ...]:
        if self.n_steps == "auto":
            if self.method != "gausslegendre":
                raise InputError(f"n_steps='auto' goes with gausslegendre; give {self.method} a number")
            return quadrature.auto()
        return (quadrature.fixed(self.method, self.n_steps),)  # type: ignore[arg-type]
