"""What was written to a file, read with suspicion: JSON of bounded depth, of a known shape, with its digest.

All of these raise ValueError; who calls them knows the file's name, and what to do about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attattr import digests

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
        return pydantic.TypeAdapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def signed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts and, as "sha256", their digest.

    >>> unsigned(signed({"a": 1}))
    ({'a': 1}, True)
    """
    return {**facts, DIGEST: digests.of_json(facts)}


def unsigned(facts: Any) -> tuple[dict[str, Any], bool]:
    """The facts without their digest, and whether they had one.

    Raises:
        ValueError: no JSON object, or the digest is another: something in it was changed.
    """
    if not isinstance(facts, dict):
        raise ValueError("it is no JSON object")
    rest = {name: value for name, value in facts.items() if name != DIGEST}
    if DIGEST in facts and facts[DIGEST] != digests.of_json(rest):
        raise ValueError("its checksum differs")
    return rest, DIGEST in facts
