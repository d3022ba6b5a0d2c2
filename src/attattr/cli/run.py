"""attattr run: attribute a whole data set into a folder, and go on where it ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from attattr.choices import Kept
from attattr.cli import options
from attattr.errors import AttAttrError, InputError

if TYPE_CHECKING:
    from attattr.data.run_folder import Run
    from attattr.runs.run import Status


def run(
    the_data: options.TheData,
    the_model: options.TheModel,
    out: Annotated[str, typer.Option(help="Folder of the run; an unfinished one is resumed.", metavar="DIR")],
    target: Annotated[str, typer.Option(help="What to explain: predicted, gold or a label.")] = "predicted",
    store: Annotated[
        Kept, typer.Option(help="All scores, the strongest edges, or sums of heads only.")
    ] = "edges",
    output: options.Output = None,
    method: options.Method = "gausslegendre",
    refine: options.Refine = None,
    n_steps: options.Steps = "auto",
    tol: options.Tolerance = 1e-3,
    baseline: options.Baseline = "zero",
    shard_size: Annotated[
        int | None, typer.Option(min=1, help="Inputs a shard. [default: 256; 32 for dense]")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A row that cannot be used is an error.")] = False,
    engine: Annotated[str, typer.Option(help="local, or ray for many machines.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster. [default: a local one]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Ray workers, each with a model of its own.")] = 2,
    worker_gpus: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GPUs of each Ray worker; 0.5: two share one. [default: 1 where the model is on one here]",
            metavar="X",
        ),
    ] = None,
    batch_size: options.Rows = None,
    memory_budget: options.Budget = None,
    generate: Annotated[
        bool,
        typer.Option(
            "--generate",
            help='DATA has prompts ("prompt" or "messages"; perhaps "reply", "sources"): what a language '
            "model writes, and what it rests on, as for `attattr generate`.",
        ),
    ] = False,
    spans: Annotated[
        Literal["whole", "sentence", "token"], typer.Option(help="Of --generate: what replies are cut into.")
    ] = "sentence",
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Of --generate: the longest reply.", metavar="N")
    ] = 128,
    fresh: options.Fresh = False,
) -> None:
    """Attribute every row of DATA into tables in a folder; started again, it goes on where it ended.

    Example: attattr run sst2_dev.tsv.gz --model sst2 --out runs/sst2
    """
    if engine not in ("local", "ray"):
        raise InputError(f"unknown engine '{engine}': choose local or ray")
    if engine != "ray":
        options.refuse("goes with --engine ray", "ray_address", "workers", "worker_gpus")
    n_nodes = options.steps(method, n_steps)
    options.tolerance(tol)
    if generate:
        options.refuse("does not go with --generate", *NOT_GENERATED)
        how: dict[str, Any] = {"method": method, "n_steps": n_nodes, "tol": tol, "baseline": baseline}
        how |= {
            "internal_batch_size": batch_size,
            "memory_budget": options.budget(memory_budget),
            "spans": spans,
            "max_new_tokens": max_new_tokens,
            "fresh": fresh,
        }
        _generated(the_data, the_model, out, how)
        return
    options.refuse("goes with --generate", "spans", "max_new_tokens", "fresh")
    options.check_files({"--out": out}, [the_data.data, the_model.model], folders=("--out",))
    if engine == "ray":
        from attattr.runs.ray import check_installed

        check_installed()
    examples, problems = the_data.read(draws=False, unlabelled=target != "gold")
    attributor = the_model.attributor()
    from attattr.runs.run import attribute_data, usable
    from attattr.runs.shard import Work

    work = Work(
        target=target, store=store, output=output, method=method, n_steps=n_nodes,
        tol=tol, baseline=baseline, internal_batch_size=batch_size, refine=refine,
        memory_budget=options.budget(memory_budget),
    )  # fmt: skip
    examples, more = usable(attributor, examples, needs_label=target == "gold")
    problems = sorted([*problems, *more])
    options.report(problems)
    if problems and strict:
        raise InputError(f"{len(problems)} rows cannot be used (--strict)")
    compute = None
    if engine == "ray":
        from attattr.models.place import input_device
        from attattr.runs.ray import ray_engine

        if worker_gpus is None:
            worker_gpus = float(input_device(attributor.model).type == "cuda")
        compute = ray_engine(
            the_model.model, the_model.opening, facts=attributor.facts, address=ray_address, workers=workers,
            num_gpus=worker_gpus,
        )  # fmt: skip
    source = {
        "name": the_data.name, "split": the_data.split, "limit": the_data.limit,
        "seed": the_data.seed if the_data.limit else None,
    }  # fmt: skip
    with _interruptible() as stopped, options.progress_bar("attributing") as progress:

        def tell(status: Status) -> None:
            shards = f"shard {min(status.shards_done + 1, status.shards)} of {status.shards}"
            gap = f"worst gap {status.worst_gap:+.1e}" if status.worst_gap else ""
            now = ", ".join(filter(None, (shards, gap)))
            progress(status.inputs_done + status.now, status.inputs, now)

        made = attribute_data(
            attributor, examples, out, work=work, problems=problems, data=source, shard_size=shard_size,
            engine=compute, progress=tell, stop=stopped,
        )  # fmt: skip
    _show(made)
    if not made.complete:
        typer.echo("Stopped. Start the same command again to go on.", err=True)
        raise typer.Exit(130)


NOT_GENERATED = (
    "target", "store", "output", "refine", "shard_size", "strict", "engine", "ray_address", "workers",
    "worker_gpus", "text_columns", "label_column",
)  # fmt: skip


def _generated(the_data: options.TheData, the_model: options.TheModel, out: str, how: dict[str, Any]) -> None:
    options.check_files({"--out": out}, [the_data.data, the_model.model], folders=("--out",))
    if the_data.limit is None:
        options.refuse("draws rows, and without --limit none are drawn", "seed")
    from attattr.data.examples import drawn
    from attattr.generation.many import explain_prompts, read_prompts

    rows = drawn(read_prompts(the_data.data, the_data.split), the_data.limit, the_data.seed)
    attributor = the_model.attributor()
    with options.progress_bar("explaining") as progress:
        done, left_out = explain_prompts(attributor, rows, out, progress=progress, **how)
    typer.echo(f"{out}: {done:,} replies in spans.parquet and sources.parquet")
    if left_out:
        typer.echo(f"{left_out:,} prompts could not be explained; left_out.jsonl says why")
    if not done:
        raise AttAttrError("not one prompt could be explained")


def _show(made: Run) -> None:
    count = made.manifest["shards"]["count"]
    rows = made.inputs.count_rows()
    typer.echo(
        f"{made.path}: {rows:,} inputs in {len(made.finished)} of {count} shards, "
        f"{made.batches['padding_share']:.1%} of the tokens padding"
    )
    impossible = made.left_out
    if impossible:
        typer.echo(f"{impossible:,} inputs could not be attributed; left_out.jsonl says why")
    if impossible and not rows:
        raise AttAttrError("not one input could be attributed")
    if rows:
        import pyarrow.compute as pc

        table = made.inputs.to_table(columns=["worst_gap", "converged", "gold", "prediction"])
        typer.echo(
            f"worst completeness gap {pc.max(pc.abs(table['worst_gap'])).as_py():.1e}; "
            f"{pc.sum(pc.invert(table['converged'])).as_py():,} inputs with a site that did not converge"
        )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C once: end after the shard. Twice: end now, which loses that shard only."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        typer.echo("\nEnding after this shard (Ctrl-C again: now) …", err=True)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
