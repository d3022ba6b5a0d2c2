"""Every model type of the installed transformers that has a head we explain: does the engine hold on it?

    python tests/sweep.py --json sweep.json --table docs/models.md     # all of them; goes on where it ended
    python tests/sweep.py --only bert --json /tmp/some.json            # those whose name contains "bert"

A tiny model with random weights in float64 is made from each config and put through `examine`. Each runs
in a process of its own, with a limit of time and memory, so that none can end the sweep.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from attattr import Attributor, UnsupportedModelError
from attattr.disk import files
from attattr.engine.capture import Capture
from attattr.engine.resumed import Part
from attattr.measure.check import made_up_batch  # noqa: F401  # loads what the children would each load again
from every_model import HEADS, SweepError, make, pairs, plain, sentence

SECONDS, GIGABYTES = 200, 16  # limits of one model
TOLERANCE = 1e-4  # of Σ|Attr|
# Σ|Attr| below which a gap is judged against this instead: so much is rounding
SMALLEST = {torch.float64: 1e-8, torch.float32: 1e-2}

# why, of what is not covered
REASONS = {
    "no attention: convolutions": """
        bit convnext convnextv2 efficientnet hgnet_v2 mobilenet_v1 mobilenet_v2 pp_lcnet regnet resnet textnet
    """,
    "no attention: Fourier transforms": "fnet",
    "no attention: a state-space model": "falcon_mamba mamba mamba2",
    "no attention: a recurrent network": "rwkv xlstm",
    "no attention: pooling": "poolformer",
    "no attention: gated sums of convolutions": "focalnet",
    "no attention between pairs: each token is weighed once": "mobilevitv2 swiftformer",
    "its attention is computed without a softmax over keys": "mra reformer yoso",
    "two softmaxes a layer, of text and of layout, which are not told apart": "lilt",
    "its attention within parts of the image has no one set of queries and keys": "hiera mobilevit",
    "all but its last cycles run without gradients": "hrm_text",
    "jumps at zero attention, and from the uniform one no rule is complete to 1e-4: a warning says so": """
        gemma3n_text
    """,
    "reads keys and values of a larger model: it cannot run alone": """
        gemma4_assistant gemma4_unified_assistant
    """,
    "not tried: needs detectron2": "layoutlmv2",
    "not tried: needs natten": "dinat",
    "not tried: needs timm": "gemma3n timm_wrapper",
    "not tried: needs sound beside the text": "voxtral_realtime",
    "not tried: needs an image beside the text": "shieldgemma2",
    "not tried: takes images as lists of patches with their places": "siglip2",
}
REASON_OF = {kind: reason for reason, kinds in REASONS.items() for kind in kinds.split()}


class RoughError(AssertionError):
    """F is too rough on the path for the rules tried, and the results say so."""


def examine(model: Any, example: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What holds of the engine on one model: sites, baseline, nodes, worst gap; or AssertionError.

    - every site's own attention (or context) put back gives the logits of the plain, untouched model;
    - at every site |Σ Attr − (F(A) − F(A⁰))| ≤ 1e-4 · Σ|Attr|, from the zero baseline or, where the model
      normalises the attention's output and so jumps at zero, from the uniform one;
    - store="edges" gives the edges, and the sums, that store="dense" gives.
    """
    batch = {name: value[None] for name, value in example.items()}
    with torch.no_grad():
        clean = plain(model, batch)
    attributor = Attributor(model)
    dense, baseline, n_steps, gap = _complete(attributor, example)
    with Capture(model) as capture, torch.no_grad():
        full = _full(attributor, example)
        recording = capture.record(full)
        row = torch.zeros(1, dtype=torch.long)
        for number in recording.sites:
            context = recording.calls[number].context
            again = capture.resume(recording, full, [Part(number, row, context)]).logits
            off = float((again - clean).abs().max() / clean.abs().max().clamp(min=1))
            small = 1e-6 if model.dtype == torch.float64 else 1e-4
            assert off <= small, f"alpha = 1 is not the plain forward: off by {off:.0e}"
    same = {"baseline": baseline, "n_steps": n_steps, "tol": TOLERANCE / 2}
    edges = attributor.attribute(example, store="edges", **same)
    assert dense.top_edges(20) == edges.top_edges(20), "dense and edges differ"
    for one, other in zip(dense.sites, edges.sites, strict=True):
        np.testing.assert_array_equal(one.head_sum, other.head_sum)
    return {
        "sites": len(dense.sites), "left_out": list(dense.left_out), "baseline": baseline,
        "n_steps": int(max(site.n_steps for site in dense.sites)), "gap": gap,
        "replay": recording.ways.replay, "together": bool(recording.ways.together or recording.ways.ending),
        "dtype": str(model.dtype).removeprefix("torch."),
        "way": "softmax" if recording.ways.softmax else "interface",
    }  # fmt: skip


