"""What a run of the study stands on: models, rows, sizes, and the folder that its units are kept in."""

from __future__ import annotations

import hashlib
import json
import platform
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from attattr.data.examples import Example, read_examples
from attattr.disk import files
from attattr.measure.intervals import bootstrap

TASKS = ("mnli", "snli", "rte", "mrpc", "sst2")
FILES = {task: ("mnli_dev_matched" if task == "mnli" else f"{task}_dev", f"{task}_train") for task in TASKS}
SEED = 0
Facts = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """Numbers of inputs; None: all there are."""

    pool: int | None = 2000  # rows of a development set that all samples are drawn from
    edges: int | None = 100  # weight against attribution, receptive field
    effectiveness: int | None = 100
    rank: int | None = 200  # rows that heads are ranked on
    prune: int | None = 400  # rows that pruning is measured on
    random_orders: int = 10  # of heads, to prune by
    variants: int | None = 100  # rows of the other ways to rank
    faithfulness: int | None = 300
    mined: int | None = 500
    screen: int = 20  # rows of a class that every pattern is tried on
    choose: int = 60  # rows of a class that the worst are chosen on
    attack: int | None = 800
    quadrature: int | None = 200
    turns: int = 5
    tokens: int = 128  # of the input whose cost is measured


FULL = Sizes(
    pool=None, edges=None, effectiveness=None, prune=None, variants=200, faithfulness=None, attack=None,
    quadrature=None,
)  # fmt: skip
QUICK = Sizes(24, 4, 4, 6, 8, 2, 4, 3, 8, 2, 2, 12, 3, 1, 16)


@dataclass(frozen=True)
class Setting:
    """A run. models: other models than the embedded ones; rows: other data, (development, training)."""

    data: Path
    work: Path
    sizes: Sizes = Sizes()
    models: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def model(self, task: str) -> Any:
        """The task's Attributor, its weights frozen; loaded once."""
        return _model(self.models.get(task, task), self.labels.get(task))

    def dev(self, task: str, n: int | None) -> list[Example]:
        """n rows of the development set, each class with its share; the same ones for the same n."""
        pool = stratified(_read(self._source(task, 0)), self.sizes.pool)
        return stratified(pool, n)

    def train(self, task: str) -> list[Example]:
        return _read(self._source(task, 1))

    def halves(self, task: str) -> tuple[list[Example], list[Example]]:
        """Rows to rank heads on, and others to measure on. A small set keeps three fifths to measure on."""
        pool = stratified(_read(self._source(task, 0)), self.sizes.pool)
        rank = min(self.sizes.rank or len(pool), 2 * len(pool) // 5)
        chosen = stratified(pool, rank)
        taken = {id(example) for example in chosen}
        return chosen, stratified([row for row in pool if id(row) not in taken], self.sizes.prune)

    def _source(self, task: str, which: int) -> str:
        if task in self.rows:
            return self.rows[task][which]
        return str(self.data / f"{FILES[task][which]}.tsv.gz")

    def facts(self) -> Facts:
        """What has to be the same for units to go together; of the sizes, those of a unit's part."""
        return {
            "sizes": asdict(self.sizes),
            "models": dict(self.models),
            "labels": dict(self.labels),
            "rows": {task: list(names) for task, names in self.rows.items()},
            "data": {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
                for path in (self.data / f"{name}.tsv.gz" for names in FILES.values() for name in names)
                if path.exists()
            },
            "seed": SEED,
        }

    def unit(self, name: str, make: Callable[[], Facts], made: Facts | None = None) -> Facts:
        """The unit NAME from the folder, or made and written there, whole or not at all. made: by what."""
        path = self.work / f"{name}.json"
        if not path.exists():
            began, cpu = time.perf_counter(), time.process_time()
            facts = make()
            spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
            rounded = {name: round(value, 1) for name, value in spent.items()}
            write_json(path, facts | rounded | {"made": made})
        return json.loads(path.read_text(encoding="utf-8"))


@cache
def _model(name: str, labels: str | None) -> Any:
    from attattr import Attributor

    attributor = Attributor.from_pretrained(name, **({"labels": labels} if labels else {}))
    attributor.model.requires_grad_(False)
    return attributor


@cache
def _read(source: str) -> list[Example]:
    """DATA or, of a hub data set, DATA@SPLIT."""
    data, _, split = source.partition("@")
    return read_examples(data, split=split or None)[0]


def stratified(examples: Sequence[Example], n: int | None, seed: int = SEED) -> list[Example]:
    """n of the examples, each label with its share of them (largest remainders), in their order.

    >>> rows = [Example("a", label="x")] * 8 + [Example("b", label="y")] * 4
    >>> [row.label for row in stratified(rows, 3)]
    ['x', 'x', 'y']
    """
    if n is None or n >= len(examples):
        return list(examples)
    groups: dict[str | None, list[int]] = defaultdict(list)
    for i, example in enumerate(examples):
        groups[example.label].append(i)
    exact = {label: n * len(rows) / len(examples) for label, rows in groups.items()}
    counts = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(groups, key=lambda label: (counts[label] - exact[label], str(label)))
    for label in by_remainder[: n - sum(counts.values())]:
        counts[label] += 1
    draw = random.Random(seed)
    chosen = [i for label in sorted(groups, key=str) for i in draw.sample(groups[label], counts[label])]
    return [examples[i] for i in sorted(chosen)]


def mean_interval(values: Any, seed: int = SEED) -> Facts:
    """Mean over inputs of (N,) numbers with its 95 % percentile bootstrap interval; NaN are left out."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"mean": None, "low": None, "high": None, "n": 0}
    low, high = bootstrap(values, seed)
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)}


def groups(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Groups of about so many rows, labels alike in each: what differs between rankings of the same
    rows is measured group by group, and its interval is that of the groups."""
    ordered = sorted(examples, key=lambda example: str(example.label))
    count = min(len(ordered), max(2, len(ordered) // size))
    return [ordered[i::count] for i in range(count)]


def group_interval(values: Any) -> Facts:
    """Mean over (G,) groups with Student's 95 % interval, unknown (NaN) of a single one.

    >>> group_interval([1.0, 2.0, 3.0])["mean"]
    2.0
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    mean = float(values.mean())
    half = float("nan")
    if len(values) > 1:
        half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half}


@cache
def commit() -> str | None:
    """Of the code that runs, with a + where files differ from it; None outside of a checkout."""
    folder = Path(__file__).parent
    try:
        found, changed = (
            subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
            for words in (
                ["git", "rev-parse", "--short=10", "HEAD"],
                ["git", "status", "--porcelain", "-uno", "--", ":/src", ":/experiments", ":/benchmarks"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found + "+" * bool(changed)


def machine() -> Facts:
    import torch
    import transformers

    import attattr

    return {
        "attattr": attattr.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def write_json(path: Path, facts: Any) -> None:
    write_text(path, json.dumps(plain(facts), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, text)


def plain(value: Any) -> Any:
    """JSON values: arrays as lists, six digits of a number, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(of) for key, of in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(of) for of in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
