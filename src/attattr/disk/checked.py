"""What was written to a file, read with suspicion: JSON of bounded depth, of a known shape, with its digest.

All of these raise ValueError; who calls them knows the file's name, and what to do about it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from attattr.disk import digests

if TYPE_CHECKING:
    import pydantic

DEPTH = 32  # of lists in lists; nothing that attattr writes comes near
DIGEST = "sha256"


def parse(text: str) -> Any:
    """JSON values.

    >>> parse('{"a": [1, 2]}')
    {'a': [1, 2]}

    Raises:
        ValueError: it is no JSON, or nests deeper than anything attattr writes.
    """
    deep = "it nests too deeply"
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(deep) from None
    level = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(deep)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def shaped(kind: Any, value: Any) -> Any:
    """The value as `kind`: a type, a dataclass or a pydantic model.

    >>> shaped(tuple[int, ...], [1, 2])
    (1, 2)

    Raises:
        ValueError: it is none; says where it is not.
    """
    import pydantic

    try:
        return _adapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


@functools.cache
def _adapter(kind: Any) -> pydantic.TypeAdapter:
    import pydantic

    return pydantic.TypeAdapter(kind)


def signed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts and, as "sha256", their digest.

    >>> unsigned(signed({"a": 1}), known=["a"])
    ({'a': 1}, True)
    """
    return {**facts, DIGEST: digests.of_json(facts)}


def unsigned(facts: Any, known: Collection[str]) -> tuple[dict[str, Any], bool]:
    """The facts without their digest, and whether they had one.

    known: the keys of facts that were written before there were digests. Without one there may be no
    other key: it may be the digest's own name that was damaged.

    Raises:
        ValueError: no JSON object, an unknown key, or another digest: something in it was changed.
    """
    if not isinstance(facts, dict):
        raise ValueError("it is no JSON object")
    rest = {name: value for name, value in facts.items() if name != DIGEST}
    unknown = sorted(rest.keys() - {*known})
    if DIGEST not in facts and unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    if DIGEST in facts and facts[DIGEST] != digests.of_json(rest):
        raise ValueError("its checksum differs")
    return rest, DIGEST in facts
