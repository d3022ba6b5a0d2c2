"""Attributing a whole data set: shards, a manifest, resuming, and reading back.

A run is a folder:

    manifest.json            what was asked of which model and data; a run is resumed only if it is equal
    shards/00000.json        a finished shard: its files and their digests (written last)
    inputs/00000.parquet     one row an input          edges/00000.parquet   one row a kept edge
    heads/00000.parquet      one row a head            scores/00000.safetensors   store="dense" only
    left_out.jsonl           rows of the data that could not be used, with their line and why
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr import __version__
from attattr.data import Example, Problem
from attattr.errors import AttAttrError, FileFormatError, InputError

if TYPE_CHECKING:
    import pyarrow.dataset

    from attattr.attribute import Attributor
    from attattr.shards import Shard, Work

# a shard to be made: its number, the number of its first row, its examples
Plan = list[tuple[int, int, Sequence[Example]]]
Engine = Callable[[Plan, "Work"], Iterable[tuple[int, "Shard"]]]

FORMAT = 1
SHARD_SIZE = {"edges": 256, "heads": 256, "dense": 32}  # dense shards are held in memory whole
LIBRARIES = ("torch", "transformers", "numpy", "pyarrow")
SUFFIX = {"scores": ".safetensors"}


@dataclass(frozen=True)
class Status:
    """Where a run stands, told after every shard and within it."""

    inputs_done: int
    inputs: int
    shards_done: int
    shards: int
    worst_gap: float = 0.0  # signed, of what this call computed
    now: int = 0  # inputs' share of the shard being computed


@dataclass(frozen=True)
class Run:
    """A run folder read back. The tables are pyarrow datasets: nothing is read until it is asked for."""

    path: Path
    manifest: dict[str, Any]
    finished: tuple[int, ...] = field(repr=False)  # numbers of the finished shards

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.finished) == self.manifest["shards"]["count"]

    @property
    def inputs(self) -> pyarrow.dataset.Dataset:
        """One row an input: texts, gold, prediction, probabilities, tokens, gaps."""
        return self._table("inputs")

    @property
    def edges(self) -> pyarrow.dataset.Dataset:
        """One row a kept edge: row (of inputs), site, head, query, key, tokens, score, attention.

        Raises:
            InputError: the run kept none (store is not "edges").
        """
        return self._table("edges")

    @property
    def heads(self) -> pyarrow.dataset.Dataset:
        """One row a head of an input: row, site, head, max, sum, mean_abs of its scores."""
        return self._table("heads")

    def _table(self, name: str) -> pyarrow.dataset.Dataset:
        import pyarrow.dataset

        from attattr import shards

        if name == "edges" and self.manifest["options"]["store"] != "edges":
            raise InputError(
                f"the run in '{self.path}' kept no edges: it was made with --store "
                f"{self.manifest['options']['store']}"
            )
        files = [str(_file(self.path, name, number)) for number in self.finished]
        schema = {"inputs": shards.INPUTS, "edges": shards.EDGES, "heads": shards.HEADS}[name]
        return pyarrow.dataset.dataset(files, schema=schema, format="parquet")


def open_run(path: str | Path) -> Run:
    """A run folder, finished or not, as lazy tables.

    Raises:
        FileFormatError: not a run folder, or of a newer format.
    """
    path = Path(path)
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"'{path}' is not a run folder: no manifest.json can be read in it") from error
    if manifest.get("format") != FORMAT:
        raise FileFormatError(
            f"'{path}' is a run of format {manifest.get('format')}, not {FORMAT}: upgrade attattr"
        )
    count = manifest["shards"]["count"]
    return Run(path, manifest, tuple(n for n in range(count) if _marker(path, n).is_file()))


def attribute_data(
    examples: Sequence[Example],
    attributor: Attributor,
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
    >>> run = attribute_data(examples, Attributor.from_pretrained("sst2"), folder / "run")
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
        AttAttrError: the folder cannot be written, or the disk is full; finished shards stay good.
    """
    from attattr.shards import Work
    from attattr.targets import parse

    work = work or Work()
    if work.store not in SHARD_SIZE:
        raise InputError(f"unknown store '{work.store}': choose one of {', '.join(SHARD_SIZE)}")
    if work.target not in ("gold", "predicted"):
        parse(work.target, work.output, attributor.model, attributor.tokenizer)
    size = shard_size or SHARD_SIZE[work.store]
    if size < 1:
        raise InputError(f"the shard size must be at least 1, not {size}")
    out = Path(out)
    plan = [
        (number, first, examples[first : first + size])
        for number, first in enumerate(range(0, len(examples), size))
    ]
    with _writing(out), _locked(out):
        manifest = _manifest(attributor, examples, plan, work, size, data or {})
        _agree(out, manifest)
        lines = [json.dumps(problem._asdict(), ensure_ascii=False) + "\n" for problem in problems]
        _write(out / "left_out.jsonl", "".join(lines).encode())
        for part in out.glob("*/*.part"):
            part.unlink()
        missing = [each for each in plan if not _sound(out, each[0])]
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

        for number, shard in (engine or _here(attributor, within))(missing, work):
            _write_shard(out, number, shard)
            state = replace(
                state,
                inputs_done=state.inputs_done + shard.rows,
                shards_done=state.shards_done + 1,
                worst_gap=max(state.worst_gap, shard.worst_gap, key=abs),
            )
            progress(state)
            if stop():
                break
    return open_run(out)


