"""Texts and data files as Examples."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from attattr import asked
from attattr.data import tables
from attattr.data.labels import classes, is_number
from attattr.errors import InputError

PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2"),
    ("text_a", "text_b"), ("text", "text_pair"), ("question", "sentence"), ("question", "passage"),
)  # fmt: skip
SINGLES = ("sentence", "sentence1", "text", "review", "content", "premise", "question")
LABELS = ("label_text", "label", "gold_label", "labels", "class")
IDS = ("id", "idx", "pairID", "guid")
UNLABELLED = {"-1", "-1.0"}
T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """One input: a text, a pair of texts, or ready tensors without a batch dimension."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    inputs: Mapping[str, Any] | None = None
    id: str | None = None
    line: int | None = None


class Problem(NamedTuple):
    """A row that was kept out: its line in the file (for Parquet and the hub, its row) and why."""

    line: int
    reason: str


def as_examples(inputs: Any) -> list[Example]:
    """Texts, pairs, tensor dicts and Examples, all as Examples.

    >>> [example.text_pair for example in as_examples(["one text", ("a text", "and its pair")])]
    [None, 'and its pair']

    Args:
        inputs: a list of texts, (text, text) tuples, tensor dicts without batch dimension, or
            Examples. One of them alone counts as a list of one.

    Raises:
        InputError: an empty or blank text, more than two texts, or something else altogether.
    """
    if isinstance(inputs, str | tuple | Mapping | Example) or not isinstance(inputs, Iterable):
        inputs = [inputs]
    try:
        inputs = list(inputs)
    except TypeError as error:  # a tensor without dimensions says that it can be iterated over
        raise InputError(f"inputs are a list of texts, pairs, tensor dicts or Examples: {error}") from error
    return [_as_example(item) for item in inputs]


def _as_example(item: Any) -> Example:
    if isinstance(item, str):
        item = Example(item)
    elif isinstance(item, tuple):
        if not 1 <= len(item) <= 2:
            raise InputError(f"an input is one text or a pair of texts, not {len(item)} of them")
        item = Example(*item)
    elif isinstance(item, Mapping):
        item = Example(inputs=item)
    elif not isinstance(item, Example):
        raise InputError(
            f"an input is a text, a tuple of two texts, a dict of tensors or an Example, not a {_kind(item)}"
        )
    for which, value in (("label", item.label), ("id", item.id)):
        if not isinstance(value, str | None):
            raise InputError(f"the {which} of an Example is a text or None, not {asked.shown(value)}")
        _whole_characters(which, value or "")
    if item.line is not None:
        line = asked.whole(item.line, "the line of an Example", 0, 1 << 62)
        item = replace(item, line=line) if line is not item.line else item  # a manifest is JSON
    if item.inputs is not None:
        asked.instance(item.inputs, Mapping, "the tensors of an Example")
        if item.text is not None or item.text_pair is not None:
            raise InputError("an Example holds texts or ready tensors, not both")
        if not item.inputs or not all(isinstance(name, str) for name in item.inputs):
            raise InputError("a dict of tensors names them, for example {'input_ids': …}")
        return item
    if item.text is None:
        raise InputError("an Example needs a text or ready tensors")
    for which, text in (("text", item.text), ("second text", item.text_pair)):
        if text is None:
            continue
        if not isinstance(text, str):
            raise InputError(f"the {which} must be a string, not a {_kind(text)}")
        if not text.strip():
            raise InputError(f"the {which} is empty: there is nothing to explain")
        _whole_characters(which, text)
    return item


def _whole_characters(which: str, text: str) -> None:
    if not _is_whole(text):
        raise InputError(f"the {which} is not valid UTF-8: it has half a character in it")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def examples_of(value: Any) -> list[Example]:
    """A list of Examples that can be used; anything else is an error.

    >>> len(examples_of([Example("a fine film")]))
    1

    Raises:
        InputError: it is none, or as `as_examples`.
    """
    return [_as_example(example) for example in asked.listed(value, Example, "the examples")]


def _kind(value: Any) -> str:
    return type(value).__name__


def read_examples(
    data: str | Path,
    *,
    text_columns: str | Sequence[str] | None = None,
    label_column: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    unlabelled: bool = False,
) -> tuple[list[Example], list[Problem]]:
    """The rows of a data file or hub data set, and those that cannot be used.

    >>> examples, problems = read_examples("../shared/data/sst2_dev.tsv.gz")  # doctest: +SKIP
    >>> examples[0].label, examples[0].line, problems  # doctest: +SKIP
    ('positive', 2, [])

    Args:
        data: a .tsv, .csv, .jsonl, .json or .parquet file, plain or .gz; a run folder; or a hub data set
            as "owner/name" or "owner/name:config". TSV is read without quoting, CSV with; "n/a" and
            "null" stay texts, and labels are kept as they are written (3.8, 007).
        text_columns: one name or two ("premise,hypothesis"); None: recognised by their usual names. A
            second column that is recognised, yet empty in every row, is passed over.
        label_column: None: recognised; labels are None where there is no such column.
        split: of a hub data set; None: its only one, or "validation".
        limit: so many of the usable rows, drawn with `seed`, in the order of the file.
        unlabelled: rows without a label can be used, too. A label is missing where it is empty or "-", and
            where it is -1 among the numbers of classes, as in the test sets of GLUE.

    Raises:
        InputError: no such file, an unknown or broken format, no rows, unknown columns.
    """
    if limit is not None:
        asked.whole(limit, "the limit", 1)
    asked.seed(seed)
    asked.flag(unlabelled, "unlabelled")
    if not isinstance(data, str) or not tables.is_address(data):
        asked.path(data, "the data")
    table = tables.read(str(data), split)
    columns, called = table.columns, tables.without_secrets(str(data))
    texts = _text_columns(columns, text_columns, called)
    label = _label_column(columns, label_column, called)
    examples, problems = _rows(table, texts, label, unlabelled)
    if not examples:
        if not problems:
            raise InputError(f"'{called}' has no rows")
        raise InputError(f"no row of '{called}' can be used: line {problems[0].line}: {problems[0].reason}")
    return drawn(examples, limit, seed), problems


