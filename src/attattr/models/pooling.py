"""How sentence-transformers makes one embedding of a model's last hidden state, and of how many tokens at
most: the files that say so."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr.errors import ModelError, UnsupportedModelError
from attattr.models import hub

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# by the keys of 1_Pooling/config.json, in the order in which several are put behind one another
MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
OTHERS = {"pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken"}
PASSED = ("Transformer", "Normalize")  # steps that change nothing in the cosine of pooled states


def pooling(model: PreTrainedModel) -> tuple[str, ...]:
    """The modes by which the model's states are pooled, by `modules.json` and the pooling's config in its
    folder; ("mean",) where there are none.

    Raises:
        UnsupportedModelError: a step or a mode that attattr does not know.
        ModelError: files that cannot be read.
    """
    try:
        steps = _read(model, "modules.json") or []
        modes: tuple[str, ...] = ("mean",)
        for step in steps:
            kind = str(step["type"]).rpartition(".")[2]
            if kind == "Pooling":
                modes = _modes(_read(model, f"{step['path']}/config.json") or {})
            elif kind not in PASSED:
                raise UnsupportedModelError(
                    f"the embeddings of '{model.name_or_path}' go through a {kind}, which attattr does not "
                    "know: explain a function of its outputs"
                )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"how '{model.name_or_path}' pools cannot be read in its modules.json: {error!r}"
        ) from error
    return modes


def longest(model: PreTrainedModel) -> int | None:
    """How many tokens sentence-transformers takes, by `sentence_bert_config.json`; None: any number.

    Raises:
        ModelError: a file that cannot be read.
    """
    try:
        limit = (_read(model, "sentence_bert_config.json") or {}).get("max_seq_length")
        return None if limit is None else int(limit)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"how long a text '{model.name_or_path}' takes cannot be read in its "
            f"sentence_bert_config.json: {error!r}"
        ) from error


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    known = MODES | OTHERS
    named = config.get("pooling_mode")
    if named is None:
        found = [mode for key, mode in known.items() if config.get(key)]
    else:  # as sentence-transformers 5 and later write it
        found = [each.removesuffix("_tokens") for each in ([named] if isinstance(named, str) else named)]
    for mode in found:
        if mode not in MODES.values():
            raise UnsupportedModelError(
                f"attattr does not know the pooling {mode}: {', '.join(MODES.values())}"
            )
    return tuple(found) or ("mean",)


def _read(model: PreTrainedModel, file: str) -> Any:
    """JSON from the folder, or the hub's files, that the model is of; None: there is no such file."""
    name = model.name_or_path
    if not name:
        return None
    path: Path | None = Path(name) / file
    if not Path(name).is_dir():
        path = _of_hub(name, file, getattr(model.config, "_commit_hash", None))
    return json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else None


@functools.cache  # asking the hub takes time
def _of_hub(name: str, file: str, commit: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from transformers.utils import cached_file

    found = cached_file(
        name,
        file,
        revision=commit,
        local_files_only=not hub.reachable(),
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if found is None and try_to_load_from_cache(name, file, revision=commit) is None:
        # not known to be missing either
        warnings.warn(
            f"whether '{name}' has a {file} is not known here, and the hub does not say: its embeddings are "
            "taken for the mean over the tokens",
            stacklevel=2,
        )
    return Path(found) if found else None