def _full(attributor: Attributor, example: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch as the engine makes it, attention mask and all."""
    from attattr.data.encoding import collate, encode
    from attattr.data.examples import as_examples

    return collate(encode(attributor.model, None, as_examples([example])), 0)


def _complete(attributor: Attributor, example: dict[str, torch.Tensor]) -> tuple[Any, str, Any, float]:
    """The first of the baselines and rules under which every site is complete, its result and its gap."""
    worst, least = [], SMALLEST[attributor.model.dtype]
    for baseline in ("zero", "uniform"):
        for n_steps in ("auto", 200, 1000):
            result = attributor.attribute(example, baseline=baseline, n_steps=n_steps, tol=TOLERANCE / 2)
            totals = [float(np.abs(site.scores).sum()) for site in result.sites]
            gaps = [
                abs(site.completeness_gap) / max(total, least)
                for site, total in zip(result.sites, totals, strict=True)
            ]
            assert np.isfinite(totals).all(), "scores are not finite"
            said = all(not s.converged for s, gap in zip(result.sites, gaps, strict=True) if gap > TOLERANCE)
            assert said, "incomplete, though it is said to have converged"
            if max(gaps) <= TOLERANCE:
                if max(totals) <= 1e-8:
                    raise RoughError("no site has any influence on the output")
                return result, baseline, n_steps, max(gaps)
            worst.append(max(gaps))
    raise RoughError(f"completeness gap {min(worst):.0e} of the scores, from either baseline")


def judge(head: str, kind: str) -> dict[str, Any]:
    """One row of the sweep: `cell` is exactly "ok" or the reason.

    `outcome`: ok; unsupported (the library refuses); rough (it warns: no rule converges); sweep (the model
    could not be made, or not run); wrong and error must not remain.
    """
    began = time.perf_counter()
    row: dict[str, Any] = {"head": head, "model_type": kind}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            try:
                found = examine(*make(head, kind))
            except RoughError:
                found = examine(*make(head, kind, spread=0.06)) | {"spread": 0.06}
            row |= {"cell": "ok", "outcome": "ok"} | found
        except SweepError as error:
            row |= {"cell": sentence(error), "outcome": "sweep"}
        except UnsupportedModelError as error:
            row |= {"cell": sentence(error), "outcome": "unsupported"}
        except RoughError as error:
            row |= {"cell": sentence(error), "outcome": "rough"}
        except AssertionError as error:
            row |= {"cell": sentence(error), "outcome": "wrong"}
        except Exception as error:
            row |= {"cell": sentence(error), "outcome": "error", "trace": traceback.format_exc()[-1500:]}
    if row["outcome"] in ("unsupported", "rough", "sweep"):
        row["cell"], row["said"] = REASON_OF.get(kind, row["cell"]), row["cell"]
    return row | {"seconds": round(time.perf_counter() - began, 2)}


def judge_apart(head: str, kind: str) -> dict[str, Any]:
    """`judge` in a process of its own, with limits."""

    def work(pipe: Any) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        pipe.send(judge(head, kind))

    context = multiprocessing.get_context("fork")  # this process has run no model: a fork of it is sound
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,))
    process.start()
    theirs.close()
    row = {"head": head, "model_type": kind, "seconds": SECONDS, "outcome": "sweep"}
    try:
        row = ours.recv() if ours.poll(SECONDS) else row | {"cell": f"it takes more than {SECONDS} s"}
    except EOFError:
        row |= {"cell": "its process died (memory, or a crash)"}
    process.kill()
    process.join()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("sweep.json"))
    parser.add_argument("--table", type=Path)
    parser.add_argument("--only", help="part of a model type's name, or several with commas")
    parser.add_argument("--again", action="store_true", help="once more all that are not ok")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[tuple[str, str], dict] = {}
    before = json.loads(given.json.read_text()) if given.json.is_file() else {}
    if before.get("transformers") == transformers.__version__:
        rows = {(row["head"], row["model_type"]): row for row in before["rows"]}
    wanted = [
        pair
        for pair in pairs()
        if (not given.only or any(word in pair[1] for word in given.only.split(",")))
        and (pair not in rows or given.only or (given.again and rows[pair]["outcome"] != "ok"))
    ]
    for done, (head, kind) in enumerate(wanted, 1):
        row = rows[head, kind] = judge_apart(head, kind)
        print(f"{done}/{len(wanted)} {kind} ({head}): {row['cell']} [{row['seconds']} s]", flush=True)
        ordered = [rows[pair] for pair in pairs() if pair in rows]
        facts = {"schema_version": 1, "transformers": transformers.__version__, "torch": torch.__version__}
        files.write(given.json, json.dumps(facts | {"rows": ordered}, indent=1))
    if given.table:
        files.write(given.table, table([rows[pair] for pair in pairs() if pair in rows]))
    print(dict(Counter(row["outcome"] for row in rows.values())))


PAGE = """# Model types

Made by `make sweep` with transformers {transformers} and torch {torch}; do not edit.

**{good} of {all}** pairs of a head and a model type hold. A tiny model with seeded random weights is made
from each config, in float64, and its prediction attributed. `ok` means that, at every site,

- the scores sum to F(A) − F(A⁰) to 1e-4 of Σ|scores|, from the zero baseline or else from the uniform one,
  under `n_steps="auto"` or else 200 or 1,000 nodes ({more} of the {good} needed more than the 64 at which
  "auto" ends, at a tolerance twenty times finer than the usual one);
- the site's own attention put back gives the logits of the plain forward;
- `store="edges"` gives what `store="dense"` gives.

Any other cell is the reason: the library refuses the model with an error that names it, or warns that the
integrals have not converged; `not tried` says that no such model could be made here. — stands where
transformers has no such head.

{heads}

## Every type

{types}

## Behind an `ok`

**Seen at the softmax.** These write their attention out themselves; it is read where they take its softmax:
{softmax}.

**From the uniform baseline.** Of these the zero baseline was not complete to 1e-4 under 1,000 nodes. Some are
steep at zero attention because they normalise its output; of the others the cause was not looked for:
{uniform}.

**In float32.** The code of these does not run in float64, or overflows; where their Σ|scores| is below 0.01
the gap is judged against 0.01 instead, since so much is rounding: {single}.

**Smaller weights.** Weights have a standard deviation of 0.25; of 0.06 where F was too rough with these:
{smaller}.

**Experts.** Where a router chooses some of the experts, F jumps as the choice changes, and no rule integrates
a jump: the result says so (`converged`) and a warning is given. The mixtures here were made with every expert
chosen, but for ZAYA's, which takes one: its `ok` holds for the one input tried.

**Layers left out.** Of these some layers are not attributed, and every attribution of them warns of it.
Convolutions, state-space and linear-attention layers have no attention; attention within windows of an image
or blocks of a text, folded into the batch or put together from several softmaxes, is not read.

{left_out}
"""


def table(rows: list[dict]) -> str:
    """docs/models.md: how many hold, every model type × head, and what else has to be known."""
    cells = {(row["model_type"], row["head"]): row["cell"] for row in rows}
    good = [row for row in rows if row["cell"] == "ok"]

    def types(key: str, value: Any) -> str:
        return ", ".join(sorted({row["model_type"] for row in good if row.get(key) == value})) or "none"

    def lines(header: list[str], body: list[list[str]]) -> str:
        written = [header, ["---"] * len(header), *body]
        return "\n".join(
            "| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in written
        )

    counts = []
    for head in HEADS:
        of = [row["cell"] == "ok" for row in rows if row["head"] == head]
        counts.append([head, sum(of), len(of)])
    every = [
        [kind, *(cells.get((kind, head), "—") for head in HEADS)]
        for kind in sorted({kind for kind, _ in cells})
    ]
    left = [
        [row["model_type"], row["head"], ", ".join(row["left_out"][:3]) + " …" * (len(row["left_out"]) > 3)]
        for row in good
        if row["left_out"]
    ]
    return PAGE.format(
        transformers=transformers.__version__,
        torch=torch.__version__,
        good=len(good),
        all=len(rows),
        heads=lines(["head", "ok", "of"], counts),
        types=lines(["model type", *HEADS], every),
        softmax=types("way", "softmax"),
        smaller=types("spread", 0.06),
        more=sum(row["n_steps"] > 64 for row in good),
        uniform=types("baseline", "uniform"),
        single=types("dtype", "float32"),
        left_out=lines(["model type", "head", "left out"], left),
    )


if __name__ == "__main__":
    main()
