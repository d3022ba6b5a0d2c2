"""Loading a model: embedded by name, a local folder, or a hub id. Always a plain PreTrainedModel."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.disk import digests
from attattr.errors import AttAttrError, InputError, MissingModelError, ModelError
from attattr.models import embedded, hub
from attattr.models.embedded import BASE, BASE_FILES, NAMES, base_folder
from attattr.models.heads import DOES, HEADS, head_of, reading
from attattr.models.place import named_dtype, place_for
from attattr.models.prompts import check_kind
from attattr.models.quiet import quiet
from attattr.models.sliced import is_pruned, shrunk_class

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

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
        dtype: "float32" (None), "float64", "bfloat16" or "float16".
        labels: names of the classes in index order ("a,b,c"), in place of the model's own.

    Raises:
        ModelError: not found, corrupted, not finite, or without a head that can be explained.
        InputError: an option that cannot be used.
    """
    asked.path(name, "the model")
    name = str(name)
    asked.flag(trust_remote_code, "trust_remote_code")
    if revision is not None:
        asked.instance(revision, str, "the revision")
    precision = named_dtype(dtype)
    place = place_for(device, precision)
    folder = Path(name).expanduser()
    local = name in NAMES or folder.is_dir()
    if local and revision is not None:
        raise InputError(f"'{name}' is no model of the hub: it has no revision '{revision}'")
    try:
        with quiet():
            if name in NAMES:
                loaded = _adapter(str(embedded.checked_adapter(name)), name, {}, is_embedded=True)
            elif local:
                loaded = _from(str(folder), name, {"trust_remote_code": trust_remote_code}, precision)
            elif name.startswith((".", "/", "~")) or name.count("/") > 1:
                raise MissingModelError(
                    f"there is no folder '{name}'; the embedded models are {', '.join(NAMES)}"
                )
            else:
                loaded = _from_hub(name, revision, trust_remote_code, precision)
        model: Any = loaded.model  # torch's own types of `to` do not fit transformers' wrapper
        model.to(device=place, dtype=precision).eval()
    except AttAttrError:
        raise
    except Exception as error:  # files, network, JSON, safetensors, shapes, memory: no common base
        raise _explained(name, error) from error
    if not loaded.info.embedded:  # else its digest says what it is
        _check_finite(loaded.model, name)
    if labels is not None:
        _rename(loaded.model, labels, name)
    if loaded.tokenizer is None:
        warnings.warn(f"'{name}' has no tokenizer: it takes ready tensors, but no texts", stacklevel=2)
    return loaded


def _from_hub(name: str, revision: str | None, trust: bool, dtype: torch.dtype) -> Loaded:
    from transformers.utils import find_adapter_config_file

    asked = {"revision": revision, "local_files_only": not hub.reachable()}
    adapter = find_adapter_config_file(name, **asked)  # type: ignore[arg-type]
    if adapter:
        return _adapter(name, name, asked, settings=Path(adapter), trust=trust)
    return _from(name, name, asked | {"trust_remote_code": trust}, dtype)


