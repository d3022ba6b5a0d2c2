"""Which attention edges inside a transformer made this prediction, and what follows from it.

The public names are here; each is imported when it is first used, so that `import attattr` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attattr.attack import attack_model as attack_model
    from attattr.attack_result import Attack as Attack
    from attattr.attribute import Attributor as Attributor
    from attattr.attributions import Attributions as Attributions
    from attattr.check import Check as Check
    from attattr.check import check_model as check_model
    from attattr.data import Example as Example
    from attattr.data import read_examples as read_examples
    from attattr.effectiveness import Effectiveness as Effectiveness
    from attattr.effectiveness import measure_effectiveness as measure_effectiveness
    from attattr.effects import Effects as Effects
    from attattr.effects import measure_effects as measure_effects
    from attattr.errors import AttAttrError as AttAttrError
    from attattr.errors import FileFormatError as FileFormatError
    from attattr.errors import InputError as InputError
    from attattr.errors import ModelError as ModelError
    from attattr.errors import UnsupportedModelError as UnsupportedModelError
    from attattr.evaluate import Evaluation as Evaluation
    from attattr.evaluate import evaluate_model as evaluate_model
    from attattr.faithfulness import Faithfulness as Faithfulness
    from attattr.faithfulness import measure_faithfulness as measure_faithfulness
    from attattr.heads import Correlation as Correlation
    from attattr.heads import HeadRanking as HeadRanking
    from attattr.heads import Importance as Importance
    from attattr.heads import correlate as correlate
    from attattr.heads import load_heads as load_heads
    from attattr.heads import rank_heads as rank_heads
    from attattr.masks import Mask as Mask
    from attattr.patterns import Pattern as Pattern
    from attattr.patterns import PatternToken as PatternToken
    from attattr.patterns import read_patterns as read_patterns
    from attattr.prune import Pruned as Pruned
    from attattr.prune import heads_to_keep as heads_to_keep
    from attattr.prune import prune_model as prune_model
    from attattr.pruned_model import load_pruned as load_pruned
    from attattr.pruned_model import write_pruned as write_pruned
    from attattr.pruning import PruneCurves as PruneCurves
    from attattr.pruning import prune_curves as prune_curves
    from attattr.result import Attribution as Attribution
    from attattr.result import Axis as Axis
    from attattr.result import Edge as Edge
    from attattr.result import Edges as Edges
    from attattr.result import Prediction as Prediction
    from attattr.result import Site as Site
    from attattr.result import Target as Target
    from attattr.run_folder import Run as Run
    from attattr.run_folder import open_run as open_run
    from attattr.runs import attribute_data as attribute_data
    from attattr.shards import Work as Work
    from attattr.storage import load as load
    from attattr.tree import AttributionTree as AttributionTree
    from attattr.tree import Reach as Reach
    from attattr.tree import TreeEdge as TreeEdge
    from attattr.tree import build_tree as build_tree
    from attattr.tree import merge_words as merge_words
    from attattr.tree import receptive_field as receptive_field
    from attattr.triggers import mine_triggers as mine_triggers

__version__ = "0.1.0"

_HOMES = {
    "attack": ("attack_model",),
    "attack_result": ("Attack",),
    "attribute": ("Attributor",),
    "attributions": ("Attributions",),
    "check": ("Check", "check_model"),
    "data": ("Example", "read_examples"),
    "effectiveness": ("Effectiveness", "measure_effectiveness"),
    "effects": ("Effects", "measure_effects"),
    "errors": ("AttAttrError", "FileFormatError", "InputError", "ModelError", "UnsupportedModelError"),
    "evaluate": ("Evaluation", "evaluate_model"),
    "faithfulness": ("Faithfulness", "measure_faithfulness"),
    "heads": ("Correlation", "HeadRanking", "Importance", "correlate", "load_heads", "rank_heads"),
    "masks": ("Mask",),
    "patterns": ("Pattern", "PatternToken", "read_patterns"),
    "prune": ("Pruned", "heads_to_keep", "prune_model"),
    "pruned_model": ("load_pruned", "write_pruned"),
    "pruning": ("PruneCurves", "prune_curves"),
    "result": ("Attribution", "Axis", "Edge", "Edges", "Prediction", "Site", "Target"),
    "run_folder": ("Run", "open_run"),
    "runs": ("attribute_data",),
    "shards": ("Work",),
    "storage": ("load",),
    "tree": ("AttributionTree", "Reach", "TreeEdge", "build_tree", "merge_words", "receptive_field"),
    "triggers": ("mine_triggers",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [*sorted(_HOME), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attattr' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"attattr.{_HOME[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return __all__
