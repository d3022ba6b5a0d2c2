"""Does it pay to integrate the log-odds of a probability? The automatic rule's nodes, read in two ways.

    OMP_NUM_THREADS=1 python benchmarks/log_odds.py --data ../shared/data/sst2_dev.tsv.gz --model sst2

With L = log p / (1 − p), ∂p/∂C = σ′(L) ∂L/∂C, and where p saturates only the first factor bends. So ∂L/∂C is
interpolated between the nodes, σ′ taken of L's Hermite interpolant (its values and slopes at the nodes are
known), and their product integrated: other weights, by input, and not a pass more. The embedded rule
leaves the same node out of both. By number of nodes: how many sites the acceptance rule takes, how many are
within 1e-3 of 40 Gauss nodes (relative L1 distance), the worst; then what the stages together cost in passes
(rules.py). No times, so a busy machine does not matter.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.polynomial import legendre
from rules import passes, whole
from torch import Tensor

from attattr import Attributor
from attattr.data.examples import read_examples
from attattr.engine import job, quadrature
from attattr.engine.integral import AttentionBlocks, edge_scores, integrate_site
from attattr.engine.quadrature import MAX_ERROR, accepted, auto, fixed
from attattr.engine.resumed import Part

CLOSE, TOL = 1e-3, 1e-3
STAGES = {4: auto()[0].nodes}
for _new in auto()[1:3]:
    _nodes = np.sort(np.concatenate([[*STAGES.values()][-1], _new.nodes]))
    STAGES[len(_nodes)] = _nodes
FINE, FINE_WEIGHTS = quadrature._gauss(64)


def lagrange(nodes: np.ndarray) -> np.ndarray:
    """ℓ_k at FINE, (64, n)."""
    n = len(nodes)
    return legendre.legvander(2 * FINE - 1, n - 1) @ np.linalg.inv(legendre.legvander(2 * nodes - 1, n - 1))


def hermite(nodes: np.ndarray, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The interpolant of values and slopes, (B, n) each, at FINE: (B, 64)."""
    basis = lagrange(nodes)
    apart = nodes[:, None] - nodes + np.eye(len(nodes))
    at_node = (1 / apart - np.eye(len(nodes))).sum(1)  # ℓ_k′ at its own node
    off = FINE[:, None] - nodes
    return values @ ((1 - 2 * at_node * off) * basis**2).T + slopes @ (off * basis**2).T


def sloping(log_odds: np.ndarray) -> np.ndarray:
    """σ′."""
    return 0.25 / np.cosh(log_odds / 2) ** 2


