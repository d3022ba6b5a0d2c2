"""F over a batch: read from the outputs of R rows, each of which stands on one of B inputs.

Whatever the head, F is read in one of three ways: from scores of C things at some places (`Objective.of`),
as the likeness of an embedding with a given one, or by the user's own function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attattr.errors import InputError, UnsupportedModelError

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Embedding:
    """The embedding (D,) that another is compared with; which of the input's n tokens are pooled, and how."""

    other: Tensor
    pooled: tuple[bool, ...]
    modes: tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """A parsed target. `index` is empty where the prediction itself is to be explained.

    index: which things, `at`: each at which place of the logits (both of one length once it is resolved).
    """

    kind: str  # see result.values.Target
    index: tuple[int, ...]
    label: str
    output: str
    function: Callable[[Any], Tensor] | None = None
    place: int | str | None = None  # of the token it is about, as it was asked for
    at: tuple[int, ...] = ()
    embedding: Embedding | None = None
    width: int = 0  # tokens that a span may start or end at; 0: it is about no span
    head: str = ""  # what the model gives (models.heads.reading)


@dataclass(frozen=True)
class Objective:
    """F over a batch of B inputs: the values of R rows from the model's outputs for them."""

    wishes: Sequence[Wish]  # B, resolved
    by_position: bool = False  # the places of the logits are positions of the input
    multi_label: bool = False

    @property
    def is_opaque(self) -> bool:
        """Whether some of it is no function of logits: of what, and in which precision, is not known."""
        return any(wish.function or wish.embedding for wish in self.wishes)

    @cached_property
    def _positions(self) -> list[int] | None:
        if not self.by_position or self.is_opaque:
            return None
        return sorted({at for wish in self.wishes for at in wish.at})

    def positions(self) -> list[int] | None:
        """Positions whose logits it reads, ascending; None: it reads no positions, or any of them."""
        return self._positions

    def among(self, positions: Sequence[int]) -> Objective:
        """The same of outputs whose logits are those of `positions` alone."""
        place = {position: i for i, position in enumerate(positions)}
        moved = [replace(wish, at=tuple(place[at] for at in wish.at)) for wish in self.wishes]
        return replace(self, wishes=moved)

    def __call__(self, outputs: Any, rows: Tensor) -> Tensor:
        """F of each row, (R,), in float32 or finer; row r stands on input `rows[r]`."""
        if not self.is_opaque:
            of, logits = read_of(self, outputs)
            return of.of(checked_logits(outputs) if logits is None else logits, rows)
        groups: dict[Any, list[int]] = {}
        for r, i in enumerate(rows.tolist()):
            wish = self.wishes[i]
            groups.setdefault(wish.function or bool(wish.embedding), []).append(r)
        values, order = [], []
        for which, members in groups.items():
            order += members
            here = torch.tensor(members, device=rows.device)
            if which is True:
                wishes = [self.wishes[i] for i in rows[here].tolist()]
                values.append(likeness(_at(states_of(outputs), here), wishes))
            elif which is False:
                values.append(self.of(_at(checked_logits(outputs), here), rows[here]))
            else:
                values.append(_at(_of_callable(which, outputs, len(rows)), here))
        return _at(torch.cat(values), torch.tensor(order, device=rows.device).argsort())

    def of(self, logits: Tensor, rows: Tensor) -> Tensor:
        """F of each row from its logits: (R, C), or of several places (R, P, C); of spans (R, n, 2)."""
        places = logits[:, None] if logits.ndim == 2 else logits
        if any(wish.width for wish in self.wishes):
            # of spans start and end are the places, the tokens what there is to choose from
            places = places.transpose(1, 2)
        groups = self._groups_on(logits.device)
        if len(groups) == 1:  # nothing is asked of the device
            return self._of_group(groups[0], places, rows).to(logits.dtype)
        number = {i: g for g, group in enumerate(groups) for i in group.members}
        members: dict[int, list[int]] = {}
        for r, i in enumerate(rows.tolist()):
            members.setdefault(number[i], []).append(r)
        here = [torch.tensor(each, device=logits.device) for each in members.values()]
        values = [
            self._of_group(groups[g], places[each], rows[each.to(rows.device)])
            for g, each in zip(members, here, strict=True)
        ]
        return torch.cat(values)[torch.cat(here).argsort()].to(logits.dtype)

    def _groups_on(self, device: torch.device) -> list[_Group]:
        if device not in self._known:
            self._known[device] = [group.on(device) for group in self._groups]
        return self._known[device]

    @cached_property
    def _known(self) -> dict[torch.device, list[_Group]]:
        return {}

    @cached_property
    def _groups(self) -> list[_Group]:
        """The wishes that are read in one way together."""
        members: dict[tuple[bool, bool, str], list[int]] = {}
        for i, wish in enumerate(self.wishes):
            apart = wish.kind == "difference"
            joint = wish.output == "probability" and len(wish.index) > 1 and not apart
            members.setdefault((apart, joint, wish.output), []).append(i)
        return [self._group(*how, which) for how, which in members.items()]

    def _group(self, apart: bool, joint: bool, output: str, members: list[int]) -> _Group:
        wishes = [self.wishes[i] for i in members]
        most = max(len(wish.index) for wish in wishes)
        row = [0] * len(self.wishes)
        for r, i in enumerate(members):
            row[i] = r
        return _Group(
            apart, joint, output, tuple(members), torch.tensor(row),
            torch.tensor([wish.at + (0,) * (most - len(wish.at)) for wish in wishes]),
            torch.tensor([wish.index + (0,) * (most - len(wish.index)) for wish in wishes]),
            torch.tensor([len(wish.index) for wish in wishes]),
            torch.tensor([wish.width for wish in wishes]),
        )  # fmt: skip

    def _of_group(self, group: _Group, places: Tensor, rows: Tensor) -> Tensor:
        which = group.row[rows.to(places.device)]
        at, index = group.at[which], group.index[which]  # (r, T)
        every = torch.arange(len(places), device=places.device)
        scores = in_full(places[every[:, None], at])  # (r, things, C)
        if any(wish.width for wish in self.wishes):
            beyond = torch.arange(scores.shape[-1], device=places.device) >= group.width[which][:, None, None]
            scores = scores.masked_fill(beyond, -torch.inf)
        there = torch.arange(index.shape[1], device=places.device) < group.count[which][:, None]
        return self._value(scores, index, there, group)

    def _value(self, scores: Tensor, index: Tensor, there: Tensor, group: _Group) -> Tensor:
        """scores (r, T, C), index (r, T): Σ over the T things that are `there`; their product, of
        probabilities; the first without the second, of a difference."""
        if group.output == "log_probability" or group.joint:
            scores = torch.nn.functional.logsigmoid(scores) if self.multi_label else scores.log_softmax(-1)
        elif group.output == "probability":
            scores = scores.sigmoid() if self.multi_label else scores.softmax(-1)
        each = scores.gather(2, index[:, :, None])[:, :, 0]
        if group.apart:
            return each[:, 0] - each[:, 1]
        whole = each.masked_fill(~there, 0).sum(1)
        return whole.exp() if group.joint else whole


