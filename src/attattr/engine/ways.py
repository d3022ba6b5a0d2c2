"""How a model's forwards are taken over: found out once of each model, and then passed along."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Ways:
    """What was found out about a model.

    >>> Ways(softmax=False)
    Ways(softmax=False, replay=True, fuse=True, proven=False)
    """

    softmax: bool  # its attention is seen at its softmaxes, not where it asks transformers for it
    replay: bool = True  # blocks below a site hand on what they gave, instead of being run again
    fuse: bool = True  # calls that are only passed through may use torch's fused attention
    proven: bool = False  # so taken over, it gives what it gave: shortcuts.proven_ways


_known: weakref.WeakKeyDictionary[nn.Module, Ways] = weakref.WeakKeyDictionary()


def known(model: nn.Module) -> Ways | None:
    """What was found out about this model before."""
    return _known.get(model)


def remember(model: nn.Module, ways: Ways) -> Ways:
    """The same ways, known from now on for as long as the model lives."""
    _known[model] = ways
    return ways
