"""Attributing a whole data set: cut into shards, agreed with the folder's manifest, resumed."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr import __version__, asked
from attattr.data.examples import Example, Problem, examples_of, renamed
from attattr.data.run_folder import FORMAT, Run, open_run, sound
from attattr.disk import files
from attattr.disk.held import locked, writing
from attattr.errors import InputError
from attattr.models.place import input_device
from attattr.runs.folder import agree, forget, write_left_out, write_shard

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor
    from attattr.runs.shard import Shard, Work

# a shard to be made: its number, the number of its first row, its examples
Plan = list[tuple[int, int, Sequence[Example]]]
Engine = Callable[[Plan, "Work"], Iterable[tuple[int, "Shard"]]]

SHARD_SIZE = {"edges": 256, "heads": 256, "dense": 32}  # dense shards are held in memory whole
LIBRARIES = ("torch", "transformers", "numpy", "pyarrow")
PLAIN = ("n_steps", "tol", "internal_batch_size", "refine", "memory_budget")


@dataclass(frozen=True)
class Status:
    """Where a run stands, told after every shard and within it."""

    inputs_done: int
    inputs: int
    shards_done: int
    shards: int
    worst_gap: float = 0.0  # signed, of what this call computed
    now: int = 0  # inputs' share of the shard being computed


def attribute_data(
    attributor: Attributor,
    examples: Sequence[Example],
    out: str | Path,
    *,
    work: Work | None = None,
    problems: Sequence[Problem] = (),
    data: dict[str, Any] | None = None,
    shard_size: int | None = None,
    engine: Engine | None = None,
    progress: Callable[[Status], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Attribute every example into a folder; started again, it goes on where it ended.

    >>> from attattr import Attributor, Example
    >>> examples = [Example("a fine film", label="positive"), Example("not so fine", label="negative")]
    >>> run = attribute_data(Attributor.from_pretrained("sst2"), examples, folder / "run")
    >>> run.complete, run.inputs.to_table()["prediction"].to_pylist()
    (True, ['positive', 'negative'])

    Args:
        examples: those that can be used (`usable` sorts out the others, `problems`).
        work: what to do with each (`Work`); None: its defaults.
        data: where the examples come from, for the manifest.
        engine: computes shards and yields them as they are done; None: here, one after the other.
        progress: told after every shard, and within one.
        stop: asked after every shard; True ends the run there, to be resumed.

    Raises:
        InputError: the folder holds a run of something else (the message names the difference), or
            another process is writing into it.
        AttAttrError: the folder cannot be written, or the disk is full, or will be by the size of the
            first shard; finished shards stay good.
    """
    from attattr.runs.shard import Work
    from attattr.targets.kinds import parse

    asked.attributor(attributor)
    examples = examples_of(examples)
    work = Work() if work is None else asked.instance(work, Work, "the work")
    asked.choice(work.store, "store", SHARD_SIZE)
    if not isinstance(work.target, str):
        raise InputError(f"the target of a run is predicted, gold or a label, not {asked.shown(work.target)}")
    problems = asked.listed(problems, Problem, "the problems")
    data = {} if data is None else asked.instance(data, dict, "the data")
    for what, called in (("engine", engine), ("progress", progress), ("stop", stop)):
        asked.function(called, what)
    if work.target != "gold":
        target = None if work.target == "predicted" else work.target
        parse(target, work.output, attributor.model, attributor.tokenizer)
    size = SHARD_SIZE[work.store] if shard_size is None else asked.whole(shard_size, "the shard size", 1)
    work = _plain(work)
    out = files.local(asked.path(out, "the folder of the run"))
    plan: Plan = [
        (number, first, examples[first : first + size])
        for number, first in enumerate(range(0, len(examples), size))
    ]
    with writing(out), locked(out):
        manifest = _manifest(attributor, examples, plan, work, size, data)
        agree(out, manifest)
        write_left_out(out, problems, manifest)
        for part in (*out.glob(files.PARTS), *out.glob(f"*/{files.PARTS}")):
            part.unlink()
        missing = [each for each in plan if not sound(out, each[0], manifest)]
        forget(out, (number for number, _, _ in missing))
        state = Status(
            inputs_done=len(examples) - sum(len(rows) for _, _, rows in missing),
            inputs=len(examples),
            shards_done=len(plan) - len(missing),
            shards=len(plan),
        )
        progress = progress or (lambda status: None)
        progress(state)

        def within(now: int) -> None:
            progress(replace(state, now=now))

        engine = engine or _here(attributor, within)
        for made, (number, shard) in enumerate(engine(missing, work), 1):
            write_shard(out, number, shard)
            if made == 1:  # the others will be about as large
                files.check_room(out, sum(map(len, shard.files.values())) * (len(missing) - made))
            if shard.left_out:
                write_left_out(out, problems, manifest)
            state = replace(
                state,
                inputs_done=state.inputs_done + shard.rows + len(shard.left_out),
                shards_done=state.shards_done + 1,
                worst_gap=max(state.worst_gap, shard.worst_gap, key=abs),
            )
            progress(state)
            if stop():
                break
    return open_run(out)


