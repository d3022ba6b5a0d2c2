"""What the classes of a model are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.errors import InputError
from attattr.models.heads import DOES, reading

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def own_names(where: str, options: dict[str, Any]) -> dict[str, Any]:
    """id2label of a config that was saved beside an adapter; empty where there is none."""
    from transformers.utils import cached_file

    file = cached_file(
        where, "config.json", _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False, **options,
    )  # fmt: skip
    facts = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    return facts.get("id2label") or {} if isinstance(facts, dict) else {}


def labels_of(config: PreTrainedConfig, own: dict[str, Any], classes: int) -> list[str]:
    """Names of an adapter's classes: as its own config has them, or its base's that has as many."""
    base: Any = config.id2label or {}
    for named in (own, base):
        by_index = {int(i): str(name) for i, name in named.items()}
        if sorted(by_index) == list(range(classes)):
            return [by_index[i] for i in range(classes)]
    return [f"LABEL_{i}" for i in range(classes)]


def rename(model: PreTrainedModel, labels: str | Sequence[str], name: str) -> None:
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
    set_labels(model.config, names)


def set_labels(config: PreTrainedConfig, labels: Sequence[str]) -> None:
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
