"""What it saves that rows of several sites go up together: one input, with it and site by site, in turns.

OMP_NUM_THREADS=1 python benchmarks/together.py
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial

import numpy as np
from opponents import turns

from attattr import Attributor, Example
from attattr.engine.ways import known, remember

TEXTS = {
    "sst2": Example("The plot is thin, but the two leads are so charming that I left smiling."),
    "mnli": Example("A woman is playing the violin on a crowded street.", "Nobody is making music."),
}


def main() -> None:
    for name, example in TEXTS.items():
        attributor = Attributor.from_pretrained(name)
        together = attributor.attribute(example)
        ways = known(attributor.model)
        assert ways is not None and ways.ending
        found = {}

        def work(on: bool, attributor=attributor, example=example, ways=ways, found=found) -> None:
            remember(attributor.model, replace(ways, together=on, ending=on))
            found[on] = attributor.attribute(example)

        times = turns({str(on): (partial(work, on), 1.0) for on in (True, False)}, 15)["seconds"]
        ratio = statistics.median(a / b for a, b in zip(times["True"], times["False"], strict=True))
        pairs = zip(found[True].sites, found[False].sites, strict=True)
        off = max(np.abs(a.scores - b.scores).max() / np.abs(b.scores).max() for a, b in pairs)
        print(f"{name}, {len(together.tokens)} tokens: {ratio:.2f} of the time, scores within {off:.0e}")


if __name__ == "__main__":
    main()
