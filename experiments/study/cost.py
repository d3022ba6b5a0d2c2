"""Part 7. Seconds and memory against the literal algorithm and Captum, ratios in one run."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from study.setting import Facts, Setting
from study.words import table

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NODES = (4, 7, 13)  # the stages of the automatic rule
STEPS = 16  # rows of the opponents that run at once, as when they are timed
# each in a process of its own; what a process with only the model needs is taken off
PROGRAMS = {
    "model alone": "model(input_ids=example['input_ids'][None])",
    "attattr": "speed.Attributor(model).attribute(example, store='dense')",
    "the literal algorithm": f"speed.literal_site(model, example, {STEPS}, read, 0)",
    "Captum": f"speed.captum_site(model, example, {STEPS}, read, 0)",
}


def _speed() -> Any:
    """benchmarks/speed.py: the opponents stand there."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.insert(0, str(BENCHMARKS))
    import speed

    return speed


def seconds(setting: Setting, _: None) -> Facts:
    """BERT-base with random weights, one input; the contestants take turns."""
    speed = _speed()
    model = speed.bert_base()
    found = speed.beside(model, speed.tokens(model, setting.sizes.tokens), count=setting.sizes.turns)
    of_turns = found.pop("seconds")
    ours = of_turns["attattr"]
    ratios = {
        name: [theirs / mine for theirs, mine in zip(of_turns[name], ours, strict=True)] for name in of_turns
    }
    return found | {
        "turns": setting.sizes.turns,
        "seconds_each": {name: statistics.median(values) for name, values in of_turns.items()},
        "ratio": {
            name: {"median": statistics.median(values), "low": min(values), "high": max(values)}
            for name, values in ratios.items()
            if name != "attattr"
        },
    }


def nodes(setting: Setting, _: None) -> Facts:
    """What more nodes cost: a model with random weights is nearly linear, and four do."""
    speed = _speed()
    model = speed.bert_base()
    example, attributor = speed.tokens(model, setting.sizes.tokens), speed.Attributor(model)
    taken = speed.turns(
        {
            str(count): (
                lambda count=count: attributor.attribute(
                    example, store="dense", method="gausslegendre", n_steps=count
                ),
                1.0,
            )
            for count in NODES
        },
        setting.sizes.turns,
    )["seconds"]
    ratios = {
        name: [more / least for more, least in zip(taken[name], taken[str(NODES[0])], strict=True)]
        for name in taken
    }
    return {
        "turns": setting.sizes.turns,
        "ratio": {
            name: {"median": statistics.median(values), "low": min(values), "high": max(values)}
            for name, values in ratios.items()
        },
    }


def memory(setting: Setting, _: None) -> Facts:
    """Peak bytes of each way to attribute the same input, 16 steps of one site at a time for the others."""
    peaks = {}
    for name, work in PROGRAMS.items():
        program = f"""
import sys, pathlib
sys.path.insert(0, {str(BENCHMARKS)!r})
import speed
model = speed.bert_base()
example = speed.tokens(model, {setting.sizes.tokens})
read = lambda outputs: outputs.logits.softmax(-1)[:, 0]
{work}
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        peaks[name] = int(done.stdout.splitlines()[-1])
    base = peaks.pop("model alone")
    above = {name: max(peak - base, 1) for name, peak in peaks.items()}
    return {
        "tokens": setting.sizes.tokens,
        "steps": STEPS,
        "model_alone": base,
        "above": above,
        "ratio": {name: more / above["attattr"] for name, more in above.items() if name != "attattr"},
    }


SIZES = ("turns", "tokens")  # that the units depend on
UNITS = {"cost-seconds": (seconds, None), "cost-nodes": (nodes, None), "cost-memory": (memory, None)}


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    found, memory = units.get("cost-seconds"), units.get("cost-memory")
    if not found or not memory:
        return ""
    rows = [
        (
            name, f"{seconds:.1f}",
            _ratio(found["ratio"].get(name)),
        )
        for name, seconds in found["seconds_each"].items()
    ]  # fmt: skip
    peaks = [
        (name, f"{more / 1e6:.0f}", f"{memory['ratio'].get(name, 1.0):.1f}")
        for name, more in memory["above"].items()
    ]
    more = units.get("cost-nodes")
    said = ""
    if more:
        said = "; ".join(f"{count} nodes: {_ratio(of)}" for count, of in more["ratio"].items())
        said = f"\nBy number of nodes, as multiples of the time of the first: {said}.\n"
    return f"""## 7. Cost

`make study PARTS=7`; more lengths and models: `make bench`, [benchmarks.md](benchmarks.md)

One input of {found["n"]} tokens, BERT-base size, random weights, all {found["sites"]} layers; the
contestants took turns {found["turns"]} times: median (lowest – highest). The others are timed on the lowest
and the highest layer and {found["steps_timed"]} steps, and multiplied. Random weights need
{_many(found["nodes"])} nodes of the automatic rule; those of trained models stand in part 6, and take
longer as said below.

{table(("way", "seconds", "times attattr"), rows)}{said}
Peak memory above that of the model and one forward, each in a process of its own; the others with
{memory["steps"]} steps at once:

{table(("way", "MB", "times attattr"), peaks)}"""


def _many(nodes: list[int]) -> str:
    return str(nodes[0]) if len(nodes) == 1 else f"{min(nodes)} to {max(nodes)}"


def _ratio(of: Facts | None) -> str:
    return f"{of['median']:.1f} ({of['low']:.1f} – {of['high']:.1f})" if of else "1"
