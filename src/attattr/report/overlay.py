"""An image for print: what the model saw, beside what each of its patches contributed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from attattr.report.plots import INK, NEGATIVE, POSITIVE, figure
from attattr.result.attribution import Attribution
from attattr.result.picture import pixels
from attattr.result.words import word_effects

VEIL = 0.85  # opacity of the strongest patch
WIDE = 2.9  # inches of a panel


def draw_overlay(result: Attribution, path: str | Path, title: str) -> None:
    """The picture of a result that has one, twice: plain, and with its patches' contributions over it.

    Raises:
        InputError: as `plot_heads`; a store without sums per token.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    assert result.picture is not None and result.grid is not None
    seen = pixels(result.picture)
    rows, columns = result.grid
    found = word_effects(result)
    values = found.values[-rows * columns :].reshape(rows, columns)
    values = np.nan_to_num(values, posinf=0, neginf=0)
    most = float(np.abs(values).max(initial=0.0)) or 1.0
    veil = np.where(values[..., None] < 0, _colour(NEGATIVE), _colour(POSITIVE))
    veil = np.concatenate([veil, VEIL * np.abs(values[..., None]) / most], axis=-1)
    ends = [(*_over_white(NEGATIVE), 1.0), (1.0, 1.0, 1.0, 1.0), (*_over_white(POSITIVE), 1.0)]
    scale = ScalarMappable(Normalize(-most, most), LinearSegmentedColormap.from_list("veil", ends))
    place: dict[str, Any] = {"extent": (-0.5, columns - 0.5, rows - 0.5, -0.5), "aspect": "auto"}
    height = WIDE * seen.shape[0] / seen.shape[1]
    grey = np.repeat(seen.mean(2, keepdims=True).astype(np.uint8), 3, axis=2)  # under it, a hue is a sign
    with figure(path, 2 * WIDE + 0.9, height + 0.45) as drawn:
        plain, laid = drawn.subplots(1, 2)
        panels = (
            (plain, seen, "what the model saw"),
            (laid, grey, f"what each patch gave in layer {found.layer}"),
        )
        for axes, below, name in panels:
            axes.imshow(below, interpolation="nearest" if seen.shape[1] < 150 else "antialiased", **place)
            axes.set_box_aspect(seen.shape[0] / seen.shape[1])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set(visible=True, color="#d0d0d0", linewidth=0.5)
            axes.set_xlabel(name)
        laid.imshow(veil, interpolation="nearest", **place)
        against = np.argwhere(values < -0.08 * most)  # a sign is never told by the hue alone
        points = 72 * WIDE / columns
        laid.scatter(
            against[:, 1], against[:, 0], marker="_", s=(0.4 * points) ** 2, color=INK,
            linewidths=min(0.9, 0.09 * points),
        )  # fmt: skip
        bar = drawn.colorbar(scale, ax=laid, fraction=0.05, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2)
        if values.min(initial=0.0) < values.max(initial=0.0):
            bar.ax.set_ylim(float(values.min(initial=0.0)), float(values.max(initial=0.0)))
        plain.set_title(title, loc="left", fontsize=8, parse_math=False)


def _colour(name: str) -> np.ndarray:
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(name))


def _over_white(name: str) -> tuple[float, ...]:
    return tuple((1 - VEIL + VEIL * _colour(name)).tolist())
