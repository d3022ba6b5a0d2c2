"""Predictions and accuracy over data: the plain evaluation every later verb must agree with."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.data.examples import Example, examples_of
from attattr.data.labels import classes
from attattr.disk.units import NOTHING_KEPT, Resume, Units, Value
from attattr.errors import InputError
from attattr.measure.intervals import wilson
from attattr.models.heads import check_classifier, explainable
from attattr.models.place import input_device
from attattr.result.shown import brief, counted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from attattr.data.encoding import Encoded
    from attattr.engine.attributor import Attributor
    from attattr.measure.masks import Mask

SHARE = 1024  # rows predicted between two writes, where a call can be resumed


@dataclass(frozen=True)
class Score:
    """Right answers among the n rows of one class; accuracy and interval are None where n is 0."""

    accuracy: float | None
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Evaluation:
    """Accuracy over data, with 95 % Wilson intervals."""

    accuracy: float
    interval: tuple[float, float]
    n: int
    labels: tuple[str, ...]  # in the model's index order
    per_class: dict[str, Score]  # rows whose gold label it is
    confusion: tuple[tuple[int, ...], ...]  # [gold][predicted], counts

    def __repr__(self) -> str:
        low, high = self.interval
        return brief(
            self,
            f"accuracy {self.accuracy:.1%} ({low:.1%} – {high:.1%})",
            counted(self.n, "row"),
            counted(len(self.labels), "label"),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def predict(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[Example] | Sequence[Encoded],
    *,
    batch_size: int = 32,
    truncate: bool = True,
    pair: bool | None = None,
    masks: Sequence[Mask] | Mask | None = None,
    progress: asked.Progress | None = None,
    units: Units = NOTHING_KEPT,
) -> np.ndarray:
    """Logits of a classifier, (N, C) float32 (float64 of a float64 model), in the order of the examples.

    Computed in evaluation mode and batches of like length; the model is left as it was found.

    Args:
        masks: heads or edges taken out: one mask for all examples, or one for each.
        progress: called with (rows done, rows in all, "") after each batch.
        units: where the logits of `SHARE` rows each are kept, for a call that is stopped.

    Raises:
        InputError: the model predicts tokens, not classes; or an input it cannot take.
    """
    import torch

    from attattr.data.encoding import encode
    from attattr.engine.batches import by_length, collating, joined
    from attattr.engine.capture import Capture
    from attattr.measure.masks import masked_forward

    batch_size = asked.whole(batch_size, "the batch size", 1)
    tell = asked.progress(progress)
    asked.flag(truncate, "truncate")
    if pair is not None:
        asked.flag(pair, "pair")
    check_classifier(model)
    if isinstance(masks, Sequence) and len(masks) != len(examples):
        raise InputError(f"{len(masks)} masks for {len(examples)} examples: give one, or one for each")
    encoded = encode(model, tokenizer, examples, truncate=truncate, pair=pair)
    logits: list[Any] = [None] * len(encoded)
    done = 0
    with contextlib.ExitStack() as within:
        within.enter_context(evaluating(model))
        collate = within.enter_context(collating(model, tokenizer, encoded))
        within.enter_context(torch.no_grad())
        if masks is not None and encoded:
            capture = within.enter_context(Capture(model))
            clean = capture.record(collate(encoded[:1]))

        def of_share(groups: list[list[int]]) -> Value:
            found = []
            for number, group in enumerate(groups):
                if number:
                    tell(done + sum(map(len, groups[:number])), len(encoded), "")
                batch = collate([encoded[i] for i in group])
                if masks is None:
                    outputs = model(**batch)
                else:
                    of_group = [masks[i] if isinstance(masks, Sequence) else masks for i in group]
                    outputs = masked_forward(capture, clean, batch, of_group)
                rows = outputs.logits if outputs.logits.dtype == torch.float64 else outputs.logits.float()
                found.append(rows.cpu().numpy())
            return {"logits": np.concatenate(found)}

        shares = joined(by_length(encoded, batch_size), SHARE)
        if len(shares) == 1 and units.prefix:
            units = NOTHING_KEPT  # the only share of a part is that part
        for number, groups in enumerate(shares):
            share = [i for group in groups for i in group]
            found = units.get(str(number), functools.partial(of_share, groups))["logits"]
            for i, row in zip(share, found, strict=True):
                logits[i] = row
            done += len(share)
            tell(done, len(encoded), "")
    if not logits:
        return np.zeros((0, model.config.num_labels or 0), np.float32)
    return np.stack(logits)


def evaluate_model(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    batch_size: int = 32,
    truncate: bool = True,
    pair: bool | None = None,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> Evaluation:
    """Accuracy of a classifier over labelled examples.

    >>> from attattr import Attributor
    >>> from attattr.data.examples import read_examples
    >>> sst2 = Attributor.from_pretrained("sst2")  # doctest: +SKIP
    >>> examples, _ = read_examples("../shared/data/sst2_dev.tsv.gz")  # doctest: +SKIP
    >>> evaluate_model(sst2.model, sst2.tokenizer, examples).accuracy > 0.9  # doctest: +SKIP
    True

    Args: as `predict`. Gold labels are matched to the model's by name, case aside, or are all numbers of
        its classes (0, or 0.0), which a warning tells.
        resume: folder for finished parts (`SHARE` rows each): called again with it, a call that was
            stopped goes on. It stays, and is yours to delete.

    Raises:
        InputError: rows without labels, or with labels the model does not have (both are listed); a folder
            with parts of another call.
    """
    from attattr.engine.attributor import Attributor
    from attattr.measure.resumed import resumed

    explainable(model)
    batch_size = asked.whole(batch_size, "the batch size", 1)
    examples = examples_of(examples)
    if not examples:
        raise InputError("there are no rows to evaluate")
    labels, gold = gold_indices(model, examples)
    options: dict[str, Any] = {"batch_size": batch_size, "truncate": truncate, "pair": pair}
    with resumed(
        resume, "evaluate_model", Attributor(model, tokenizer), examples, options,
        lambda: share_count(len(examples), batch_size),
    ) as units:  # fmt: skip
        logits = predict(model, tokenizer, examples, progress=progress, units=units, **options)
    return score(labels, gold, logits.argmax(-1))


def gold_indices(model: PreTrainedModel, examples: Sequence[Example]) -> tuple[list[str], np.ndarray]:
    """The model's labels, and each example's gold label as an index into them, (N,): as `labels.classes`."""
    check_classifier(model)
    id2label: Any = model.config.id2label
    labels = [id2label[i] for i in sorted(id2label)]
    if len(labels) < 2:
        raise InputError("the model has a single output: there are no classes to be right about")
    wanted = {example.label for example in examples}
    if None in wanted:
        raise InputError("the data has no labels: name their column (--label-column)")
    found = classes(labels, map(str, wanted))
    if len(found) < len(wanted):
        data = sorted(map(str, wanted))
        listed = ", ".join(data[:10]) + (f" and {len(data) - 10} more" if len(data) > 10 else "")
        raise InputError(
            f"the data's labels are {listed}; the model's are {', '.join(labels)}: "
            "give the model's names in its own order (--labels), or data of its task"
        )
    return labels, np.array([found[str(example.label)] for example in examples])


def answers_right(
    attributor: Attributor,
    examples: Sequence[Example] | Sequence[Encoded],
    gold: np.ndarray,
    masks: Callable[[], Sequence[Mask] | Mask | None] = lambda: None,
    *,
    units: Units = NOTHING_KEPT,
    part: str = "",
) -> np.ndarray:
    """(N,): whether each example is classified as its gold label, with what the masks take out.

    masks: makes them, if this `part` of the work is not in the units yet.
    """

    def compute() -> Value:
        logits = predict(
            attributor.model, attributor.tokenizer, examples, masks=masks(), units=units.within(part)
        )
        return {"predicted": logits.argmax(-1)}

    return units.get(part, compute)["predicted"] == gold


def share_count(rows: int, batch_size: int) -> int:
    """In how many shares `predict` does so many rows."""
    batches = -(-rows // batch_size)
    return -(-batches // -(-SHARE // batch_size))


def score(labels: Sequence[str], gold: np.ndarray, predicted: np.ndarray) -> Evaluation:
    """Accuracy, by class too, from indices of gold and predicted labels.

    >>> score(["no", "yes"], np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])).accuracy
    0.75
    """
    table = np.zeros((len(labels), len(labels)), int)
    np.add.at(table, (gold, predicted), 1)
    right, n = int(np.trace(table)), int(table.sum())
    per_class = {}
    for i, label in enumerate(labels):
        of_class = int(table[i].sum())
        fine = of_class > 0
        per_class[label] = Score(
            int(table[i, i]) / of_class if fine else None,
            wilson(int(table[i, i]), of_class) if fine else None,
            of_class,
        )
    confusion = tuple(tuple(row) for row in table.tolist())
    return Evaluation(right / n, wilson(right, n), n, tuple(labels), per_class, confusion)


@contextlib.contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode and the model's own precision, then every module's training flag as it was.

    One thread at a time has a model, as in `capture.Capture`.
    """
    from attattr.engine.precision import as_given
    from attattr.engine.structure import lock_of

    with lock_of(model), as_given(input_device(model)):
        flags = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            yield
        finally:
            for module, flag in flags:
                module.training = flag
