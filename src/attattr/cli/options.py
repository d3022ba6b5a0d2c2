"""Options that several verbs share, and what they open."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from attattr import choices
from attattr.cli import outputs
from attattr.cli.outputs import check_files as check_files
from attattr.cli.outputs import write as write
from attattr.cli.outputs import write_json as write_json
from attattr.cli.outputs import write_text as write_text
from attattr.cli.progress import progress_bar as progress_bar
from attattr.cli.progress import working as working
from attattr.errors import InputError
from attattr.models import embedded

if TYPE_CHECKING:
    from attattr.data.examples import Example, Problem
    from attattr.engine.attributor import Attributor
    from attattr.models.loading import Loaded

SHOWN_PROBLEMS = 10
# parameters that the command line named, and how: {"seed": "--seed"}
_given: ContextVar[dict[str, str]] = ContextVar("given", default={})  # noqa: B039  # never changed

Model = Annotated[str, typer.Option("--model", "-m", help="Embedded name, folder or hub id.")]
Labels = Annotated[
    str | None, typer.Option(help="Names of the model's classes, in its index order: a,b,c.", metavar="A,B,C")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
]
Data = Annotated[
    str,
    typer.Argument(
        help="A .tsv, .csv, .jsonl or .parquet file, plain or .gz, here or at an address "
        "(https://, s3://); a run folder; or a hub data set."
    ),
]
Json = Annotated[
    str | None,
    typer.Option("--json", help="Write the facts there; - for standard output.", metavar="FILE|-"),
]
Figure = Annotated[str | None, typer.Option(help="Draw it: .svg, .pdf or .png.", metavar="FILE")]
Output = Annotated[
    choices.Output | None,
    typer.Option(
        help="Which output of it. [default: probability; of a continuation or an answer: log_probability]"
    ),
]
Method = Annotated[
    choices.Method,
    typer.Option(help="Quadrature rule; of Riemann's with --n-steps. gradient: a first look, no integral."),
]
Refine = Annotated[
    int | None,
    typer.Option(min=1, help="Of a first look, integrate so many of the layers, the largest.", metavar="K"),
]
Steps = Annotated[
    str, typer.Option(help="auto (adds nodes where they are needed), or their number.", metavar="auto|N")
]
Tolerance = Annotated[
    float, typer.Option(help="Accepted completeness gap, relative to the scores' size.", metavar="X")
]
Baseline = Annotated[choices.Baseline, typer.Option(help="Attention at which the path starts.")]
Rows = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Rows (nodes) computed together. [default: what memory holds]"),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--memory-budget",
        help="Gigabytes that activations may take. [default: 4.3, or a quarter of the device's]",
        metavar="GB",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is unless given.")]
Dtype = Annotated[
    choices.Precision | None,
    typer.Option(help="Precision; auto: the checkpoint's. [default: float32; auto on an accelerator]"),
]
DeviceMap = Annotated[
    str | None, typer.Option(help="Spread the model over devices, memory and disk.", metavar="auto|JSON")
]
Quantize = Annotated[choices.Bits | None, typer.Option(help="Round the weights, by bitsandbytes.")]
Attention = Annotated[
    str | None, typer.Option("--attn", help="Attention in plain forwards: sdpa, eager …", metavar="NAME")
]
Subfolder = Annotated[str | None, typer.Option(help="Where in its folder or on the hub the model lies.")]
LocalFilesOnly = Annotated[bool, typer.Option("--local-files-only", help="Ask no hub, only its cache.")]
Token = Annotated[str | None, typer.Option(help="For the hub. [default: HF_TOKEN, or that of hf auth login]")]
BatchSize = Annotated[int, typer.Option(min=1, help="Inputs computed together.")]
TextColumns = Annotated[
    str | None, typer.Option(help="Column of the text, or of both texts.", metavar="NAME[,NAME]")
]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the gold label.", metavar="NAME")]
Split = Annotated[str | None, typer.Option(help="Split of a hub data set.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many rows, drawn at random.")]
AnyModel = Annotated[
    bool, typer.Option("--any-model", help="What was made with another model is meant, and no error.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew where an interrupted call would go on.")]
Seed = Annotated[int, typer.Option(help="Seed of what is drawn at random.")]


# parameters besides the model's name
OPENING = (
    "labels", "revision", "trust_remote_code", "device", "dtype", "device_map", "quantize",
    "attn_implementation", "subfolder", "local_files_only", "token",
)  # fmt: skip


@dataclass(frozen=True)
class TheModel:
    """The model, and how it is loaded. As a verb's parameter: its options (`flattened`)."""

    model: Model
    labels: Labels = None
    revision: Revision = None
    trust_remote_code: TrustRemoteCode = False
    device: Device = None
    dtype: Dtype = None
    device_map: DeviceMap = None
    quantize: Quantize = None
    attn_implementation: Attention = None
    subfolder: Subfolder = None
    local_files_only: LocalFilesOnly = False
    token: Token = field(default=None, repr=False)

    @property
    def opening(self) -> dict[str, Any]:
        """Keywords of `models.load`."""
        given = {name: value for name, value in vars(self).items() if name != "model"}
        return given | {"device_map": device_map(self.device_map)}

    def load(self) -> Loaded:
        """Read it, saying so on a terminal."""
        if self.model in embedded.NAMES:
            refuse("has no effect on an embedded model", "trust_remote_code", *OPENING[5:])
        elif os.path.isdir(os.path.expanduser(self.model)):  # False of what no name can be
            refuse("is for models of the hub", "local_files_only", "token")
        with working(f"loading {self.model}"):
            from attattr.models.loading import load

            return load(self.model, **self.opening)

    def attributor(self) -> Attributor:
        """As `load`, ready to attribute."""
        loaded = self.load()
        from attattr.engine.attributor import Attributor

        return Attributor(loaded.model, loaded.tokenizer, info=loaded.info)