def weights(nodes: np.ndarray, log_odds: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Of ∂L/∂C at the nodes, by input: (B, n)."""
    bent = sloping(hermite(nodes, log_odds, slopes).clip(-700, 700))
    return (bent * FINE_WEIGHTS) @ lagrange(nodes)


def at_nodes(
    batch: Any, number: int, path: Tensor, nodes: np.ndarray
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """∂L/∂C, (n, B, q, H, d), L and its slope along the path, (B, n)."""
    every = torch.arange(len(path))
    index = torch.tensor([wish.index[0] for wish in batch.objective.wishes])
    found, values, slopes = [], [], []
    for node in nodes:
        context = (float(node) * path).requires_grad_()
        with torch.enable_grad():
            logits = batch.capture.resume(
                batch.recording, batch.inputs, [Part(number, every, context)]
            ).logits
            own = torch.nn.functional.one_hot(index, logits.shape[1]).bool()
            log_odds = logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(1)
        (gradient,) = torch.autograd.grad(log_odds.sum(), context)
        found.append(gradient)
        values.append(log_odds.detach().double().numpy())
        slopes.append((gradient * path).double().sum((1, 2, 3)).numpy())
    return torch.stack(found), np.stack(values, 1), np.stack(slopes, 1)


def read(batch: Any, number: int, rows: list[dict]) -> None:
    """One site's figures by stage and way, a row an input."""
    call = batch.recording.site(number)
    ((_, _, difference),) = AttentionBlocks(call, "zero")
    path = call.context

    def scores(gradients: Tensor, by_input: np.ndarray) -> Tensor:
        mean = torch.einsum("kb...,bk->b...", gradients.double(), torch.from_numpy(by_input))
        return edge_scores(difference, mean, call.values)

    def size(of: Tensor) -> np.ndarray:
        return of.abs().sum((1, 2, 3)).numpy()

    rule = fixed("gausslegendre", 40)
    gradients, log_odds, _ = at_nodes(batch, number, path, rule.nodes)
    exact = scores(gradients, rule.weights * sloping(log_odds))
    nodes = [*STAGES.values()][-1]
    gradients, log_odds, slopes = at_nodes(batch, number, path, nodes)
    change = 1 / (1 + np.exp(-log_odds[:, -1])) - 1 / (1 + np.exp(-log_odds[:, 0]))
    facts: dict[Any, dict[str, np.ndarray]] = {}
    for n, chosen in STAGES.items():
        which = np.array([np.abs(nodes - node).argmin() for node in chosen])
        kept = np.delete(np.arange(n), n // 2)
        for way in ("as it is", "log-odds"):

            def ruled(part: np.ndarray, way: str = way, chosen=chosen, which=which) -> Tensor:
                here, at = chosen[part], which[part]
                if way == "log-odds":
                    return scores(gradients[at], weights(here, log_odds[:, at], slopes[:, at]))
                return scores(
                    gradients[at], quadrature._interpolatory(chosen, here) * sloping(log_odds[:, at])
                )

            found = ruled(np.arange(n))
            total, off = size(found), size(found - ruled(kept))
            gap = found.sum((1, 2, 3)).numpy() - change
            good = accepted(np.abs(gap), off, total, 1e-6 * np.ones_like(total), TOL)
            facts[n, way] = {
                "error": size(found - exact) / size(exact), "gap": np.abs(gap) / total,
                "embedded": off / total, "good": good,
            }  # fmt: skip
    for b in range(len(path)):
        rows.append(
            {key: {name: float(of[b]) for name, of in fact.items()} for key, fact in facts.items()}
            | {"site": number}
        )


def chain(row: dict, way: str, beyond: int = 24) -> tuple[int, float]:
    """The nodes with which a site ends, and its error; one that goes on beyond is as good as exact."""
    for n in STAGES:
        if row[n, way]["good"]:
            return n, row[n, way]["error"]
    return beyond, 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sst2_dev.tsv.gz"))
    parser.add_argument("--model", default="sst2")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    attributor = Attributor.from_pretrained(args.model)
    examples, _ = read_examples(args.data, limit=args.limit, seed=args.seed)
    rows: list[dict] = []

    def look(batch: Any, number: int, which: Tensor, options: Any, baseline: Any) -> Any:
        read(batch, number, rows)
        return integrate_site(batch, number, stages=(fixed("riemann_right", 1),), tol=TOL, baseline=baseline)

    job.looked_at = look
    sites = len(attributor.attribute(examples[:1])[0].sites)
    rows.clear()
    attributor.attribute(examples)
    print(f"{args.model}, {len(examples)} inputs, seed {args.seed}", flush=True)
    print(
        "| nodes | way | accepted | within 1e-3 | median error | worst | worst of the accepted | disagree |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for n in STAGES:
        for way in ("as it is", "log-odds"):
            of = [row[n, way] for row in rows]
            errors = [each["error"] for each in of]
            taken = [each["error"] for each in of if each["good"]]
            disagree = np.mean([each["embedded"] > MAX_ERROR for each in of])
            print(
                f"| {n} | {way} | {len(taken) / len(of):.3f} | {np.mean(np.array(errors) <= CLOSE):.3f} "
                f"| {statistics.median(errors):.1e} | {max(errors):.1e} | {max(taken, default=0):.1e} "
                f"| {disagree:.3f} |"
            )
    rules = [whole(nodes) for nodes in STAGES.values()] + [fixed("gausslegendre", 24)]
    cost = passes(rules, len(STAGES))
    for way in ("as it is", "log-odds"):
        ends = [chain(row, way) for row in rows]
        by_site = np.array([cost[n] for n, _ in ends]), np.array([sites - row["site"] - 0.25 for row in rows])
        errors = [error for _, error in ends]
        count = dict(sorted(Counter(n for n, _ in ends).items()))
        print(
            f"{way}: {by_site[0] @ by_site[1] / by_site[1].sum():.2f} passes, error of a site: "
            f"median {statistics.median(errors):.1e}, 95 % {np.quantile(errors, 0.95):.1e}, "
            f"worst {max(errors):.1e}; sites by nodes {count}"
        )


if __name__ == "__main__":
    main()
