"""The completeness gap in half precision, as a share of what `integral` allows to rounding.

    OMP_NUM_THREADS=1 python benchmarks/half.py --data ../shared/data/sst2_dev.tsv.gz --model sst2

With more nodes than the integral needs, what is left of a gap is rounding: at every site it should be
below the allowance, and not far below it.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import torch

from attattr import Attributor, read_examples
from attattr.engine import integral

NODES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--limit", type=int, default=8)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    examples, _ = read_examples(asked.data, limit=asked.limit, seed=1)
    accepted, shares = integral.accepted, []

    def look(gap: Any, error: Any, total: Any, floor: Any, tol: float, least: Any = 0.0) -> Any:
        shares.append((gap / floor).numpy())
        return accepted(gap, error, total, floor, tol, least)

    integral.accepted = look
    for dtype in ("bfloat16", "float16"):
        attributor = Attributor.from_pretrained(asked.model, dtype=dtype)
        shares.clear()
        attributor.attribute(examples, method="gausslegendre", n_steps=NODES, store="heads")
        found = np.quantile(np.concatenate(shares), (0.5, 0.9, 1))
        eps = torch.finfo(getattr(torch, dtype)).eps
        print(f"{dtype} (eps {eps:.1e}): median, 90 %, largest share {found.round(2)}", flush=True)


if __name__ == "__main__":
    main()
