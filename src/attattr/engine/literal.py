"""The paper's algorithm as it reads: to learn from, and to hold the engine against.

Attr_h(A) = A_h ⊙ (1/m) Σ_{k=1}^{m} ∂F((k/m) A) / ∂A_h, for each layer by itself, everything below it held
fixed. Source: Hao et al. 2021 (arXiv 2004.11207). The whole model runs at every step, and the
n × n matrices are what is differentiated: hundreds of times the work of `integral`, and the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attattr import asked
from attattr.data import counterfactual
from attattr.data.encoding import encode
from attattr.data.examples import as_examples
from attattr.engine.batch import beside, opened
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.targets import kinds

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor


def literal_scores(
    attributor: Attributor, inputs: Any, *, target: Any = None, n_steps: int = 20, baseline: Any = "zero"
) -> list[np.ndarray]:
    """Scores of one input by the paper's right Riemann sum, (H, q, k) for each site.

    >>> from attattr import Attributor
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> theirs = literal_scores(sst2, "a fine film", n_steps=4)
    >>> ours = sst2.attribute("a fine film", method="riemann_right", n_steps=4)
    >>> all(np.allclose(a, site.scores, atol=1e-5) for a, site in zip(theirs, ours.sites))
    True

    Args: as `Attributor.attribute`; baseline: "zero", or another input, from whose attention A goes on to A.
    Raises: as there.
    """
    model, tokenizer = attributor.model, attributor.tokenizer
    wish = kinds.parse(target, None, model, tokenizer)
    (encoded,) = encode(model, tokenizer, as_examples([inputs]), pair=attributor.pair)
    if counterfactual.is_named(baseline):
        asked.choice(baseline, "baseline", ("zero",))
    else:
        (encoded,) = counterfactual.beside([encoded], baseline, model, tokenizer, pair=attributor.pair)
    encoded = kinds.extend(encoded, wish, tokenizer)
    scores = []
    with Capture(model) as capture, collating(model, tokenizer, [encoded]) as collate:
        batch, _ = opened(capture, tokenizer, collate, [encoded], [wish])
        other = beside(capture, collate, [encoded], batch.recording)
        only = torch.zeros(1, dtype=torch.long, device=batch.value.device)
        for site in batch.recording.sites:
            attention = batch.recording.site(site).weights()  # A, (1, H, q, k)
            start = torch.zeros_like(attention) if other is None else other.site(site).weights()
            total = torch.zeros_like(attention)
            for k in range(1, n_steps + 1):
                scaled = (start + k / n_steps * (attention - start)).requires_grad_()

                def replaced(number, context, weights, values, *, scaled=scaled, site=site):
                    return (scaled @ values).transpose(1, 2) if number == site else context

                with torch.enable_grad():
                    outputs = capture.edit(batch.recording.ways, batch.inputs, replaced)
                    value = batch.objective(outputs, only).sum()  # F((k/m) A)
                total += torch.autograd.grad(value, scaled)[0]
            scores.append(((attention - start) * total / n_steps)[0].double().cpu().numpy())
    return scores
