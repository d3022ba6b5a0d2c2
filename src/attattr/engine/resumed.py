"""A forward of rows that each begin at an attention call whose context is given. Shapes as in capture.py.

Below a row's call nothing changes: blocks there are not run for it, they hand on what they gave in the
clean forward. Rows that begin higher up join the others in the block of their call, so that rows of all
sites can go up together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from attattr.engine.recording import Recording
from attattr.engine.structure import by_row, lengths, some_rows, with_rows

if TYPE_CHECKING:
    from attattr.engine.capture import Capture


class Part(NamedTuple):
    """Rows that begin at one attention call."""

    number: int
    rows: Tensor  # (r,) the recorded input that each stands on
    context: Tensor  # (r, q, H, d) in the place of the call's own


@dataclass
class Count:
    """How far a forward is."""

    blocks: int = 0
    calls: int = 0


class Resumed:
    """How such a forward goes through the model's blocks and attention calls.

    parts: in the order of their calls; several only where blocks can be replayed.
    """

    def __init__(self, capture: Capture, recording: Recording, size: int, parts: Sequence[Part]):
        self.capture, self.recording, self.size, self.count = capture, recording, size, Count()
        self.rows = torch.cat([part.rows.to(parts[0].rows.device) for part in parts])
        self.total = len(self.rows)
        self.differentiated = torch.is_grad_enabled()
        ends = accumulate(len(part.rows) for part in parts)
        self.own = {
            part.number: (slice(end - len(part.rows), end), part.context)
            for part, end in zip(parts, ends, strict=True)
        }

    def inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return by_row(dict(inputs), self.rows, self.size)

    def run(self, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """One block: for the rows that have begun, the others are handed on."""
        recording, count, this = self.recording, self.count, self.count.blocks
        count.blocks += 1
        if not recording.ways.replay:
            return self._block(forward, args, kwargs)
        begun = max(
            (of.stop for number, (of, _) in self.own.items() if recording.site(number).blocks_below <= this),
            default=0,
        )
        if not begun:
            count.calls = recording.calls_by_then[this]
            return by_row(recording.blocks[this], self.rows, self.size)
        if recording.read is not None and count.blocks == len(recording.blocks):
            return self._last(forward, args, kwargs)
        if begun == self.total:
            return self._block(forward, args, kwargs)
        output = self._block(forward, *self._some(args, kwargs, slice(0, begun)))
        clean = recording.blocks[this]
        return with_rows(output, by_row(clean, self.rows[begun:], self.size), lengths(clean), self.size)

    def attend(self, eager, module, query, key, value, attention_mask, *args, **kwargs):
        """One attention call: the context that is given, for the rows that begin here."""
        self.count.calls += 1
        if self.differentiated:
            self.capture.check_gradients()
        of, context = self.own.get(self.count.calls - 1, (slice(0, 0), None))
        if context is not None and len(context) == len(query):
            return context, None
        attention = self.recording.attention(self.count.calls - 1, eager)
        output, weights = attention(module, query, key, value, attention_mask, *args, **kwargs)
        if context is None:
            return output, weights
        return torch.cat([output[: of.start], context, output[of.stop :]]), None

    def _block(self, forward: Callable, args: tuple, kwargs: dict) -> Any:
        return self.capture.block(self.recording, forward, args, kwargs, self.attend, self.count)

    def _last(self, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """The last block at the positions that F reads; rows that begin in it need no keys and values."""
        recording = self.recording
        assert recording.read is not None
        self.count.calls = len(recording.calls)
        own, context = self.own.get(len(recording.calls) - 1, (slice(self.total, self.total), None))
        positions = recording.read[self.rows.to(recording.read.device)]
        found = []
        for of, its in ((slice(0, own.start), None), (own, context)):
            if of.start < of.stop:
                given = self._some(args, kwargs, of)
                found.append(self.capture.few(recording, forward, *given, positions[of], self.rows[of], its))
        if len(found) == 1:
            return found[0]
        return with_rows(found[0], found[1], lengths(recording.blocks[-1]), self.size)

    def _some(self, args: tuple, kwargs: dict, of: slice) -> tuple[tuple, dict]:
        """A block's arguments for some of the rows."""
        if of == slice(0, self.total):
            return args, kwargs
        clean = self.recording.given[self.count.blocks - 1]
        return some_rows((args, kwargs), clean, of, self.total, self.size)