def _from(where: str, name: str, options: dict[str, Any], dtype: torch.dtype) -> Loaded:
    """A whole model, or (in a folder) an adapter."""
    import transformers

    folder = Path(where)
    if (folder / "adapter_config.json").is_file():
        return _adapter(where, name, {}, trust=options["trust_remote_code"])
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise MissingModelError(f"the folder '{name}' has neither a config.json nor an adapter_config.json")
    config = transformers.AutoConfig.from_pretrained(where, **options)
    auto = head_of(config, name)
    # the config's own commit: what is loaded next cannot be of another one
    commit = getattr(config, "_commit_hash", None)
    if commit is None and not folder.is_dir():  # a class of the model's own does not note it
        stored = _cached(where, options["revision"])
        commit = stored.name if stored else None
    options = options | ({"revision": commit} if commit else {})
    kind = getattr(transformers, auto)
    if is_pruned(folder):  # in place of the code in its folder, which does the same
        kind = shrunk_class(getattr(transformers, str((config.architectures or [""])[0])))
    options_of = options | {"config": config, "dtype": dtype, "output_loading_info": True}
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
    cached = folder if folder.is_dir() else _cached(where, commit)
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
    *,
    settings: Path | None = None,
    trust: bool = False,
    is_embedded: bool = False,
) -> Loaded:
    """A PEFT adapter merged into its base, in float32."""
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
        of_base["local_files_only"] = not hub.reachable()
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
        labels = card.get("labels") or _labels(config, _own_names(where, options), classes)
        if len(labels) != classes:
            raise ModelError(f"the card of '{name}' names {', '.join(labels)}, yet it has {classes} classes")
        _set_labels(config, labels)
    # a fresh head and fresh factors draw random numbers before they are replaced
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = getattr(transformers, auto).from_pretrained(
            start, config=config, dtype=torch.float32, **of_base
        )
        if not is_embedded:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, where, **options).float().merge_and_unload()
    if is_embedded:
        embedded.merge(model, weights, asked["lora_alpha"], asked["r"])
    if missing := [str(w.message) for w in said if "missing adapter keys" in str(w.message)]:
        raise ModelError(
            f"the adapter '{name}' does not fit its base {base}: {missing[0].splitlines()[0][:200]}"
        )
    model.requires_grad_(True)  # PEFT had frozen it
    own = (folder / "tokenizer_config.json").is_file()
    at = Path(start) if Path(start).is_dir() else _cached(start, getattr(config, "_commit_hash", None))
    file = folder / "adapter_model.safetensors"
    info = ModelInfo(
        name,
        revision=settings.parent.name if settings else None,  # the snapshot's folder is the commit
        digest=BASE_FILES["model.safetensors"] if known else digests.of_weights(at),
        adapter_digest=digests.sha256(file) if file.is_file() else None,
        tokenizer_digest=digests.of_tokenizer(folder if own else at),
        base=base,
        embedded=is_embedded,
        pair=card.get("pair"),
    )
    of_own = options | {"trust_remote_code": trust}
    return Loaded(model, _tokenizer(auto, where if own else start, of_own if own else of_base), info)


def _own_names(where: str, options: dict[str, Any]) -> dict[str, Any]:
    """id2label of a config that was saved beside an adapter; empty where there is none."""
    from transformers.utils import cached_file

    file = cached_file(
        where, "config.json", _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False, **options,
    )  # fmt: skip
    facts = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    return facts.get("id2label") or {} if isinstance(facts, dict) else {}


def _labels(config: PreTrainedConfig, own: dict[str, Any], classes: int) -> list[str]:
    """Names of an adapter's classes: as its own config has them, or its base's that has as many."""
    base: Any = config.id2label or {}
    for named in (own, base):
        by_index = {int(i): str(name) for i, name in named.items()}
        if sorted(by_index) == list(range(classes)):
            return [by_index[i] for i in range(classes)]
    return [f"LABEL_{i}" for i in range(classes)]


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


def _rename(model: PreTrainedModel, labels: str | Sequence[str], name: str) -> None:
    given = labels.split(",") if isinstance(labels, str) else asked.listed(labels, str, "the labels")
    names = [label.strip() for label in given]
    if (gives := reading(model)) not in ("classes", "labels"):
        raise InputError(f"'{name}' {DOES[gives]}: it has no labels to rename")
    id2label: Any = model.config.id2label
    own = [id2label[i] for i in sorted(id2label)]
    if len(names) != len(own) or len(set(names)) < len(names) or not all(names):
        raise InputError(
            f"the labels {', '.join(names)} cannot name the {len(own)} classes of '{name}': {', '.join(own)}"
        )
    _set_labels(model.config, names)


def _set_labels(config: PreTrainedConfig, labels: Sequence[str]) -> None:
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}


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


def _cached(name: str, commit: str | None) -> Path | None:
    """The folder of the hub's cache that holds a model."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "config.json", revision=commit)
    return Path(path).parent if isinstance(path, str) else None
