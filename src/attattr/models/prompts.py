"""Adapters of PEFT that are no weights: prompts and prefixes, which no token of the input stands for."""

from __future__ import annotations

from attattr.errors import UnsupportedModelError

# kinds of adapters that PEFT counts as prompt learning
PROMPTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CARTRIDGE", "CPT")


def check_kind(kind: str) -> None:
    """Of a PEFT adapter, by its name: does it change weights?

    Raises:
        UnsupportedModelError: it puts prompts or prefixes before the input instead.
    """
    if kind in PROMPTS:
        raise UnsupportedModelError(
            f"{kind} puts positions of its own before the input: no token stands for them. attattr explains "
            "adapters that change weights, such as LoRA"
        )
