"""What the local page asks for: explanations, and predictions without some edges and heads."""

from __future__ import annotations

import json
import secrets
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attattr.data.encoding import encode
from attattr.data.examples import Example
from attattr.engine.attributor import Attributor
from attattr.errors import InputError
from attattr.generation.without import without_sources
from attattr.measure.accuracy import predict
from attattr.measure.effects import attribute_and_measure
from attattr.measure.masks import Mask, measure
from attattr.models import embedded
from attattr.models.heads import reading
from attattr.models.loading import load
from attattr.page.document import to_html
from attattr.page.questions import Edge, Explain, Generate, Without, WithoutSources
from attattr.page.queue import Job
from attattr.result.attribution import Attribution
from attattr.result.generation import Generation
from attattr.result.shown import short
from attattr.result.values import Site

MODELS = 3  # kept in memory
PAGES = 8  # results whose page can be opened and whose edges can be taken out


@dataclass(frozen=True)
class Held:
    """A result that was made: its page, and what it takes to measure it again."""

    page: str
    slim: Attribution  # without its matrices
    model: str
    target: str | None


@dataclass(frozen=True)
class Reply:
    """A reply that was explained: its page, and what it takes to read it without some sources."""

    page: str
    slim: Generation  # its attributions without their matrices
    model: str
    max_new_tokens: int


# of one layer: what only its views need
BARE: dict[str, Any] = dict.fromkeys(("scores", "attention", "edges", "query_sum", "key_sum"))
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")  # ends of their classes' names


