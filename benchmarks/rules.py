"""Which nodes for `n_steps="auto"`? Chains of rules on real inputs: what each costs, how exact it is.

    python benchmarks/rules.py --data ../shared/data/mnli_dev_matched.tsv.gz --model mnli

A chain goes on to its next rule where `quadrature.accepted` says no. Cost is counted in passes of a site, by
the layers above it: a node is a forward and a backward, 2; F(A⁰) where no node gives it, 1; the node at
α = 1, whose one backward serves every site, about 0.4. Error: relative L1 distance of an input's scores
from 40 Gauss nodes. No times, so a busy machine does not matter.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.polynomial import legendre

from attattr import Attributor
from attattr.data.examples import read_examples
from attattr.engine import quadrature
from attattr.engine.quadrature import Rule, fixed

CLEAN, ORIGIN, NODE = 0.4, 1, 2  # passes


def whole(nodes: np.ndarray) -> Rule:
    """The interpolatory rule on these nodes; as one stage, whatever nodes it shares with others."""
    weights = quadrature._interpolatory(nodes, nodes)
    return Rule(nodes, weights, quadrature._less_a_middle_node(nodes), len(nodes))


def radau(n: int) -> np.ndarray:
    """n nodes, α = 1 among them: zeros of P_n − P_{n−1}."""
    return (np.sort(legendre.legroots([0] * (n - 1) + [-1, 1]).real) + 1) / 2


def nested(nodes: np.ndarray, *more: int) -> list[Rule]:
    rules = [whole(nodes)]
    for count in more:
        rules.append(whole(quadrature._extended(rules[-1].nodes, count)))
    return rules


CHAINS: dict[str, tuple[list[Rule], int]] = {  # the rules, and how many of them keep earlier gradients
    "Lobatto 4, 7, 13": (nested(quadrature._lobatto(4), 3, 6), 3),
    "Lobatto 5, 9": (nested(quadrature._lobatto(5), 4), 2),
    "Radau 4, 8": (nested(radau(4), 4), 2),
    "Gauss-Kronrod 4, 9": (nested(fixed("gausslegendre", 4).nodes, 5), 2),
    "Gauss-Kronrod 3, 7": (nested(fixed("gausslegendre", 3).nodes, 4), 2),
}


def passes(rules: Sequence[Rule], kept: int) -> dict[int, float]:
    """Passes of a site by the number of nodes it ended with."""
    found, behind, nodes = {}, 0.0, np.zeros(0)
    for stage, rule in enumerate(rules):
        new = len(rule.nodes) - (len(nodes) if stage < kept else 0)
        cost: float = NODE * new
        if stage == 0:
            cost += ORIGIN * (0 not in rule.nodes) + (CLEAN - NODE) * bool(np.isclose(rule.nodes, 1).any())
        behind, nodes = behind + cost, rule.nodes
        found[rule.n_steps] = behind
    return found


def distances(results: Sequence, exact: Sequence) -> list[float]:
    return [
        float(np.abs(a.scores - b.scores).sum() / np.abs(b.scores).sum())
        for a, b in zip(results, exact, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnli_dev_matched.tsv.gz"))
    parser.add_argument("--model", default="mnli")
    parser.add_argument("--limit", type=int, default=24)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    attributor = Attributor.from_pretrained(args.model)
    examples, _ = read_examples(args.data, limit=args.limit, seed=3)
    exact = attributor.attribute(examples, n_steps=40)
    sites = len(exact[0].sites)
    above = np.arange(sites, 0, -1) - 0.25  # of a site's own block, what comes after its attention
    end = [fixed("gausslegendre", 24), fixed("gausslegendre", 64)]
    for name, (rules, kept) in CHAINS.items():
        quadrature.auto = lambda chain=(*rules, *end): chain  # type: ignore[assignment]
        results = attributor.attribute(examples)
        steps = np.array([result.n_steps for result in results])
        cost = passes([*rules, *end], kept)
        mean = float(((np.vectorize(cost.get)(steps) @ above) / above.sum()).mean())
        errors = distances(results, exact)
        count = dict(sorted(Counter(steps.ravel().tolist()).items()))
        print(
            f"{name}: {mean:.1f} passes, error {statistics.median(errors):.1e} (worst {max(errors):.1e}), "
            f"sites by nodes {count}",
            flush=True,
        )
    for method, n in (("riemann_left", 64), ("riemann_right", 20)):
        errors = distances(attributor.attribute(examples, method=method, n_steps=n), exact)
        print(f"{method}, {n}: error {statistics.median(errors):.1e} (worst {max(errors):.1e})", flush=True)


if __name__ == "__main__":
    main()
