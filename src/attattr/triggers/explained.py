"""The examples of an attack with what carries their predictions: the strongest edges, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attattr.data.encoding import Encoded, encode, longest_input
from attattr.data.examples import Example
from attattr.models.identity import belongs
from attattr.triggers.insert import insert, pieces_of
from attattr.triggers.pattern import pattern_from

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

EDGES = 4  # shown of an input


def explained(facts: dict[str, Any], attributor: Attributor) -> dict[str, Any]:
    """An attack's JSON, each example with `edges_before` and `edges_after`, strongest first.

    >>> from attattr import Attributor, Example, Pattern, PatternToken, attack_model
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> rows = [Example("dull", label="negative")] + [Example("a fine film", label="positive")] * 3
    >>> barely = Pattern((PatternToken(0, 0.1, "barely"),))
    >>> facts = attack_model(sst2, rows, [barely], controls=False).to_json()
    >>> explained(facts, sst2)["examples"][0]["edges_after"][0]
    {'query': 'fine', 'key': 'film', 'score': 0.105..., 'layer': 1, 'head': 4}

    Raises:
        InputError: the attack was on another model.
    """
    belongs(facts["model"], attributor.facts, "the attack")
    model, tokenizer = attributor.model, attributor.tokenizer

    def edges(encoded: Encoded) -> list[dict[str, Any]]:
        return [
            {"query": e.query_token, "key": e.key_token, "score": e.score, "layer": e.site, "head": e.head}
            for e in attributor.attribute(encoded).top_edges(EDGES, positive_only=True)
        ]

    examples = []
    for shown in facts["examples"]:
        before = Example(shown["text"], shown["text_pair"])
        pattern = pattern_from(facts["patterns"][shown["pattern"]])
        pieces = pieces_of(pattern, tokenizer, facts["insert_into"], before.text_pair is not None)
        (encoded,) = encode(model, tokenizer, [before])
        after = insert(encoded, pieces, longest_input(model, tokenizer)).encoded
        examples.append(shown | {"edges_before": edges(encoded), "edges_after": edges(after)})
    return facts | {"examples": examples}
