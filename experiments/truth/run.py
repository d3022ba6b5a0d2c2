"""Units of work, each kept once it is done; then docs/truth.json of all of them, and the document of that."""

from __future__ import annotations

import importlib.metadata
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from attattr import Attributor, __version__
from attattr.disk import digests
from attattr.disk.units import Resume, Units, opened
from attattr.models import identity
from study.setting import Facts, machine, mean_interval, write_json
from truth import document as documents
from truth import scoring, shapley
from truth.contestants import CONTESTANTS, NOTHING
from truth.families import FAMILIES, Drawn, Family
from truth.model import compiled

SCHEMA_VERSION = "1"
SEED = 0
MEASURES = {
    "average precision": scoring.average_precision, "AUROC": scoring.area,
    "precision at the number of true edges": scoring.precision,
}  # fmt: skip
# besides the families, which are in the models and inputs
MADE_BY = [Path(__file__).with_stem(name) for name in ("contestants", "model", "scoring", "shapley")]
KINDS = {"plain": False, "norm": True}


@dataclass(frozen=True)
class Sizes:
    """inputs: so many of each length, for a family. tiny: of the first length, with Shapley values."""

    inputs: tuple[tuple[int, int], ...] = ((8, 80), (16, 60), (32, 40), (64, 20))
    tiny: int = 1
    permutations: int = 10_000


QUICK = Sizes(((8, 2), (16, 2)), 1, 50)


def measure(work: Path, sizes: Sizes, out: Path) -> None:
    """Every unit that is not there yet, and truth.json."""
    facts = {
        "work": "truth", "sizes": asdict(sizes), "seed": SEED,
        "code": digests.of_json([path.read_text("utf-8") for path in MADE_BY]),
        "models and inputs": digests.of_json(
            [
                (identity.of_parameters(attributor.model), [asdict(one) for one in drawn(family, *size)])
                for family, _, attributor in _models()
                for size in sizes.inputs
            ]
        ),
        "versions": {"attattr": __version__}
        | {name: importlib.metadata.version(name) for name in ("torch", "transformers", "numpy")},
    }  # fmt: skip
    found: dict[str, dict[str, list[Facts]]] = {kind: {name: [] for name in FAMILIES} for kind in KINDS}
    tiny: dict[str, dict[str, Facts]] = {kind: {} for kind in KINDS}
    with opened(Resume(work), facts, 0) as units, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*less exact than asked for")  # at the kinks of the ReLU
        warnings.filterwarnings("ignore", "all scores of .* are 0")
        for length, count in sizes.inputs:
            for family, kind, attributor in _models():
                name = f"{family.name.replace(' ', '_')}-{kind}-{length}"
                made = units.get(name, lambda: ranked(attributor, family, length, count))  # noqa: B023
                found[kind][family.name].append(made)
                print(f"{name} {made['seconds']:.0f} s", flush=True)
        for family, kind, attributor in _models():
            tiny[kind][family.name] = _tiny(units, family, kind, attributor, sizes)
    keep(out, gathered(facts, found, tiny))


def keep(out: Path, facts: Facts) -> None:
    """These parts of truth.json, beside the others that are there."""
    path = out / "truth.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, old | facts)


def gathered(facts: Facts, found: dict, tiny: dict) -> Facts:
    """What is written down."""
    parts = [part for of in found.values() for parts in of.values() for part in parts]
    parts += [part for of in tiny.values() for part in of.values()]
    return {
        "schema_version": SCHEMA_VERSION, "machine": machine(), "setting": facts,
        "seconds": sum(part["seconds"] for part in parts),
        "ranked": {
            kind: {name: summed(parts) for name, parts in of.items()} for kind, of in found.items()
        },
        "shapley": tiny,
    }  # fmt: skip


def document(out: Path) -> None:
    """truth.md and its figure, of truth.json."""
    documents.write(json.loads((out / "truth.json").read_text(encoding="utf-8")), out)


def _models() -> Iterator[tuple[Family, str, Attributor]]:
    for family in FAMILIES.values():
        for kind, norm in KINDS.items():
            yield family, kind, Attributor(compiled(family.plan(norm)))


