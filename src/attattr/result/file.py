"""A result's file read back. What it holds is described in docs/schema.md; it is checked in `stored`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attattr import asked
from attattr.disk.checked import parse
from attattr.disk.tensors import contents, digest
from attattr.errors import FileFormatError, MissingFileError
from attattr.result.stored import attribution, generation
from attattr.result.written import DIGEST, FORMAT_VERSION, GENERATION, GENERATION_FORMAT_VERSION, KEY

# by the kind that a file names: the version that is read, and how
KINDS: dict[Any, tuple[str, Callable[..., Any]]] = {
    None: (FORMAT_VERSION, attribution),
    GENERATION: (GENERATION_FORMAT_VERSION, generation),
}


def load(path: str | Path) -> Any:
    """Read what `Attribution.save` or `Generation.save` wrote: an `Attribution`, or a `Generation`.

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
            kind = facts["kind"] if isinstance(facts, dict) and "kind" in facts else None
            version, read = KINDS[kind]
            if facts["version"] != version:
                raise FileFormatError(
                    f"'{path}' has format {facts['version']}, this attattr reads {version}: upgrade it"
                )
            if metadata.get(DIGEST) != digest(metadata[KEY], arrays):
                raise ValueError("its checksum differs")
            return read(facts, arrays)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FileFormatError(
            f"'{path}' is not a whole attattr result (cut short, damaged or something else): {error}"
        ) from error
