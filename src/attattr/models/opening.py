"""How a model is opened: our own options and those of transformers' `from_pretrained`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.choices import BITS
from attattr.errors import InputError
from attattr.models import hub
from attattr.models.place import named_dtype, place_for

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

# options of every file of a model; all others are of its weights
FILES = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
OURS = ("config", "output_loading_info", "state_dict")
HOST = ("cpu", "disk")


@dataclass(frozen=True)
class Opening:
    """Where a model goes and in which precision, and what transformers is asked for besides.

    >>> opened(device="cpu", token="…", device_map=None).files
    {'token': '…'}
    """

    place: torch.device | None  # None: as its device map says
    dtype: torch.dtype | None  # None: the checkpoint's
    files: Mapping[str, Any]  # options of config, tokenizer and weights
    weights: Mapping[str, Any]  # options of the weights alone

    @property
    def elsewhere(self) -> dict[str, Any]:
        """Options of the files of another model, as the base of an adapter is."""
        return {k: v for k, v in self.files.items() if k not in ("revision", "subfolder")}

    def is_whole(self, config: PreTrainedConfig) -> bool:
        """Whether the weights will be plain, and on one device."""
        return not ({"device_map", "quantization_config"} & self.weights.keys() or _is_quantised(config))

    def keywords(self, config: PreTrainedConfig) -> dict[str, Any]:
        """What the weights are loaded with. What is quantised is placed here: it cannot be moved after."""
        quantised = "quantization_config" in self.weights or _is_quantised(config)
        placed = {"device_map": {"": self.place}} if quantised and self.place is not None else {}
        return {"dtype": self.dtype or "auto", **placed, **self.weights}

    def settled(self, model: PreTrainedModel) -> None:
        """In evaluation mode, on its device and in its precision, unless it was loaded so."""
        whole: Any = model  # torch's own types of `to` do not fit transformers' wrapper
        if self.place is not None and not _is_quantised(model.config):
            if self.dtype is None:
                place_for(self.place, model.dtype)
            whole.to(device=self.place, dtype=self.dtype)
        whole.eval()


def opened(*, device: Any = None, dtype: Any = None, quantize: str | None = None, **options: Any) -> Opening:
    """The options of `models.load` but for the model's own, checked. What is None was not given.

    Raises:
        InputError: an option that cannot be used, or two that do not go together.
    """
    options = {name: value for name, value in options.items() if value is not None}
    for name in OURS:
        if name in options:
            raise InputError(f"{name} cannot be given: it is read from the model's own files")
    if "torch_dtype" in options:
        if dtype is not None:
            raise InputError("torch_dtype is an older name of dtype: give one of them")
        dtype = options.pop("torch_dtype")
    mapped = options.get("device_map")
    if device is not None and mapped is not None:
        raise InputError("a device map says where the model goes: leave the device out, or the map")
    if quantize is not None:
        asked.choice(quantize, "quantize", BITS)
        if "quantization_config" in options:
            raise InputError("quantize and quantization_config ask for the same: give one of them")
    if not options.get("local_files_only"):
        options.pop("local_files_only", None)
    precision = None if isinstance(dtype, str) and dtype == "auto" else named_dtype(dtype)
    place = None if mapped is not None else place_for(device, precision or named_dtype(None))
    if dtype is None and (place.type != "cpu" if place is not None else _accelerated(mapped)):
        precision = None
    if quantize is not None:
        options["quantization_config"] = _bits(quantize, precision)
    files = {name: value for name, value in options.items() if name in FILES}
    weights = {name: value for name, value in options.items() if name not in FILES}
    return Opening(place, precision, files, weights)


def offline() -> dict[str, bool]:
    """The option that keeps a load from minutes of retries, where the hub cannot be reached."""
    return {} if hub.reachable() else {"local_files_only": True}


def _accelerated(device_map: Any) -> bool:
    """Whether some of a mapped model may be computed on another device than the CPU."""
    import torch

    if isinstance(device_map, Mapping):
        return any(str(place).partition(":")[0] not in HOST for place in device_map.values())
    return str(device_map) != "cpu" and torch.accelerator.is_available()


def _bits(quantize: str, dtype: torch.dtype | None) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype or torch.bfloat16
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)


def _is_quantised(config: PreTrainedConfig) -> bool:
    return getattr(config, "quantization_config", None) is not None
