"""How fast, how exact, how close to the machine's limit: attattr beside what a user would otherwise run.

    OMP_NUM_THREADS=1 python benchmarks/speed.py       # all sections; results in benchmarks/speed.json
    python benchmarks/speed.py --only single,flops     # some; the others keep their figures, and their dates

Every time is a ratio of one run: the opponents take turns. With one thread it is the thread's own time, so
that other work on the machine lengthens it little. Opponents whose cost is the same at every step and falls
evenly from the lowest site to the highest (the literal algorithm, Captum) are timed at these two and some
steps, and multiplied; by how much stands in the results.
Sections: trained, equal, limit, single, causal, error, throughput, flops, memory, first.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import first_look
import literal
import numpy as np
import torch
import transformers
from opponents import HALF, at_both_ends, captum_site, clock, literal_site, turns
from speed_page import document, ratio
from trained import equal, limit, trained

from attattr import Attributor
from attattr.data.examples import read_examples

OUT = Path(__file__).with_suffix(".json")
DOCUMENT = OUT.parents[1] / "docs" / "benchmarks.md"
TURNS = 3
LIMIT = 10 << 30  # bytes of memory that a process may ask for in `memory`


def bert_base(positions: int = 512) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = transformers.BertConfig(max_position_embeddings=positions, num_labels=3)
    return transformers.BertForSequenceClassification(config).eval().requires_grad_(False)


def tokens(model: transformers.PreTrainedModel, n: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(1000, model.config.vocab_size, (n,), generator=torch.Generator().manual_seed(n))
    return {"input_ids": ids}


def beside(
    model, example: dict[str, torch.Tensor], padded: dict | None = None, captum: bool = True,
    count: int = TURNS,
) -> dict:  # fmt: skip
    """One input: ours with automatic nodes and the error estimate, the paper's rule, the authors', Captum."""
    attributor = Attributor(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = attributor.attribute(example, store="edges")
    sites, n = len(result.sites), len(result.tokens)
    (target,) = result.target.index
    steps = 16 if n < 256 else 4 if n < 1024 else 2

    def read(outputs) -> torch.Tensor:
        logits = outputs.logits if outputs.logits.ndim == 2 else outputs.logits[:, -1]
        return logits.softmax(-1)[:, target]

    def ours(attributor: Attributor) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attributor.attribute(example, store="dense" if n < 1024 else "edges")

    def theirs(of: Callable, example: dict, count: int) -> tuple[Callable[[], None], float]:
        at_once = min(count, steps)
        return at_both_ends(of, model, example, at_once, read, sites), sites * count / at_once / 2

    contestants: dict[str, tuple[Callable[[], object], float]] = {
        "attattr": (lambda: ours(attributor), 1.0),
        "authors' rule (64 left)": theirs(literal_site, example, 64),
        "paper's rule (20 right)": theirs(literal_site, example, 20),
    }
    if HALF:
        half = Attributor(copy.deepcopy(model).to(torch.bfloat16))
        contestants["attattr, bfloat16"] = (lambda: ours(half), 1.0)
    if captum:
        for many in (20, 50):
            contestants[f"Captum, {many} steps"] = theirs(captum_site, example, many)
    if padded is not None:
        contestants["authors' rule, padded to 128"] = theirs(literal_site, padded, 64)
    nodes = sorted({site.n_steps for site in result.sites})
    return {"n": n, "sites": sites, "nodes": nodes, "steps_timed": steps} | turns(contestants, count)


def single(data: Path) -> list[dict]:
    model = bert_base()
    # a random model with weights of BERT's usual size is nearly linear: four nodes do
    return [
        beside(model, tokens(model, n), tokens(model, 128) if n < 128 else None, captum=n <= 128)
        for n in (32, 128, 512)
    ]


def causal(data: Path) -> dict:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=2000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=4,
        num_attention_heads=16, num_key_value_heads=4,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval().requires_grad_(False)
    return beside(model, tokens(model, 1024), captum=False)


def error(data: Path, count: int = 40) -> dict:
    """Relative L1 distance of all scores from 40 Gauss nodes, on real inputs of the embedded models."""
    rules: dict[str, dict] = {
        "attattr (auto)": {},
        "attattr (auto), bfloat16": {"half": True},
        "authors' rule (64 left)": {"method": "riemann_left", "n_steps": 64},
        "paper's rule (20 right)": {"method": "riemann_right", "n_steps": 20},
    }
    found = {}
    for name, file in (("sst2", "sst2_dev"), ("mnli", "mnli_dev_matched")):
        attributor = Attributor.from_pretrained(name)
        half = Attributor.from_pretrained(name, dtype="bfloat16")
        examples, _ = read_examples(data / f"{file}.tsv.gz", limit=count, seed=0)
        reference = attributor.attribute(examples, n_steps=40)
        target = [result.target.index[0] for result in reference]
        of = {}
        for rule, options in copy.deepcopy(rules).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                used = half if options.pop("half", False) else attributor
                results = used.attribute(examples, target=target, **options)
            errors = [
                float(np.abs(a.scores - b.scores).sum() / np.abs(b.scores).sum())
                for a, b in zip(results, reference, strict=True)
            ]
            of[rule] = {"median": statistics.median(errors), "max": max(errors)}
        found[name] = of | {"inputs": count}
    return found


def throughput(data: Path) -> dict:
    """Inputs a second of whole shards, beside the authors' algorithm one padded input at a time."""
    from attattr.runs.shard import Work, make_shard

    found = {}
    for name, file in (("sst2", "sst2_dev"), ("mnli", "mnli_dev_matched")):
        ours = {"attattr": Attributor.from_pretrained(name)}
        if HALF:
            ours["attattr, bfloat16"] = Attributor.from_pretrained(name, dtype="bfloat16")
        exact = ours["attattr"]
        exact.model.requires_grad_(False)
        examples, _ = read_examples(data / f"{file}.tsv.gz", limit=TURNS * 128, seed=0)
        for each in ours.values():
            make_shard(each, examples[:8], 0, Work())
        seconds: dict[str, list[float]] = {who: [] for who in (*ours, "literal")}  # an input
        for turn in range(TURNS):
            rows = examples[turn * 128 : turn * 128 + 128]
            for who, each in ours.items():
                began = clock()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    make_shard(each, rows, 0, Work())
                seconds[who].append((clock() - began) / len(rows))
            began = clock()
            for example in rows[:2]:
                literal.attribute(exact.model, exact.tokenizer, example.text, example.text_pair)
            seconds["literal"].append((clock() - began) / 2)
        found[name] = {
            who: {
                "ratio": ratio({"seconds": seconds}, "literal", who),
                "inputs_a_second": 1 / statistics.median(seconds[who]),
            }
            for who in ours
        }
    return found


