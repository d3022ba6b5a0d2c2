"""One shard of a data-set run: some examples attributed, as the bytes of its files.

What a shard holds depends on nothing but its examples, the model and the options: any engine on any
machine makes the same rows.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save as safetensors_bytes

from attattr.asked import Progress
from attattr.data.encoding import Encoded, encode
from attattr.data.examples import Example, Problem
from attattr.data.run_tables import EDGES, HEADS, INPUTS, NAME
from attattr.engine.attributor import Attributor, warn
from attattr.engine.batches import plan
from attattr.engine.options import Options
from attattr.engine.room import length
from attattr.errors import AttAttrError, InputError
from attattr.result.attribution import Attribution
from attattr.targets.kinds import extend, parse


@dataclass(frozen=True)
class Work:
    """What to do with every example of a run. `target` is "predicted", "gold", or a label."""

    target: str = "predicted"
    store: str = "edges"
    output: str | None = None
    method: str = "gausslegendre"
    n_steps: int | str = "auto"
    tol: float = 1e-3
    baseline: str = "zero"
    internal_batch_size: int | None = None
    refine: int | None = None
    memory_budget: int | None = None


@dataclass(frozen=True)
class Shard:
    """A finished shard: its files by folder ("inputs" …), and what a progress line says of it."""

    files: dict[str, bytes]
    rows: int
    worst_gap: float
    left_out: tuple[Problem, ...]  # inputs that could not be attributed, even alone
    batches: dict[str, Any]  # as `_layout`


def make_shard(
    attributor: Attributor,
    examples: Sequence[Example],
    first_row: int,
    work: Work,
    progress: Progress | None = None,
) -> Shard:
    """Attribute the examples and lay the results out as tables.

    An input that cannot be attributed, even alone, is left out; the others keep their row numbers.

    first_row: number of the first example in the whole run.
    """
    gold = [example.label for example in examples]
    each: list[str | None] = [None if work.target == "predicted" else work.target] * len(gold)
    each = gold if work.target == "gold" else each
    every = encode(attributor.model, attributor.tokenizer, examples, pair=attributor.pair)
    unfit: list[InputError | None] = [None] * len(every)
    if work.target == "gold":  # any other is asked of all alike: where it does not fit, it is an error
        unfit = [_unfit(attributor, e, target, work) for e, target in zip(every, each, strict=True)]
    fine = [i for i, why in enumerate(unfit) if why is None]
    encoded = [every[i] for i in fine]
    found = iter(
        attributor.attributed(
            encoded, [each[i] for i in fine], options_of(work), keep_going=True, progress=progress
        )
    )
    numbered, failed = [], []
    for row, (why, example) in enumerate(zip(unfit, examples, strict=True), first_row):
        result = next(found) if why is None else why
        if isinstance(result, AttAttrError):
            failed.append(Problem(example.line or 0, str(result)))
        else:
            numbered.append((row, result))
    results = [result for _, result in numbered]
    warn(results)
    files = {
        "inputs": _parquet(_inputs(numbered, [examples[row - first_row] for row, _ in numbered]), INPUTS),
        "heads": _parquet(_heads(numbered), HEADS),
    }
    if work.store == "edges":
        files["edges"] = _parquet(_edges(numbered), EDGES)
    if work.store == "dense":
        files["scores"] = safetensors_bytes(
            {
                f"{row}.{number}.{name}": np.ascontiguousarray(getattr(site, name))
                for row, result in numbered
                for number, site in enumerate(result.sites)
                for name in ("scores", "attention")
            }
        )
    worst = max((_worst_gap(result) for result in results), key=abs, default=0.0)
    return Shard(files, len(results), worst, tuple(failed), _layout(attributor, encoded, work))


def _unfit(attributor: Attributor, encoded: Encoded, target: str | None, work: Work) -> InputError | None:
    """Why a target is none of this input: an answer or a word that is not in its text."""
    wish = parse(target, work.output, attributor.model, attributor.tokenizer)
    try:
        extend(encoded, wish, attributor.tokenizer)
    except InputError as error:
        return error
    return None


def options_of(work: Work) -> Options:
    """How to attribute, without what."""
    return Options(layers=None, **{name: value for name, value in vars(work).items() if name != "target"})


def _layout(attributor: Attributor, encoded: list[Encoded], work: Work) -> dict[str, Any]:
    """How many inputs each batch has, and of how many tokens: the inputs', and those computed, without
    those of a continuation."""
    batches = [
        [length(encoded[i]) for i in batch] for batch in plan(encoded, attributor.model, options_of(work))
    ]
    return {
        "inputs_each": list(map(len, batches)),
        "tokens": sum(map(sum, batches)),
        "computed": sum(max(batch) * len(batch) for batch in batches),
    }


def _inputs(numbered: list[tuple[int, Attribution]], examples: Sequence[Example]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for (row, result), example in zip(numbered, examples, strict=True):
        axis = next(iter(result.axes.values()))
        rows.append(
            {
                "row": row,
                "line": example.line,
                "id": example.id,
                "text": example.text,
                "text_pair": example.text_pair,
                "gold": example.label,
                "prediction": result.prediction.label,
                "probability": result.prediction.probability,
                "probabilities": [
                    {"label": label, "probability": p} for label, p in result.prediction.probabilities.items()
                ],
                "target": result.explained,
                "output": result.target.output,
                "value": result.target.value,
                "worst_gap": _worst_gap(result),
                "worst_error": float(result.error_estimate.max()),
                "converged": bool(result.converged.all()),
                "truncated": result.truncated,
                "tokens": axis.tokens,
                "segments": axis.segments,
                "words": axis.words,
                "special": axis.special,
                "gaps": result.completeness_gap.tolist(),
                "errors": result.error_estimate.tolist(),
                "n_steps": result.n_steps.tolist(),
                "baseline_values": [site.baseline_output for site in result.sites],
            }
        )
    return pa.Table.from_pylist(rows, schema=INPUTS)


def _edges(numbered: list[tuple[int, Attribution]]) -> pa.Table:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in EDGES.names}
    for row, result in numbered:
        for number, site in enumerate(result.sites):
            edges = site.edges
            assert edges is not None
            count = len(edges.score)
            for side, axis in (("query", site.query_axis), ("key", site.key_axis)):
                names = np.array(result.axes[axis].tokens, dtype=object)
                columns[f"{side}_token"].append(names[getattr(edges, side)])
            columns["row"].append(np.full(count, row))
            columns["site"].append(np.full(count, number))
            for name in ("head", "query", "key", "score", "attention"):
                columns[name].append(getattr(edges, name))
    return _table(columns, EDGES)


def _heads(numbered: list[tuple[int, Attribution]]) -> pa.Table:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in HEADS.names}
    for row, result in numbered:
        for number, site in enumerate(result.sites):
            columns["row"].append(np.full(site.n_heads, row))
            columns["site"].append(np.full(site.n_heads, number))
            columns["head"].append(np.arange(site.n_heads))
            for name, values in (("max", site.head_max), ("sum", site.head_sum), ("mean_abs", site.head_abs)):
                columns[name].append(values)
    return _table(columns, HEADS)


def _table(columns: dict[str, list[np.ndarray]], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        parts = columns[field.name]
        values = np.concatenate(parts) if parts else np.zeros(0)
        if field.type == NAME and not len(values):
            arrays.append(pa.array([], NAME))
        elif field.type == NAME:
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _parquet(table: pa.Table, schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table.cast(schema), sink, compression="zstd")
    return sink.getvalue()


def _worst_gap(result: Attribution) -> float:
    return float(max(result.completeness_gap, key=abs))
