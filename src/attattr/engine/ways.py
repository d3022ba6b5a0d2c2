"""How a model's forwards are taken over: found out once of each model, and then passed along.

What was found out holds for the modules and the precision it was found with; of a model that was changed it
is found out anew.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

# what a model may raise that cannot be computed in some way
CANNOT = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


@dataclass(frozen=True)
class Ways:
    """What was found out about a model.

    >>> Ways(softmax=False)
    Ways(softmax=False, replay=True, fuse=True, together=None, ending=None, again=None, proven=False)
    """

    softmax: bool  # its attention is seen at its softmaxes, not where it asks transformers for it
    replay: bool = True  # blocks below a site hand on what they gave, instead of being run again
    fuse: bool = True  # calls that are only passed through may use torch's fused attention
    together: bool | None = None  # rows of several sites may go up in one forward; None: not tried
    ending: bool | None = None  # also where the last block is computed on some rows
    again: bool | None = None  # blocks may be computed again on the way back; None: not tried
    proven: bool = False  # so taken over, it gives what it gave: shortcuts.proven_ways


_known: weakref.WeakKeyDictionary[PreTrainedModel, tuple[Any, Ways]] = weakref.WeakKeyDictionary()


def known(model: PreTrainedModel) -> Ways | None:
    """What was found out about this model as it is."""
    of, ways = _known.get(model, (None, None))
    return ways if of == _made_of(model) else None


def remember(model: PreTrainedModel, ways: Ways) -> None:
    """Known from now on, for as long as the model lives and stays what it is."""
    _known[model] = _made_of(model), ways


def _made_of(model: PreTrainedModel) -> Any:
    return model.dtype, [(id(module), type(module)) for module in model.modules()]