def _plain(work: Work) -> Work:
    """Its options checked, and numbers of numpy as Python's: the manifest is JSON."""
    from attattr.runs.shard import options_of

    plain = options_of(work)
    return replace(work, **{name: getattr(plain, name) for name in PLAIN})


def usable(
    attributor: Attributor, examples: Sequence[Example], *, needs_label: bool
) -> tuple[list[Example], list[Problem]]:
    """Examples that a run can attribute, and a problem for each of the others.

    needs_label: the target is the gold label, which the model has to know; one that is the number of a class
    becomes its name (`labels.classes`). Otherwise every example is of use, and labels stay as they are.

    Raises:
        InputError: not one is left; the message lists the labels of both sides.
    """
    from attattr.targets.kinds import parse

    if not needs_label:
        return list(examples), []
    examples = renamed(attributor.labels, examples)
    seen = {example.label for example in examples if example.label is not None}
    known: dict[str | None, str | None] = {None: "no label"}
    for name in seen:
        try:
            parse(name, None, attributor.model, attributor.tokenizer)
            known[name] = None
        except InputError:
            known[name] = f"unknown label '{name}'"
    good = [example for example in examples if known[example.label] is None]
    bad = [
        Problem(example.line or 0, reason)
        for example in examples
        if (reason := known[example.label]) is not None
    ]
    if not good:
        held = ", ".join(sorted(seen)[:10]) or "missing"
        raise InputError(
            f"no row has a label of the model: the data's are {held}, the model's "
            f"{', '.join(attributor.labels)}: give the model's names in its own order (--labels), or data of "
            "its task"
        )
    return good, bad


def _here(attributor: Attributor, tell: Callable[[int], None]):
    """The engine of one machine: this process."""
    from attattr.runs.shard import make_shard

    def engine(missing, work):
        for number, first, rows in missing:
            share = functools.partial(_share, tell, len(rows))
            yield number, make_shard(attributor, rows, first, work, share)

    return engine


def _share(tell: Callable[[int], None], rows: int, done: int, total: int, name: str) -> None:
    tell(rows * done // max(1, total))


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {"attattr": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def _manifest(
    attributor: Attributor, examples: Sequence[Example], plan, work: Work, size: int, data: dict[str, Any]
) -> dict[str, Any]:
    from attattr.engine.room import budget_of

    digest = hashlib.sha256()
    for example in examples:
        fields = [example.text, example.text_pair, example.label, example.id, example.line]
        digest.update(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
    facts = attributor.facts
    options = {k: v for k, v in asdict(work).items() if k != "refine" or v is not None}
    options.pop("memory_budget")
    return {
        "format": FORMAT,
        "model": facts | {"labels": attributor.labels, "dtype": str(attributor.model.dtype)},
        "data": data | {"rows": len(examples), "sha256": digest.hexdigest()},
        # without what was not asked for: runs from before know nothing of it
        "options": options,
        "shards": {"size": size, "count": len(plan)},
        "versions": versions(),
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": str(input_device(attributor.model)),
            # what it decides, which inputs are computed together, stands in the markers
            "memory_budget": budget_of(attributor.model, work.memory_budget),
        },
    }
