"""The Attributor: texts in, attributions out. Batches, memory budget, assembly of results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

import torch
from transformers import PreTrainedModel

from attattr import quadrature, shortcuts, targets
from attattr.assemble import sites_of
from attattr.attributions import Attributions
from attattr.batches import batches_of, check_padding, length, out_of_memory, pad_token, rows_within_budget
from attattr.capture import Capture
from attattr.data import Example, as_examples
from attattr.encoding import Encoded, collate, encode
from attattr.errors import AttAttrError, InputError
from attattr.integrate import BASELINES, Problem, integrate_site
from attattr.models import ModelInfo, load
from attattr.parts import without_wrapper
from attattr.result import Attribution, Site

STORES = ("dense", "edges", "heads")
Progress = Callable[[int, int, str], None]
Input = str | tuple[str, str] | Mapping[str, Any] | Example


@dataclass(frozen=True)
class Options:
    """How to attribute; checked once."""

    output: str | None
    method: str
    n_steps: int | str
    tol: float
    baseline: str
    internal_batch_size: int | None
    layers: tuple[int, ...] | None
    store: str

    def __post_init__(self) -> None:
        for name, value, known in (("baseline", self.baseline, BASELINES), ("store", self.store, STORES)):
            if value not in known:
                raise InputError(f"unknown {name} '{value}': choose one of {', '.join(known)}")
        if not self.tol > 0:
            raise InputError(f"tol must be positive, not {self.tol}")
        if self.internal_batch_size is not None and self.internal_batch_size < 1:
            raise InputError(f"internal_batch_size must be at least 1, not {self.internal_batch_size}")
        _ = self.stages

    @property
    def stages(self) -> tuple[quadrature.Rule, ...]:
        if self.n_steps == "auto":
            if self.method != "gausslegendre":
                raise InputError(f"n_steps='auto' goes with gausslegendre; give {self.method} a number")
            return quadrature.auto()
        return (quadrature.fixed(self.method, self.n_steps),)  # type: ignore[arg-type]


class Attributor:
    """Explains predictions of one model by its attention edges.

    >>> attributor = Attributor.from_pretrained("sst2")
    >>> result = attributor.attribute("a fine film")
    >>> result.tokens
    ('[CLS]', 'a', 'fine', 'film', '[SEP]')
    >>> result.scores.shape  # layers, heads, queries, keys
    (6, 12, 5, 5)
    >>> bool(result.converged.all())
    True

    Args:
        model: any transformers model with a head (docs/models.md lists what was tried), with PEFT
            adapters or without. It is left as it was found after every call.
        tokenizer: its tokenizer or image processor; None if only ready tensors are given.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any = None, *, info: ModelInfo | None = None):
        self.model = without_wrapper(model)
        self.tokenizer = tokenizer
        self.info = info
        self._ways: tuple[bool, bool] | None = None  # (replay, fuse) once checked on this model

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> Attributor:
        """An embedded model's name ("sst2", "mnli" …), a folder, or a hub id.

        Options: revision, trust_remote_code, device, dtype, labels; as in `models.load`.
        """
        loaded = load(name, **options)
        return cls(loaded.model, loaded.tokenizer, info=loaded.info)

    @property
    def labels(self) -> list[str]:
        """The class names in index order; empty for a language model."""
        return targets.labels_of(self.model)

    @overload
    def attribute(self, inputs: Input, text_pair: str | None = None, **options: Any) -> Attribution: ...
    @overload
    def attribute(self, inputs: Sequence[Input], text_pair: None = None, **options: Any) -> Attributions: ...
    def attribute(  # type: ignore[misc]  # the overloads leave the options to this signature
        self,
        inputs: Any,
        text_pair: str | None = None,
        *,
        target: Any = None,
        output: str | None = None,
        method: str = "gausslegendre",
        n_steps: int | str = "auto",
        tol: float = 1e-3,
        baseline: str = "zero",
        internal_batch_size: int | None = None,
        layers: Sequence[int] | None = None,
        store: str = "dense",
        truncate: bool = True,
        progress: Progress | None = None,
    ) -> Any:
        """Attribution of every attention edge to one output: Attr(A) = A ⊙ ∫₀¹ ∂F(αA)/∂A dα, layer by layer.

        Args:
            inputs: a text (one result), or a list of texts, (text, text) pairs, Examples or tensor
                dicts without batch dimension (a list of results in the same order).
            target: what F is. None: the predicted class or next token. A label, or its index; a pair
                of them: their difference (of logits, unless `output` is given); a callable (outputs)
                -> (batch,); for a language model a text: its summed log-probability. A list gives one
                for each input.
            output: "probability" (default), "logit" or "log_probability".
            method, n_steps: "gausslegendre" with "auto" adds nodes only where they are needed; or a
                number, and any of quadrature.METHODS.
            tol: accepted completeness gap, relative to Σ|Attr|, under "auto".
            baseline: "zero" (the paper's) or "uniform" attention.
            internal_batch_size: rows (input × node) of one forward and backward; None: what fits a
                fixed memory budget.
            layers: numbers of the attention sites to attribute; None: all.
            store: "dense" keeps every score, "edges" the strongest and the sums, "heads" the sums.
            truncate: whether a text too long for the model is cut (with a warning) or an error.
            progress: called with (sites done, sites in all, what is being done).

        Raises:
            InputError: an input or an option that cannot be used.
            UnsupportedModelError: the attention cannot be intercepted.

        Source: Hao et al. 2021, section 3 (arXiv 2004.11207); the integral in context space.
        """
        single = isinstance(inputs, str | Mapping | Example) or (
            isinstance(inputs, tuple) and all(isinstance(text, str) for text in inputs)
        )
        if text_pair is not None:
            if not isinstance(inputs, str):
                raise InputError("a second text goes with one first text; give a list of (text, text) pairs")
            inputs = (inputs, text_pair)
        examples = as_examples([inputs] if single else inputs)
        options = Options(
            output, method, n_steps, tol, baseline, internal_batch_size,
            None if layers is None else tuple(layers), store,
        )  # fmt: skip
        wanted = target if isinstance(target, list) else [target] * len(examples)
        if len(wanted) != len(examples):
            raise InputError(f"{len(wanted)} targets for {len(examples)} inputs: give one, or one for each")
        wishes = [targets.parse(each, output, self.model, self.tokenizer) for each in wanted]
        encoded = encode(
            self.model,
            self.tokenizer,
            examples,
            truncate=truncate,
            pair=self.info.pair if self.info else None,
        )
        encoded = [targets.extend(e, w, self.tokenizer) for e, w in zip(encoded, wishes, strict=True)]
        nodes = max(1, options.stages[0].passes)
        batches = batches_of(encoded, self.model, nodes, internal_batch_size)
        results: dict[int, Attribution] = {}
        with pad_token(self.model, self.tokenizer, encoded) as pad, Capture(self.model) as capture:
            if self._ways is not None:
                capture.replay, capture.fuse = self._ways
            check_padding(capture, [[encoded[i] for i in batch] for batch in batches], pad)
            for number, batch in enumerate(batches):
                tell = _within(progress, number, len(batches))
                job = _Job(self, capture, options, pad, tell)
                found = job.run([encoded[i] for i in batch], [wishes[i] for i in batch])
                results |= dict(zip(batch, found, strict=True))
            self._ways = (capture.replay, capture.fuse)
        ordered = Attributions(results[i] for i in range(len(encoded)))
        _warn(ordered)
        return ordered[0] if single else ordered


