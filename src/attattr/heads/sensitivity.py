"""What one forward and backward tells of every head: Taylor importance and attention weight."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from attattr.asked import Progress
from attattr.data.encoding import Encoded, encode
from attattr.data.examples import Example
from attattr.disk.units import NOTHING_KEPT, Units, Value
from attattr.engine.batches import by_length, collating
from attattr.engine.capture import Capture
from attattr.engine.precision import HALF, gradients, lifts
from attattr.engine.room import length, room_for
from attattr.errors import AttAttrError, InputError
from attattr.models.quantised import check_gradients
from attattr.targets.objective import in_full

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

SHARE = 256  # inputs between two writes, where a call can be resumed


@dataclass(frozen=True)
class Sensitivities:
    """Of N inputs: |∂L/∂m_h| where m_h scales a head's context, and the largest attention weight."""

    taylor: np.ndarray  # (N, L, H)
    attention: np.ndarray  # (N, L, H)
    sites: tuple[str, ...]


def shares(encoded: list[Encoded]) -> list[list[int]]:
    """Numbers of the inputs that are kept together: the same on every device."""
    return by_length(encoded, SHARE)


def _batches(attributor: Attributor, encoded: list[Encoded], share: list[int]) -> list[list[int]]:
    """A share as it is computed: on this device."""
    rows = min(32, room_for(attributor.model, [max(encoded, key=length)]).rows)
    return [share[i : i + rows] for i in range(0, len(share), rows)]


def head_grid(attributor: Attributor, encoded: list[Encoded]) -> tuple[int, int]:
    """(L, H): attention sites, and the heads of the first."""
    model = attributor.model
    with Capture(model) as capture, collating(model, attributor.tokenizer, encoded) as collate:
        clean = capture.record(collate(encoded[:1]))
        return len(clean.sites), clean.site(clean.sites[0]).query.shape[1]


def sensitivities(
    attributor: Attributor,
    encoded: Sequence[Example] | list[Encoded],
    gold: np.ndarray,
    tell: Progress,
    units: Units = NOTHING_KEPT,
) -> Sensitivities:
    """Both, in one pass over the data; L is the cross-entropy of the gold class.

    ∂L/∂m_h at m = 1 is C_h · ∂L/∂C_h summed over positions: Michel et al. 2019, equation 5.
    """
    model, tokenizer = attributor.model, attributor.tokenizer
    check_gradients(model)
    encoded = encode(model, tokenizer, encoded, pair=attributor.pair)
    taylor: dict[int, np.ndarray] = {}
    attention: dict[int, np.ndarray] = {}
    with Capture(model) as capture, collating(model, tokenizer, encoded) as collate:
        clean = capture.record(collate(encoded[:1]))
        place = {number: site for site, number in enumerate(clean.sites)}

        def of_batch(group: list[int]) -> tuple[np.ndarray, np.ndarray]:
            inputs = collate([encoded[i] for i in group])
            padding = inputs.get("attention_mask")
            scales: dict[int, Tensor] = {}
            largest: dict[int, Tensor] = {}

            def change(number, context, weights, values, *, scales=scales, largest=largest, padding=padding):
                if number not in place:
                    return context
                seen = weights.detach()
                if padding is not None and padding.shape[1] == seen.shape[2]:
                    # rows of padding attend too, to what no reader of the result would call an edge
                    seen = seen * padding[:, None, :, None].to(seen)
                largest[place[number]] = seen.amax((2, 3)).float()
                one = torch.ones_like(context[:, 0, :, 0], requires_grad=True)
                scales[place[number]] = one
                return context * one[:, None, :, None]

            with torch.enable_grad():
                logits = in_full(capture.edit(clean.ways, inputs, change).logits)
                wanted = torch.as_tensor(gold[group], device=logits.device)
                loss = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
            slope = logits.detach().softmax(-1) - torch.nn.functional.one_hot(wanted, logits.shape[1])
            leaves = [scales[s] for s in range(len(place))]
            lift = lifts(slope, loss.detach()) if leaves[0].dtype in HALF else None
            found = [of for of in gradients(loss, leaves, lift) if of is not None]
            if len(found) < len(leaves):
                raise AttAttrError(
                    "no gradient of the loss reaches some of the layers: their heads have no rank"
                )
            if len({gradient.shape for gradient in found}) > 1:
                raise InputError("the layers have different numbers of heads: they cannot be ranked as one")
            of_group = torch.stack([gradient.abs().cpu() for gradient in found], 1).numpy()
            weights_of = torch.stack([largest[s].cpu() for s in range(len(place))], 1).numpy()
            return of_group, weights_of

        def of_share(share: list[int]) -> Value:
            found = []
            groups = _batches(attributor, encoded, share)
            for number, group in enumerate(groups):
                if number:
                    done = len(taylor) + sum(map(len, groups[:number]))
                    tell(done, len(encoded), "differentiating the loss")
                found.append(of_batch(group))
            by_taylor, by_weight = zip(*found, strict=True)
            return {"taylor": np.concatenate(by_taylor), "attention": np.concatenate(by_weight)}

        for number, rows in enumerate(shares(encoded)):
            found = units.get(str(number), functools.partial(of_share, rows))
            taylor |= dict(zip(rows, found["taylor"], strict=True))
            attention |= dict(zip(rows, found["attention"], strict=True))
            tell(len(taylor), len(encoded), "differentiating the loss")
    return Sensitivities(
        np.stack([taylor[i] for i in range(len(encoded))]).astype(float),
        np.stack([attention[i] for i in range(len(encoded))]).astype(float),
        tuple(clean.site(number).name for number in clean.sites),
    )
