"""attattr check: can this model be attributed, how exactly, and what will it cost?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from attattr.cli import options
from attattr.errors import InputError

if TYPE_CHECKING:
    from attattr.measure.check import Check
    from attattr.result.values import Site


@dataclass(frozen=True)
class ModelArgument(options.TheModel):
    model: Annotated[str, typer.Argument(help="Embedded name, folder or hub id.")]


def check(
    the_model: ModelArgument,
    tokens: Annotated[str, typer.Option(help="Lengths of input to measure.", metavar="N[,N…]")] = "32,128",
    literal: Annotated[
        bool, typer.Option("--literal", help="Compare with the paper's algorithm to the letter (slow).")
    ] = False,
) -> None:
    """Which attention sites MODEL has, whether completeness holds, and what an input costs.

    Example: attattr check sst2 --tokens 32,128,512
    """
    try:
        lengths = [int(part) for part in tokens.split(",")]
    except ValueError:
        raise InputError(f"--tokens takes whole numbers separated by commas, not '{tokens}'") from None
    if min(lengths) < 2:
        raise InputError(f"--tokens takes numbers from 2, not {min(lengths)}")
    attributor = the_model.attributor()
    if attributor.model.main_input_name == "pixel_values":
        options.refuse("has no effect on a model of images, whose size is its own", "tokens")
    half = str(attributor.model.dtype) in ("torch.bfloat16", "torch.float16")
    exact = replace(the_model, dtype="float32").attributor() if half else None
    with options.working(f"attributing made-up inputs of {tokens} tokens"):
        from attattr.measure.check import check_model

        found = check_model(attributor, tokens=lengths, exact=exact, literal=literal)
    _show(found, the_model.model)
    if not found.holds:
        raise typer.Exit(1)


def _show(found: Check, name: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    from attattr.report.tables import banded

    console = Console()
    console.print(escape(name), style="italic", highlight=False)
    sites = [
        (
            f"{number} {zero.name}", zero.kind, str(zero.n_heads), "yes" if fused else "no",
            _gap(zero), _gap(uniform),
        )
        for number, (zero, uniform, fused) in enumerate(
            zip(found.zero.sites, found.uniform.sites, found.fused, strict=True)
        )
    ]  # fmt: skip
    names = ("site", "kind", "heads", "fused", "gap, zero", "gap, uniform")
    console.print(banded(names, sites, console.width, words=(0, 1)))
    console.print(
        "gap: how far a layer's scores are from adding up to what its attention did, and the nodes it took; "
        "! marks a site that did not converge",
        style="dim",
    )
    if found.zero_usable:
        console.print("Completeness holds at every site from the zero baseline (the paper's).")
    elif found.holds:
        console.print("The zero baseline does not converge here: use --baseline uniform, which does.")
    else:
        console.print("Completeness does not hold to the tolerance at every site: read the gaps with care.")
    if found.off is not None:
        console.print(f"Scores are {found.off:.1%} from those in float32 (Σ|difference| / Σ|score|).")
    if found.literal is not None:
        console.print(
            f"With 20 right steps the scores are {found.literal:.1e} from the paper's algorithm as it reads."
        )
    if found.zero.left_out:
        console.print(f"Not attributed: {escape(', '.join(found.zero.left_out))}")
    if not found.replayed:
        console.print("Layers below a site are run again for it: this model carries state past its layers.")
    console.print("one input", style="italic")
    costs = [(str(cost.tokens), f"{cost.seconds:.2f}", f"{cost.bytes / 1e6:,.0f} MB") for cost in found.costs]
    console.print(banded(("tokens", "seconds", "memory"), costs, console.width, words=()))
    if not found.expected:
        return
    long = " and ".join(
        f"{cost.bytes / 1e9:,.1f} GB for {cost.tokens:,} tokens{' (so computed)' if cost.checkpoint else ''}"
        for cost in found.expected
    )
    if found.kept is not None:
        console.print(
            f"From {found.kept + 1:,} tokens on one row does not fit the memory budget (--memory-budget): "
            "then each block is computed again on the way back.",
            highlight=False,
        )
    console.print(f"By calculation, with --store edges: {long}.", highlight=False)


def _gap(site: Site) -> str:
    return f"{site.completeness_gap:+.1e} ({site.n_steps}){'' if site.converged else ' !'}"
