"""Which attention edges inside a transformer made this prediction, and what follows from it.

The public names are here; each is imported when it is first used, so that `import attattr` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attattr.attribute import Attributor as Attributor
    from attattr.check import Check as Check
    from attattr.check import check_model as check_model
    from attattr.data import Example as Example
    from attattr.data import read_examples as read_examples
    from attattr.errors import AttAttrError as AttAttrError
    from attattr.errors import FileFormatError as FileFormatError
    from attattr.errors import InputError as InputError
    from attattr.errors import ModelError as ModelError
    from attattr.errors import UnsupportedModelError as UnsupportedModelError
    from attattr.evaluate import Evaluation as Evaluation
    from attattr.evaluate import evaluate_model as evaluate_model
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

__version__ = "0.1.0"

_HOMES = {
    "attribute": ("Attributor",),
    "check": ("Check", "check_model"),
    "data": ("Example", "read_examples"),
    "errors": ("AttAttrError", "FileFormatError", "InputError", "ModelError", "UnsupportedModelError"),
    "evaluate": ("Evaluation", "evaluate_model"),
    "result": ("Attribution", "Axis", "Edge", "Edges", "Prediction", "Site", "Target"),
    "run_folder": ("Run", "open_run"),
    "runs": ("attribute_data",),
    "shards": ("Work",),
    "storage": ("load",),
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
