"""An attribution in a terminal: what was predicted, by which tokens and edges, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from attattr.report.headline import headline
from attattr.report.shades import ground, ink
from attattr.result import counterfactual
from attattr.result.attribution import Attribution
from attattr.result.shown import counted, printable
from attattr.result.values import Axis, Site
from attattr.result.words import grouped, joined, piece, rule, word_effects

BAR = 30  # characters of a probability of 1
SHOWN = 10  # probabilities
TOKEN = 16  # cells that are kept for a token in columns
LONG = 512  # tokens: of more, only the strongest are shown
STRONGEST = 40
PATCHES = 10  # the strongest of an image
WIDE = 40  # patches of a row, two characters each


def view(result: Attribution, top: int = 10, *, colour: bool = True) -> RenderableType:
    """Header, probabilities, tokens or patches, the `top` strongest edges, completeness; fits 80 columns.

    >>> from rich.console import Console
    >>> Console(width=80).print(view(result, top=1, colour=False))
    handmade
    explaining the predicted class: positive 87.5 %
    ...

    colour: whether the reader's terminal shows shades; without them the tokens' numbers are listed.
    """
    parts: list[RenderableType] = [_head(result), Text()]
    if result.prediction.probabilities:
        parts += [_probabilities(result), Text()]
    if result.sites and result.sites[0].key_sum is not None:
        shaded = colour and len(_first(result).tokens) <= LONG
        if result.grid is not None:
            parts += [_image(result, *result.grid), Text()] if colour and result.grid[1] <= WIDE else []
            parts += [_patches(result), Text()]
        else:
            parts += [_tokens(result) if shaded else _token_table(result), Text()]
    if top and result.sites and (result.sites[0].scores is not None or result.sites[0].edges is not None):
        parts += [_edges(result, top), Text()]
    parts += _exactness(result)
    if result.left_out:
        names = ", ".join(result.left_out)
        parts.append(Text(f"Not attributed, {counted(len(result.left_out), 'layer')}: {names}", style="bold"))
    if result.truncated:
        parts.append(Text("The text is longer than the model takes: its end was cut off.", style="bold"))
    return Group(*parts)


def _head(result: Attribution) -> Text:
    text = Text(_shown(str(result.model.get("name") or "model")), style="bold")
    return text.append("\nexplaining ", style="not bold").append(headline(result))


def _probabilities(result: Attribution) -> Table:
    """The likeliest answers, each with a bar."""
    table = Table.grid(padding=(0, 2))
    answers = sorted(result.prediction.probabilities.items(), key=lambda item: -item[1])
    for label, p in answers[:SHOWN]:
        style = "bold" if label == result.prediction.label else ""
        eighths = round(8 * BAR * p)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        table.add_row(Text(_shown(label), style=style), Text(f"{p:6.1%}", style=style), Text(bar))
    if len(answers) > SHOWN:
        table.add_row(Text(f"and {len(answers) - SHOWN} more", style="dim"))
    return table


def _tokens(result: Attribution) -> RenderableType:
    """The texts, each token on a ground as strong as its contribution."""
    axis, found = _first(result), word_effects(result)
    values = found.values
    largest = float(np.abs(values).max(initial=0)) or 1.0
    lines = [Text()]
    before: int | None = None
    for i, segment in enumerate(axis.segments):
        if segment is not None and before is not None and segment != before:
            lines.append(Text())
        before = segment if segment is not None else before
        line = lines[-1]
        if line and not joined(axis.words, i):
            line.append(" ")
        line.append(_shown(piece(axis, i)), style=ground(float(values[i]) / largest))
    legend = Text()
    for share in (-1.0, -0.4):
        legend.append(f" {share * largest:+.2g} ", style=ground(share))
    legend.append(" 0 ")
    for share in (0.4, 1.0):
        legend.append(f" {share * largest:+.2g} ", style=ground(share))
    return Group(Text(f"{rule(result, found)}:"), legend, *(Padding(line, (0, 0, 0, 2)) for line in lines))


def _token_table(result: Attribution) -> RenderableType:
    """The same in numbers, read column by column; of a long text the strongest, the first of them first."""
    axis, found = _first(result), word_effects(result)
    values = found.values
    form = _form(float(np.abs(values).max(initial=0)))
    shown: Sequence[int] = range(len(axis.tokens))
    what = "each token"
    if len(axis.tokens) > LONG:
        shown = np.argsort(-np.abs(values), kind="stable")[:STRONGEST].tolist()
        what = f"each of {len(axis.tokens):,} tokens (the {STRONGEST} strongest)"
    names = {i: _shown(axis.tokens[i]) for i in shown}
    wide = min(TOKEN, max(map(cell_len, names.values()), default=0))
    cells = []
    for i, name in names.items():
        number = Text(f"{i:>{len(str(max(shown)))}}", style="dim")
        padded = name + " " * (wide - cell_len(name))
        cells.append(Text.assemble(number, f"  {padded}  {float(values[i]):{form}}"))
    return Group(Text(f"{rule(result, found, what)}:"), Columns(cells, padding=(0, 3), column_first=True))


def _image(result: Attribution, rows: int, columns: int) -> RenderableType:
    """The patches in their places, each as strong as its contribution."""
    values = word_effects(result).values
    largest = float(np.abs(values).max(initial=0)) or 1.0
    grid = values[_first(result).first_patch :].reshape(rows, columns) / largest
    lines = [Text(no_wrap=True) for _ in grid]
    for line, row in zip(lines, grid, strict=True):
        for share in row.tolist():
            line.append("  ", style=ground(share))
    return Group(*lines)


def _patches(result: Attribution) -> RenderableType:
    """The strongest in numbers, special tokens among them."""
    axis, found = _first(result), word_effects(result)
    values = found.values
    table = Table(box=None, pad_edge=False, header_style="underline")
    table.add_column("patch")
    table.add_column("contribution", justify="right")
    form = _form(float(np.abs(values).max(initial=0)))
    for i in np.argsort(-np.abs(values), kind="stable")[:PATCHES].tolist():
        value = float(values[i])
        table.add_row(_named(axis, i), Text(f"{value:{form}}", ink(value)))
    count = len(axis.tokens) - axis.first_patch
    what = f"each of {count} patches, by (row, column),"
    return Group(Text(f"{rule(result, found, what)}:"), table)


def _edges(result: Attribution, top: int) -> RenderableType:
    edges = [edge for edge in result.top_edges(top) if edge.score]
    form = _form(abs(edges[0].score) if edges else 1)
    several = len({site.kind for site in result.sites}) > 1
    table = Table(box=None, pad_edge=False, header_style="underline", collapse_padding=True)
    table.add_column("layer", justify="right")
    table.add_column("head", justify="right")
    if several:
        table.add_column("kind")
    table.add_column("query → key", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("attention", justify="right", no_wrap=True)
    for edge in edges:
        site = result.sites[edge.site]
        between = Text(_named(result.axes[site.query_axis], edge.query))
        between.append(" → ").append(_named(result.axes[site.key_axis], edge.key))
        score = Text(f"{edge.score:{form}}", style=ink(edge.score))
        kind = [site.kind.replace("_", " ")] if several else []
        table.add_row(str(edge.site), str(edge.head), *kind, between, score, f"{edge.attention:.3f}")
    return Group(Text(f"Strongest {counted(len(edges), 'edge')} (layers and heads count from 0):"), table)


def _exactness(result: Attribution) -> list[RenderableType]:
    """How well the scores of each layer add up to what its attention did."""
    if not result.sites:
        return [Text("No layer was attributed.", style="bold")]
    worst = max(result.sites, key=lambda site: abs(np.nan_to_num(site.completeness_gap, nan=np.inf)))
    total = float(worst.head_abs.sum()) * _edges_a_head(result, worst)
    share = f" ({abs(worst.completeness_gap) / total:.2g} of Σ|scores|)" if total else ""
    steps = sorted({site.n_steps for site in result.sites})
    nodes = f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0])
    quick = sum(site.method == "gradient" for site in result.sites)
    bad = [site.name for site in result.sites if site.method == "integral" and not site.converged]
    layers = counted(len(result.sites), "layer")
    verdict = f"{len(bad)} of {layers} did NOT converge" if bad else "every layer converged"
    if quick:
        verdict = f"gradient × attention, no integral, in {quick} of {layers}"
    baseline = result.options.get("baseline", "zero")
    lines: list[RenderableType] = [
        Text(f"Completeness: {verdict}, with {nodes} nodes from the {baseline} baseline;"),
        Text(f"worst gap {worst.completeness_gap:+.1e}{share} in {worst.name}."),
    ]
    if other := counterfactual.sentence(result.options):
        lines.append(Text(printable(other)))
    if bad:
        lines.append(Text(f"Read with care, not converged: {', '.join(bad)}", style="bold red"))
    return lines


def _edges_a_head(result: Attribution, site: Site) -> int:
    return len(result.axes[site.query_axis].tokens) * len(result.axes[site.key_axis].tokens)


def _first(result: Attribution) -> Axis:
    return next(iter(result.axes.values()))


def _named(axis: Axis, i: int) -> str:
    """A token as a word: whole where it is a piece, with its position where it is not the only one."""
    pieces = next(group for group in grouped(axis.words) if i in group)
    name = "".join(_shown(piece(axis, k)) for k in pieces)
    if len(pieces) > 1:
        name += f"[{_shown(axis.tokens[i])}]"
    alike = axis.tokens.count(axis.tokens[i]) > 1
    return f"{name}:{i}" if alike else name


def _shown(token: str) -> str:
    """Line breaks, control characters and lone spaces made visible."""
    seen = printable(token)
    return seen if seen.strip() else f"'{seen}'"


def _form(largest: float) -> str:
    """How to write numbers of which the largest is so large."""
    return "+.4f" if largest >= 0.01 else "+.2e"