def drawn(examples: list[T], limit: int | None, seed: int) -> list[T]:
    """So many of them, drawn at random, in their order; all where there are no more, or limit is None."""
    if limit is None or limit >= len(examples):
        return examples
    return [examples[i] for i in sorted(random.Random(seed).sample(range(len(examples)), limit))]


def _text_columns(
    columns: Mapping[str, list[Any]], wanted: str | Sequence[str] | None, data: str
) -> list[str]:
    if wanted is not None:
        names = (
            wanted.split(",") if isinstance(wanted, str) else asked.listed(wanted, str, "the text columns")
        )
        names = [name if name in columns else name.strip() for name in names]
        if not 1 <= len(names) <= 2 or any(name not in columns for name in names):
            raise _unknown("text columns (one or two)", ", ".join(names), columns, data)
        return names
    lower = {name.lower(): name for name in columns}
    for pair in PAIRS:
        if all(name in lower for name in pair):
            first, second = (lower[name] for name in pair)
            return [first, second] if any(_is_text(value) for value in columns[second]) else [first]
    for name in SINGLES:
        if name in lower:
            return [lower[name]]
    raise InputError(
        f"cannot tell which columns of '{data}' hold the texts: it has {', '.join(columns)}; "
        "name one or two (--text-columns)"
    )


def _label_column(columns: Mapping[str, list[Any]], wanted: str | None, data: str) -> str | None:
    if wanted is not None:
        if not isinstance(wanted, str) or wanted not in columns:
            raise _unknown("label column", wanted, columns, data)
        return wanted
    lower = {name.lower(): name for name in columns}
    return next((lower[name] for name in LABELS if name in lower), None)


def _unknown(what: str, wanted: str, columns: Mapping[str, list[Any]], data: str) -> InputError:
    return InputError(
        f"{asked.shown(wanted)} does not name the {what} of '{data}': it has {', '.join(columns)}"
    )


def _rows(
    table: tables.Table, texts: list[str], label: str | None, unlabelled: bool
) -> tuple[list[Example], list[Problem]]:
    columns = table.columns
    for name in texts:
        kinds = {_kind(value) for value in columns[name] if value is not None}
        if kinds and "str" not in kinds:
            raise InputError(f"column '{name}' holds {', '.join(sorted(kinds))}, not text: name another one")
    id_column = next((name for name in IDS if name in columns), None)
    golds = None if label is None else _labels(columns[label], table.names.get(label))
    examples, problems = [], []
    for i, line in enumerate(table.lines):
        row = [columns[name][i] for name in texts]
        empty = [name for name, text in zip(texts, row, strict=True) if not _is_text(text)]
        gold = None if golds is None else golds[i]
        key = None if id_column is None or columns[id_column][i] is None else str(columns[id_column][i])
        if empty:
            problems.append(Problem(line, f"no text in {' and '.join(empty)}"))
        elif golds is not None and gold is None and not unlabelled:
            problems.append(Problem(line, f"no label in {label}"))
        elif not all(_is_whole(text or "") for text in (*row, gold, key)):
            problems.append(Problem(line, "not valid UTF-8: it has half a character in it"))
        else:
            examples.append(Example(row[0], ([*row, None])[1], gold, id=key, line=line))
    return examples, problems


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _labels(values: list[Any], names: list[str] | None) -> list[str | None]:
    """Labels by name, or as they are written; None for none, as -1 is where the others number classes."""
    found = [_label(value, names) for value in values]
    held = set(found) - {None}
    if held & UNLABELLED and all(label in UNLABELLED or is_number(label) for label in held if label):
        return [None if label in UNLABELLED else label for label in found]
    return found


def _label(value: Any, names: list[str] | None) -> str | None:
    """A label's name; None for none: empty, and the "-" and -1 of NLI pairs nobody agreed on."""
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    if value is None or value != value:  # of a table with gaps: not a number
        return None
    text = str(value).strip()
    return None if text in ("", "-") else text


def renamed(names: Sequence[str], examples: Sequence[Example]) -> list[Example]:
    """The examples, with names for labels that are numbers of the model's classes (`labels.classes`)."""
    held = {example.label for example in examples if example.label is not None}
    other = {
        label: names[i] for label, i in classes(names, held).items() if label.lower() != names[i].lower()
    }
    return [
        example if example.label not in other else replace(example, label=other[example.label])
        for example in examples
    ]


def digest(example: Example) -> str:
    """What tells two inputs apart, as 16 hexadecimal digits."""
    text = json.dumps([example.text, example.text_pair], ensure_ascii=False)
    if example.inputs is not None:
        text += str(sorted((name, str(value)) for name, value in example.inputs.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
