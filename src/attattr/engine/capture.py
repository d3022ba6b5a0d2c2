"""Reading and replacing attention inside a transformers model.

The only file that knows how transformers dispatches attention. While a `Capture` is entered, every
attention call of the model goes through `_attend`: it can be recorded (`record`) and its context
replaced (`resume`). Models that do not ask transformers are seen at their softmaxes instead
(softmax.py). Everything the capture touches is put back on exit, also after an exception.

Shapes: B inputs, R rows (input × node), H heads, q queries, k keys, d numbers per head.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import eager_mask

from attattr.engine.last_block import run_rows
from attattr.engine.precision import as_given
from attattr.engine.recording import Call, Recording, clean_context
from attattr.engine.softmax import Softmaxes, head_counts, why_not
from attattr.engine.structure import (
    blocks_without,
    by_input,
    by_row,
    configs,
    kind_of,
    lists_without,
    lock_of,
    taken_over,
)
from attattr.engine.ways import Ways, known, remember
from attattr.errors import UnsupportedModelError
from attattr.models.place import input_device

IMPLEMENTATION = "attattr"
_capture: ContextVar[Capture | None] = ContextVar("attattr_capture", default=None)


class _Handlers(NamedTuple):
    """What the attention calls and the blocks of the running forward go through."""

    attend: Callable | None = None
    run: Callable | None = None
    softmaxes: Softmaxes | None = None  # where attention is seen, if not where the model asks for it


class Capture:
    """A model whose attention is intercepted, inside a `with`.

    Args:
        model: in evaluation mode and without gradients of its parameters while captured; computed in
            its own precision, whatever autocast, TF32 or inference mode is on outside.

    One thread at a time has a model: others wait for it here. It may be captured again inside of its own
    capture. The model itself, called from another thread meanwhile, is right, but in evaluation mode.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self._undo: list[contextlib.ExitStack] = []  # of each time it was entered
        self._now = _Handlers()

    def __enter__(self) -> Capture:
        with contextlib.ExitStack() as undo:
            undo.enter_context(lock_of(self.model))
            undo.enter_context(as_given(input_device(self.model)))
            undo.enter_context(taken_over(self.model, IMPLEMENTATION, self._run_block))
            undo.callback(_capture.reset, _capture.set(self))
            self._undo.append(undo.pop_all())
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo.pop().close()

    def _run_block(self, forward: Callable, args: tuple, kwargs: dict) -> Any:
        if self._now.run is None or _capture.get() is not self:  # another thread's forward is none of ours
            return forward(*args, **kwargs)
        return self._now.run(forward, args, kwargs)

    def _forward(
        self, ways: Ways, inputs: Mapping[str, Tensor], attend: Callable | None, run: Callable | None,
        kept: Tensor | None = None,
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
        with self._handlers(attend, run, softmaxes), softmaxes or contextlib.nullcontext():
            return self.model(**inputs, **options), softmaxes

    @torch.no_grad()
    def record(self, inputs: Mapping[str, Tensor]) -> Recording:
        """One clean forward: the outputs, every attention call, every block's output.

        What does not go through transformers' AttentionInterface is looked for at its softmaxes, by another
        forward where a list of layers was not seen: it writes its attention out, or the input leaves it out.

        Raises:
            UnsupportedModelError: no attention call could be intercepted.
        """
        ways = known(self.model)
        recording, seen = self._record(inputs, ways or Ways(softmax=False))
        modules = {call.module for call in recording.calls if call is not None}
        if not recording.ways.softmax and lists_without(self.model, modules):
            other, seen = self._record(inputs, Ways(softmax=True))
            recording = other if other.reach > recording.reach else recording
        if not recording.sites:
            raise UnsupportedModelError(
                f"no attention of {type(self.model).__name__} can be attributed: "
                + why_not(recording.left_out, seen)
            )
        if ways is None or ways.softmax != recording.ways.softmax:
            remember(self.model, Ways(softmax=recording.ways.softmax))
        return recording

    def _record(self, inputs: Mapping[str, Tensor], ways: Ways) -> tuple[Recording, Softmaxes | None]:
        size = _size(inputs)
        names = {module: name for name, module in self.model.named_modules()}
        times: dict[nn.Module, int] = {}
        calls: list[Call | None] = []
        blocks, calls_by_then, left_out = [], [], []

        def run(forward, args, kwargs):
            output = forward(*args, **kwargs)
            blocks.append(output)
            calls_by_then.append(len(calls))
            return output

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            clean = (module, query, key, value, attention_mask)
            output, query_blocks, fused = clean_context(
                eager, clean, (args, kwargs), ways.fuse and not ways.softmax
            )
            times[module] = times.get(module, 0) + 1
            name = names.get(module, type(module).__name__)
            if times[module] > 1:
                name += f"#{times[module]}"
            attributable = query_blocks is not None and len(query) == size
            if not attributable:
                left_out.append(name)
            call = Call(
                name=name, kind=kind_of(self.model, name, module), blocks_below=len(blocks), module=module,
                query=query, key=key, value=value, mask=attention_mask, rest=(args, kwargs), eager=eager,
                context=output, fused=fused, query_blocks=query_blocks or (),
            )  # fmt: skip
            calls.append(call if attributable else None)
            return output, None

        outputs, softmaxes = self._forward(ways, inputs, attend, run)
        unread = softmaxes.unread if softmaxes is not None else ()
        left_out += [*(names[module] for module in unread), *blocks_without(self.model, set(times))]
        ways = replace(ways, replay=ways.replay and all(by_input(output, size) for output in blocks))
        recording = Recording(
            outputs, tuple(calls), tuple(blocks), tuple(calls_by_then), tuple(left_out), ways
        )
        return recording.without(softmaxes.several if softmaxes is not None else ()), softmaxes

    def resume(
        self, recording: Recording, inputs: Mapping[str, Tensor], rows: Tensor, number: int, context: Tensor
    ) -> Any:
        """The outputs, (R, …), with the context of attention call `number` replaced by (R, q, H, d).

        Row r stands on input `rows[r]` of the recording. Blocks below the call are not run, they hand
        on what they gave in the clean forward. Gradients flow from the outputs to `context`.
        """
        site = recording.site(number)
        size = len(site.query)
        blocks = calls = 0
        differentiated = torch.is_grad_enabled()

        def run(forward, args, kwargs):
            nonlocal blocks, calls
            blocks += 1
            if recording.ways.replay and blocks <= site.blocks_below:
                calls = recording.calls_by_then[blocks - 1]
                return by_row(recording.blocks[blocks - 1], rows, size)
            if recording.read is not None and blocks == len(recording.blocks):
                calls = len(recording.calls)
                own = context if number == calls - 1 else None
                read = recording.read[rows.to(recording.read.device)]
                return self.few(recording, forward, args, kwargs, read, rows, own)
            return forward(*args, **kwargs)

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            nonlocal calls
            calls += 1
            if differentiated:
                self._check_gradients()
            if calls - 1 == number:
                return context, None
            attention = _attention_of(recording, calls - 1, eager)
            return attention(module, query, key, value, attention_mask, *args, **kwargs)

        of_rows = by_row(dict(inputs), rows, size)
        outputs, _ = self._forward(recording.ways, of_rows, attend, run, recording.kept)
        if calls != len(recording.calls):
            raise UnsupportedModelError(
                f"{type(self.model).__name__} made {calls} attention calls where its clean forward made "
                f"{len(recording.calls)}: it cannot be resumed at {site.name}"
            )
        return outputs

    def _check_gradients(self) -> None:
        if not torch.is_grad_enabled():
            raise UnsupportedModelError(
                f"{type(self.model).__name__} runs some of its layers without gradients"
            )

    def trace(
        self, recording: Recording, inputs: Mapping[str, Tensor], rows: Tensor
    ) -> tuple[Any, dict[int, Tensor]]:
        """The clean forward with its graph: the outputs, and every site's context in it, by call."""
        contexts: dict[int, Tensor] = {}
        calls = 0

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            nonlocal calls
            calls += 1
            self._check_gradients()
            attention = _attention_of(recording, calls - 1, eager)
            context, weights = attention(module, query, key, value, attention_mask, *args, **kwargs)
            if calls <= len(recording.calls) and recording.calls[calls - 1] is not None:
                # what comes first on its way starts the graph: no parameter asks for a gradient
                context = context if context.requires_grad else context.detach().requires_grad_()
                contexts[calls - 1] = context
            return context, weights

        of_rows = by_row(dict(inputs), rows, _size(inputs))
        outputs, _ = self._forward(recording.ways, of_rows, attend, None, recording.kept)
        return outputs, contexts

    def finish(self, recording: Recording, inputs: Mapping[str, Tensor], last: Callable) -> Any:
        """The outputs of the clean forward with last(forward, args, kwargs) in its last block's place."""
        blocks = 0

        def run(forward, args, kwargs):
            nonlocal blocks
            blocks += 1
            if blocks < len(recording.blocks):
                return recording.blocks[blocks - 1]
            return last(forward, args, kwargs)

        return self._forward(recording.ways, inputs, None, run, recording.kept)[0]

    def few(
        self, recording: Recording, forward: Callable, args: tuple, kwargs: dict,
        positions: Tensor, rows: Tensor, context: Tensor | None,
    ) -> Any:  # fmt: skip
        """The last block's output at `positions` (R, m) and clean elsewhere: see last_block.run_rows."""
        call = recording.site(len(recording.calls) - 1)
        return run_rows(
            forward, args, kwargs,
            positions=positions, clean=by_row(recording.blocks[-1], rows, len(call.query)), context=context,
            attention=_attention_of(recording, len(recording.calls) - 1, call.eager),
            attending=lambda attend: self._handlers(attend, self._now.run),
        )  # fmt: skip

    def edit(self, ways: Ways, inputs: Mapping[str, Tensor], change: Callable[..., Tensor]) -> Any:
        """The outputs of a forward in which every attention call's context goes through `change`.

        change(number, context, weights, values) -> context: (B, q, H, d), (B, H, q, k), (B, H, k, d). A
        call whose attention has another form keeps its context and is not shown.
        """
        calls = 0

        def attend(eager, module, query, key, value, attention_mask, *args, **kwargs):
            nonlocal calls
            context, weights = eager(module, query, key, value, attention_mask, *args, **kwargs)
            calls += 1
            if weights is None or weights.ndim != 4 or weights.shape[1] % value.shape[1]:
                return context, weights
            values = repeat_kv(value, weights.shape[1] // value.shape[1])
            return change(calls - 1, context, weights, values), weights

        return self._forward(ways, inputs, attend, None)[0]

    @contextlib.contextmanager
    def _handlers(self, *handlers: Any) -> Iterator[None]:
        before, self._now = self._now, _Handlers(*handlers)
        try:
            yield
        finally:
            self._now = before


def _size(inputs: Mapping[str, Tensor]) -> int:
    return len(next(iter(inputs.values())))


def _attention_of(recording: Recording, number: int, eager: Callable) -> Callable:
    clean = recording.calls[number] if number < len(recording.calls) else None
    return sdpa_attention_forward if recording.ways.fuse and clean and clean.fused else eager


def _attend(module, query, key, value, attention_mask=None, *args, **kwargs):
    """What transformers calls for every attention of a captured model."""
    capture = _capture.get()
    eager = _eager(module)
    if capture is None or capture._now.attend is None or capture._now.softmaxes is not None:
        return eager(module, query, key, value, attention_mask, *args, **kwargs)
    return capture._now.attend(eager, module, query, key, value, attention_mask, *args, **kwargs)


AttentionInterface.register(IMPLEMENTATION, _attend)
# an implementation without a mask function of its own gets no mask at all, silently
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


def _eager(module: nn.Module) -> Callable:
    """The model's own plain attention, with its soft-caps, sinks and position biases."""
    function = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if function is None:
        raise UnsupportedModelError(f"{type(module).__module__} has no eager attention to read weights from")
    return function