def _within(progress: Progress | None, batch: int, batches: int) -> Progress:
    """Progress of one batch as progress of all of them."""

    def tell(done: int, count: int, name: str) -> None:
        if progress is not None:
            progress(batch * count + done, batches * count, name)

    return tell


@dataclass
class _Job:
    """One call of `attribute` on one batch."""

    attributor: Attributor
    capture: Capture
    options: Options
    pad: int
    progress: Progress

    def run(
        self, encoded: list[Encoded], wishes: list[targets.Wish], rows: int | None = None
    ) -> list[Attribution]:
        """The batch; in halves where memory runs out, one input alone with fewer rows at once."""
        rows = rows or self.options.internal_batch_size or rows_within_budget(self.attributor.model, encoded)
        try:
            return self._attribute(encoded, wishes, rows)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # outside the except: the traceback would keep the failed batch's tensors alive
        if len(encoded) > 1:
            half = len(encoded) // 2
            return self.run(encoded[:half], wishes[:half], rows) + self.run(
                encoded[half:], wishes[half:], rows
            )
        if rows > 1:
            return self.run(encoded, wishes, rows // 2)
        raise AttAttrError(f"not enough memory for an input of {length(encoded[0])} tokens: shorten it")

    def _attribute(self, encoded: list[Encoded], wishes: list[targets.Wish], rows: int) -> list[Attribution]:
        model, tokenizer = self.attributor.model, self.attributor.tokenizer
        device = next(model.parameters()).device
        inputs = {name: value.to(device) for name, value in collate(encoded, self.pad).items()}
        recording = self.capture.record(inputs)
        lengths = [targets.read_length(e) for e in encoded]
        objective, predictions = targets.resolve(wishes, recording.outputs, lengths, model, tokenizer)
        every = torch.arange(len(encoded), device=device)
        value = objective(recording.outputs, every)
        if not bool(torch.isfinite(value).all()):
            raise AttAttrError("the model's output is not finite: its weights or this input overflow")
        problem = Problem(self.capture, recording, inputs, objective, value, rows)
        if self.attributor._ways is None:
            shortcuts.check_resume(problem)
            self.attributor._ways = (self.capture.replay, self.capture.fuse)
        problem = shortcuts.taken(problem)
        chosen = _chosen(recording.sites, self.options.layers)
        widths = {axis: inputs[name].shape[1] for axis, name in _TEXT_AXES.items() if name in inputs}
        if "output" not in widths and "input" in widths:
            widths["output"] = widths["input"]  # a decoder that is fed the input, shifted
        sites: list[list[Site]] = [[] for _ in encoded]
        axes = [dict(e.axes) for e in encoded]
        for done, number in enumerate(chosen):
            call = recording.calls[number]
            assert call is not None
            self.progress(done, len(chosen), call.name)
            integral = integrate_site(
                problem, number,
                stages=self.options.stages, tol=self.options.tol, baseline=self.options.baseline,
            )  # fmt: skip
            for of, site in zip(
                sites, sites_of(call, integral, axes, widths, self.options.store), strict=True
            ):
                of.append(site)
        self.progress(len(chosen), len(chosen), "")
        made = []
        for i, (e, prediction) in enumerate(zip(encoded, predictions, strict=True)):
            made.append(
                Attribution(
                    text=e.example.text,
                    text_pair=e.example.text_pair,
                    axes=axes[i],
                    prediction=prediction,
                    target=targets.described(objective.wishes[i], float(value[i])),
                    sites=tuple(sites[i]),
                    options=_plain(self.options),
                    model=self._model_facts(),
                    left_out=tuple(recording.left_out),
                    truncated=e.truncated,
                )
            )
        return made

    def _model_facts(self) -> dict[str, Any]:
        model, info = self.attributor.model, self.attributor.info
        facts = asdict(info) if info else {"name": model.config._name_or_path or type(model).__name__}
        return facts | {"class": type(model).__name__, "dtype": str(model.dtype).removeprefix("torch.")}


_TEXT_AXES = {"input": "input_ids", "output": "decoder_input_ids"}


def _plain(options: Options) -> dict[str, Any]:
    facts = asdict(options)
    return facts | {"layers": None if options.layers is None else list(options.layers)}


def _chosen(sites: list[int], layers: tuple[int, ...] | None) -> list[int]:
    if layers is None:
        return sites
    for layer in layers:
        if not -len(sites) <= layer < len(sites):
            raise InputError(f"layer {layer} is out of range: the model has {len(sites)} attention sites")
    return [sites[layer] for layer in layers]


def _warn(results: list[Attribution]) -> None:
    """What a reader of the results has to know, said once a call."""
    left_out = results[0].left_out if results else ()
    if left_out:
        warnings.warn(
            f"{len(left_out)} layers of this model are not attributed, their attention cannot be "
            f"intercepted: {', '.join(left_out[:4])}{' …' if len(left_out) > 4 else ''}",
            stacklevel=3,
        )
    bad = [site.name for result in results for site in result.sites if not site.converged]
    if bad and results[0].options["n_steps"] == "auto":  # a rule that was asked for is given as it is
        advice = "give a larger tol, or n_steps"
        if results[0].options["baseline"] == "zero":
            advice += (
                "; a model that normalises the output of its attention jumps at zero attention, for which "
                "no rule converges: use the uniform baseline"
            )
        count = sum(len(result.sites) for result in results)
        warnings.warn(
            f"{len(bad)} of {count} integrals are less exact than asked for (first: {bad[0]}): {advice}",
            stacklevel=3,
        )
