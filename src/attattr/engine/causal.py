"""The mask of a plain decoder: hidden is what comes later, and nothing else.

Fused attention knows it without being given it, and is faster for that. So forwards that only pass through
the attention above a site make no such mask, where the clean forward, which had one, shows that it may go:
each call that had it was computed without it, and gave the same; no call had one that was made of it; and
what the model gives without is what it gave (shortcuts.unmasked).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import causal_mask_function, eager_mask


class Masks:
    """Makes the masks that one forward asks transformers for.

    Args:
        needless: plain ones are not made.
    """

    def __init__(self, needless: bool = False):
        self.needless = needless
        self.plain: list[Tensor] = []  # that were made, of inputs without padding
        self.others: list[Tensor] = []  # of another form, which are made always
        self.padded = False  # a causal one was made that hides padding

    def __call__(self, asked: Mapping[str, Any]) -> Tensor | None:
        if not _is_causal(asked):
            made = eager_mask(**asked)
            if made is not None:
                self.others.append(made)
            return made
        if self.needless:
            return None
        mask, padding = eager_mask(**asked), asked.get("attention_mask")
        if padding is None or bool(padding.all()):
            self.plain.append(mask)
        else:
            self.padded = True
        return mask

    def is_plain(self, mask: Any) -> bool:
        """Whether it is one of the plain ones, and whole."""
        return _among(mask, self.plain)

    def stays(self, mask: Any) -> bool:
        """Whether a call that had it has it also where plain ones are not made: it had none, or another."""
        return mask is None or _among(mask, self.others)


def _among(mask: Any, masks: list[Tensor]) -> bool:
    return isinstance(mask, Tensor) and any(
        mask.data_ptr() == made.data_ptr() and mask.shape == made.shape for made in masks
    )


def _is_causal(asked: Mapping[str, Any]) -> bool:
    """Whether what is asked for is a causal mask over as many queries as keys, but for padding."""
    return (
        asked.get("mask_function") is causal_mask_function
        and asked.get("allow_is_causal_skip", False)
        and asked["q_length"] == asked["kv_length"]
        and all(
            isinstance(asked.get(side, 0), int) and not asked.get(side, 0)
            for side in ("q_offset", "kv_offset")
        )
        and asked.get("local_size") is None
    )


def seen_from(positions: Tensor, keys: int) -> Tensor:
    """The rows of such a mask at these queries: positions (R, m) → boolean (R, 1, m, keys)."""
    return torch.arange(keys, device=positions.device) <= positions[:, None, :, None]