def usable(
    examples: Sequence[Example], attributor: Attributor, *, needs_label: bool
) -> tuple[list[Example], list[Problem]]:
    """Examples whose label the model knows, and a problem for each of the others.

    needs_label: an example without a label is of no use (the target is the gold label).

    Raises:
        InputError: not one is left; the message lists the labels of both sides.
    """
    from attattr.targets import parse

    known: dict[str | None, str | None] = {None: "no label" if needs_label else None}
    for label in {example.label for example in examples} - {None}:
        try:
            parse(label, None, attributor.model, attributor.tokenizer)
            known[label] = None
        except InputError:
            known[label] = f"unknown label '{label}'"
    good = [example for example in examples if known[example.label] is None]
    bad = [
        Problem(example.line or 0, str(known[example.label]))
        for example in examples
        if known[example.label] is not None
    ]
    if not good:
        seen = sorted(str(label) for label in known if label is not None)
        raise InputError(
            f"no row has a label of the model: the data's are {', '.join(seen[:10]) or 'missing'}, the "
            f"model's {', '.join(attributor.labels)}: give the model's names in its own order (--labels), "
            "or data of its task"
        )
    return good, bad


def _here(attributor: Attributor, tell: Callable[[int], None]):
    """The engine of one machine: this process."""
    from attattr.shards import make_shard

    def engine(missing, work):
        for number, first, rows in missing:
            share = functools.partial(_share, tell, len(rows))
            yield number, make_shard(attributor, rows, first, work, share)

    return engine


def _share(tell: Callable[[int], None], rows: int, done: int, total: int, name: str) -> None:
    tell(rows * done // max(1, total))


def _manifest(
    attributor: Attributor, examples: Sequence[Example], plan, work: Work, size: int, data: dict[str, Any]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for example in examples:
        fields = [example.text, example.text_pair, example.label, example.id, example.line]
        digest.update(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
    layout, padding = _layout(attributor, plan, work)
    facts = asdict(attributor.info) if attributor.info else {"name": type(attributor.model).__name__}
    return {
        "format": FORMAT,
        "model": facts | {"labels": attributor.labels, "dtype": str(attributor.model.dtype)},
        "data": data | {"rows": len(examples), "sha256": digest.hexdigest()},
        "options": asdict(work),
        "shards": {"size": size, "count": len(plan)},
        "batches": {"inputs_each": layout, "padding_share": padding},
        "versions": {"attattr": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES},
        "environment": {"python": platform.python_version(), "machine": platform.machine()},
    }


def _layout(attributor: Attributor, plan, work: Work) -> tuple[list[list[int]], float]:
    """How many inputs each batch of each shard has, and how much of them is padding."""
    from attattr.attribute import Options
    from attattr.batches import batches_of, length
    from attattr.encoding import encode

    chosen = {name: value for name, value in asdict(work).items() if name != "target"}
    nodes = len(Options(layers=None, **chosen).stages[0].nodes)
    layout, real, padded = [], 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the shard is computed
        for _, _, rows in plan:
            encoded = encode(attributor.model, attributor.tokenizer, rows)
            batches = batches_of(encoded, attributor.model, nodes, work.internal_batch_size)
            layout.append([len(batch) for batch in batches])
            for batch in batches:
                lengths = [length(encoded[i]) for i in batch]
                real, padded = real + sum(lengths), padded + max(lengths) * len(batch)
    return layout, round(1 - real / max(1, padded), 4)


def _agree(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or find it there already, the same in all that decides the results."""
    path = out / "manifest.json"
    if not path.exists():
        if any(out.glob("shards/*.json")):
            raise InputError(f"'{out}' holds shards but no manifest: choose another folder")
        _write(path, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
        return
    old = open_run(out).manifest
    for name, part in manifest.items():
        if name == "environment" or old.get(name) == part:
            continue
        if isinstance(part, dict) and isinstance(old.get(name), dict):
            for key in part:
                if part[key] != old[name].get(key) and (name, key) != ("data", "name"):
                    raise InputError(
                        f"'{out}' holds another run: its {name} {key} is {_short(old[name].get(key))}, asked "
                        f"for is {_short(part[key])}; choose another folder, or ask for the same"
                    )
            continue
        raise InputError(
            f"'{out}' holds another run: its {name} is {_short(old.get(name))}, not {_short(part)}"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _sound(out: Path, number: int) -> bool:
    """Whether a shard is finished and its files are as they were written."""
    try:
        files = json.loads(_marker(out, number).read_text(encoding="utf-8"))["files"]
        return all(
            hashlib.sha256(_file(out, name, number).read_bytes()).hexdigest() == digest
            for name, digest in files.items()
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _write_shard(out: Path, number: int, shard: Shard) -> None:
    """The shard's files, and last of all the marker that says it is finished."""
    _marker(out, number).unlink(missing_ok=True)
    for name, content in shard.files.items():
        _write(_file(out, name, number), content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in shard.files.items()}
    facts = {"rows": shard.rows, "worst_gap": shard.worst_gap, "files": files}
    _write(_marker(out, number), (json.dumps(facts) + "\n").encode())


def _marker(out: Path, number: int) -> Path:
    return out / "shards" / f"{number:05d}.json"


def _file(out: Path, name: str, number: int) -> Path:
    return out / name / f"{number:05d}{SUFFIX.get(name, '.parquet')}"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a rename must not survive a power cut that its content does not
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise AttAttrError(
            f"cannot write into '{out}': {error.strerror or error}; what is finished stays, start the run "
            "again when there is room and permission"
        ) from error


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One writer a folder. The lock is the operating system's: it goes with the process."""
    import filelock

    lock = filelock.FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"another process is writing into '{out}': wait for it, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
