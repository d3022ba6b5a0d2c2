"""Data files, run folders and hub data sets as columns."""

from __future__ import annotations

import base64
import contextlib
import gzip
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from attattr.data import rows
from attattr.errors import InputError
from attattr.models import hub

ENDINGS = (".tsv", ".csv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Table:
    """The columns of a data set."""

    columns: dict[str, list[Any]]
    names: dict[str, list[str]]  # class names, of the columns that have them
    lines: list[int]  # line each row begins in; its number where a format has no lines


def read(data: str, split: str | None = None) -> Table:
    """A .tsv, .csv, .jsonl, .json or .parquet file, plain or .gz; a run folder; else a data set of the hub.

    A file may be at an address: https://…, or any that fsspec knows (s3://…, file://…).

    Raises:
        InputError: it is not there, empty, or broken; the message says which.
        FileFormatError: a run folder that is damaged.
    """
    if is_address(data):
        _no_split(split, data)
        return _read_address(data)
    path = Path(data).expanduser()
    if (path / "manifest.json").is_file():
        _no_split(split, data)
        return _read_run(path)
    endings = {suffix.lower() for suffix in path.suffixes}
    looks_like_file = endings & {*ENDINGS, ".gz"} or data.startswith((".", "/", "~"))
    if path.exists() or looks_like_file:
        _no_split(split, data)
        return _read_file(path, str(path))
    return _read_hub(data, split)


def _no_split(split: str | None, data: str) -> None:
    if split is not None:
        raise InputError(f"'{without_secrets(data)}' is no data set of the hub: it has no split '{split}'")


def without_secrets(data: str) -> str:
    """The name of a data set as it may be written down: an address without a user's name and password.

    >>> without_secrets("https://me:secret@host/x.tsv?token=abc"), without_secrets("a@b.tsv")
    ('https://host/x.tsv', 'a@b.tsv')
    """
    named = re.sub(r"^([A-Za-z][\w+.-]+://)[^/?#]*@", r"\1", data)
    # of the web, what is behind ? may be a key as well
    return re.split("[?#]", named)[0] if data.startswith(("http://", "https://")) else named


def is_address(data: str) -> bool:
    """https://…, s3://…, file://…"""
    return bool(re.match(r"[A-Za-z][\w+.-]+://", data))


def _read_run(path: Path) -> Table:
    """The inputs of a run folder (runs.py), as far as it has come."""
    from attattr.data.run_folder import open_run

    run = open_run(path)
    if not run.finished:
        raise InputError(f"the run in '{path}' has no finished shard yet: start it again")
    names = {"text": "text", "text_pair": "text_pair", "gold": "label", "id": "id"}
    rows = run.inputs.to_table(columns=[*names, "line"])
    columns = {new: rows[old].to_pylist() for old, new in names.items()}
    there = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    return Table(there, {}, rows["line"].to_pylist())


def _read_address(url: str) -> Table:
    """A file that is elsewhere, by way of a copy here."""
    web = url.startswith(("http://", "https://"))
    called = without_secrets(url)
    name = (re.split("[?#]", url)[0] if web else url).rpartition("/")[2]
    _extension(Path(name), called)  # before it is fetched
    with tempfile.TemporaryDirectory(prefix="attattr-") as folder:
        copy = Path(folder) / name
        try:
            with _opened(url, web) as far:
                copy.write_bytes(far.read())  # whole: read in pieces, a cut connection looks like the end
        except FileNotFoundError as error:
            raise InputError(f"there is no file '{called}'") from error
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                raise InputError(f"cannot read '{called}': {error}") from error
        except ImportError as error:  # fsspec says what to install
            raise InputError(f"cannot read '{called}': {error}") from error
        except Exception as error:  # an unknown protocol, whatever a network or a server may raise
            raise InputError(f"cannot read '{called}': {_first_line(error)}") from error
        return _read_file(copy, called)


def _opened(url: str, web: bool) -> IO[bytes]:
    if web:  # fsspec would need aiohttp for it
        secret = re.match(r"https?://([^/?#]*)@", url)
        asked = urllib.request.Request(url.replace(f"{secret[1]}@", "", 1) if secret else url)
        if secret:  # which urllib takes for a port
            name = base64.b64encode(unquote(secret[1]).encode()).decode()
            asked.add_header("Authorization", f"Basic {name}")
        return urllib.request.urlopen(asked, timeout=60)
    import fsspec

    return fsspec.open(url, "rb").open()


def _extension(path: Path, called: str) -> str:
    """The ending that says what a file holds, less the .gz."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    extension = plain.suffix.lower()
    if extension not in ENDINGS:
        raise InputError(f"cannot read '{called}': give a file in {', '.join(ENDINGS)}, plain or with .gz")
    return extension


def _read_file(path: Path, called: str) -> Table:
    """called: its name in messages."""
    if not path.exists():
        raise InputError(f"there is no file '{called}'")
    extension = _extension(path, called)
    if not path.is_file():
        raise InputError(f"cannot read '{called}': it is no file")
    try:
        with tempfile.TemporaryDirectory(prefix="attattr-") as folder:
            file = path
            if path.suffix.lower() == ".gz":
                file = Path(folder) / path.stem
                with gzip.open(path) as packed, file.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
            if not file.stat().st_size:
                raise InputError(f"'{called}' is empty")
            return _table(file, extension, called, f"{folder}/cache")
    except InputError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read '{called}': {_first_line(error)}") from error
    except Exception as error:  # what pandas, pyarrow and datasets raise has no common base
        raise InputError(f"'{called}' is not a sound {extension} file: {_first_line(error)}") from error


def _table(file: Path, extension: str, called: str, cache: str) -> Table:
    if extension == ".parquet":
        columns, names = _load(
            "parquet", data_files=str(file), split="train", cache_dir=cache, keep_in_memory=True
        )
        return Table(columns, names, list(range(1, len(next(iter(columns.values()), [])) + 1)))
    try:
        if extension in (".tsv", ".csv"):
            columns, lines = rows.delimited(file, called, tabs=extension == ".tsv")
        else:
            columns, lines = rows.json_objects(file, called)
    except UnicodeDecodeError:
        raise InputError(
            f"'{called}' is not UTF-8 in line {rows.undecodable(file)}: save it in UTF-8"
        ) from None
    return Table(columns, {}, lines)


def _read_hub(name: str, split: str | None) -> Table:
    if not (hub.reachable() or hub.switched_off()):
        raise InputError(
            f"'{name}' is not a file here, and the hub cannot be reached to look for such a data set"
        )
    name, _, config = name.partition(":")
    import datasets

    try:
        if split is None:
            splits = datasets.get_dataset_split_names(name, config or None)
            split = splits[0] if len(splits) == 1 else "validation"
            if split not in splits:
                raise InputError(f"'{name}' has the splits {', '.join(splits)}: name one")
        columns, names = _load(name, config or None, split=split)
    except InputError:
        raise
    except Exception as error:  # whatever a network, a server or a builder may raise
        raise InputError(
            f"'{name}' is not a file here, nor read from the hub: {_first_line(error)}"
        ) from error
    return Table(columns, names, list(range(1, len(next(iter(columns.values()), [])) + 1)))


def _load(*args: Any, **options: Any) -> tuple[dict[str, list[Any]], dict[str, list[str]]]:
    import datasets

    with _quiet():
        rows = datasets.load_dataset(*args, **options)
    names = {k: list(f.names) for k, f in rows.features.items() if isinstance(f, datasets.ClassLabel)}
    return {name: rows[name][:] for name in rows.column_names}, names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars or log lines of `datasets`; put back as they were."""
    import datasets

    bars, verbosity = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    try:
        datasets.disable_progress_bars()
        datasets.logging.set_verbosity(datasets.logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()


def _first_line(error: BaseException) -> str:
    """The innermost reason: `datasets` wraps the useful message in "An error occurred"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
