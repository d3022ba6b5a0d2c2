"""Loading a model: embedded by name, a local folder, or a hub id. Always a plain PreTrainedModel."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.disk import digests
from attattr.errors import AttAttrError, InputError, MissingModelError, ModelError
from attattr.models import embedded, hub
from attattr.models.embedded import BASE, BASE_FILES, NAMES, base_folder
from attattr.models.heads import HEADS, head_of
from attattr.models.labels import labels_of, own_names, rename, set_labels
from attattr.models.opening import Opening, offline, opened
from attattr.models.prompts import check_kind
from attattr.models.quiet import quiet
from attattr.models.sliced import is_pruned, shrunk_class

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["EMBEDDED", "Loaded", "ModelInfo", "base_folder", "load"]

CLASSIFIERS = (
    "classifier.weight",
    "score.weight",
    "classifier.out_proj.weight",
    "classification_head.out_proj.weight",
)

EMBEDDED: dict[str, dict[str, Any]]  # name -> card; read when first asked for


def __getattr__(name: str) -> Any:
    if name == "EMBEDDED":
        return embedded.cards()
    raise AttributeError(name)


@dataclass(frozen=True)
class ModelInfo:
    """Which model it is, exactly."""

    name: str
    revision: str | None = None  # commit on the hub
    digest: str | None = None  # sha256 of the weights (of the base, where there is an adapter)
    adapter_digest: str | None = None
    tokenizer_digest: str | None = None
    base: str | None = None  # of an adapter
    embedded: bool = False
    pair: bool | None = None  # trained on pairs of texts, on single ones, or unknown


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, its tokenizer or image processor (None: it has none)."""

    model: PreTrainedModel
    tokenizer: Any
    info: ModelInfo


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    labels: str | Sequence[str] | None = None,
    quantize: str | None = None,
    **options: Any,
) -> Loaded:
    """A model by embedded name, folder or hub id.

    >>> loaded = load("sst2")  # doctest: +SKIP
    >>> loaded.model.config.id2label  # doctest: +SKIP
    {0: 'negative', 1: 'positive'}

    Args:
        name: an embedded model (write "./mnli" for a folder of that name), the folder of a model or of
            a PEFT adapter, or a hub id. An adapter is merged into its base.
        revision: branch, tag or commit on the hub.
        trust_remote_code: run code that comes with the model.
        device: None: CUDA where there is one, else MPS, else the CPU.
        dtype: "float32", "float64", "bfloat16", "float16", or "auto", the checkpoint's own. None: float32 on
            the CPU, the checkpoint's own elsewhere.
        labels: names of the classes in index order ("a,b,c"), in place of the model's own.
        quantize: "4bit" or "8bit", by bitsandbytes; other ways by a `quantization_config`.
        options: handed through to transformers' `from_pretrained`, as `device_map`, `attn_implementation`,
            `subfolder`, `token`, `local_files_only` or `cache_dir`. What is quantised or has a device map is
            neither moved nor cast afterwards; an adapter on it is not merged.

    Raises:
        ModelError: not found, corrupted, not finite, or without a head that can be explained.
        InputError: an option that cannot be used.
    """
    asked.path(name, "the model")
    name = str(name)
    asked.flag(trust_remote_code, "trust_remote_code")
    if revision is not None:
        asked.instance(revision, str, "the revision")
    opening = opened(device=device, dtype=dtype, quantize=quantize, revision=revision, **options)
    folder = Path(name).expanduser()
    local = name in NAMES or folder.is_dir()
    if local and revision is not None:
        raise InputError(f"'{name}' is no model of the hub: it has no revision '{revision}'")
    if name in NAMES and (given := [k for k, v in {"quantize": quantize, **options}.items() if v]):
        raise InputError(f"{given[0]} has no effect on an embedded model: leave it out")
    try:
        with quiet():
            if name in embedded.ON_BASE:
                loaded = _adapter(str(embedded.checked_adapter(name)), name, {}, opening, is_embedded=True)
            elif name in NAMES:
                loaded = _from(str(embedded.checked_whole(name)), name, False, opening)
                loaded = replace(loaded, info=replace(loaded.info, embedded=True))
            elif local:
                loaded = _from(str(folder), name, trust_remote_code, opening)
            elif name.startswith((".", "/", "~")) or name.count("/") > 1:
                raise MissingModelError(
                    f"there is no folder '{name}'; the embedded models are {', '.join(NAMES)}"
                )
            else:
                loaded = _from_hub(name, trust_remote_code, opening)
            opening.settled(loaded.model)
    except AttAttrError:
        raise
    except TypeError as error:
        if unknown := next((key for key in options if f"'{key}'" in str(error)), None):
            raise InputError(f"{unknown} is no option of loading '{name}'") from error
        raise _explained(name, error) from error
    except Exception as error:  # files, network, JSON, safetensors, shapes, memory: no common base
        raise _explained(name, error) from error
    if not loaded.info.embedded:  # else its digest says what it is
        _check_finite(loaded.model, name)
    if labels is not None:
        rename(loaded.model, labels, name)
    if loaded.tokenizer is None:
        warnings.warn(f"'{name}' has no tokenizer: it takes ready tensors, but no texts", stacklevel=2)
    return loaded


