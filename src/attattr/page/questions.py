"""What the local page can be asked, and how much at once: the bodies of its requests (docs/server.md)."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from attattr.errors import InputError

LONGEST = 20_000  # characters of a text
MARKS = 200  # edges and heads taken out together
PARTS = 64  # turns of a chat, and sources
TOKENS = 512  # of a reply
PIECES = 32  # positions of one word
SAID = {
    "model": "the request names no model",
    "texts": "one text or two can be explained",
    "target": "the target is a text, such as the name of a class",
    "effects": "effects is true or false",
    "id": "the request names no result by its id",
    "edges": "an edge is {site, head, query: [positions], key: [positions]}",
    "heads": "a head is [site, head]",
    "prompt": "the prompt is a text",
    "messages": 'the messages are a list of {"role": "…", "content": "…"}, of 64 at most',
    "sources": "the sources are named texts of the prompt, 64 at most",
    "max_new_tokens": f"the longest reply is a number of tokens from 1 to {TOKENS}",
    "reply": "the reply is a text",
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


class Message(Question):
    role: str
    content: str


class Generate(Question):
    """A prompt, as a text or as the turns of a chat; and a reply, if it is not to be written."""

    model: str
    prompt: str | None = None
    messages: Annotated[list[Message], Field(max_length=PARTS)] | None = None
    sources: Annotated[dict[str, str], Field(max_length=PARTS)] | None = None
    max_new_tokens: Annotated[int, Field(ge=1, le=TOKENS)] = 64
    reply: str | None = None

    def model_post_init(self, _: Any) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise InputError("give either a prompt or the messages of a chat")
        texts = [self.prompt or "", *(each.content for each in self.messages or ()), self.reply or ""]
        if (count := sum(map(len, texts))) > LONGEST:
            raise InputError(f"prompt and reply have {count:,} characters; {LONGEST:,} are taken at most")


class WithoutSources(Question):
    id: str
    sources: Annotated[list[str], Field(min_length=1, max_length=PARTS)]


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
