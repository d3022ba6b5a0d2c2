"""What a user would otherwise run, a site at a time, and the clock that all are timed with."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import captum.attr
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import oracle

# without instructions for it bfloat16 is emulated, and a time in it says nothing of other machines
HALF = torch.ops.mkldnn._is_mkldnn_bf16_supported()


def literal_site(model, example: dict[str, torch.Tensor], steps: int, read: Callable, site: int) -> None:
    """`steps` steps of the literal algorithm at one site, in one batch. read(outputs): F, (rows,)."""
    inputs = {name: value[None] for name, value in example.items()}
    full = oracle.attention(model, inputs)[site][0]
    rows = {name: value.expand(steps, -1) for name, value in inputs.items()}
    leaf = (torch.arange(steps)[:, None, None, None] / steps * full).requires_grad_()
    value = oracle.value_at(model, rows, site, leaf, lambda outputs: read(outputs).sum())
    torch.autograd.grad(value, leaf)


def captum_site(model, example: dict[str, torch.Tensor], steps: int, read: Callable, site: int) -> None:
    """captum's IntegratedGradients over A ↦ F(A) at one site; its own default rule."""
    inputs = {name: value[None] for name, value in example.items()}
    full = oracle.attention(model, inputs)[site][0]

    def function(attention: torch.Tensor) -> torch.Tensor:
        rows = {name: value.expand(len(attention), -1) for name, value in inputs.items()}
        return oracle.value_at(model, rows, site, attention, read)

    captum.attr.IntegratedGradients(function).attribute(full, n_steps=steps)


def at_both_ends(of: Callable, model, example, steps: int, read: Callable, sites: int) -> Callable[[], None]:
    """At the lowest and at the highest site: what a step costs falls evenly between them."""

    def work() -> None:
        of(model, example, steps, read, 0)
        of(model, example, steps, read, sites - 1)

    return work


def clock() -> float:
    """Seconds: of one thread its own, which other work on the machine does not lengthen."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def turns(contestants: dict[str, tuple[Callable[[], object], float]], count: int) -> dict:
    """Seconds of each (times its factor), turn by turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for work, _ in contestants.values():
        work()  # warm
    for _ in range(count):
        for name, (work, factor) in contestants.items():
            began = clock()
            work()
            seconds[name].append((clock() - began) * factor)
    return {
        "seconds": seconds,
        "factor": {name: factor for name, (_, factor) in contestants.items()},
    }
