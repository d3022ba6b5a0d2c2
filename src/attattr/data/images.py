"""Images: what positions attention runs over, and what the model saw of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attattr.result import picture
from attattr.result.values import Axis

# parameters that hold tokens before the patches, and how these are called
EXTRA = (("cls_token", "[CLS]"), ("distillation_token", "[DIST]"), ("register_tokens", "[REG]"))


def patches(model: PreTrainedModel, pixels: Tensor) -> Axis | None:
    """Positions of an image (channels, height, width), if its model's config tells how it is cut up."""
    size = patch_size(model)
    if size is None:
        return None
    extra = []
    parameters = dict(model.named_parameters())
    for ending, name in EXTRA:
        held = [p.shape[1] for n, p in parameters.items() if n.endswith(f".{ending}") and p.ndim == 3]
        extra += [name] * (held[0] if held else 0)
    rows, columns = pixels.shape[-2] // size[0], pixels.shape[-1] // size[1]
    names = [f"{row},{column}" for row in range(rows) for column in range(columns)]
    return Axis(
        tokens=(*extra, *names),
        segments=(None,) * len(extra) + (0,) * len(names),
        words=(None,) * len(extra) + tuple(range(len(names))),
        special=(True,) * len(extra) + (False,) * len(names),
        grid=(rows, columns) if names else None,
    )


def patch_size(model: PreTrainedModel) -> tuple[int, int] | None:
    """Height and width of a patch in pixels."""
    size = getattr(model.config, "patch_size", None)
    found = tuple(size) if isinstance(size, list | tuple) else (size, size)
    return found if len(found) == 2 and all(isinstance(n, int) and n > 0 for n in found) else None


def seen(model: PreTrainedModel, processor: Any, features: Mapping[str, Any]) -> bytes | None:
    """The part of an image that the patches cover, in the colours it had before it was normalised, as PNG.

    None without an image, or without a processor: what its numbers mean as colours is not known.
    """
    pixels, size = features.get("pixel_values"), patch_size(model)
    if pixels is None or size is None or not hasattr(processor, "image_mean") or len(pixels) not in (1, 3):
        return None
    height, width = (n // side * side for n, side in zip(pixels.shape[-2:], size, strict=True))
    if not height or not width:
        return None
    colours = _colours(processor, pixels[:, :height, :width].detach().cpu().double())
    whole = colours.nan_to_num().round().clamp(0, 255).to(torch.uint8)
    return picture.drawn(whole.expand(3, -1, -1).permute(1, 2, 0).numpy())


def _colours(processor: Any, pixels: Tensor) -> Tensor:
    """From 0 to 255, red first: what the processor did to the numbers, undone."""
    if getattr(processor, "do_normalize", False):
        mean, std = (
            torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1, 1)
            for value in (processor.image_mean, processor.image_std)
        )
        pixels = pixels * std + mean
    if getattr(processor, "do_rescale", False):
        pixels = pixels / processor.rescale_factor
    return pixels.flip(0) if getattr(processor, "do_flip_channel_order", False) else pixels
