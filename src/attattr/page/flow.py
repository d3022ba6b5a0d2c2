"""The flow graph of a result as the page's data: what `build_flow` chose, by tokens or by words."""

from __future__ import annotations

from attattr.errors import InputError
from attattr.page import data as data
from attattr.result.attribution import Attribution
from attattr.result.flow import build_flow
from attattr.result.words import grouped


def flow_facts(
    result: Attribution, merged: Attribution, names: dict[str, list[str]]
) -> data.FlowFacts | None:
    """None where there are no edges, or nothing finite.

    merged: the result by the units that are shown. names: of the tokens, by axis.
    """
    try:
        flow = build_flow(merged)
    except InputError:
        return None
    axes = list(result.axes)
    edges = flow.edges
    shares = [flow.share(count) for count in range(1, len(edges) + 1)]
    return data.FlowFacts(
        axes=[_axis(result, merged, name, names[name], flow.base.get(name, 0)) for name in axes],
        level=[site.level for site in flow.sites],
        key_level=[site.key_level for site in flow.sites],
        site=[edge.site for edge in edges],
        query=[edge.query for edge in edges],
        key=[edge.key for edge in edges],
        score=[float(f"{edge.score:.9g}") for edge in edges],
        width=[float(f"{edge.width:.9g}") for edge in edges],
        joins=[edge.joins for edge in edges],
        heads=[[head for head, _ in edge.heads] for edge in edges],
        head_scores=[[float(f"{score:.9g}") for _, score in edge.heads] for edge in edges],
        share=[round(share, 6) for share in shares if share is not None] if None not in shares else None,
        usual=flow.usual,
        readout_axis=axes.index(flow.readout[0]),
        readout=list(flow.readout[1]),
        scale=flow.scale,
        unit=flow.unit,
    )


def _axis(result: Attribution, merged: Attribution, name: str, names: list[str], base: int) -> data.FlowAxis:
    axis = result.axes[name]
    whole = len(axis.tokens) == len(merged.axes[name].tokens)
    members = [[i] for i in range(len(axis.tokens))] if whole else grouped(axis.words)
    joined = ["".join(names[i] for i in unit) for unit in members]
    return data.FlowAxis(names=joined, members=members, base=base)
