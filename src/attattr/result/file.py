"""A result's file read back. What it holds is described in docs/schema.md; it is checked in `stored`."""

from __future__ import annotations

from pathlib import Path

from attattr import asked
from attattr.disk.checked import parse
from attattr.disk.tensors import contents, digest
from attattr.errors import FileFormatError, MissingFileError
from attattr.result.attribution import Attribution
from attattr.result.stored import attribution
from attattr.result.written import DIGEST, FORMAT_VERSION, KEY


def load(path: str | Path) -> Attribution:
    """Read what `Attribution.save` wrote.

    >>> result.save(folder / "fine.attattr")
    >>> load(folder / "fine.attattr").prediction.label
    'positive'

    Raises:
        FileFormatError: there is no such file, it is not one of attattr's, is cut short or damaged, or
            was written by a newer version.
    """
    path = asked.path(path, "the file of a result")
    if not path.is_file():
        raise MissingFileError(f"there is no file '{path}'")
    try:
        with path.open("rb") as file:
            metadata, arrays = contents(file)
            if KEY not in metadata:
                raise FileFormatError(f"'{path}' is a safetensors file, but not one of attattr's results")
            facts = parse(metadata[KEY])
            if facts["version"] != FORMAT_VERSION:
                raise FileFormatError(
                    f"'{path}' has format {facts['version']}, this attattr reads {FORMAT_VERSION}: upgrade it"
                )
            if metadata.get(DIGEST) != digest(metadata[KEY], arrays):
                raise ValueError("its checksum differs")
            return attribution(facts, arrays)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FileFormatError(
            f"'{path}' is not a whole attattr result (cut short, damaged or something else): {error}"
        ) from error
