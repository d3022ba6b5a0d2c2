"""sha256 of files, of a model's weights, of its tokenizer, of JSON: what says exactly which one it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_weights(folder: Path | None) -> str | None:
    """Digest of a model folder's weights; of several files, of the list of their digests."""
    if folder is None:
        return None
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    digests = [f"{sha256(file)}  {file.name}\n" for file in files]
    if len(digests) < 2:
        return digests[0].split()[0] if digests else None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def of_tokenizer(folder: Path | None) -> str | None:
    """Digest of the file a tokenizer is made from."""
    files = [folder / file for file in TOKENIZER_FILES] if folder else []
    return next((sha256(file) for file in files if file.is_file()), None)


def of_json(value: Any) -> str:
    """Digest of JSON values, however they are laid out: keys sorted, no spaces, ASCII.

    >>> of_json({"a": 1, "b": (2.5, None)}) == of_json({"b": [2.5, None], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
