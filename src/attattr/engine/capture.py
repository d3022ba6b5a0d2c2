"""Reading and replacing attention inside a transformers model.

While a `Capture` is entered, every attention call of the model comes here (dispatch.py): it can be
recorded (`record`) and its context replaced (`resume`). Models that do not ask transformers are seen at
their softmaxes instead (softmax.py). Everything the capture touches is put back on exit, also after an
exception.

Shapes: B inputs, R rows (input × node), H heads, q queries, k keys, d numbers per head.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

from attattr.engine.causal import Masks
from attattr.engine.checkpoint import checkpointed
from attattr.engine.dispatch import IMPLEMENTATION, NONE, Handlers, handling, now
from attattr.engine.last_block import run_rows
from attattr.engine.precision import as_given
from attattr.engine.recording import Call, Recording, clean_context
from attattr.engine.resumed import Count, Part, Resumed
from attattr.engine.softmax import Softmaxes, head_counts, why_not
from attattr.engine.structure import (
    blocks_without,
    by_input,
    by_row,
    configs,
    kind_of,
    lengths,
    lists_without,
    lock_of,
    taken_over,
)
from attattr.engine.ways import Ways, known, remember
from attattr.errors import UnsupportedModelError
from attattr.models.place import input_device


class Capture:
    """A model whose attention is intercepted, inside a `with`.

    Args:
        model: in evaluation mode and without gradients of its parameters while captured; computed in
            its own precision, whatever autocast, TF32 or inference mode is on outside.

    One thread at a time has a model: others wait for it here. It may be captured again inside of its own
    capture. The model itself, called from another thread meanwhile, is right, but in evaluation mode and
    without a key-value cache that is not asked for.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self._undo: list[contextlib.ExitStack] = []  # of each time it was entered

    def __enter__(self) -> Capture:
        with contextlib.ExitStack() as undo:
            undo.enter_context(lock_of(self.model))
            undo.enter_context(as_given(input_device(self.model)))
            undo.enter_context(taken_over(self.model, IMPLEMENTATION, self._run_block))
            undo.enter_context(handling(NONE))
            self._undo.append(undo.pop_all())
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo.pop().close()

    def _run_block(self, forward: Callable, args: tuple, kwargs: dict) -> Any:
        run = now().run if now().by is self else None
        return forward(*args, **kwargs) if run is None else run(forward, args, kwargs)

    def _forward(
        self, ways: Ways, inputs: Mapping[str, Tensor], attend: Callable | None, run: Callable | None,
        kept: Tensor | None = None, masks: Masks | None = None,
    ) -> tuple[Any, Softmaxes | None]:  # fmt: skip
        """The outputs of a forward with these handlers, and the softmaxes at which it was seen."""
        parameters = inspect.signature(self.model.forward).parameters.values()
        names = {parameter.name for parameter in parameters}
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in names else {}
        if any_name or "return_dict" in names:
            options["return_dict"] = True
        if kept is not None:
            options["logits_to_keep"] = kept
        softmaxes = None
        if ways.softmax and attend is not None:
            heads = head_counts(*(config.to_dict() for config in configs(self.model)))
            softmaxes = Softmaxes(attend, _size(inputs), heads)
        handlers = Handlers(attend, run, softmaxes, masks, self)
        with handling(handlers), softmaxes or contextlib.nullcontext():
            return self.model(**inputs, **options), softmaxes

    @torch.no_grad()
    def record(self, inputs: Mapping[str, Tensor], share: int = 1) -> Recording:
        """One clean forward: the outputs, every attention call, every block's output.

        What does not go through transformers' AttentionInterface is looked for at its softmaxes, by another
        forward where a list of layers was not seen: it writes its attention out, or the input leaves it out.

        share: so many rows will stand on each input, and see as much less of its attention at a time.

        Raises:
            UnsupportedModelError: no attention call could be intercepted.
        """
        ways = known(self.model)
        recording, seen = self._record(inputs, ways or Ways(softmax=False), share)
        modules = {call.module for call in recording.calls if call is not None}
        if not recording.ways.softmax and lists_without(self.model, modules):
            other, seen = self._record(inputs, Ways(softmax=True), share)
            recording = other if other.reach > recording.reach else recording
        if not recording.sites:
            raise UnsupportedModelError(
                f"no attention of {type(self.model).__name__} can be attributed: "
                + why_not(recording.left_out, seen)
            )
        if ways is None or ways.softmax != recording.ways.softmax:
            remember(self.model, Ways(softmax=recording.ways.softmax))
        return recording

    def _record(
        self, inputs: Mapping[str, Tensor], ways: Ways, share: int
    ) -> tuple[Recording, Softmaxes | None]:
        size = _size(inputs)
        names = {module: name for name, module in self.model.named_modules()}
        times: dict[nn.Module, int] = {}
        calls: list[Call | None] = []
        blocks, calls_by_then, given, left_out = [], [], [], []
        masks, maskless = Masks(), []

        def run(forward, args, kwargs):
            output = forward(*args, **kwargs)
            given.append(lengths((args, kwargs)))
            blocks.append(output)
            calls_by_then.append(len(calls))
            return output

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            clean = (module, query, key, value, attention_mask)
            fuse = ways.fuse and not ways.softmax
            seen = clean_context(eager, clean, (args, kwargs), fuse, masks.is_plain(attention_mask), share)
            times[module] = times.get(module, 0) + 1
            name = names.get(module, type(module).__name__)
            if times[module] > 1:
                name += f"#{times[module]}"
            attributable = seen.query_blocks is not None and len(query) == size
            if not attributable:
                left_out.append(name)
            fits = seen.fused if seen.causal else masks.stays(attention_mask)
            maskless.append(attributable and fits)
            call = Call(
                name=name, kind=kind_of(self.model, name, module), blocks_below=len(blocks), module=module,
                query=query, key=key, value=value, mask=attention_mask, rest=(args, kwargs), eager=eager,
                context=seen.context, fused=seen.fused, causal=seen.causal,
                query_blocks=seen.query_blocks or (),
            )  # fmt: skip
            calls.append(call if attributable else None)
            return seen.context, None

        outputs, softmaxes = self._forward(ways, inputs, attend, run, None, masks)
        unread = softmaxes.unread if softmaxes is not None else ()
        left_out += [*(names[module] for module in unread), *blocks_without(self.model, set(times))]
        ways = replace(ways, replay=ways.replay and all(by_input(output, size) for output in blocks))
        recording = Recording(
            outputs, tuple(calls), tuple(blocks), tuple(calls_by_then), tuple(given), tuple(left_out), ways,
            maskless=bool(masks.plain) and not masks.padded and all(maskless),
        )  # fmt: skip
        return recording.without(softmaxes.several if softmaxes is not None else ()), softmaxes

    def resume(self, recording: Recording, inputs: Mapping[str, Tensor], parts: Sequence[Part]) -> Any:
        """The outputs, (R, …), of rows that each have the context of one attention call replaced.

        parts: in the order of their calls; more than one where `trials.joint` found that the model can do it.
        Gradients flow from the outputs to the contexts.
        """
        rows = Resumed(self, recording, _size(inputs), parts)
        outputs, _ = self._forward(
            recording.ways, rows.inputs(inputs), rows.attend, rows.run, recording.kept, _masks(recording)
        )
        if (made := rows.count.calls) != len(recording.calls):
            raise UnsupportedModelError(
                f"{type(self.model).__name__} made {made} attention calls where its clean forward made "
                f"{len(recording.calls)}: it cannot be resumed at {recording.site(parts[0].number).name}"
            )
        return outputs

    def check_gradients(self) -> None:
        if not torch.is_grad_enabled():
            name = type(self.model).__name__
            raise UnsupportedModelError(f"{name} runs some of its layers without gradients")

    def trace(
        self, recording: Recording, inputs: Mapping[str, Tensor], rows: Tensor
    ) -> tuple[Any, dict[int, Tensor]]:
        """The clean forward with its graph: the outputs, and every site's context in it, by call."""
        contexts: dict[int, Tensor] = {}
        count = Count()

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            count.calls += 1
            self.check_gradients()
            number = count.calls - 1
            attention = recording.attention(number, eager)
            context, weights = attention(module, query, key, value, attention_mask, *args, **kwargs)
            if number < len(recording.calls) and recording.calls[number] is not None:
                # what comes first on its way starts the graph: no parameter asks for a gradient
                context = context if context.requires_grad else context.detach().requires_grad_()
                contexts.setdefault(number, context)  # the first time, not on the way back
            return context, weights

        def run(forward, args, kwargs):
            return self.block(recording, forward, args, kwargs, attend, count)

        of_rows = by_row(dict(inputs), rows, _size(inputs))
        outputs, _ = self._forward(recording.ways, of_rows, attend, run, recording.kept, _masks(recording))
        return outputs, contexts

    def block(
        self, recording: Recording, forward: Callable, args: tuple, kwargs: dict, attend: Callable,
        count: Count,
    ) -> Any:  # fmt: skip
        """One block of a forward that is differentiated: kept, or computed again on the way back."""
        # softmaxes are seen in a forward of the whole model only
        if not recording.checkpoint or recording.ways.softmax or not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        first = count.calls

        @contextlib.contextmanager
        def alone() -> Iterator[
            None
        ]:  # on the way back a device has a thread of its own, which knows of nothing
            count.calls = first
            with handling(Handlers(attend)):
                yield

        return checkpointed(forward, args, kwargs, alone)

    def finish(self, recording: Recording, inputs: Mapping[str, Tensor], last: Callable) -> Any:
        """The outputs of the clean forward with last(forward, args, kwargs) in its last block's place."""
        blocks = 0

        def run(forward, args, kwargs):
            nonlocal blocks
            blocks += 1
            if blocks < len(recording.blocks):
                return recording.blocks[blocks - 1]
            return last(forward, args, kwargs)

        return self._forward(recording.ways, inputs, None, run, recording.kept, _masks(recording))[0]

    def few(
        self, recording: Recording, forward: Callable, args: tuple, kwargs: dict,
        positions: Tensor, rows: Tensor, context: Tensor | None,
    ) -> Any:  # fmt: skip
        """The last block's output at `positions` (R, m) and clean elsewhere: see last_block.run_rows."""
        call = recording.site(len(recording.calls) - 1)
        return run_rows(
            forward, args, kwargs,
            positions=positions, clean=by_row(recording.blocks[-1], rows, len(call.query)), context=context,
            attention=recording.attention(len(recording.calls) - 1, call.eager),
            attending=lambda attend: handling(Handlers(attend, now().run, by=self)),
            causal=recording.unmasked and call.causal,
        )  # fmt: skip

    def edit(
        self, ways: Ways, inputs: Mapping[str, Tensor], change: Callable[..., Tensor], *,
        clean: Recording | None = None, values: Callable[[int, Tensor], Tensor] | None = None,
    ) -> Any:  # fmt: skip
        """The outputs of a forward in which every attention call's context goes through `change`.

        change(number, context, weights, values) -> context: (B, q, H, d), (B, H, q, k), (B, H, k, d). A
        call whose attention has another form keeps its context and is not shown.

        clean: the recording of these inputs, or of one that they repeat: only its logits are asked for.
        values: goes first, (number, value) -> value; then no weights are made where fused attention agrees,
        and `change` gets None for them and for the values.
        """
        calls = 0
        passed = clean if values is not None else None

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            nonlocal calls
            calls += 1
            if passed is not None and values is not None:
                attention = passed.attention(calls - 1, eager)
                value = values(calls - 1, value)
                context, _ = attention(module, query, key, value, attention_mask, *args, **kwargs)
                return change(calls - 1, context, None, None), None
            context, weights = eager(module, query, key, value, attention_mask, *args, **kwargs)
            if weights is None or weights.ndim != 4 or weights.shape[1] % value.shape[1]:
                return context, weights
            repeated = repeat_kv(value, weights.shape[1] // value.shape[1])
            return change(calls - 1, context, weights, repeated), weights

        masks = None if passed is None else _masks(passed)
        kept = None if clean is None else clean.kept
        return self._forward(ways, inputs, attend, None, kept, masks)[0]


def _size(inputs: Mapping[str, Tensor]) -> int:
    return len(next(iter(inputs.values())))


def _masks(recording: Recording) -> Masks | None:
    return Masks(needless=True) if recording.unmasked else None
