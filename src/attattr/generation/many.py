"""Replies to many prompts explained: tables in a folder, prompt by prompt, gone on with where it ended.

parts/            finished prompts (disk.units)
spans.parquet     one row a span of a reply
sources.parquet   one row a span and source
left_out.jsonl    prompts that could not be explained, with their line and why
"""

from __future__ import annotations

import importlib.metadata
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from attattr import __version__, asked
from attattr.data import tables
from attattr.disk import digests, files, units
from attattr.disk.held import writing
from attattr.errors import ImpossibleError, InputError
from attattr.generation.explained import checked
from attattr.generation.prompt import check_template, check_writes
from attattr.result.generation import Generation

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

_ROW = [("row", pa.int64()), ("line", pa.int64()), ("id", pa.string()), ("span", pa.int32())]
SPANS = pa.schema(
    [
        *_ROW,
        ("text", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("tokens", pa.int32()),
        ("stopped", pa.string()),
        ("log_probability", pa.float64()),
        ("worst_gap", pa.float64()),
        ("converged", pa.bool_()),
        ("strongest", pa.string()),  # source by effect
    ]
)
SOURCES = pa.schema(
    [*_ROW, ("source", pa.string()), ("score", pa.float64()), ("effect", pa.float64())]  # NaN: not measured
)
LIBRARIES = ("torch", "transformers")


@dataclass(frozen=True)
class Prompted:
    """A row of a data set of prompts."""

    prompt: Any  # a text, or the messages of a chat
    reply: str | None
    sources: Mapping[str, Any] | None
    line: int
    id: str | None = None


def read_prompts(data: str, split: str | None = None) -> list[Prompted]:
    """Rows with "prompt" or "messages", and perhaps "reply", "sources" (name → text) and "id".

    Raises:
        InputError: as `tables.read`; there is no column of prompts.
    """
    table = tables.read(data, split)
    known = [name for name in ("messages", "prompt") if name in table.columns]
    if not known:
        there = ", ".join(table.columns)
        raise InputError(f"'{data}' has no column 'prompt' or 'messages', but {there}")
    rows = []
    for i, line in enumerate(table.lines):
        row = {name: values[i] for name, values in table.columns.items()}
        prompt = next((row[name] for name in known if row[name] is not None), None)
        sources = row.get("sources")
        if isinstance(sources, Mapping):  # a table has every name in every row
            sources = {name: text for name, text in sources.items() if text is not None} or None
        name = row.get("id")
        rows.append(Prompted(prompt, row.get("reply"), sources, line, None if name is None else str(name)))
    return rows


def explain_prompts(
    attributor: Attributor,
    rows: Sequence[Prompted],
    out: str | Path,
    *,
    fresh: bool = False,
    progress: asked.Progress | None = None,
    **options: Any,
) -> tuple[int, int]:
    """How many prompts were explained into the tables of a folder, and how many left out.

    options: of `Attributor.attribute_generation`, but for those that a row has. What is done stays: the same
    call goes on.

    Raises:
        InputError: an option that cannot be used; a model that writes no text, or has no chat template for
            the rows that are chats; the folder has what is done of other rows, options or another model.
        AttAttrError: it cannot be written.
    """
    checked(**options)
    out, tell = files.local(asked.path(out, "the folder of the tables")), asked.progress(progress)
    check_writes(attributor.model)
    if any(row.prompt is not None and not isinstance(row.prompt, str) for row in rows):
        check_template(attributor.tokenizer)
    facts = {
        "model": attributor.facts,
        "writing": _writing(attributor),
        "rows": digests.of_json([asdict(row) for row in rows]),
        "options": options,
        "versions": {
            "attattr": __version__,
            **{each: importlib.metadata.version(each) for each in LIBRARIES},
        },
    }
    found = []
    with units.opened(units.Resume(out / "parts", fresh=fresh), facts, len(rows)) as kept:
        for number, row in enumerate(rows):
            tell(number, len(rows), "")
            found.append(kept.get(f"row-{number}", partial(_explained, attributor, number, row, options)))
        tell(len(rows), len(rows), "")
    problems = [each["problem"] for each in found if "problem" in each]
    with writing(out):
        for name, schema in (("spans", SPANS), ("sources", SOURCES)):
            lines = [line for each in found for line in each.get(name, [])]
            files.write(out / f"{name}.parquet", _parquet(pa.Table.from_pylist(lines, schema=schema)))
        told = [json.dumps(problem, ensure_ascii=False) + "\n" for problem in problems]
        files.write(out / "left_out.jsonl", "".join(told))
    return len(rows) - len(problems), len(problems)


def _writing(attributor: Attributor) -> dict[str, str]:
    """Digests of what decides on the prompt and the reply besides the model."""
    config = getattr(attributor.model, "generation_config", None)
    plain = json.loads(json.dumps({} if config is None else config.to_diff_dict(), default=str))
    template = getattr(attributor.tokenizer, "chat_template", None)
    return {"chat template": digests.of_json(template), "generation config": digests.of_json(plain)}


def _explained(
    attributor: Attributor, number: int, row: Prompted, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The lines of both tables, or why there are none."""
    try:
        made = attributor.attribute_generation(
            row.prompt, continuation=row.reply, sources=row.sources, **options
        )
    except (InputError, ImpossibleError) as error:
        return {"problem": {"line": row.line, "reason": str(error)}}
    about = {"row": number, "line": row.line, "id": row.id}
    return _lines(made, about)


def _lines(made: Generation, about: dict[str, Any]) -> dict[str, Any]:
    table = made.per_source()
    spans = []
    for place, span in enumerate(made.spans):
        best = table.strongest(place)
        spans.append(
            {
                **about,
                "span": place,
                "text": span.text,
                "start": span.start,
                "end": span.end,
                "tokens": span.tokens[1] - span.tokens[0],
                "stopped": made.stopped,
                "log_probability": span.log_probability,
                "worst_gap": span.attribution.worst_gap,
                "converged": bool(span.attribution.converged.all()),
                "strongest": None if best is None else table.sources[best],
            }
        )
    sources = [
        {**about, **{name: cell[name] for name in ("span", "source", "score", "effect")}}
        for cell in table.rows()
    ]
    return {"spans": spans, "sources": sources}


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