@dataclass(frozen=True)
class _Group:
    """Some wishes, G, of T things at most, that are read in one way; as tensors on one device."""

    apart: bool
    joint: bool
    output: str
    members: tuple[int, ...]  # their numbers
    row: Tensor  # (wishes,) which of them each wish is
    at: Tensor  # (G, T)
    index: Tensor  # (G, T)
    count: Tensor  # (G,)
    width: Tensor  # (G,)

    def on(self, device: torch.device) -> _Group:
        return replace(
            self, row=self.row.to(device), at=self.at.to(device), index=self.index.to(device),
            count=self.count.to(device), width=self.width.to(device),
        )  # fmt: skip


def read_of(objective: Objective, outputs: Any) -> tuple[Objective, Tensor | None]:
    """F of the logits that it reads alone, and these, in float32 or finer; None: it is not read from logits.

    Of a language model the others would take more room than all else.
    """
    logits, places = own_logits(outputs), objective.positions()
    if logits is None:
        return objective, None
    if places is not None and logits.ndim == 3 and len(places) < logits.shape[1]:
        at = torch.tensor(places, device=logits.device)
        return objective.among(places), wide(logits.index_select(1, at))
    return objective, wide(logits)


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Some of them; the index follows what it indexes to its device."""
    return values[index.to(values.device)]


def told(outputs: Any) -> Tensor:
    """What tells the outputs of two forwards apart: the logits, else the last hidden state, else the first
    numbers there are. (B, …), positions before anything else; in the model's own precision."""
    values = [own_logits(outputs), getattr(outputs, "last_hidden_state", None)]
    values += list(outputs.values() if hasattr(outputs, "values") else outputs)
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim:
            return value
    raise UnsupportedModelError(f"the outputs of this model, {type(outputs).__name__}, hold no numbers")


