"""Results for the tests of the page: random ones of any size, and one whose tokens mean harm."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

import handmade
from attattr.page import data as page_data
from attattr.page import facts as page_facts
from attattr.result.attribution import Attribution
from attattr.result.picture import drawn
from attattr.result.tree import build_tree
from attattr.result.values import Axis

HOSTILE = (
    "[CLS]", "<script>", "</script>", "<img", "src=x", "onerror=alert(1)>", '"quoted"', "it's", "&amp;",
    "<!--", "]]>", "🎻", "👩\u200d🎤", "שלום", "مرحبا", "\u202eevil", "javascript:alert(1)", "${x}", "`",
    "\x00", "\ud800", "[SEP]",
)  # fmt: skip


def random_result(
    n: int, layers: int = 12, heads: int = 12, seed: int = 0, readout: bool = True, exact: bool = False
) -> Attribution:
    """Heavy-tailed scores and attention of n tokens, some of them pieces of words.

    exact: scores are multiples of 1/256, so that their sums are the same on every processor.
    """
    rng = np.random.default_rng(seed)
    names = ["word", *(f"##s{i}" if rng.random() < 0.2 else f"token{i}" for i in range(1, n - 2))]
    sites = []
    for layer in range(layers):
        attention = rng.exponential(size=(heads, n, n)).astype(np.float32) ** 3
        attention /= attention.sum(2, keepdims=True)
        scores = (rng.normal(0.2, 1, (heads, n, n)) * attention * rng.exponential(size=n) ** 2).astype(
            np.float32
        )
        if exact:
            scores = (np.round(scores * 256) / 256).astype(np.float32)
        if readout and layer == layers - 1:
            scores[:, 1:] = 0
        sites.append(handmade.site(f"encoder.layer.{layer}", scores, attention))
    axes = {"input": handmade.axis(" ".join(names[: n - 2]))}
    return handmade.attribution(axes=axes, sites=tuple(sites), text=" ".join(names))


def image_result(rows: int = 3, columns: int = 4, layers: int = 2, heads: int = 2) -> Attribution:
    """Of an image of 12 × 16 pixels a patch, with a [CLS] before the patches."""
    n = 1 + rows * columns
    result = random_result(n, layers, heads)
    names = tuple(f"{row},{column}" for row in range(rows) for column in range(columns))
    axis = Axis(
        ("[CLS]", *names), (None, *[0] * (n - 1)), (None, *range(n - 1)), (True, *[False] * (n - 1)),
        (rows, columns),
    )  # fmt: skip
    sites = tuple(replace(site, query_axis="patches", key_axis="patches") for site in result.sites)
    pixels = np.random.default_rng(0).integers(0, 256, (12 * rows, 16 * columns, 3), np.uint8)
    return handmade.attribution(axes={"patches": axis}, sites=sites, text=None, picture=drawn(pixels))


def hostile() -> Attribution:
    n = len(HOSTILE)
    result = random_result(n, layers=2, heads=2)
    special = tuple(i in (0, n - 1) for i in range(n))
    words = tuple(None if special[i] else i for i in range(n))
    axis = Axis(HOSTILE, tuple(None if s else 0 for s in special), words, special)
    bad = "</script><script>alert(1)</script>"
    return handmade.attribution(
        axes={"input": axis},
        sites=result.sites,
        text=bad,
        model={"name": bad, "revision": bad, "class": bad},
        target=replace(result.target, label=bad),
        prediction=handmade.Prediction(bad, 1, 0.875, {bad: 0.875, "<img src=x onerror=alert(1)>": 0.125}),
    )


def trees() -> str:
    """Random levels beside the trees that Python makes of them: what TypeScript has to make too."""
    cases = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        size = {"n": int(rng.integers(3, 14)), "layers": int(rng.integers(1, 6))}
        result = random_result(**size, heads=2, seed=seed, readout=bool(seed % 4), exact=True)
        level = page_facts.report(result).tokens.model_copy(update={"flow": None})
        for threshold in (0.05, 0.2, 0.4):
            edges = build_tree(result, threshold=threshold).edges
            expected = [[edge.layer, edge.parent, edge.child] for edge in edges]
            cases.append({"threshold": threshold, "level": level.model_dump(mode="json"), "edges": expected})
    values = np.linspace(-2, 1, 12, dtype=np.float32).reshape(3, 4)
    facts = {
        "cases": cases,
        "grid": page_data.grid(values, 1000).model_dump(),
        "values": values.ravel().tolist(),
    }
    return json.dumps(facts, indent=0) + "\n"
