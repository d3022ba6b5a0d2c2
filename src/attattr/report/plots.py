"""Figures for print, of studies: heads, curves, scatter, correlations. Vector, and readable in grey.

Figures are built without pyplot, so that nothing of the caller's is touched, and the same numbers
make the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr.disk import files
from attattr.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# blue and orange stay apart for colour-blind readers; a sign is never told by the hue alone
POSITIVE, NEGATIVE, INK, FAINT = "#005ab5", "#c25600", "#1a1a1a", "#b8b8b8"
GREY = "#777777"  # of attention, which is no attribution
CURVES = ("#005ab5", "#c25600", "#1a1a1a", "#2f9e77", "#a3418f", "#8a6d00")  # of falling need
STROKES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
MARKERS = "osD^vP"
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
# fonts that have what matplotlib's own lacks, used where they are installed
FALLBACKS = ("Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Emoji")
STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "svg.hashsalt": "attattr",
    "pdf.fonttype": 42,
}


def plot_heads(
    matrix: np.ndarray | Mapping[str, np.ndarray],
    path: str | Path,
    *,
    title: str = "",
    label: str = "importance",
    layers: Sequence[str] | None = None,
    weights: Sequence[str] = (),
) -> None:
    """Layers × heads as a heat map, (L, H), the first layer at the bottom; several by name below each other.

    >>> plot_heads(result.per_head("max"), folder / "heads.svg")

    layers: their names, in place of numbers from 0. weights: the labels of those that are attention, in grey.

    Raises:
        InputError: the path ends in none of .svg, .pdf and .png, or cannot be written.
    """
    named = {
        name: _finite(each, 2)
        for name, each in (matrix if isinstance(matrix, Mapping) else {label: matrix}).items()
    }
    rows, columns = next(iter(named.values())).shape
    height = min(11.0, 0.9 + 0.27 * max(6, rows))
    with figure(path, min(9.0, 1.5 + 0.27 * max(6, columns)), height * len(named)) as drawn:
        panels = drawn.subplots(len(named), 1, squeeze=False)[:, 0]
        for axes, (name, each) in zip(panels, named.items(), strict=True):
            image = heat(axes, each, grey=name in weights)
            axes.invert_yaxis()
            axes.set_xlabel("head")
            axes.set_ylabel("layer")
            axes.set_xticks(thinned(columns, 24))
            shown = thinned(rows, 24)
            axes.set_yticks(shown, [layers[i] if layers else str(i) for i in shown])
            colour_bar(drawn, image, axes, name)
        panels[0].set_title(title, loc="left", fontsize=8, parse_math=False)


def plot_curves(
    curves: Mapping[str, tuple[Any, Any, Any, Any]],
    path: str | Path,
    *,
    x_label: str,
    y_label: str,
    reference: float | None = None,
) -> None:
    """Curves with their intervals: {name: (x, y, low, high)}; low and high may both be None.

    >>> points = [0.0, 0.5, 1.0]
    >>> plot_curves({"ours": (points, [0.9, 0.8, 0.5], None, None)}, folder / "curves.pdf",
    ...             x_label="heads removed", y_label="accuracy", reference=0.33)

    reference: a level to compare with, drawn across. Curves whose names begin with "attention" are grey.

    Raises:
        InputError: as `plot_heads`.
    """
    # the legend stands beside the axes: inside, it would cover a curve sooner or later
    legend = 0.5 + 0.067 * max(map(len, curves)) if len(curves) > 1 else 0.0
    left = itertools.cycle(CURVES)
    with figure(path, 3.1 + legend, 2.8) as drawn:
        axes = drawn.subplots()
        if reference is not None:
            axes.axhline(reference, color=FAINT, linewidth=0.8, zorder=0)
        for number, (name, (x, y, low, high)) in enumerate(curves.items()):
            colour = GREY if name.startswith("attention") else next(left)
            if low is not None and high is not None:
                axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(
                x, y, color=colour, label=name, linewidth=1.2, markersize=3.2,
                linestyle=STROKES[number % len(STROKES)], marker=MARKERS[number % len(MARKERS)],
            )  # fmt: skip
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(curves) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.8)


def plot_scatter(
    x: Any, y: Any, path: str | Path, *, x_label: str = "", y_label: str = "", note: str = ""
) -> None:
    """Points (x, y), with a note such as a correlation above them.

    Raises:
        InputError: as `plot_heads`.
    """
    with figure(path, 3.0, 2.8) as drawn:
        axes = drawn.subplots()
        axes.scatter(x, y, s=12, color=POSITIVE, alpha=0.65, linewidths=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(note, loc="left", fontsize=8, parse_math=False)


def plot_matrix(matrix: np.ndarray, names: Sequence[str], path: str | Path, *, label: str) -> None:
    """A square matrix such as correlations, (n, n), its numbers written in its cells.

    >>> plot_matrix(np.eye(2), ["mnli", "sst2"], folder / "tasks.png", label="Pearson r")

    Raises:
        InputError: as `plot_heads`; or names that do not fit the matrix. A cell that is not finite
            stays empty.
    """
    matrix = np.asarray(matrix, float)
    n = len(names)
    if matrix.shape != (n, n):
        raise InputError(f"{n} names for a matrix of shape {matrix.shape}")
    with figure(path, 1.8 + 0.48 * n, 1.0 + 0.48 * n) as drawn:
        axes = drawn.subplots()
        image = heat(
            axes, matrix, most=1.0 if np.nanmax(np.abs(matrix), initial=0.0) <= 1 else None, signs=False
        )
        for row in range(n):
            for column in range(n):
                value = float(matrix[row, column])
                if np.isfinite(value):
                    dark = np.mean(image.to_rgba(value)[:3]) < 0.55
                    ink = "white" if dark else INK
                    number = f"{value:.2f}".replace("-", "−")
                    axes.text(column, row, number, ha="center", va="center", color=ink, fontsize=7)
        axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(n), names, parse_math=False)
        colour_bar(drawn, image, axes, label)


def heat(
    axes: Axes, matrix: np.ndarray, *, most: float | None = None, signs: bool = True, grey: bool = False
) -> Any:
    """A matrix as squares, row 0 on top: light for 0, dark for `most` (its largest size), hue for the sign.

    signs: also a stroke in negative cells, for readers who see or print no hues. grey: of attention, which is
        no attribution.
    """
    rows, columns = matrix.shape
    lowest = float(np.nanmin(matrix, initial=0.0))
    most = float(np.nanmax(np.abs(matrix), initial=0.0)) if most is None else most
    most = most or 1.0
    scale: dict[str, Any] = {
        "cmap": colours(lowest < 0, grey),
        "vmin": -most if lowest < 0 else 0.0,
        "vmax": most,
    }
    if matrix.size <= 4096:  # as vectors
        edges = (np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5)
        image: Any = axes.pcolormesh(*edges, matrix, edgecolors="white", linewidth=0.4, **scale)
        axes.set_aspect("equal")
    else:
        image = axes.imshow(matrix, interpolation="nearest", **scale)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.tick_params(length=2)
    axes.spines[:].set(visible=True, color="#d0d0d0", linewidth=0.5)
    negative = np.argwhere(matrix < -0.08 * most)
    if signs and len(negative) and matrix.size <= 4096:
        dark = matrix[tuple(negative.T)] < -0.5 * most
        for shade, which in (("white", negative[dark]), (INK, negative[~dark])):
            points = _cell_points(axes, columns)
            axes.scatter(
                which[:, 1], which[:, 0], marker="_", s=(0.5 * points) ** 2, color=shade,
                linewidths=min(0.9, 0.09 * points),
            )  # fmt: skip
    return image


def _cell_points(axes: Axes, columns: int) -> float:
    """About how wide a cell is, in points."""
    width = axes.get_position().width * axes.figure.get_figwidth() * 72  # type: ignore[union-attr]
    return min(19.0, width / columns)


def colours(signed: bool, grey: bool = False) -> Colormap:
    """White to blue; with negative values orange to white to blue, as dark at both ends. grey: to ink."""
    from matplotlib.colors import LinearSegmentedColormap

    steps = ["#ffffff", "#8fb8e0", POSITIVE, "#00274f"]
    if grey:
        steps = ["#ffffff", INK]
    elif signed:
        steps = ["#6b2f00", NEGATIVE, "#efb68c", "#ffffff", "#8fb8e0", POSITIVE, "#00305f"]
    return LinearSegmentedColormap.from_list("attattr", steps).with_extremes(bad="#e4e4e4")


def colour_bar(drawn: Figure, image: Any, axes: Any, label: str) -> None:
    # as high as the squares, which constrained layout does not know, and nearly half as wide as one
    columns = axes.get_xlim()[1] + 0.5
    left, wide = max(0.03, 0.3 / columns), max(0.035, 0.4 / columns)
    bar = drawn.colorbar(image, cax=axes.inset_axes((1 + left, 0, wide, 1)))
    found = np.ma.masked_invalid(image.get_array()).compressed()
    low, high = found.min(initial=0.0), found.max(initial=0.0)
    if low < high:
        bar.ax.set_ylim(low, high)  # of a scale that goes as far below 0 as above, what is there
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    bar.set_label(label, parse_math=False)


def thinned(count: int, most: int) -> list[int]:
    """Positions 0 … count − 1, or every second, fifth, tenth … so that at most `most` are left.

    >>> thinned(12, 24)[-1], thinned(100, 24)[:3]
    (11, [0, 5, 10])
    """
    step = next(s * 10**e for e in range(9) for s in (1, 2, 5) if -(-count // (s * 10**e)) <= most)
    return list(range(0, count, step))


def _finite(matrix: np.ndarray, axes: int) -> np.ndarray:
    matrix = np.asarray(matrix, float)
    if matrix.ndim != axes or not matrix.size:
        raise InputError(f"a figure needs a matrix with rows and columns, not shape {matrix.shape}")
    return matrix


@contextlib.contextmanager
def figure(path: str | Path, width: float, height: float, *, laid_out: bool = False) -> Iterator[Figure]:
    """A figure of so many inches, written to the path when its block ends without an error.

    laid_out: its axes have their places already.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise InputError(f"cannot draw '{path.name}': name a file that ends in .svg, .pdf or .png")
    import matplotlib
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    installed = set(font_manager.fontManager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]
    style: Any = STYLE | {"font.family": fonts}
    with matplotlib.rc_context(style):
        drawn = Figure(figsize=(width, height), layout=None if laid_out else "constrained")
        yield drawn
        picture = io.BytesIO()
        with _missing_glyphs(kind):
            drawn.savefig(
                picture, format=kind, dpi=300, bbox_inches="tight", pad_inches=0.03, metadata=METADATA[kind]
            )
    try:
        files.write(path, picture.getvalue())
    except OSError as error:
        raise files.failed(path, error) from error


@contextlib.contextmanager
def _missing_glyphs(kind: str) -> Iterator[None]:
    """One warning for all characters that no font has, in place of one each and for each drawing."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    missing = set()
    for warning in said:
        found = re.match(r"Glyph (\d+) .* missing from", str(warning.message))
        if found:
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing and kind != "svg":  # in svg, text is text: the reader's fonts draw it
        listed = " ".join(sorted(missing)[:8])
        warnings.warn(
            f"no font on this machine has {len(missing)} of the characters ({listed}): they are drawn as "
            "boxes; an .svg leaves them to the reader's fonts",
            stacklevel=4,
        )