def logits_of(outputs: Any) -> Tensor | None:
    """The outputs' logits in float32 or finer; of starts and ends of spans, (B, n, 2); None: it has none."""
    logits = own_logits(outputs)
    return None if logits is None else wide(logits)


def own_logits(outputs: Any) -> Tensor | None:
    logits = getattr(outputs, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    start, end = (getattr(outputs, f"{side}_logits", None) for side in ("start", "end"))
    if isinstance(start, Tensor) and isinstance(end, Tensor):
        return torch.stack([start, end], dim=-1)
    return None


def checked_logits(outputs: Any) -> Tensor:
    """As `logits_of`; none are an error."""
    logits = logits_of(outputs)
    if logits is None:
        raise UnsupportedModelError(
            f"the outputs of this model, {type(outputs).__name__}, hold no logits to explain"
        )
    return logits


def in_full(logits: Tensor) -> Tensor:
    """In float64, where the device is known to have it: in float32 the gradient of a probability within
    1e-7 of 1 is noise."""
    return logits.double() if logits.device.type in ("cpu", "cuda") else logits.float()


def pooled(states: Tensor, kept: Tensor, modes: Sequence[str]) -> Tensor:
    """Embeddings, (R, D or several of them), of hidden states (R, n, D) whose tokens `kept` (R, n) names.

    Source: sentence_transformers' Pooling.
    """
    keep = kept[:, :, None]
    count = keep.sum(1).to(states.dtype)
    whole = (states * keep).sum(1)
    first = states[torch.arange(len(states), device=states.device), kept.int().argmax(1)]
    of = {
        "cls": lambda: first,
        "max": lambda: states.masked_fill(~keep, -torch.inf).amax(1),
        "mean": lambda: whole / count,
        "mean_sqrt_len": lambda: whole / count.sqrt(),
    }
    return torch.cat([of[mode]() for mode in modes], dim=-1)


def likeness(states: Tensor, wishes: Sequence[Wish]) -> Tensor:
    """cos(pooled state, the other embedding), row by row; in the states' precision, float32 or finer."""
    found = [wish.embedding for wish in wishes if wish.embedding]
    full = in_full(states)
    kept = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
    for row, each in zip(kept, found, strict=True):
        row[: len(each.pooled)] = torch.tensor(each.pooled, device=states.device)
    mine = pooled(full, kept, found[0].modes)
    other = torch.stack([each.other for each in found]).to(full)
    return torch.nn.functional.cosine_similarity(mine, other, dim=-1).to(states.dtype)


def states_of(outputs: Any) -> Tensor:
    """The last hidden state, (R, n, D); where there is none an error."""
    states = getattr(outputs, "last_hidden_state", None)
    if not isinstance(states, Tensor) or states.ndim != 3:
        raise UnsupportedModelError(
            f"the outputs of this model, {type(outputs).__name__}, hold no hidden states to pool: explain a "
            "function of them"
        )
    return wide(states)


def _of_callable(function: Callable[[Any], Tensor], outputs: Any, count: int) -> Tensor:
    values = function(outputs)
    if not isinstance(values, Tensor) or values.shape != (count,):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"a callable target must return one number an input, ({count},), not {shape}")
    return wide(values)


def wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in HALF else values
