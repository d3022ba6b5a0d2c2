"""What a caller chooses from, each list once: for checks, for commands, and for files that hold a choice.

The commands' help reads them: nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Literal, get_args

Output = Literal["probability", "logit", "log_probability"]
Rule = Literal["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]
Method = Literal[Rule, "gradient"]  # gradient: no integral
Baseline = Literal["zero", "uniform"]
Kept = Literal["dense", "edges", "heads"]
Store = Literal["auto", "dense", "edges", "heads"]  # auto: dense or edges, by the number of tokens
Dtype = Literal["float32", "float64", "bfloat16", "float16"]
Precision = Literal["auto", "float32", "float64", "bfloat16", "float16"]  # auto: the checkpoint's
Bits = Literal["4bit", "8bit"]
Reduction = Literal["max", "sum", "mean_abs"]
Criterion = Literal["attattr", "taylor", "taylor_normalized", "attention", "accuracy_drop", "random"]
PrunedFormat = Literal["sliced", "masked"]
InsertInto = Literal["auto", "premise", "hypothesis", "both"]
Mining = Literal["text", "paper", "words", "pairs"]

OUTPUTS: tuple[str, ...] = get_args(Output)
RULES: tuple[str, ...] = get_args(Rule)
METHODS: tuple[str, ...] = get_args(Method)
BASELINES: tuple[str, ...] = get_args(Baseline)
KEPT: tuple[str, ...] = get_args(Kept)
STORES: tuple[str, ...] = get_args(Store)
DTYPES: tuple[str, ...] = get_args(Dtype)
BITS: tuple[str, ...] = get_args(Bits)
REDUCTIONS: tuple[str, ...] = get_args(Reduction)
CRITERIA: tuple[str, ...] = get_args(Criterion)
PRUNED_FORMATS: tuple[str, ...] = get_args(PrunedFormat)
INSERT_INTO: tuple[str, ...] = get_args(InsertInto)
MININGS: tuple[str, ...] = get_args(Mining)
