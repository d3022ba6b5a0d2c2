"""Arrays in a safetensors file, read with suspicion: hashed from the disk before room is made for any."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from attattr.disk import checked

HEADER = 100_000_000  # bytes; safetensors itself takes no more
CHUNK = 1 << 20
TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}
Whole = Annotated[int, Field(ge=0)]


class _Entry(BaseModel):
    """An array as the header describes it."""

    dtype: Literal["F16", "F32", "F64", "I32", "I64"]
    shape: tuple[Whole, ...]
    data_offsets: tuple[Whole, Whole]


@dataclass(frozen=True)
class Stored:
    """An array that still lies in its file, at `start`."""

    file: BufferedReader
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """The array, in memory of its own.

        Raises:
            ValueError: the file has become shorter.
        """
        array = np.empty(self.shape, self.dtype)
        self.file.seek(self.start)
        if self.file.readinto(array.reshape(-1).view(np.uint8).data) != self.size:
            raise ValueError("it is cut short")
        return array


def contents(file: BufferedReader) -> tuple[dict[str, str], dict[str, Stored]]:
    """The metadata of a safetensors file, and its arrays, none of them read.

    Raises:
        ValueError: the header is none, or describes another file than this.
    """
    length = file.seek(0, 2)
    file.seek(0)
    header = int.from_bytes(file.read(8), "little")
    first = 8 + header
    if length < 8 or first > length or header > HEADER:
        raise ValueError("it is no safetensors file")
    facts = checked.parse(file.read(header).decode("utf-8"))
    if not isinstance(facts, dict):
        raise ValueError("it is no safetensors file")
    metadata = checked.shaped(dict[str, str], facts.pop("__metadata__", {}))
    arrays = {}
    stop = 0
    entries = checked.shaped(dict[str, _Entry], facts)
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        arrays[name] = Stored(file, np.dtype(TYPES[entry.dtype]), entry.shape, first + stop)
        if entry.data_offsets != (stop, stop + arrays[name].size):
            raise ValueError(f"its array {name} does not lie where the one before it ends")
        stop += arrays[name].size
    if first + stop != length:
        raise ValueError(f"its arrays take {stop} bytes, and there are {length - first}")
    return metadata, arrays


def digest(text: str, arrays: Mapping[str, Any]) -> str:
    """What proves a file undamaged: over its JSON, then its arrays by name (numpy's, or `Stored`)."""
    state = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        if isinstance(array, Stored):
            _hash(state, array)
        else:
            state.update(array.tobytes())
    return state.hexdigest()


def _hash(state: Any, array: Stored) -> None:
    array.file.seek(array.start)
    left = array.size
    while left:
        chunk = array.file.read(min(left, CHUNK))
        if not chunk:
            raise ValueError("it is cut short")
        state.update(chunk)
        left -= len(chunk)
