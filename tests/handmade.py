"""Attributions made by hand: no model behind them, every number known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from attattr.result.attribution import Attribution
from attattr.result.generation import REPLY, Generation, Source, Span, Turn
from attattr.result.values import Axis, Prediction, Site, Target, strongest


def axis(*texts: str) -> Axis:
    """[CLS] text [SEP] text [SEP], a word a token; "##" goes on with the word before."""
    tokens, segments, words = ["[CLS]"], [None], [None]
    count = -1
    for number, text in enumerate(texts):
        for token in text.split(" "):
            count += not token.startswith("##")
            tokens.append(token)
            segments.append(number)
            words.append(count)
        tokens, segments, words = [*tokens, "[SEP]"], [*segments, None], [*words, None]
    return Axis(tuple(tokens), tuple(segments), tuple(words), tuple(s is None for s in segments))


def site(name: str, scores: np.ndarray, attention: np.ndarray, store: str = "dense", **facts) -> Site:
    """A site of the given matrices, (H, q, k)."""
    known = {
        "kind": "encoder_self", "query_axis": "input", "key_axis": "input", "baseline_output": 0.5,
        "completeness_gap": 0.0, "error_estimate": 0.0, "n_steps": 4, "converged": True,
    }  # fmt: skip
    dense = store == "dense"
    return Site(
        name=name,
        n_heads=len(scores),
        scores=scores if dense else None,
        attention=attention if dense else None,
        edges=strongest(scores, attention, 3) if store == "edges" else None,
        head_sum=scores.sum((1, 2)),
        head_max=scores.max((1, 2)),
        head_abs=np.abs(scores).mean((1, 2)),
        query_sum=None if store == "heads" else scores.sum(2),
        key_sum=None if store == "heads" else scores.sum(1),
        **known | facts,
    )


def attribution(store: str = "dense", **changes) -> Attribution:
    """ "a fine film": two layers of two heads; three edges that are not 0."""
    scores = np.zeros((2, 2, 5, 5), np.float32)
    attention = np.full((2, 2, 5, 5), 0.2, np.float32)
    scores[1, 0, 0, 2], attention[1, 0, 0, 2] = 0.5, 0.75
    scores[0, 1, 4, 2] = 0.125
    scores[1, 1, 0, 1] = -0.25
    result = Attribution(
        axes={"input": axis("a fine film")},
        prediction=Prediction("positive", 1, 0.875, {"negative": 0.125, "positive": 0.875}),
        target=Target("class", "positive", (1,), "probability", 0.875),
        sites=(
            site("encoder.layer.0", scores[0], attention[0], store, baseline_output=0.75),
            site(
                "encoder.layer.1", scores[1], attention[1], store,
                baseline_output=0.5, completeness_gap=-0.125, n_steps=8,
            ),
        ),
        text="a fine film",
        text_pair=None,
        options={"method": "gausslegendre", "n_steps": "auto", "baseline": "zero", "store": store},
        model={"name": "handmade", "revision": None, "class": "None"},
    )  # fmt: skip
    return replace(result, **changes)


def pair(**changes) -> Attribution:
    """Two texts, one layer of one head: a word in pieces, words that occur twice."""
    names = axis("the man eats", "the man play ##s")
    n = len(names.tokens)
    scores = np.zeros((1, n, n), np.float32)
    scores[0, 0, 7], scores[0, 2, 6], scores[0, 1, 5] = 0.25, -0.5, 0.125
    attention = np.full((1, n, n), 1 / n, np.float32)
    return attribution(
        **{
            "axes": {"input": names},
            "sites": (site("encoder.layer.0", scores, attention),),
            "text": "the man eats",
            "text_pair": "the man plays",
            "prediction": Prediction(
                "neutral", 1, 0.5, {"entailment": 0.25, "neutral": 0.5, "contradiction": 0.25}
            ),
            "target": Target("class", "contradiction", (2,), "probability", 0.25),
        }
        | changes
    )


def generation(store: str = "edges", **changes) -> Generation:
    """A chat of two turns, and a reply of two sentences."""
    made = Generation(
        prompt="system: a fine film. user: what is it?",
        turns=(Turn("system", 8, 20), Turn("user", 27, 38)),
        reply="fine film. good.",
        stopped="end",
        tokens=("fine", " film.", " good."),
        token_log_probability=np.array([-0.5, -0.25, -1.0]),
        sources=(Source("first", 8, 20, (2, 3, 4)), Source("second", 27, 38, (6, 7, 8))),
        spans=(
            Span("fine film.", 0, 10, (0, 2), -0.75, attribution(store, text=None)),
            Span("good.", 11, 16, (2, 3), -1.0, attribution(store, text=None)),
        ),
        columns=("first", "second", REPLY),
        score=np.array([[0.75, 0.25, np.nan], [-0.125, 0.0, 0.25]]),
        effect=np.array([[0.5, 0.125, np.nan], [-0.25, -0.125, 0.125]]),
        contrast=None,
        options={"method": "gausslegendre", "n_steps": "auto", "baseline": "zero", "store": store},
        model={"name": "handmade", "revision": None, "class": "None"},
    )
    return replace(made, **changes)
