"""How transformers dispatches attention and its masks: under a name of ours, to whoever handles the forward.

The only file that knows of it. A forward runs inside `handling`, in its own thread; any other of a model that
is taken over, in another thread or in between, gets the model's own plain attention.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from attattr.engine.causal import Masks
from attattr.engine.softmax import Softmaxes
from attattr.errors import UnsupportedModelError

IMPLEMENTATION = "attattr"


class Handlers(NamedTuple):
    """What the attention calls, the blocks and the masks of the running forward go through."""

    attend: Callable | None = None
    run: Callable | None = None
    softmaxes: Softmaxes | None = None  # where attention is seen, if not where the model asks for it
    masks: Masks | None = None
    by: object = None  # whose they are: the blocks of a model that is captured twice are wrapped twice


NONE = Handlers()
_now: ContextVar[Handlers | None] = ContextVar("attattr_handlers", default=None)


def now() -> Handlers:
    """What handles this thread's forward."""
    return _now.get() or NONE


@contextlib.contextmanager
def handling(handlers: Handlers) -> Iterator[None]:
    """Forwards inside go through these; then through those before."""
    token = _now.set(handlers)
    try:
        yield
    finally:
        _now.reset(token)


def _attend(module, query, key, value, attention_mask=None, *args, **kwargs):
    """What transformers calls for every attention of a captured model."""
    handlers, eager = now(), _eager(module)
    if handlers.attend is None or handlers.softmaxes is not None:
        return eager(module, query, key, value, attention_mask, *args, **kwargs)
    return handlers.attend(eager, module, query, key, value, attention_mask, *args, **kwargs)


def _mask(*args, **asked) -> Tensor | None:
    """What transformers calls for every mask: an implementation without gets none at all, silently."""
    masks = now().masks
    return eager_mask(*args, **asked) if masks is None or args else masks(asked)


AttentionInterface.register(IMPLEMENTATION, _attend)
AttentionMaskInterface.register(IMPLEMENTATION, _mask)


def _eager(module: nn.Module) -> Callable:
    """The model's own plain attention, with its soft-caps, sinks and position biases."""
    function = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if function is None:
        raise UnsupportedModelError(f"{type(module).__module__} has no eager attention to read weights from")
    return function
