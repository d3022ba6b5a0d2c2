"""transformers, and accelerate below it, without reports, bars and warnings, and then as they were."""

from __future__ import annotations

import contextlib
import logging as python
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No load reports, progress bars of weights (downloads keep theirs) or warnings; then as before."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    verbosity, bar, downloads = (
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
        not are_progress_bars_disabled(),
    )
    below = python.getLogger("accelerate")
    level = below.level
    try:
        below.setLevel(python.ERROR)
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        if downloads:
            enable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        below.setLevel(level)
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