def drawn(family: Family, length: int, count: int) -> list[Drawn]:
    """Inputs that have edges to find; the same ones for the same length."""
    rng, found = Random(f"{SEED} {family.name} {length}"), []
    while len(found) < count:
        one = family.draw(rng, length)
        if one.explained:
            found.append(one)
    return found


def _given(family: Family, inputs: list[Drawn]) -> tuple[list[Any], list[Any]]:
    return (
        [family.ids(one.tokens, one.second) for one in inputs],
        [family.ids(one.other, one.second) for one in inputs],
    )


def ranked(attributor: Attributor, family: Family, length: int, count: int) -> Facts:
    """Each measure of each contestant on each input: (contestants, inputs)."""
    began, inputs = time.perf_counter(), drawn(family, length, count)
    found = {name: np.zeros((len(CONTESTANTS), count)) for name in MEASURES}
    for row, contestant in enumerate(CONTESTANTS.values()):
        for column, (one, scores) in enumerate(
            zip(inputs, contestant(attributor, *_given(family, inputs)), strict=True)
        ):
            strength, true = flat(family, one, scores)
            for name, of in MEASURES.items():
                found[name][row, column] = of(strength, true)
    return found | {"seconds": time.perf_counter() - began}


def flat(family: Family, one: Drawn, scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The size of every edge's score, rounding taken for 0, and whether it is true."""
    true = [np.zeros(of.shape, bool) for of in scores]
    for site, *place in family.places(one):
        true[site][tuple(place)] = True
    strength = np.abs(np.concatenate([of.ravel() for of in scores]))
    return np.where(strength < NOTHING, 0, strength), np.concatenate([of.ravel() for of in true])


def summed(parts: list[Facts]) -> Facts:
    """By contestant and measure the mean over inputs, with its interval; average precision by length too."""
    facts = {}
    for row, contestant in enumerate(CONTESTANTS):
        facts[contestant] = {
            name: mean_interval(np.concatenate([part[name][row] for part in parts])) for name in MEASURES
        } | {"by length": [float(part["average precision"][row].mean()) for part in parts]}
    return facts


def _tiny(units: Units, family: Family, kind: str, attributor: Attributor, sizes: Sizes) -> Facts:
    """How far each contestant agrees with Shapley values, on the shortest inputs; means over these."""
    length = sizes.inputs[0][0]
    parts = []
    for number, one in enumerate(drawn(family, length, sizes.tiny)):
        name = f"shapley-{family.name.replace(' ', '_')}-{kind}-{number}"
        parts.append(
            units.get(name, lambda: agreement(attributor, family, one, sizes.permutations))  # noqa: B023
        )
        print(f"{name} {parts[-1]['seconds']:.0f} s", flush=True)
    of = {
        c: {m: float(np.mean([p[c][m] for p in parts])) for m in parts[0][c]}
        for c in ("shapley", *CONTESTANTS)
    }
    return of | {name: float(np.sum([p[name] for p in parts])) for name in ("players", "seconds")}


def agreement(attributor: Attributor, family: Family, one: Drawn, permutations: int) -> Facts:
    """Spearman's correlation of sizes over the players, and the share of the true edges' number in common at
    the top."""
    began = time.perf_counter()
    given, others = _given(family, [one])
    players, values = shapley.values(attributor, given[0], permutations, SEED)
    worth = [np.zeros(of.shape) for of in CONTESTANTS["attention"](attributor, given, others)[0]]
    for (site, *place), value in zip(players, values, strict=True):
        worth[site][tuple(place)] = value
    strength, true = flat(family, one, worth)
    most = int(true.sum())
    best = np.zeros(len(true), bool)
    best[np.argsort(-strength, kind="stable")[:most]] = True
    facts: Facts = {
        "shapley": {
            "average precision": scoring.average_precision(strength, true),
            "sum": float(values.sum()),
        },
        "players": len(players),
    }
    playing = [np.zeros(of.shape, bool) for of in worth]
    for site, *place in players:
        playing[site][tuple(place)] = True
    where = np.concatenate([of.ravel() for of in playing])
    for name, contestant in CONTESTANTS.items():
        ours, _ = flat(family, one, contestant(attributor, given, others)[0])
        facts[name] = {
            "Spearman": scoring.correlation(ours[where], strength[where]),
            "top": scoring.precision(ours, best),
        }
    return facts | {"seconds": time.perf_counter() - began}
