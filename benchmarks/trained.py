"""The trained models of the package, on inputs of their development sets: sections of speed.py."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from opponents import HALF, at_both_ends, captum_site, clock, literal_site, turns
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from attattr import Attribution, Attributor
from attattr.data.examples import Example, read_examples

FILES = {"sst2": "sst2_dev", "mnli": "mnli_dev_matched"}
INPUTS, SEED, TURNS = 12, 5, 2
AT_ONCE = 16  # steps of the opponents, timed at the lowest and the highest site
REFERENCE = 40  # Gauss nodes
FEW, MANY = 64, 256  # steps of the sums that are measured
AUTHORS, PAPER = "authors' rule (64 left)", "paper's rule (20 right)"
SUMS = {AUTHORS: ("riemann_left", 64), PAPER: ("riemann_right", 20)}


def distance(a: Attribution, b: Attribution) -> float:
    """Relative L1 distance of all scores from those of b."""
    return float(np.abs(a.scores - b.scores).sum() / np.abs(b.scores).sum())


def opened(name: str, data: Path, **options: Any) -> tuple[Attributor, list[Example]]:
    attributor = Attributor.from_pretrained(name, **options)
    attributor.model.requires_grad_(False)  # as ours computes: no gradients of weights, for the others either
    return attributor, read_examples(data / f"{FILES[name]}.tsv.gz", limit=INPUTS, seed=SEED)[0]


def tokens(attributor: Attributor, example: Example) -> dict[str, torch.Tensor]:
    found = attributor.tokenizer(example.text, example.text_pair, return_tensors="pt")
    return {name: value[0] for name, value in found.items()}


def theirs(attributor: Attributor, result: Attribution, inputs: dict) -> dict[str, tuple[Callable, float]]:
    """The opponents on one input, and what their seconds are multiplied by."""
    (target,), sites = result.target.index, len(result.sites)

    def read(outputs: Any) -> torch.Tensor:
        return outputs.logits.softmax(-1)[:, target]

    def both(of: Callable, count: int) -> tuple[Callable, float]:
        work = at_both_ends(of, attributor.model, inputs, AT_ONCE, read, sites)
        return work, sites * count / AT_ONCE / 2

    return {
        AUTHORS: both(literal_site, 64),
        PAPER: both(literal_site, 20),
        "Captum, 20 steps": both(captum_site, 20),
        "Captum, 50 steps": both(captum_site, 50),
    }


def quietly(attributor: Attributor, example: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attributor.attribute(example, **options)


def trained(data: Path) -> dict:
    """One input at a time: median seconds of each contestant, input by input."""
    found = {}
    for name in FILES:
        attributor, examples = opened(name, data)
        half = opened(name, data, dtype="bfloat16")[0] if HALF else None
        rows = []
        for example in examples:
            result = quietly(attributor, example)
            contestants: dict[str, tuple[Callable[[], object], float]] = {
                "attattr": (partial(quietly, attributor, example), 1.0),
            }
            if half is not None:
                contestants["attattr, bfloat16"] = (partial(quietly, half, example), 1.0)
            contestants |= theirs(attributor, result, tokens(attributor, example))
            times = turns(contestants, TURNS)["seconds"]
            rows.append(
                {
                    "n": len(result.tokens), "nodes": [site.n_steps for site in result.sites],
                    "seconds": {who: statistics.median(of) for who, of in times.items()},
                }
            )  # fmt: skip
        found[name] = rows
    return found


def equal(data: Path) -> dict:
    """How many steps of a one-sided sum come as close to the exact integral as ours, and how long they take.

    Its error falls as 1 / steps (the first term of Euler and Maclaurin), which the errors at FEW and at MANY
    show; from MANY it is extrapolated, and so is the time, from that of a step.
    """
    found = {}
    for name in FILES:
        attributor, examples = opened(name, data)
        rows = []
        for example in examples:
            exact = quietly(attributor, example, n_steps=REFERENCE)
            ours = quietly(attributor, example)
            began = clock()
            quietly(attributor, example)
            seconds = clock() - began
            others = theirs(attributor, ours, tokens(attributor, example))
            row: dict[str, Any] = {"n": len(ours.tokens), "error": distance(ours, exact), "seconds": seconds}
            for rule, (method, count) in SUMS.items():
                work, factor = others[rule]
                began = clock()
                work()
                a_step = (clock() - began) * factor / count
                few, many = (
                    distance(quietly(attributor, example, method=method, n_steps=steps), exact)
                    for steps in (FEW, MANY)
                )
                steps = MANY * many / row["error"]
                row[rule] = {
                    "few": few, "many": many, "steps": steps, "ratio": steps * a_step / seconds,
                }  # fmt: skip
            rows.append(row)
        found[name] = rows
    return found


class Flops(TorchDispatchMode):
    """Counts what products take. torch's FlopCounterMode fails on a leaf that goes into a module."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def limit(data: Path) -> dict:
    """What stands in the way of more: work left out, how fast the rest runs, where its time goes."""
    found = {}
    for name in FILES:
        attributor, examples = opened(name, data)
        ours_flop = theirs_flop = ours_seconds = their_seconds = 0.0
        times: dict[str, float] = {}
        lengths = []
        for example in examples:
            result = quietly(attributor, example)
            lengths.append(len(result.tokens))
            work, factor = theirs(attributor, result, tokens(attributor, example))[AUTHORS]
            with Flops() as counter:
                quietly(attributor, example)
            ours_flop += counter.total
            with Flops() as counter:
                work()
            theirs_flop += counter.total * factor
            began = clock()
            quietly(attributor, example)
            middle = clock()
            work()
            ours_seconds, their_seconds = (
                ours_seconds + middle - began,
                their_seconds + (clock() - middle) * factor,
            )
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                quietly(attributor, example)
            for event in profiled.key_averages():
                times[event.key] = times.get(event.key, 0) + event.self_cpu_time_total
        largest = sorted(times, key=lambda key: -times[key])[:8]
        found[name] = {
            "flop": ours_flop, "their_flop": theirs_flop, "seconds": ours_seconds,
            "their_seconds": their_seconds,
            "tokens": sum(lengths) / len(lengths),
            "profile": {key.removeprefix("aten::"): times[key] / sum(times.values()) for key in largest},
        }  # fmt: skip
    return found
