"""Sentences of the library in the words of the command line: --tol for tol, --any-model for any_model."""

from __future__ import annotations

import re

# what the library says, as a regular expression, and what the command line calls it; in this order
WORDS = (
    (r"any_model=True, --any-model", "--any-model"),
    (r"delete the folder, --fresh", "--fresh"),
    (r"--trust-remote-code, in Python trust_remote_code=True", "--trust-remote-code"),
    (r"make the result with store='dense'", "make the result with attattr explain --store dense --save"),
    (r"n_steps of (\w+), if not 'auto',", r"--n-steps for \1"),
    (
        r"n_steps='auto' goes with \w+; give (\w+) a number",
        r"--method \1 needs a number: --n-steps 64",
    ),
    (r"use the uniform baseline", "use --baseline uniform"),
    (r"\b(store|output|method|baseline|spans)='(\w+)'", r"--\1 \2"),
    (r"\binternal_batch_size\b", "--batch-size"),
    (r"\bmemory_budget\b", "--memory-budget"),
    (r"\bn_steps\b", "--n-steps"),
    (r"\bmax_new_tokens\b", "--max-new-tokens"),
    (r"(?<![\w-])tol\b", "--tol"),
    (r"\btrust_remote_code\b", "--trust-remote-code"),
)


def worded(sentence: str) -> str:
    """On one line, and as the command line speaks.

    >>> worded("give a larger tol, or n_steps; use output='logit'")
    'give a larger --tol, or --n-steps; use --output logit'
    """
    for said, option in WORDS:
        sentence = re.sub(said, option, sentence)
    return " ".join(sentence.split())