def flops(data: Path) -> dict:
    """FLOP/s of an attribution over that of plain matrix products of the model's shapes, in turns."""
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    model, n = bert_base(), 128
    attributor, example = Attributor(model), tokens(model, n)
    attributor.attribute(example)
    with FlopCounterMode(display=False) as counter:
        attributor.attribute(example)
    total = counter.get_total_flops()
    hidden, inner = model.config.hidden_size, model.config.intermediate_size
    a, b, c = torch.randn(4 * n, hidden), torch.randn(hidden, inner), torch.randn(hidden, hidden)
    shares = []
    for _ in range(TURNS):
        began = clock()
        attributor.attribute(example)
        ours = total / (clock() - began)
        began = clock()
        for _ in range(20):  # a layer's: four of hidden × hidden, two of hidden × inner
            for _ in range(4):
                a @ c
            (a @ b) @ b.T
        peak = 20 * 2 * a.shape[0] * (4 * hidden * hidden + 2 * hidden * inner) / (clock() - began)
        shares.append(ours / peak)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        attributor.attribute(example)
    times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    largest = sorted(times, key=lambda name: -times[name])[:8]
    return {
        "profile": {name.removeprefix("aten::"): times[name] / sum(times.values()) for name in largest},
        "flop": total,
        "gemm_flop_a_second": peak,
        "share": {"median": statistics.median(shares), "min": min(shares), "max": max(shares)},
    }


def memory(data: Path) -> list[dict]:
    """Peak of a process with at most LIMIT bytes of its own that attributes one input, by its length."""
    found = []
    for who in ("attattr", "literal"):
        for n in (256, 512, 1024, 2048, 4096):
            here = f"import sys; sys.path.insert(0, {str(OUT.parent)!r}); "
            program = here + f"import speed; speed.one_long_input({n}, {who!r})"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
            facts = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": True}
            found.append({"who": who, "n": n} | facts)
            print(json.dumps(found[-1]), flush=True)
            if done.returncode:
                break
    return found


def one_long_input(n: int, who: str) -> None:
    """In a process of its own: all nodes of the lowest and the highest site; a single step of the literal
    algorithm at the lowest."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    model = bert_base(positions=n)
    example = tokens(model, n)
    began = time.perf_counter()
    if who == "attattr":
        Attributor(model).attribute(example, store="edges", layers=[0, 11])
    else:
        literal_site(model, example, 1, lambda outputs: outputs.logits.softmax(-1)[:, 0], 0)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({"peak_bytes": peak, "seconds": time.perf_counter() - began}))


def first(data: Path) -> dict:
    """How much of the truth a first look finds, at which share of the time."""
    return first_look.looks(data / "mnli_dev_matched.tsv.gz", "mnli", 200)


SECTIONS = {
    of.__name__: of
    for of in (trained, equal, limit, single, causal, error, throughput, flops, memory, first)
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", default=",".join(SECTIONS))
    args = parser.parse_args()
    chosen = args.only.split(",")
    if set(chosen) - SECTIONS.keys():
        parser.error(f"the sections are {', '.join(SECTIONS)}")
    results = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    results["machine"] = {
        "torch": torch.__version__, "machine": platform.machine(), "threads": torch.get_num_threads(),
        "bfloat16": HALF,
    }  # fmt: skip
    for name in chosen:
        print(f"== {name}", flush=True)
        began, spent = time.perf_counter(), time.process_time()
        results[name] = SECTIONS[name](args.data)
        share = (time.process_time() - spent) / (time.perf_counter() - began) / torch.get_num_threads()
        # of a section that starts processes of its own the share says nothing
        results.setdefault("when", {})[name] = {"date": date.today().isoformat()} | (
            {} if name == "memory" else {"share": round(share, 2)}
        )
        print(json.dumps(results[name]), flush=True)
        OUT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        DOCUMENT.write_text(document(results), encoding="utf-8")


if __name__ == "__main__":
    main()
