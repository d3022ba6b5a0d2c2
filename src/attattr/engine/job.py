"""One batch attributed: the clean forward, every site's integral, results; in halves where memory ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from attattr.asked import Progress
from attattr.data import counterfactual
from attattr.data.encoding import Encoded
from attattr.data.images import seen
from attattr.engine import shortcuts, trials
from attattr.engine.batch import Batch, Collate, beside, opened
from attattr.engine.capture import Capture
from attattr.engine.collect import sites_of
from attattr.engine.first_look import chosen, looked_at
from attattr.engine.integral import Integral, together
from attattr.engine.memory import out_of_memory
from attattr.engine.options import Options
from attattr.engine.recording import Call, Recording
from attattr.engine.room import Room, length, room_for
from attattr.errors import ImpossibleError, InputError
from attattr.result.attribution import Attribution
from attattr.result.values import Site
from attattr.targets import kinds

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor


@dataclass
class Job:
    """One call of `attribute` on one batch."""

    attributor: Attributor
    capture: Capture
    options: Options
    collate: Collate
    progress: Progress
    then: Callable[[Batch, list[Attribution]], None]
    seen: Callable[[Call, Integral, Sequence[int]], None]
    known: dict[int, Recording | None] = field(default_factory=dict)  # of inputs, by id, that are kept

    def run(
        self,
        encoded: list[Encoded],
        wishes: list[kinds.Wish],
        numbers: Sequence[int],
        room: Room | None = None,
    ) -> list[Attribution | ImpossibleError]:
        """The batch of the inputs of these numbers; in halves where memory runs out, one alone with fewer
        rows at once, then with its blocks computed again on the way back.

        In place of the result of an input that cannot be attributed even so stands the error.
        """
        if room is None:
            wanted = self.options.memory_budget, self.options.internal_batch_size
            room = room_for(self.attributor.model, encoded, *wanted)
        failed: ImpossibleError | None = None
        try:
            return [*self._attribute(encoded, wishes, numbers, room)]
        except ImpossibleError as error:
            failed = error.with_traceback(None)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # outside the except: the traceback would keep the failed batch's tensors alive
        if len(encoded) > 1:
            half = len(encoded) // 2
            parts = slice(None, half), slice(half, None)
            return [
                each for part in parts for each in self.run(encoded[part], wishes[part], numbers[part], room)
            ]
        if failed is None and (room.rows > 1 or not room.checkpoint):
            less = replace(room, rows=room.rows // 2) if room.rows > 1 else replace(room, checkpoint=True)
            return self.run(encoded, wishes, numbers, less)
        words = f"not enough memory for an input of {length(encoded[0])} tokens: shorten it"
        return [failed or ImpossibleError(words)]

    def _attribute(
        self, encoded: list[Encoded], wishes: list[kinds.Wish], numbers: Sequence[int], room: Room
    ) -> list[Attribution]:
        one = id(encoded[0])
        whole, predictions = opened(
            self.capture, self.attributor.tokenizer, self.collate, encoded, wishes, room, self.known.get(one)
        )
        kept = whole.recording if one in self.known else None
        fewer = shortcuts.unmasked(trials.again(shortcuts.proven(shortcuts.fewer_logits(whole))))
        fewer = replace(fewer, recording=replace(fewer.recording, outputs=None))  # the logits of every token
        del whole
        batch = trials.joint(shortcuts.taken(fewer))
        recording = batch.recording
        if kept is not None:  # with what was found out
            self.known[one] = replace(kept, ways=recording.ways)
        other = beside(self.capture, self.collate, encoded, recording)

        def start(number: int) -> str | Call:  # A⁰ of a site
            return self.options.baseline if other is None else other.site(number)

        asked = _asked(recording.sites, self.options.layers)
        widths = {a: batch.inputs[name].shape[1] for a, name in _TEXT_AXES.items() if name in batch.inputs}
        if "output" not in widths and "input" in widths:
            widths["output"] = widths["input"]  # a decoder that is fed the input, shifted
        sites: list[list[Site]] = [[] for _ in encoded]
        axes = [dict(e.axes) for e in encoded]
        which = chosen(batch, asked, self.options, start)
        for number, integral in self._integrals(batch, which, start):
            call = recording.site(number)
            self.seen(call, integral, numbers)
            found = sites_of(call, integral, axes, widths, self.options.store)
            for of, site in zip(sites, found, strict=True):
                of.append(site)
            del integral  # not held while the next are computed
        self.progress(len(which), len(which), "")
        made = []
        for i, (e, prediction) in enumerate(zip(encoded, predictions, strict=True)):
            made.append(
                Attribution(
                    text=e.example.text,
                    text_pair=e.example.text_pair,
                    axes=axes[i],
                    prediction=prediction,
                    target=kinds.described(batch.objective.wishes[i], float(batch.value[i])),
                    sites=tuple(sites[i]),
                    options=_plain(self.options) | counterfactual.facts(e),
                    model=self.attributor.facts,
                    left_out=recording.left_out,
                    truncated=e.truncated,
                    picture=seen(self.attributor.model, self.attributor.tokenizer, e.features),
                )
            )
        self.then(fewer, made)
        return made

    def _integrals(
        self, batch: Batch, which: dict[int, Tensor], start: Callable[[int], str | Call]
    ) -> Iterator[tuple[int, Integral]]:
        """Each site's, as many computed side by side as there is room for.

        which: by site, the inputs that are integrated. start: its baseline.
        """
        numbers, several = list(which), _sites_together(batch, self.options)
        for done in range(0, len(numbers), several):
            group = numbers[done : done + several]
            self.progress(done, len(numbers), batch.recording.site(group[0]).name)
            steps = [looked_at(batch, each, which[each], self.options, start(each)) for each in group]
            found = together(batch, steps)
            for i, number in enumerate(group):
                if i:
                    self.progress(done + i, len(numbers), batch.recording.site(number).name)
                yield number, found.pop(0)


_TEXT_AXES = {"input": "input_ids", "output": "decoder_input_ids"}


def _sites_together(batch: Batch, options: Options) -> int:
    """How many sites are integrated side by side: those whose first nodes fit the room."""
    if not batch.recording.together or batch.recording.checkpoint:
        return 1
    return max(1, batch.rows_at_once // (len(batch.value) * max(1, options.stages[0].passes)))


def _plain(options: Options) -> dict[str, Any]:
    facts = asdict(options)
    for name in ("refine", "memory_budget"):
        if facts[name] is None:
            del facts[name]
    return facts | {"layers": None if options.layers is None else list(options.layers)}


def _asked(sites: list[int], layers: tuple[int, ...] | None) -> list[int]:
    if layers is None:
        return sites
    for layer in layers:
        if not -len(sites) <= layer < len(sites):
            raise InputError(f"layer {layer} is out of range: the model has {len(sites)} attention sites")
    return [sites[layer] for layer in layers]
