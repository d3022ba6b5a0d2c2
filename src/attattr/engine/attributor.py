"""The Attributor: texts in, attributions out.

1. `data.encoding.encode`     texts as token ids, and what their positions mean
2. `kinds.parse`, `extend`    what F is; a continuation's tokens behind the input
3. `batches.plan`             inputs of like length together, within a memory budget
   and for each batch (`job.Job`):
4. `batch.opened`             one clean forward, every attention call recorded; F(A), the prediction
5. `shortcuts.fewer_logits`   of a language model, those that F reads
   `shortcuts.proven`         once a model: does putting a site's own attention back change nothing?
6. `shortcuts.unmasked`, `taken`, `trials`  what need not be computed again, proven on the batch or the model
7. `integral.integrate_site`  Attr(A) = (A − A⁰) ⊙ (Ḡ Vᵀ), as many sites side by side as there is room for
8. `collect.sites_of`         the scores without padding, as the store asks

The paper's algorithm as it reads, on one screen: `literal.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, overload

from transformers import PreTrainedModel

from attattr import asked
from attattr.data import counterfactual
from attattr.data.encoding import Encoded, as_inputs, encode
from attattr.data.examples import Example
from attattr.engine.batch import Batch
from attattr.engine.batches import check_padding, check_room, collating, plan
from attattr.engine.capture import Capture
from attattr.engine.integral import Integral
from attattr.engine.job import Job
from attattr.engine.options import Options
from attattr.engine.recording import Call, Recording
from attattr.engine.room import length
from attattr.engine.structure import without_wrapper
from attattr.errors import ImpossibleError, InputError
from attattr.models import identity
from attattr.models.heads import explainable
from attattr.models.loading import ModelInfo, load
from attattr.result.attribution import Attribution
from attattr.result.generation import Generation
from attattr.result.several import Attributions
from attattr.targets import kinds

Input = str | tuple[str, str] | Mapping[str, Any] | Example | Encoded
LONGEST_DENSE = 512  # tokens up to which store="auto" keeps every score
Then = Callable[[Batch, list[Attribution]], None]
Seen = Callable[[Call, Integral, Sequence[int]], None]


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
            adapters or without. It is left as it was found after every call, and computed in its own
            precision, whatever autocast, TF32 or inference mode is on outside. Threads that share it wait
            for one another.
        tokenizer: its tokenizer or image processor; None if only ready tensors are given.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any = None, *, info: ModelInfo | None = None):
        self.model = explainable(without_wrapper(model))
        if info is not None:
            asked.instance(info, ModelInfo, "info")
        self.tokenizer = tokenizer
        self.info = info
        self._loaded = identity.changes(self.model) if info else None
        self._digest: tuple[Any, str] | None = None

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> Attributor:
        """An embedded model's name ("sst2", "mnli" …), a folder, or a hub id.

        Options: revision, trust_remote_code, device, dtype, labels; as in `models.load`.
        """
        loaded = load(name, **options)
        return cls(loaded.model, loaded.tokenizer, info=loaded.info)

    @property
    def digest(self) -> str:
        """sha256 of class, config, adapters at work, parameters and buffers: what tells two models apart.

        Computed once, and again when the weights have changed (unless through `.data`, which torch
        does not tell): about a second for each gigabyte and core.
        """
        now = identity.changes(self.model)
        if self._digest is None or self._digest[0] != now:
            self._digest = now, identity.of_parameters(self.model)
        return self._digest[1]

    @property
    def facts(self) -> dict[str, Any]:
        """Which model it is, as results, tables and runs record it: name, digests, class, dtype."""
        known: dict[str, Any] = {"name": self.model.config._name_or_path or type(self.model).__name__}
        if self.info is not None:
            known = asdict(self.info)
            if _versions(self._loaded) != _versions(identity.changes(self.model)):
                known |= {"digest": None, "adapter_digest": None}  # no longer what those files hold
        dtype = str(self.model.dtype).removeprefix("torch.")
        return known | {"class": type(self.model).__name__, "dtype": dtype, "parameters": self.digest}

    @property
    def pair(self) -> bool | None:
        """Whether the model was trained on pairs of texts; None: unknown."""
        return self.info.pair if self.info else None

    @property
    def labels(self) -> list[str]:
        """The class names in index order, of tokens too; empty for a model without."""
        return kinds.labels_of(self.model)

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
        baseline: Input | Sequence[Input] = "zero",
        internal_batch_size: int | None = None,
        memory_budget: int | None = None,
        layers: Sequence[int] | None = None,
        store: str = "dense",
        refine: int | None = None,
        truncate: bool = True,
        progress: asked.Progress | None = None,
        then: Then | None = None,
    ) -> Any:
        """Attribution of every attention edge to one output: Attr(A) = A ⊙ ∫₀¹ ∂F(αA)/∂A dα, layer by layer.

        Args:
            inputs: a text (one result), or a list of texts, (text, text) pairs, Examples or tensor
                dicts without batch dimension (a list of results in the same order).
            target: what F is. None: what is predicted. A label, or its index; a pair of them: their
                difference (of logits, unless `output` is given); a callable (outputs) -> (batch,); for a
                language model a text: its summed log-probability; (word, label), an answer, a masked
                token as docs/targets.md says. A list gives one for each input.
            output: "probability" (default, but of texts and answers), "logit" or "log_probability".
            method, n_steps: "gausslegendre" with "auto" adds nodes only where they are needed; or a
                number, and any of quadrature.RULES. "gradient" integrates nothing: a first look, gradient ×
                attention at every site from one backward, with its gap.
            tol: accepted completeness gap, relative to Σ|Attr|, under "auto".
            baseline: "zero" (the paper's) or "uniform" attention; or another input of as many tokens, whose
                attention is A⁰ instead; a list has one for each.
            internal_batch_size: rows (input × node) of one forward and backward; None: what fits the memory.
            memory_budget: bytes that the activations of a forward and backward may take; None: a quarter of
                the device's memory, 4 GiB on a CPU. Where one row takes more, each block is computed once
                more on the way back instead of being kept.
            layers: numbers of the attention sites to attribute; None: all.
            store: "dense" keeps every score, "edges" the strongest and the sums, "heads" the sums; "auto" is
                dense up to 512 tokens, edges above.
            refine: with "gradient", so many sites of each input are integrated all the same: those whose
                scores add up to the most. `Site.method` says which.
            truncate: whether a text too long for the model is cut (with a warning) or an error.
            progress: called with (sites done, sites in all, what is being done).
            then: called with each batch and its results while its clean forward is at hand, to measure on it.

        Raises:
            InputError: an input or an option that cannot be used.
            UnsupportedModelError: the attention cannot be intercepted.

        Source: Hao et al. 2021 (arXiv 2004.11207); the integral in context space.
        """
        single = isinstance(inputs, str | Mapping | Example | Encoded) or (
            isinstance(inputs, tuple) and all(isinstance(text, str) for text in inputs)
        )
        if text_pair is not None:
            if not isinstance(inputs, str):
                raise InputError("a second text goes with one first text; give a list of (text, text) pairs")
            inputs = (inputs, text_pair)
        examples = as_inputs(inputs if isinstance(inputs, Encoded) or not single else [inputs])
        asked.function(progress, "progress")
        asked.function(then, "then")
        asked.flag(truncate, "truncate")
        if layers is not None:
            layers = asked.listed(layers, object, "layers")
        named = baseline is None or counterfactual.is_named(baseline)  # Options refuse None
        options = Options(
            output, method, n_steps, tol, baseline if named else "zero", internal_batch_size,  # type: ignore[arg-type]
            None if layers is None else tuple(layers), store, refine, memory_budget,
        )  # fmt: skip
        results = self.attributed(
            examples, target, options,
            other=None if named else baseline, truncate=truncate, progress=progress, then=then,
        )  # fmt: skip
        ordered = Attributions()
        for found in results:
            if isinstance(found, ImpossibleError):
                raise found
            ordered.append(found)
        warn(ordered)
        return ordered[0] if single else ordered

    def attribute_generation(self, prompt: Any, **options: Any) -> Generation:
        """Why a language model writes what it writes, and which parts of the prompt each span rests on.

        >>> lm = Attributor.from_pretrained("folder/of/a/chat-model")  # doctest: +SKIP
        >>> made = lm.attribute_generation([{"role": "user", "content": "…"}])  # doctest: +SKIP
        >>> made.reply, made.spans[0].attribution, made.per_source()  # doctest: +SKIP

        The prompt is a text, taken as it is, or a chat: a list of {"role", "content"}. Options: continuation,
        max_new_tokens, seed, spans, sources, contrast, progress, and how to attribute, as
        `generation.explained.attribute_generation` lists them. What is computed: docs/generation.md.

        Raises:
            InputError: as `attribute`; or as listed there.
        """
        from attattr.generation.explained import attribute_generation

        return attribute_generation(self, prompt, **options)

    def attributed(
        self,
        examples: Sequence[Example] | Sequence[Encoded],
        target: Any,
        options: Options,
        *,
        other: Any = None,
        truncate: bool = True,
        keep_going: bool = False,
        progress: asked.Progress | None = None,
        then: Then | None = None,
        seen: Seen | None = None,
        known: dict[int, Recording | None] | None = None,
    ) -> list[Attribution | ImpossibleError]:
        """As `attribute`, of checked options and without its warnings.

        seen: called with each site's attention call and integral, and the numbers of its batch's inputs,
        while all scores can be had of it. known: recordings of inputs (one `Encoded` may be given with
        several targets) by their id, used where they are, and kept where they have a place.

        Where an input cannot be attributed even alone, its error stands in the place of a result. The
        inputs after it are attributed all the same (`keep_going`), or are not there. other: an input, or one
        for each, whose attention is the baseline instead of that of the options.
        """
        wanted = target if isinstance(target, list) else [target] * len(examples)
        if len(wanted) != len(examples):
            raise InputError(f"{len(wanted)} targets for {len(examples)} inputs: give one, or one for each")
        wishes = [self._wish(each, options.output, len(examples)) for each in wanted]
        encoded = encode(self.model, self.tokenizer, examples, truncate=truncate, pair=self.pair)
        if other is not None:
            encoded = counterfactual.beside(
                encoded, other, self.model, self.tokenizer, truncate=truncate, pair=self.pair
            )
        encoded = [kinds.extend(e, w, self.tokenizer) for e, w in zip(encoded, wishes, strict=True)]
        if options.store == "auto":
            longest = max(map(length, encoded), default=0)
            options = replace(options, store="dense" if longest <= LONGEST_DENSE else "edges")
        if options.store == "dense":
            check_room(encoded, self.model, options)
        batches = plan(encoded, self.model, options)
        known = {} if known is None else known
        results: dict[int, Attribution | ImpossibleError] = {}
        padded = [*encoded, *(e.counterfactual for e in encoded if e.counterfactual is not None)]
        with Capture(self.model) as capture, collating(self.model, self.tokenizer, padded) as collate:
            check_padding(capture, [[encoded[i] for i in batch] for batch in batches], collate)
            for number, batch in enumerate(batches):
                tell = _within(progress, number, len(batches))
                job = Job(self, capture, options, collate, tell, then or _nothing, seen or _nothing, known)
                found = job.run([encoded[i] for i in batch], [wishes[i] for i in batch], batch)
                results |= dict(zip(batch, found, strict=True))
                if not keep_going and any(isinstance(each, ImpossibleError) for each in found):
                    break
        return [results[i] for i in range(len(encoded)) if i in results]

    def _wish(self, target: Any, output: str | None, inputs: int) -> kinds.Wish:
        try:
            return kinds.parse(target, output, self.model, self.tokenizer)
        except InputError as error:
            if isinstance(target, tuple) and len(target) == inputs:
                raise InputError(
                    f"{error} (a tuple is one target for every input, a difference: give a list for one each)"
                ) from error
            raise


def _nothing(*facts: Any) -> None: ...


def _versions(changes: Any) -> Any:
    """Changes less where the parameters lie: moved, they are the same."""
    return changes and ([(i, version) for i, version, _ in changes[0]], changes[1])


def _within(progress: asked.Progress | None, batch: int, batches: int) -> asked.Progress:
    """Progress of one batch as progress of all of them."""

    def tell(done: int, count: int, name: str) -> None:
        if progress is not None:
            progress(batch * count + done, batches * count, name)

    return tell


def warn(results: list[Attribution]) -> None:
    """What a reader of the results has to know, said once a call."""
    left_out = results[0].left_out if results else ()
    if left_out:
        warnings.warn(
            f"{len(left_out)} layers of this model are not attributed, their attention cannot be "
            f"intercepted: {', '.join(left_out[:4])}{' …' if len(left_out) > 4 else ''}",
            stacklevel=3,
        )
    still = [
        site.name
        for result in results
        for site in result.sites
        if not site.head_abs.any() and abs(site.completeness_gap) > 1e-4 * max(1, abs(result.target.value))
    ]
    if still:
        warnings.warn(
            f"all scores of {still[0]} are 0, though the output changes without its attention (and so in "
            f"{len(still) - 1} more): it does so between the nodes, give more of them or use the uniform "
            "baseline",
            stacklevel=3,
        )
    integrated = [site for result in results for site in result.sites if site.method == "integral"]
    bad = [site.name for site in integrated if not site.converged]
    if bad and results[0].options["n_steps"] == "auto":  # a rule that was asked for is given as it is
        advice = "give a larger tol, or n_steps"
        if results[0].options["baseline"] == "zero":
            advice += (
                "; a model that normalises the output of its attention jumps at zero attention, for which "
                "no rule converges: use the uniform baseline"
            )
        warnings.warn(
            f"{len(bad)} of {len(integrated)} integrals are less exact than asked for (first: {bad[0]}): "
            f"{advice}",
            stacklevel=3,
        )