class Explainer:
    """The models and the results. All that works is called by the one thread alone."""

    def __init__(self, names: Sequence[str], opening: Mapping[str, Any]):
        self.given = list(dict.fromkeys(names))
        self.opening = dict(opening)
        self.models: OrderedDict[str, Attributor] = OrderedDict()
        self.held: OrderedDict[str, Held | Reply] = OrderedDict()

    def about(self) -> list[dict[str, Any]]:
        """The models that can be chosen, those that were asked for first."""
        cards = {name: card for name, card in embedded.cards().items() if name not in self.given}
        facts: list[dict[str, Any]] = []
        for name in self.given:
            card = embedded.cards().get(name, {})
            about = {key: card.get(key) for key in ("task", "labels", "pair")}
            facts.append({"name": name, **about, "writes": self._writes(name, card)})
        # pairs first: they need two texts, which the form then shows
        for name, card in sorted(cards.items(), key=lambda item: (item[0] != "mnli", item[0] != "sst2")):
            about = {key: card.get(key) for key in ("task", "labels", "pair")}
            facts.append({"name": name, **about, "writes": self._writes(name, card)})
        return facts

    def _writes(self, name: str, card: Mapping[str, Any]) -> bool | None:
        """Whether a model writes text; None where that is not known before it is loaded."""
        if card:
            return card.get("labels") is None
        if name in self.models:
            return reading(self.models[name].model) == "tokens"
        try:
            kinds = json.loads(Path(name, "config.json").read_text(encoding="utf-8"))["architectures"]
            return any(kind.endswith(WRITERS) for kind in kinds)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def explain(self, job: Job, question: Explain) -> dict[str, Any]:
        texts, target = question.texts, question.target or None
        attributor = self._model(job, question.model)
        if attributor.pair and len(texts) == 1:
            raise InputError("this model compares two texts: give the second one too")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            inputs: Any = texts[0] if len(texts) == 1 else tuple(texts)
            wanted: dict[str, Any] = {
                "target": target,
                "store": "auto",
                "progress": job.doing("attributing"),
            }
            measured = None
            if question.effects:
                measuring = job.doing("taking out edges and heads")
                result, measured = attribute_and_measure(attributor, inputs, measuring=measuring, **wanted)
            else:
                result = attributor.attribute(inputs, **wanted)
        job.tell(state="working", what="making the page", done=1, total=1)
        page = to_html(result, measured)
        return {
            "id": self._hold(Held(page, _slim(result), question.model, target)),
            "label": result.prediction.label,
            "probability": result.prediction.probability,
            "notes": [str(each.message) for each in said if each.category is UserWarning],
        }

    def generate(self, job: Job, question: Generate) -> dict[str, Any]:
        """A reply, written or given, and what it rests on."""
        attributor = self._model(job, question.model)
        prompt = question.prompt
        if question.messages is not None:
            prompt = [message.model_dump() for message in question.messages]  # type: ignore[assignment]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            made = attributor.attribute_generation(
                prompt,
                continuation=question.reply or None,
                max_new_tokens=question.max_new_tokens,
                sources=question.sources or None,
                progress=lambda done, total, what: job.tell(
                    state="working", what=what, done=done, total=total
                ),
            )
        job.tell(state="working", what="making the page", done=1, total=1)
        page = to_html(made)
        spans = tuple(replace(span, attribution=_slim(span.attribution)) for span in made.spans)
        slim = replace(made, spans=spans)
        return {
            "id": self._hold(Reply(page, slim, question.model, question.max_new_tokens)),
            "label": short(made.reply, 80),
            "probability": None,
            "notes": [str(each.message) for each in said if each.category is UserWarning],
        }

    def without_sources(self, job: Job, question: WithoutSources) -> dict[str, Any]:
        """log p of each span of a reply without some sources, and what the model would say instead."""
        held = self.held.get(question.id)
        if not isinstance(held, Reply):
            raise InputError("that reply is no longer held: ask again")
        attributor = self._model(job, held.model)
        out = without_sources(
            attributor,
            held.slim,
            question.sources,
            max_new_tokens=held.max_new_tokens,
            progress=job.doing("writing without it"),
        )
        return {
            "sources": list(out.sources),
            "spans": [
                {"text": span.text, "clean": float(clean), "without": float(less)}
                for span, clean, less in zip(held.slim.spans, out.clean, out.without, strict=True)
            ],
            "reply": out.reply,
            "stopped": out.stopped,
        }

    def _hold(self, held: Held | Reply) -> str:
        """Its id; the oldest goes."""
        id = secrets.token_urlsafe(12)
        self.held[id] = held
        while len(self.held) > PAGES:
            self.held.popitem(last=False)
        return id

    def without(self, job: Job, question: Without) -> dict[str, Any]:
        """F and the classes' probabilities of a result, and both without some edges and heads."""
        held = self.held.get(question.id)
        if not isinstance(held, Held):
            raise InputError("that result is no longer held: explain the text again")
        attributor = self._model(job, held.model)
        mask = _mask(held.slim, question.edges, question.heads)
        output = held.slim.target.output
        job.tell(state="working", what="predicting", done=0, total=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said when it was explained
            example = Example(held.slim.text, held.slim.text_pair)
            (encoded,) = encode(attributor.model, attributor.tokenizer, [example], pair=attributor.pair)
            clean, (changed,) = measure(attributor, encoded, [mask], target=held.target, output=output)
            found = {
                "output": output,
                "label": held.slim.target.label,
                "clean": clean,
                "without": float(changed),
            }
            if reading(attributor.model) != "classes" or held.slim.prediction.probability is None:
                return found | {"probabilities": None}
            logits = predict(attributor.model, attributor.tokenizer, [encoded] * 2, masks=[Mask(), mask])
        if attributor.model.config.problem_type == "multi_label_classification":
            shares = 1 / (1 + np.exp(-logits))
        else:
            shares = np.exp(logits - logits.max(-1, keepdims=True))
            shares /= shares.sum(-1, keepdims=True)
        rows = zip(attributor.labels, *shares.astype(float).tolist(), strict=True)
        return found | {"probabilities": [list(row) for row in rows]}

    def _model(self, job: Job, name: str) -> Attributor:
        if name not in self.models:
            job.tell(state="working", what=f"loading {name}", done=0, total=1)
            everyones = ("device", "dtype")  # the other options are of the models that were given
            opening = {k: v for k, v in self.opening.items() if name in self.given or k in everyones}
            if name in embedded.NAMES:
                opening = {k: v for k, v in opening.items() if k in everyones}
            loaded = load(name, **opening)
            self.models[name] = Attributor(loaded.model, loaded.tokenizer, info=loaded.info)
        self.models.move_to_end(name)
        while len(self.models) > MODELS:
            self.models.popitem(last=False)
        return self.models[name]


def _slim(result: Attribution) -> Attribution:
    return replace(result, sites=tuple(replace(site, **BARE) for site in result.sites))


def _mask(result: Attribution, edges: Sequence[Edge], heads: Sequence[tuple[int, int]]) -> Mask:
    """All but these edges and heads, (site, head)."""
    singles = []
    for edge in edges:
        of = _site(result, edge.site, edge.head)
        for positions, axis in ((edge.query, of.query_axis), (edge.key, of.key_axis)):
            if not all(0 <= position < len(result.axes[axis].tokens) for position in positions):
                raise InputError("one of the edges is not of this result")
        singles += [(edge.site, edge.head, i, j) for i in edge.query for j in edge.key]
    for site, head in heads:
        _site(result, site, head)
    most = max((site.n_heads for site in result.sites), default=0)
    gone = Mask.without_heads((len(result.sites), most), heads)
    return replace(Mask.without_edges(result, singles), heads=gone.heads if heads else None)


def _site(result: Attribution, site: int, head: int | None) -> Site:
    if not 0 <= site < len(result.sites) or not (head is None or 0 <= head < result.sites[site].n_heads):
        raise InputError("one of the edges or heads is not of this result")
    return result.sites[site]
