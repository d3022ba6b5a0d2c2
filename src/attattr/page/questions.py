"""What the local page can be asked, and how much at once: the bodies of its requests (docs/server.md)."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from attattr.errors import InputError

LONGEST = 20_000  # characters of a text
MARKS = 200  # edges and heads taken out together
PIECES = 32  # positions of one word
SAID = {
    "model": "the request names no model",
    "texts": "one text or two can be explained",
    "target": "the target is a text, such as the name of a class",
    "effects": "effects is true or false",
    "id": "the request names no result by its id",
    "edges": "an edge is {site, head, query: [positions], key: [positions]}",
    "heads": "a head is [site, head]",
}
Positions = Annotated[list[int], Field(max_length=PIECES)]


class Question(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Edge(Question):
    """From each of some positions to each of others, in one head or (None) in all."""

    site: int
    head: int | None = None
    query: Positions
    key: Positions


class Explain(Question):
    model: str
    texts: Annotated[list[str], Field(min_length=1, max_length=2)]
    target: str | None = None  # None, or empty: the predicted class
    effects: bool = True

    @field_validator("texts")
    @classmethod
    def _explicable(cls, texts: list[str]) -> list[str]:
        for which, text in zip(("first", "second"), texts, strict=False):
            if not text.strip():
                only = "the text is empty: there is nothing to explain"
                raise InputError(only if len(texts) == 1 else f"the {which} text is empty: give both")
            if len(text) > LONGEST:
                raise InputError(f"the text has {len(text):,} characters; {LONGEST:,} are taken at most")
        return texts


class Without(Question):
    id: str
    edges: Annotated[list[Edge], Field(max_length=MARKS)] = []
    heads: Annotated[list[tuple[int, int]], Field(max_length=MARKS)] = []


Q = TypeVar("Q", bound=Question)


def asked(kind: type[Q], body: bytes) -> Q:
    """A request's body.

    >>> asked(Without, b'{"id": "x", "heads": [[0, 3]]}').heads
    [(0, 3)]

    Raises:
        InputError: it is none of that kind.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        where = error.errors(include_url=False, include_input=False)[0]["loc"]
    if not where:
        raise InputError("the request is not a JSON object in UTF-8")
    if where in (("edges",), ("heads",)):
        raise InputError(f"{where[0]} is a list of {MARKS} at most")
    if where[-1] == "head":
        raise InputError("the head of an edge is a number, or null for all of them")
    raise InputError(SAID[str(where[0])])