def _from_hub(name: str, trust: bool, opening: Opening) -> Loaded:
    from transformers.utils import find_adapter_config_file

    asked = {**opening.files, **offline()}
    adapter = find_adapter_config_file(name, **asked)
    if adapter:
        return _adapter(name, name, asked, opening, settings=Path(adapter), trust=trust)
    return _from(name, name, trust, replace(opening, files=asked))


def _from(where: str, name: str, trust: bool, opening: Opening) -> Loaded:
    """A whole model, or (in a folder) an adapter."""
    import transformers

    options = {**opening.files, "trust_remote_code": trust}
    folder = Path(where)
    local = folder.is_dir()
    if local:
        folder = folder / options.pop("subfolder", "")
        where = str(folder)
    if (folder / "adapter_config.json").is_file():
        return _adapter(where, name, {}, opening, trust=trust)
    if local and not (folder / "config.json").is_file():
        raise MissingModelError(f"the folder '{where}' has neither a config.json nor an adapter_config.json")
    config = transformers.AutoConfig.from_pretrained(where, **options)
    auto = head_of(config, name)
    # the config's own commit: what is loaded next cannot be of another one
    commit = getattr(config, "_commit_hash", None)
    if commit is None and not local:  # a class of the model's own does not note it
        stored = hub.cached(where, opening.files)
        commit = stored.name if stored else None
    options = options | ({"revision": commit} if commit else {})
    kind = getattr(transformers, auto)
    if is_pruned(folder):  # in place of the code in its folder, which does the same
        kind = shrunk_class(getattr(transformers, str((config.architectures or [""])[0])))
    options_of = options | opening.keywords(config) | {"config": config, "output_loading_info": True}
    model, found = kind.from_pretrained(where, **options_of)
    if found["missing_keys"] and all(key.startswith("pooler.") for key in found["missing_keys"]):
        # of pretraining, which no embedding is made by: left out, so as not to be random
        model, found = kind.from_pretrained(where, add_pooling_layer=False, **options_of)
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise ModelError(
            f"the weights of '{name}' lack {missing[0]} and {len(missing) - 1} more: it is not fine-tuned"
            if len(missing) > 1
            else f"the weights of '{name}' lack {missing[0]}: it is not fine-tuned"
        )
    cached = folder if folder.is_dir() else hub.cached(where, options)
    info = ModelInfo(
        name,
        revision=commit,
        digest=digests.of_weights(cached),
        tokenizer_digest=digests.of_tokenizer(cached),
    )
    return Loaded(model, _tokenizer(auto, where, options), info)


