"""Is the source that a reply rests on found, where it is known: by taking out, by edges, by attention?

    python experiments/sources.py --model facts --rows unseen.jsonl --document docs/generation.md

A row of the file: {"messages": [{"role": …, "content": …}, …], "reply": "…", "sources": {NAME: TEXT, …},
"right": [NAME, …], "kind": "…"}; each TEXT stands in a message once. Rows without a right source are left
out. Every row is a file in the folder --work: stopped, the command goes on where it was. Written there:
sources.json, sources.md; with --document, the table between the marks of that file, too.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attattr.disk import digests, files, units
from attattr.engine.attributor import Attributor
from attattr.engine.batch import opened
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.engine.integral import edge_scores
from attattr.errors import AttAttrError, InputError
from attattr.generation import reply as replies
from attattr.generation.edges import asked_of, axes_of, read_from
from attattr.generation.prompt import read_prompt
from attattr.generation.sources import find
from attattr.measure.intervals import wilson
from attattr.targets.objective import Wish

SCHEMA_VERSION = "1"
WAYS = {  # what ranks the sources, and what it is called
    "effect": "measured effect",
    "edges": "edge scores",
    "gradient": "gradient × attention",
    "attention": "attention, all layers",
    "last": "attention, last layer",
}
KEYS = ("messages", "reply", "sources", "right", "kind")
MARKS = ("<!-- sources:begin -->", "<!-- sources:end -->")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True, help="embedded name, folder or hub id")
    parser.add_argument("--rows", type=Path, required=True, help="a .jsonl file")
    parser.add_argument("--work", type=Path, default=Path("sources-run"), help="folder of what is done")
    parser.add_argument("--document", type=Path, help="a page with the marks for the table")
    parser.add_argument("--limit", type=int, help="only so many of the rows, from the first on")
    asked = parser.parse_args(words)
    try:
        rows = read_rows(asked.rows)[: asked.limit]
        if asked.document is not None:
            into(asked.document)  # can it be, before hours of work
        lm = Attributor.from_pretrained(asked.model)
        found = measured(lm, rows, asked.work)
        facts = {"schema_version": SCHEMA_VERSION, "model": lm.facts, "table": table(found), "rows": found}
        files.write(asked.work / "sources.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        text = markdown(facts["table"])
        files.write(asked.work / "sources.md", text)
        if asked.document is not None:
            into(asked.document, text)
    except (AttAttrError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped: the same command goes on with the rows that are missing", file=sys.stderr)
        sys.exit(130)
    print(text)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the file that have a right source.

    Raises:
        InputError: a line that is no such row; says which.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = {key: json.loads(line)[key] for key in KEYS}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}, line {number} is no row with {', '.join(KEYS)}: {error}") from error
        if unknown := set(row["right"]) - row["sources"].keys():
            raise InputError(f"{path}, line {number}: '{unknown.pop()}' is right, and none of its sources")
        rows.append(row)
    return [row for row in rows if row["right"]]


def measured(lm: Attributor, rows: Sequence[dict[str, Any]], work: Path) -> list[dict[str, Any]]:
    """Of each row: its kind, its sources, which are right, and a number for each source by each of `WAYS`."""
    facts = {"model": lm.facts, "rows": digests.of_json(list(rows)), "ways": list(WAYS)}
    found = []
    with units.opened(units.Resume(work), facts, len(rows)) as kept:
        for number, row in enumerate(rows):
            try:
                found.append(kept.get(f"row-{number}", functools.partial(measure, lm, row)))
            except AttAttrError as error:
                raise type(error)(f"row {number + 1}: {error}") from error
            print(f"{number + 1} of {len(rows)}", end="\r", file=sys.stderr, flush=True)
    return found


def measure(lm: Attributor, row: dict[str, Any]) -> dict[str, Any]:
    made = lm.attribute_generation(
        row["messages"], continuation=row["reply"], sources=row["sources"], spans="whole"
    )
    ways = {"effect": made.effect[0], "edges": made.score[0]} | cheaper(lm, row)
    return {
        "kind": row["kind"],
        "right": list(row["right"]),
        "sources": list(made.columns),
        "worst_gap": made.worst_gap,
        "log_probability": made.value,
        **{name: [float(value) for value in values] for name, values in ways.items()},
    }


def cheaper(lm: Attributor, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """What costs a forward, or one and a backward: sums over each source, (N,).

    Attention: from the positions that predict the reply, the mean over these, heads and layers (those whose
    queries are the reply's side). Gradient × attention: over the same edges as the scores.
    """
    model, tokenizer = lm.model, lm.tokenizer
    prompt = read_prompt(model, tokenizer, row["messages"])
    sources = find(prompt, row["sources"])
    reply = replies.given(model, tokenizer, prompt, row["reply"])
    encoded, axis, first = replies.extended(prompt, reply, tokenizer)
    (span,) = asked_of(encoded, axis, first, [(0, len(reply.ids))], sources)
    places = list(span.predicting)
    wish = Wish("continuation", reply.ids, reply.text, "log_probability", at=tuple(places), head="tokens")
    gradient, attention = [], []
    with Capture(model) as capture, collating(model, tokenizer, [encoded]) as collate:
        batch, _ = opened(capture, tokenizer, collate, [span.encoded], [wish])
        for number in batch.recording.sites:
            call = batch.recording.site(number)
            weights = call.weights()
            scores = edge_scores(weights, batch.clean_gradients[number], call.values)
            gradient.append(read_from(call, [span], [(slice(None), scores)]))
            if axes_of(call, encoded)[0] == axis:
                of_reply = torch.zeros_like(weights)
                of_reply[:, :, places] = weights[:, :, places] / (len(places) * weights.shape[1])
                attention.append(read_from(call, [span], [(slice(None), of_reply)]))
    count = len(sources)
    return {
        "gradient": _numbers(sum(gradient))[:count],
        "attention": _numbers(sum(attention) / len(attention))[:count],
        "last": _numbers(attention[-1])[:count],
    }


def _numbers(sums: Any) -> np.ndarray:
    return sums[0].double().cpu().numpy()


def hit(row: dict[str, Any], way: str) -> bool:
    """Whether the first sources by this way are the right ones: as many as are right."""
    order = np.argsort(-np.array(row[way]), kind="stable")[: len(row["right"])]
    return {row["sources"][i] for i in order} == set(row["right"])


def table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each kind of question, and one for all: hits of each way, with Wilson's 95 % intervals; and
    how often effect and edge scores have the same source first."""
    kinds = sorted({row["kind"] for row in rows})
    groups = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    lines = []
    for kind, group in (groups | {"all": list(rows)}).items():
        line: dict[str, Any] = {"kind": kind, "n": len(group)}
        tests: dict[str, Callable[[dict[str, Any]], bool]] = {
            way: functools.partial(hit, way=way) for way in WAYS
        }
        tests["agree"] = lambda row: bool(np.nanargmax(row["effect"]) == np.argmax(row["edges"]))
        for name, test in tests.items():
            right = sum(map(test, group))
            low, high = wilson(right, len(group)) if group else (0.0, 1.0)
            line[name] = {"right": right, "low": low, "high": high}
        lines.append(line)
    return lines


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    heads = ["questions", "n", *WAYS.values(), "effect and edges agree"]
    rows = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for line in lines:
        cells = [
            f"{found['right'] / max(1, line['n']):.1%} ({found['low']:.1%} to {found['high']:.1%})"
            for found in (line[name] for name in (*WAYS, "agree"))
        ]
        rows.append(f"| {' | '.join([line['kind'], str(line['n']), *cells])} |")
    return "\n".join(rows) + "\n"


def into(document: Path, text: str | None = None) -> None:
    """The table between its marks; without one, whether the marks are there."""
    page = document.read_text(encoding="utf-8")
    begin, end = map(re.escape, MARKS)
    if not re.search(f"{begin}.*{end}", page, re.DOTALL):
        raise InputError(f"'{document}' lacks the marks {' and '.join(MARKS)}")
    if text is None:
        return
    between = re.compile(f"({begin}).*({end})", re.DOTALL)
    files.write(document, between.sub(lambda found: f"{found[1]}\n{text}{found[2]}", page))


if __name__ == "__main__":
    main()
