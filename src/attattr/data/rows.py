"""TSV, CSV and JSON files as columns, value by value as they stand there, and the line each row begins in.

With Python's own readers: they guess no types ("007", "NA" and "2020-01-01" stay texts) and know their lines.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attattr.errors import InputError

Columns = dict[str, list[Any]]
LONGEST_FIELD = (1 << 31) - 1  # the most that csv takes everywhere; 131,072 unless told


def delimited(file: Path, called: str, *, tabs: bool) -> tuple[Columns, list[int]]:
    """A TSV file, read without quoting, or a CSV file; a row that ends early has None behind its end.

    >>> _ = (folder / "x.csv").write_text('text,label\\n"two\\nlines",007\\nNA\\n')
    >>> delimited(folder / "x.csv", "x.csv", tabs=False)
    ({'text': ['two\\nlines', 'NA'], 'label': ['007', None]}, [2, 4])

    called: its name in messages.

    Raises:
        InputError: no column names, no rows, a row of too many fields, a quote that is never closed.
        UnicodeDecodeError: it is not UTF-8.
    """
    rows: list[list[Any]] = []
    lines, begins = [], 1
    with _fields_of_any_length(), file.open(encoding="utf-8-sig", newline="") as text:
        # one line break more is a row of its own, unless a quote is still open
        reader = csv.reader(
            itertools.chain(text, ["\n"]),
            delimiter="\t" if tabs else ",",
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        )
        for row in reader:
            rows.append(row)
            lines.append(begins)
            begins = reader.line_num + 1
    if rows.pop():
        raise InputError(
            f"'{called}' ends within quotes: those of the row in line {lines[-1]} are not closed"
        )
    header = rows[0] if rows else []
    if not any(header) or len(set(header)) < len(header):
        raise InputError(f"the first line of '{called}' must name its columns, each with a name of its own")
    if len(rows) == 1:
        raise InputError(f"'{called}' has a first line of column names, but no rows")
    for line, fields in zip(lines[1:], rows[1:], strict=False):
        if len(fields) > len(header):
            raise InputError(f"'{called}' has {len(fields)} fields in line {line} for {len(header)} columns")
        fields += [None] * (len(header) - len(fields))
    columns = zip(*rows[1:], strict=True)
    return {name: list(values) for name, values in zip(header, columns, strict=True)}, lines[1:-1]


@contextlib.contextmanager
def _fields_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def json_objects(file: Path, called: str) -> tuple[Columns, list[int]]:
    """A file of one JSON object a line, or of a list of them; a key that an object lacks is None.

    >>> _ = (folder / "x.jsonl").write_text('{"text": "a"}\\n\\n{"text": "b", "label": 1}\\n')
    >>> json_objects(folder / "x.jsonl", "x.jsonl")
    ({'text': ['a', 'b'], 'label': [None, 1]}, [1, 3])

    Objects in a list are numbered from 1, wherever their lines are.

    Raises:
        InputError: no objects, or something else than those; says in which line.
        UnicodeDecodeError: it is not UTF-8.
    """
    with file.open(encoding="utf-8-sig") as text:
        if next((line for line in text if line.strip()), "").lstrip().startswith("["):
            text.seek(0)
            place, found = "item", list(enumerate(_parsed(text.read(), 1, called), 1))
        else:
            text.seek(0)
            place = "line"
            there = ((number, line) for number, line in enumerate(text, 1) if line.strip())
            found = [(number, _parsed(line, number, called)) for number, line in there]
    if not found:
        raise InputError(f"'{called}' has no rows")
    for number, value in found:
        if not isinstance(value, dict):
            raise InputError(f"'{called}' has something else than a JSON object in {place} {number}")
    names = dict.fromkeys(name for _, row in found for name in row)
    return {name: [row.get(name) for _, row in found] for name in names}, [number for number, _ in found]


def _parsed(text: str, line: int, called: str) -> Any:
    """JSON that begins in a line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line, why = line + error.lineno - 1, error.msg
    except (ValueError, RecursionError) as error:  # a number too long, nested too deeply
        why = str(error)
    raise InputError(f"'{called}' is not sound JSON in line {line}: {why}") from None


def undecodable(file: Path) -> int:
    """The first line that is not UTF-8."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