@dataclass(frozen=True)
class TheData:
    """A data set and which of its rows. As a verb's parameter: its options (`flattened`)."""

    data: Data
    limit: Limit = None
    seed: Seed = 0
    text_columns: TextColumns = None
    label_column: LabelColumn = None
    split: Split = None

    @property
    def name(self) -> str:
        """The data as it may be shown and written down: without a password."""
        from attattr.data.tables import without_secrets

        return without_secrets(self.data)

    @property
    def most(self) -> int | None:
        """So many rows are taken at most."""
        return self.limit

    def read(self, *, draws: bool = True, unlabelled: bool = False) -> tuple[list[Example], list[Problem]]:
        """The usable rows, and the others (to be told by `report`).

        draws: whether the verb has more to draw at random than the rows. unlabelled: whether it needs no
        gold labels.
        """
        if self.most is None and not draws:
            refuse("draws rows, and without --limit none are drawn", "seed")
        every, problems = self.every(unlabelled=unlabelled)
        return self.drawn(every), problems

    def every(self, *, unlabelled: bool = False) -> tuple[list[Example], list[Problem]]:
        """As `read`, of all rows."""
        from attattr import asked

        asked.seed(self.seed)
        with working(f"reading {self.name}"):
            from attattr.data.examples import read_examples

            return read_examples(
                self.data,
                text_columns=self.text_columns,
                label_column=self.label_column,
                split=self.split,
                unlabelled=unlabelled,
            )

    def drawn(self, every: list[Example]) -> list[Example]:
        """Those of all rows that are taken. What a default leaves out is told."""
        from attattr.data.examples import drawn

        taken = drawn(every, self.most, self.seed)
        if len(taken) < len(every):
            self.tell_left_out(len(taken), len(every))
        return taken

    def tell_left_out(self, taken: int, every: int) -> None:
        """What a default leaves out; who gave --limit knows it."""
        if "limit" not in _given.get():
            of = f"{taken:,} of {every:,} rows, drawn with seed {self.seed}"
            typer.echo(f"{of}; --limit N for another number, --all for all.", err=True)


@dataclass(frozen=True)
class SomeRows(TheData):
    """As many rows as take minutes. A verb's own `limit` says how many."""

    all_rows: Annotated[bool, typer.Option("--all", help="All rows.")] = False

    @property
    def most(self) -> int | None:
        if self.all_rows:
            refuse("takes some of the rows, and --all takes all", "limit")
        return None if self.all_rows else self.limit


def flattened(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with the fields of each group of options (`TheModel`, `TheData`) as options of its own.

    The first field of a group stands in its place, the others behind the verb's own options.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters, behind = [], []
    for parameter in inspect.signature(verb).parameters.values():
        kind = groups.get(parameter.name)
        found = inspect.signature(kind).parameters.values() if kind else [parameter]
        types = get_type_hints(kind, include_extras=True) if kind else hints
        first, *others = (
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=types[each.name]) for each in found
        )
        parameters.append(first)
        behind += others
    parameters += behind
    here = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters.append(here)

    @functools.wraps(verb)
    def flat(*, context: typer.Context, **given: Any) -> None:
        _given.set(
            {
                each.name: each.opts[0]
                for each in context.command.params
                if each.name and getattr(context.get_parameter_source(each.name), "name", "") == "COMMANDLINE"
            }
        )
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        with outputs.all_told():
            verb(**given)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del flat.__wrapped__
    return flat


def refuse(why: str, *names: str) -> None:
    """Options that can have no effect: an error where they were given, by the names of their parameters.

    A default that nobody asked for is none.

    Raises:
        InputError: the first of them that was given.
    """
    for name in names:
        if option := _given.get().get(name):
            raise InputError(f"{option} {why}: leave it out")


def device_map(given: str | None) -> Any:
    """The value of --device-map: a name, or an object of JSON."""
    try:
        return json.loads(given) if given and given.lstrip().startswith("{") else given
    except ValueError as error:
        raise InputError(f'--device-map takes auto or {{"module": "place"}}, not {given}: {error}') from None


def budget(gigabytes: float | None) -> int | None:
    """In bytes."""
    if gigabytes is None:
        return None
    if not 1e-3 <= gigabytes <= 1e6:
        raise InputError(f"--memory-budget takes gigabytes, from 0.001 to 1000000, not {gigabytes:g}")
    return int(gigabytes * 1e9)


def tolerance(tol: float) -> float:
    """The value of --tol."""
    if not tol > 0:
        raise InputError(f"--tol must be positive, not {tol:g}")
    return tol


def steps(method: str, n_steps: str) -> int | str:
    """The value of --n-steps: "auto" or a number of nodes."""
    if n_steps == "auto":
        if method not in ("gausslegendre", "gradient"):
            raise InputError(f"--method {method} needs a number of nodes: --n-steps 64, for example")
        return n_steps
    try:
        number = int(n_steps)
    except ValueError:
        raise InputError(f"--n-steps takes auto or a whole number, not '{n_steps}'") from None
    if number < 1:
        raise InputError(f"--n-steps must be at least 1, not {number}")
    return number


def report(problems: Sequence[Problem]) -> None:
    """Rows that were kept out, on standard error."""
    if not problems:
        return
    rows = "row was" if len(problems) == 1 else "rows were"
    typer.echo(f"{len(problems)} {rows} kept out:", err=True)
    for problem in problems[:SHOWN_PROBLEMS]:
        typer.echo(f"  line {problem.line}: {problem.reason}", err=True)
    if len(problems) > SHOWN_PROBLEMS:
        typer.echo(f"  and {len(problems) - SHOWN_PROBLEMS} more", err=True)
