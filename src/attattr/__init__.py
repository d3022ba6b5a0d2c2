"""Which attention edges inside a transformer made this prediction, and what follows from it.

The public names are here; each is imported when it is first used, so that `import attattr` is quick.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it; to import that takes longer than all the rest here
if TYPE_CHECKING:
    from typing import Any

    from attattr.data.examples import Example as Example
    from attattr.data.examples import read_examples as read_examples
    from attattr.data.run_folder import Run as Run
    from attattr.data.run_folder import open_run as open_run
    from attattr.engine.attributor import Attributor as Attributor
    from attattr.errors import AttAttrError as AttAttrError
    from attattr.errors import FileFormatError as FileFormatError
    from attattr.errors import InputError as InputError
    from attattr.errors import ModelError as ModelError
    from attattr.errors import UnsupportedModelError as UnsupportedModelError
    from attattr.generation.without import without_sources as without_sources
    from attattr.heads.effectiveness import Effectiveness as Effectiveness
    from attattr.heads.effectiveness import measure_effectiveness as measure_effectiveness
    from attattr.heads.importance import Correlation as Correlation
    from attattr.heads.importance import HeadRanking as HeadRanking
    from attattr.heads.importance import Importance as Importance
    from attattr.heads.importance import correlate as correlate
    from attattr.heads.importance import load_heads as load_heads
    from attattr.heads.importance import rank_heads as rank_heads
    from attattr.heads.prune import Pruned as Pruned
    from attattr.heads.prune import heads_to_keep as heads_to_keep
    from attattr.heads.prune import prune_model as prune_model
    from attattr.heads.prune_curves import PruneCurves as PruneCurves
    from attattr.heads.prune_curves import prune_curves as prune_curves
    from attattr.measure.accuracy import Evaluation as Evaluation
    from attattr.measure.accuracy import evaluate_model as evaluate_model
    from attattr.measure.check import Check as Check
    from attattr.measure.check import check_model as check_model
    from attattr.measure.effects import measure_effects as measure_effects
    from attattr.measure.faithfulness import Faithfulness as Faithfulness
    from attattr.measure.faithfulness import measure_faithfulness as measure_faithfulness
    from attattr.measure.masks import Mask as Mask
    from attattr.models.sliced import load_pruned as load_pruned
    from attattr.models.sliced import write_pruned as write_pruned
    from attattr.result.attribution import Attribution as Attribution
    from attattr.result.effects import Effects as Effects
    from attattr.result.file import load as load
    from attattr.result.flow import Flow as Flow
    from attattr.result.flow import FlowEdge as FlowEdge
    from attattr.result.flow import FlowSite as FlowSite
    from attattr.result.flow import build_flow as build_flow
    from attattr.result.generation import Generation as Generation
    from attattr.result.generation import Source as Source
    from attattr.result.generation import SourceTable as SourceTable
    from attattr.result.generation import Span as Span
    from attattr.result.several import Attributions as Attributions
    from attattr.result.taken_out import TakenOut as TakenOut
    from attattr.result.tree import AttributionTree as AttributionTree
    from attattr.result.tree import Reach as Reach
    from attattr.result.tree import TreeEdge as TreeEdge
    from attattr.result.tree import build_tree as build_tree
    from attattr.result.tree import merge_words as merge_words
    from attattr.result.tree import receptive_field as receptive_field
    from attattr.result.values import Axis as Axis
    from attattr.result.values import Edge as Edge
    from attattr.result.values import Edges as Edges
    from attattr.result.values import Prediction as Prediction
    from attattr.result.values import Site as Site
    from attattr.result.values import Target as Target
    from attattr.runs.run import attribute_data as attribute_data
    from attattr.runs.shard import Work as Work
    from attattr.triggers.attack import attack_model as attack_model
    from attattr.triggers.attacked import Attack as Attack
    from attattr.triggers.mine import mine_triggers as mine_triggers
    from attattr.triggers.pattern import Pattern as Pattern
    from attattr.triggers.pattern import PatternToken as PatternToken
    from attattr.triggers.pattern import read_patterns as read_patterns

__version__ = "0.1.0"

_HOMES = {
    "triggers.attack": ("attack_model",),
    "triggers.attacked": ("Attack",),
    "engine.attributor": ("Attributor",),
    "result.several": ("Attributions",),
    "measure.check": ("Check", "check_model"),
    "data.examples": ("Example", "read_examples"),
    "heads.effectiveness": ("Effectiveness", "measure_effectiveness"),
    "measure.effects": ("measure_effects",),
    "result.effects": ("Effects",),
    "errors": ("AttAttrError", "FileFormatError", "InputError", "ModelError", "UnsupportedModelError"),
    "measure.accuracy": ("Evaluation", "evaluate_model"),
    "measure.faithfulness": ("Faithfulness", "measure_faithfulness"),
    "heads.importance": ("Correlation", "HeadRanking", "Importance", "correlate", "load_heads", "rank_heads"),
    "measure.masks": ("Mask",),
    "triggers.pattern": ("Pattern", "PatternToken", "read_patterns"),
    "heads.prune": ("Pruned", "heads_to_keep", "prune_model"),
    "models.sliced": ("load_pruned", "write_pruned"),
    "heads.prune_curves": ("PruneCurves", "prune_curves"),
    "result.attribution": ("Attribution",),
    "result.values": ("Axis", "Edge", "Edges", "Prediction", "Site", "Target"),
    "data.run_folder": ("Run", "open_run"),
    "runs.run": ("attribute_data",),
    "runs.shard": ("Work",),
    "result.file": ("load",),
    "result.flow": ("Flow", "FlowEdge", "FlowSite", "build_flow"),
    "result.generation": ("Generation", "Source", "SourceTable", "Span"),
    "result.taken_out": ("TakenOut",),
    "generation.without": ("without_sources",),
    "result.tree": ("AttributionTree", "Reach", "TreeEdge", "build_tree", "merge_words", "receptive_field"),
    "triggers.mine": ("mine_triggers",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [*sorted(_HOME), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attattr' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(f"attattr.{_HOME[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return __all__
