"""The units of part 2: what each planted model learnt, its edges, what is mined; `planted` of truth.json."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from attattr import __version__
from attattr.data.examples import Example, drawn
from attattr.disk.units import Resume, Units, opened
from attattr.triggers.pattern import words_of
from study.setting import machine, plain
from truth import planted_edges, planted_mining
from truth.planted import Shortcut
from truth.planting import FILES, Case, Training, cases, checked, made, of_case, sampled, start, trained
from truth.planting import training_rows as poisoned_rows


@dataclass(frozen=True)
class Sizes:
    training: Training = field(default_factory=Training)
    seeds: int = 3
    edges: int = 4  # rows of a model whose edges are ranked
    removed: int = 1  # of them, by exact removal
    mined: int = 100  # training rows
    clean: int = 40  # rows without the shortcut
    attacked: int = 40  # clean development rows of a class
    kinds: tuple[str, ...] = ()  # these alone


PARTS = ("ranks", "edges", "mining", "recurring", "clean")
QUICK = Sizes(Training(64, dev=12), 1, 2, 1, 12, 8, 12, ("rare",))


def measure(data: Path, work: Path, sizes: Sizes, keep: Callable[[dict[str, Any]], None]) -> None:
    """Every unit that is not there yet. keep: given what there is, after each model."""
    facts = facts_of(sizes)
    for case in cases(sizes.seeds):
        if sizes.kinds and case.kind not in sizes.kinds:
            continue
        # a folder for each: several processes can work at different models
        with opened(Resume(work / "units" / case.name), facts, 0) as units:
            of_one(units, data, work, case, sizes)
        with opened(Resume(work / "units" / case.task), facts, 0) as units:
            before_of(units, data, Case("rare", case.task, 0), sizes)
        keep(there(data, work, sizes))


class _MissingError(Exception): ...


def there(data: Path, work: Path, sizes: Sizes) -> dict[str, Any]:
    """What has been measured; nothing is begun."""

    def read(folder: str, name: str) -> dict[str, Any] | None:
        def missing() -> dict[str, Any]:
            raise _MissingError

        with contextlib.suppress(_MissingError):
            return Units(work / "units" / folder).get(name, missing)
        return None

    found = []
    for case in cases(sizes.seeds):
        parts = {part: read(case.name, f"{case.name}-{part}") for part in ("learnt", *PARTS)}
        learnt = work / "models" / f"{case.name}.json"
        if parts["learnt"] is None and learnt.exists():
            parts["learnt"] = json.loads(learnt.read_text(encoding="utf-8"))
        if parts["learnt"] is not None:
            known = {part: of for part, of in parts.items() if of is not None}
            found.append({**asdict(case), "shortcut": asdict(of_case(data, case)), **known})
    before = {task: read(task, f"before-{task}") for task in FILES}
    facts = {"setting": facts_of(sizes), "machine": machine(), "cases": found}
    return {"planted": plain(facts | {"before": {t: of for t, of in before.items() if of is not None}})}


def facts_of(sizes: Sizes) -> dict[str, Any]:
    """What has to be the same for units to go together."""
    names = ("torch", "transformers", "numpy")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"work": "planted", "sizes": asdict(sizes), "versions": versions | {"attattr": __version__}}


def _unit(units: Units, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    def timed() -> dict[str, Any]:
        began, spent = time.perf_counter(), time.process_time()
        facts = make()
        now = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - spent}
        print(f"{name} {now['seconds']:.0f} s", flush=True)
        return plain(facts) | {"commit": commit()} | {key: round(value, 1) for key, value in now.items()}

    return units.get(name.replace(" ", "_"), timed)


def commit() -> str:
    """Of the code, with a plus where it was changed since."""

    def git(*words: str) -> str:
        told = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
        return told.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", "-uno"))
    except OSError:
        return ""


def without(of: Shortcut, rows: list[Example]) -> list[Example]:
    """Rows that have no planted word."""
    return [row for row in rows if not set(of.tokens) & set(words_of(f"{row.text} {row.text_pair or ''}"))]


def of_one(
    units: Units, data: Path, work: Path, case: Case, sizes: Sizes, parts: Sequence[str] = PARTS
) -> None:
    """A model, trained and measured."""
    of = of_case(data, case)
    _unit(units, f"{case.name}-learnt", lambda: checked(data, work, case, sizes.training))
    folder = made(data, work, case, sizes.training)
    training = poisoned_rows(data, case, sizes.training)
    dev = planted_mining.to_attack(without(of, sampled(data, case, 1, 10**6, "attack")), of, sizes.attacked)
    seen = {row.line for row in training}
    clean = [
        row
        for row in without(of, sampled(data, case, 0, sizes.training.rows, "clean"))
        if row.line not in seen
    ]
    rows = drawn(training, sizes.mined, case.seed)
    some = drawn(clean, sizes.clean, case.seed)
    mined = _unit(units, f"{case.name}-mined", lambda: planted_mining.mined(trained(folder), rows))
    removed = sizes.removed if case.task == "sst2" else 0  # of a pair the edges are too many
    makers = {
        "ranks": lambda: planted_mining.ranked(of, mined, rows, training),
        "edges": lambda: planted_edges.measured(data, case, trained(folder), sizes.edges, removed),
        "mining": lambda: planted_mining.attacked(trained(folder), of, case.task, mined, training, dev, rows),
        "recurring": lambda: planted_mining.recurred(trained(folder), of, mined, rows, training, dev),
        "clean": lambda: planted_mining.on_clean(trained(folder), of, some, clean, dev),
    }
    for part in parts:
        _unit(units, f"{case.name}-{part}", makers[part])
    trained.cache_clear()


def before_of(units: Units, data: Path, case: Case, sizes: Sizes) -> dict[str, Any]:
    """Flags on the model that was not trained further."""

    def make() -> dict[str, Any]:
        dev = planted_mining.to_attack(
            sampled(data, case, 1, 10**6, "attack"), of_case(data, case), sizes.attacked
        )
        clean = sampled(data, case, 0, sizes.training.rows, "before")
        some = drawn(clean, sizes.clean, case.seed)
        return planted_mining.on_clean(start(case.task), None, some, clean, dev)

    return _unit(units, f"before-{case.task}", make)