def _adapter(
    where: str,
    name: str,
    options: dict[str, Any],
    opening: Opening,
    *,
    settings: Path | None = None,
    trust: bool = False,
    is_embedded: bool = False,
) -> Loaded:
    """A PEFT adapter merged into its base, in float32; on a base that is quantised or mapped, unmerged."""
    import torch
    import transformers
    from safetensors.torch import load_file

    folder = Path(where)
    asked = json.loads((settings or folder / "adapter_config.json").read_text(encoding="utf-8"))
    if not isinstance(asked, dict):
        raise ModelError(f"the adapter_config.json of '{name}' is no JSON object")
    check_kind(str(asked.get("peft_type")))
    base = asked.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"the adapter '{name}' does not say its base (base_model_name_or_path)")
    known = is_embedded or base == BASE  # its files are compared with their digests here
    start = str(embedded.checked_base()) if known else base
    of_base = {"trust_remote_code": trust, "revision": asked.get("revision")}
    if not Path(start).is_dir():
        of_base |= {**opening.elsewhere, **offline()}
    config = transformers.AutoConfig.from_pretrained(start, **of_base)
    task = asked.get("task_type")
    auto = next((head for head, _, of, _ in HEADS if of and of == task), None) or head_of(config, name)
    card_file = folder / "card.json"
    card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() else {}
    if is_embedded:
        weights = load_file(folder / "adapter_model.safetensors")
    else:
        from peft.utils import load_peft_weights

        weights = load_peft_weights(where, device="cpu", **options)
    classes = next((len(v) for k, v in weights.items() if k.endswith(CLASSIFIERS)), None)
    if classes is not None and auto.endswith("Classification"):
        labels = card.get("labels") or labels_of(config, own_names(where, options), classes)
        if len(labels) != classes:
            raise ModelError(f"the card of '{name}' names {', '.join(labels)}, yet it has {classes} classes")
        set_labels(config, labels)
    # a fresh head and fresh factors draw random numbers before they are replaced
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        whole = opening.is_whole(config)
        how = {"dtype": torch.float32} if whole else opening.keywords(config)
        model = getattr(transformers, auto).from_pretrained(start, config=config, **how, **of_base)
        if any(parameter.is_meta for parameter in model.parameters()):
            raise InputError(
                f"the base of the adapter '{name}' cannot be kept on disk or in memory: merge the adapter "
                "into it, save that, and map it, or give a map of devices alone"
            )
        if whole and is_embedded:
            embedded.merge(model, weights, asked["lora_alpha"], asked["r"])
        else:
            from peft import PeftModel

            wrapped = PeftModel.from_pretrained(model, where, **options)
            model = wrapped.float().merge_and_unload() if whole else wrapped.get_base_model()
    if missing := [str(w.message) for w in said if "missing adapter keys" in str(w.message)]:
        raise ModelError(
            f"the adapter '{name}' does not fit its base {base}: {missing[0].splitlines()[0][:200]}"
        )
    if whole:
        model = model.requires_grad_(True).to(dtype=opening.dtype or config.dtype)  # PEFT had frozen it
    own = (folder / "tokenizer_config.json").is_file()
    of_base |= {"revision": getattr(config, "_commit_hash", None)}
    at = Path(start) if Path(start).is_dir() else hub.cached(start, of_base)
    file = folder / "adapter_model.safetensors"
    info = ModelInfo(
        name,
        revision=hub.commit_of(settings) if settings else None,
        digest=BASE_FILES["model.safetensors"] if known else digests.of_weights(at),
        adapter_digest=digests.sha256(file) if file.is_file() else None,
        tokenizer_digest=digests.of_tokenizer(folder if own else at),
        base=base,
        embedded=is_embedded,
        pair=card.get("pair"),
    )
    of_own = options | {"trust_remote_code": trust}
    return Loaded(model, _tokenizer(auto, where if own else start, of_own if own else of_base), info)


def _tokenizer(auto: str, where: str, options: dict[str, Any]) -> Any:
    """The tokenizer, or image processor, of a model; None for a folder that holds none."""
    import transformers

    kind: Any = transformers.AutoTokenizer
    files: tuple[str, ...] = (*digests.TOKENIZER_FILES, "tokenizer_config.json")
    if "Image" in auto:
        kind, files = transformers.AutoImageProcessor, ("preprocessor_config.json", "processor_config.json")
    folder = Path(where)
    if folder.is_dir() and not any((folder / file).is_file() for file in files):
        return None  # some classes would make an empty one without a word
    return kind.from_pretrained(where, **options)


def _check_finite(model: PreTrainedModel, name: str) -> None:
    from attattr.models.quantised import finite

    for tensor, parameter in model.named_parameters():
        if not finite(parameter.data):
            raise ModelError(f"the weights of '{name}' are not finite in {tensor} ({parameter.dtype})")


def _explained(name: str, error: Exception) -> ModelError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if name in NAMES:
        return ModelError(f"the embedded model '{name}' cannot be loaded ({first}): reinstall attattr")
    if "trust_remote_code" in str(error):
        return ModelError(
            f"'{name}' brings code of its own: read it, then allow it (--trust-remote-code, in Python "
            "trust_remote_code=True)"
        )
    if Path(name).expanduser().is_dir():
        return ModelError(f"the model in '{name}' cannot be loaded: {first}")
    where = "" if hub.reachable() else "the hub cannot be reached; "
    return MissingModelError(
        f"'{name}' is neither an embedded model ({', '.join(NAMES)}) nor a folder, "
        f"and the hub does not give it: {where}{first}"
    )
