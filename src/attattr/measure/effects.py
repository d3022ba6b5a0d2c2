"""What really happens when an edge or a head is taken out, beside what its attribution says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.engine.batch import Batch
from attattr.errors import InputError
from attattr.measure.masks import Mask, measure, under
from attattr.models.identity import belongs
from attattr.result.attribution import Attribution
from attattr.result.effects import Effects

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor


def measure_effects(
    attributor: Attributor,
    result: Attribution,
    *,
    edges: int = 50,
    any_model: bool = False,
    progress: asked.Progress | None = None,
) -> Effects:
    """Take out each of the strongest edges, then each head, one at a time, and measure F.

    >>> sst2 = attattr.Attributor.from_pretrained("sst2")  # doctest: +SKIP
    >>> effects = attattr.measure_effects(sst2, sst2.attribute("a fine film"))  # doctest: +SKIP
    >>> effects.edge_change.shape, effects.head_change.shape  # doctest: +SKIP
    ((50,), (6, 12))

    The attribution follows a whole layer's attention from its baseline up; this changes one edge and
    nothing else. Where both agree the model is nearly linear in that edge.

    any_model: a result of another model is meant; else it is an error.

    Raises:
        InputError: a result of another model; of ready tensors or of a function as target, which do not
            come back from a result; or a model that does not fit it.
    """
    asked.attributor(attributor)
    asked.attribution(result)
    edges = asked.whole(edges, "the number of edges")
    asked.flag(any_model, "any_model")
    belongs(result.model, attributor.facts, "the result", any_model=any_model)
    if result.text is None:
        raise InputError("the result does not hold its text: only a result of texts can be measured again")
    inputs = result.text if result.text_pair is None else (result.text, result.text_pair)
    target, output = again(result), result.target.output

    def measured(masks: list[Mask]) -> tuple[float, np.ndarray]:
        return measure(attributor, inputs, masks, target=target, output=output, progress=progress)

    return _effects(result, edges, measured)


def attribute_and_measure(
    attributor: Attributor,
    inputs: Any,
    *,
    edges: int = 50,
    measuring: asked.Progress | None = None,
    **options: Any,
) -> tuple[Attribution, Effects]:
    """As `Attributor.attribute` of one input and then `measure_effects`, from one clean forward.

    measuring: called with (masks done, masks in all, ""). options: of `Attributor.attribute`.
    """
    if isinstance(inputs, list):
        raise InputError("what happens without an edge is measured of one input at a time")
    tell = asked.progress(measuring)
    found: list[Effects] = []

    def then(batch: Batch, results: list[Attribution]) -> None:
        found.append(
            _effects(results[0], edges, lambda masks: (float(batch.value), under(batch, masks, tell)))
        )

    return attributor.attribute(inputs, then=then, **options), found[-1]


def _effects(
    result: Attribution, edges: int, measured: Callable[[list[Mask]], tuple[float, np.ndarray]]
) -> Effects:
    chosen = tuple(result.top_edges(edges)) if _has_edges(result) else ()
    shape = (len(result.sites), max((site.n_heads for site in result.sites), default=0))
    heads = [(l, h) for l, site in enumerate(result.sites) for h in range(site.n_heads)]  # noqa: E741
    masks = [
        Mask.without_edges(result, [(edge.site, edge.head, edge.query, edge.key)]) for edge in chosen
    ] + [Mask.without_heads(shape, [place]) for place in heads]
    clean, values = measured(masks)
    change = np.full(shape, np.nan)
    for (site, head), value in zip(heads, values[len(chosen) :].tolist(), strict=True):
        change[site, head] = clean - value
    return Effects(clean, chosen, clean - values[: len(chosen)], change)


def _has_edges(result: Attribution) -> bool:
    return all(site.scores is not None or site.edges is not None for site in result.sites)


def again(result: Attribution) -> Any:
    """The target that `Attributor.attribute` would have to be given to explain the same again.

    Raises:
        InputError: it was a function.
    """
    kind, index, label = result.target.kind, result.target.index, result.target.label
    if kind == "callable":
        raise InputError("the target is a function, which a result does not hold: it cannot be measured")
    if kind == "continuation":
        return label
    if kind == "similarity":
        return None
    if kind in ("start", "end"):
        return kind, index[0]
    which = index[0] if len(index) == 1 else tuple(index)
    return which if result.target.position is None else (result.target.position, which)
