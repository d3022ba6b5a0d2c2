"""A block whose activations are computed again on the way back, instead of being kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch.utils.checkpoint import checkpoint


def checkpointed(
    forward: Callable,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    within: Callable[[], AbstractContextManager],
) -> Any:
    """forward(*args, **kwargs), of which only what goes in and comes out is held until the backward.

    within: the `with` it is run in, now and again on the way back, which may be in another thread.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        with within():
            return forward(*args, **kwargs)

    # nothing is drawn at random in evaluation mode
    return checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
