"""From head importances to a smaller model that loads again.

`masked` keeps every shape and zeroes what the pruned heads write: plain `from_pretrained` reads it.
`sliced` cuts their rows and columns out of the projections: smaller and faster; its folder carries a
generated class (pruned_model.py) that gives the projections their new shapes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from attattr import asked
from attattr.choices import PRUNED_FORMATS
from attattr.engine.capture import Capture
from attattr.engine.memory import out_of_memory
from attattr.engine.recording import Recording
from attattr.errors import InputError, UnsupportedModelError
from attattr.measure.check import made_up_batch as made_up
from attattr.measure.masks import Mask, masked_forward
from attattr.models.heads import auto_class
from attattr.models.quantised import quantised
from attattr.result.shown import brief
from attattr.targets.objective import told

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from attattr.engine.attributor import Attributor

# projections of an attention module (or of its parent), as transformers' families name them
LAYOUTS = (
    ("query", "key", "value", "output.dense"),  # BERT, RoBERTa, ELECTRA …
    ("query", "key", "value", "dense"),
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # Llama and most decoders, ViT
    ("q_proj", "k_proj", "v_proj", "out_proj"),  # BART, CLIP
    ("q_lin", "k_lin", "v_lin", "out_lin"),  # DistilBERT
    ("c_attn", "c_attn", "c_attn", "c_proj"),  # GPT-2: one matrix for the three
    ("q", "k", "v", "o"),  # T5
)
TOLERANCE = 1e-6  # of the logits against masking, in float64


@dataclass(frozen=True)
class Projections:
    """Where one attention site's matrices are, by module path."""

    module: str
    query: str
    key: str
    value: str
    out: str
    heads: int
    key_heads: int
    width: int  # numbers of a head

    @property
    def group(self) -> int:
        """Query heads that share a key-value head."""
        return self.heads // self.key_heads


@dataclass(frozen=True)
class Pruned:
    """A pruned copy of a model. `facts` (of a sliced one) are what its class has to know to load it."""

    model: PreTrainedModel
    kept: np.ndarray  # boolean (L, H)
    logits_off: float  # from masking the same heads, float64
    facts: dict[str, Any] | None
    auto: str  # auto class that loads it
    made_up: dict[str, Tensor]  # the batch it was checked on

    def __repr__(self) -> str:
        kept = f"{int(self.kept.sum())} of {self.kept.size} heads kept"
        return brief(self, type(self.model).__name__, kept, f"within {self.logits_off:.0e} of masking")


def prune_model(
    attributor: Attributor, importance: np.ndarray, keep: float, layout: str = "sliced", *, seed: int = 0
) -> Pruned:
    """The model without its least important heads, checked against masking them.

    >>> from attattr import Attributor
    >>> pruned = prune_model(Attributor.from_pretrained("sst2"), np.arange(72.0).reshape(6, 12), 0.5)
    >>> pruned.kept.sum(1).tolist(), pruned.logits_off < 1e-6
    ([0, 0, 0, 12, 12, 12], True)

    Args:
        importance: (L, H), as of `rank_heads`.
        keep: share of all heads that stay. Heads on shared keys and values go together.
        layout: "sliced" or "masked".

    Raises:
        InputError: an importance of another shape, a share outside 0 to 1, an unknown layout.
        UnsupportedModelError: the family cannot be pruned this way (the message says what can be done).
    """
    asked.choice(layout, "format", PRUNED_FORMATS)
    asked.attributor(attributor)
    importance, seed = asked.grid(importance, "the importance"), asked.seed(seed)
    keep = _share(keep)
    model = attributor.model
    if packed := quantised(model):
        raise UnsupportedModelError(
            f"{next(iter(packed))} is quantised: prune the model before that, and quantise what is left"
        )
    batch = {
        name: value.repeat(8, *[1] * (value.ndim - 1)) for name, value in made_up(attributor, seed).items()
    }
    with Capture(model) as capture:
        recording = capture.record(batch)
    sites = projections(model, recording)
    shape = (len(sites), sites[0].heads)
    if importance.shape != shape or any(of.heads != shape[1] for of in sites):
        raise InputError(
            f"the importance is of {' × '.join(map(str, importance.shape))} heads, the model has "
            f"{' × '.join(map(str, shape))}"
        )
    kept = heads_to_keep(importance, keep, [of.group for of in sites] if layout == "sliced" else None)
    small, facts = sliced(model, sites, kept) if layout == "sliced" else (masked(model, sites, kept), None)
    off = check_pruned(model, small, batch, kept)
    return Pruned(small, kept, off, facts, auto_class(model), batch)


def _share(keep: Any) -> float:
    return asked.number(keep, "the share of heads to keep", "a number from 0 to 1", 0, 1)


def heads_to_keep(importance: np.ndarray, keep: float, groups: Sequence[int] | None = None) -> np.ndarray:
    """Boolean (L, H): the most important share of all heads, ranked over all layers at once.

    >>> heads_to_keep(np.array([[4.0, 1.0], [3.0, 2.0]]), 0.5)
    array([[ True, False],
           [ True, False]])

    groups: heads of each layer that share a key-value head; they stay or go together, by their mean.
    Ties go to the lower layer and head.

    Raises:
        InputError: `keep` outside 0 to 1.
    """
    importance, keep = asked.grid(importance, "the importance"), _share(keep)
    if groups is not None:
        groups = [asked.whole(group, "each of groups", 1) for group in asked.listed(groups, object, "groups")]
        if len(groups) != len(importance) or any(importance.shape[1] % group for group in groups):
            raise InputError("groups are one number for each layer, which divides its heads")
    groups = groups or [1] * len(importance)
    units = [
        (float(np.mean(row[first : first + group])), layer, first, group)
        for layer, (row, group) in enumerate(zip(importance, groups, strict=True))
        for first in range(0, len(row), group)
    ]
    units.sort(key=lambda unit: -unit[0])  # stable: reading order among equals
    kept = np.zeros(importance.shape, bool)
    left = round(keep * importance.size)
    for _, layer, first, group in units:
        if group <= left:
            kept[layer, first : first + group] = True
            left -= group
    return kept


def projections(model: PreTrainedModel, recording: Recording) -> list[Projections]:
    """The matrices of every attention site of a recorded forward.

    Raises:
        UnsupportedModelError: a site shares its weights with another, or is of no known layout.
    """
    names = {module: name for name, module in model.named_modules()}
    found, seen = [], set()
    for number in recording.sites:
        call = recording.site(number)
        module = names.get(call.module, "")
        if module in seen:
            raise UnsupportedModelError(
                f"the layers of {type(model).__name__} share their weights: a head cannot go from one alone"
            )
        seen.add(module)
        found.append(_find(model, module, call.query.shape[1], call.key.shape[1], call.query.shape[3]))
    return found


def _find(model: nn.Module, module: str, heads: int, key_heads: int, width: int) -> Projections:
    for where in (module, module.rpartition(".")[0]):
        for layout in LAYOUTS:
            # BERT's output projection is a neighbour of the module that attends
            query, key, value, out = (_path(model, (where, module), name) for name in layout)
            if query and key and value and out:
                return Projections(module, query, key, value, out, heads, key_heads, width)
    raise UnsupportedModelError(
        f"the projections of {module} ({type(model).__name__}) have other names than in the families that "
        "can be pruned"
    )


def _path(model: nn.Module, folders: Sequence[str], name: str) -> str | None:
    for folder in folders:
        path = f"{folder}.{name}" if folder else name
        try:
            part = model.get_submodule(path)
        except AttributeError:
            continue
        if getattr(part, "weight", None) is not None:
            return path
    return None


def masked(model: PreTrainedModel, sites: Sequence[Projections], kept: np.ndarray) -> PreTrainedModel:
    """A copy whose pruned heads write nothing: their columns of the output projection are 0."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for of, keep in zip(sites, kept, strict=True):
            gone = torch.as_tensor(np.repeat(~keep, of.width))
            into: Any = model.get_submodule(of.out)
            _columns(into)[gone.to(into.weight.device)] = 0
    return model


def sliced(
    model: PreTrainedModel, sites: Sequence[Projections], kept: np.ndarray
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A copy without the matrices of the pruned heads, and what its class has to know to load it.

    A layer that loses all its heads keeps one group that writes nothing: no library computes with 0.

    Raises:
        UnsupportedModelError: the family's slicing is not supported (`masked` may be).
        InputError: part of a group of heads that share a key-value head.
    """
    model = masked(model, sites, kept)
    shapes: dict[str, list[int]] = {}
    attributes: dict[str, dict[str, int]] = {}
    for of, keep in zip(sites, kept, strict=True):
        by_group = keep.reshape(of.key_heads, of.group)
        if (by_group.any(1) != by_group.all(1)).any():
            raise InputError(f"the heads of {of.module} go in groups of {of.group}, which share their keys")
        left = by_group.any(1)
        if not left.any():
            left = np.arange(of.key_heads) == 0
        rows = torch.as_tensor(np.repeat(left, of.width * of.group))
        key_rows = torch.as_tensor(np.repeat(left, of.width))
        into = model.get_submodule(of.out)
        with torch.no_grad():
            _cut(into, rows, inwards=True)
            if of.query == of.key == of.value:  # one matrix, the three side by side
                _cut(model.get_submodule(of.query), torch.cat([rows, key_rows, key_rows]), inwards=False)
            else:
                for path, which in ((of.query, rows), (of.key, key_rows), (of.value, key_rows)):
                    _cut(model.get_submodule(path), which, inwards=False)
        for path in dict.fromkeys((of.query, of.key, of.value, of.out)):
            part = model.get_submodule(path)
            shapes |= {f"{path}.{name}": list(p.shape) for name, p in part.named_parameters()}
            sizes = {n: getattr(part, n) for n in ("in_features", "out_features", "nf", "nx")
                     if hasattr(part, n)}  # fmt: skip
            attributes[path] = sizes
        attention: Any = model.get_submodule(of.module)
        for name, value in {"split_size": int(rows.sum()), "all_head_size": int(rows.sum())}.items():
            if hasattr(attention, name):
                setattr(attention, name, value)
                attributes.setdefault(of.module, {})[name] = value
    facts = {
        "kept_heads": {
            of.module: np.flatnonzero(keep).tolist() for of, keep in zip(sites, kept, strict=True)
        },
        "shapes": shapes,
        "attributes": attributes,
    }
    return model, facts


def check_pruned(
    model: PreTrainedModel, pruned: PreTrainedModel, inputs: dict[str, Tensor], kept: np.ndarray
) -> float:
    """Largest difference of the pruned model's logits from masking the original's, both in float64.

    Computed on the CPU: MPS has no float64.

    Raises:
        UnsupportedModelError: they differ by more than TOLERANCE, or the pruned model does not run.
    """
    whole, small = (copy.deepcopy(each).cpu().double().eval() for each in (model, pruned))
    inputs = {name: value.cpu() for name, value in inputs.items()}
    inputs = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    with Capture(whole) as capture:
        clean = capture.record(inputs)
        silenced = [Mask(heads=kept.astype(float))] * len(next(iter(inputs.values())))
        wanted = told(masked_forward(capture, clean, inputs, silenced))
    try:
        small.set_attn_implementation("eager")  # as masks are computed: its softmax may round to float32
        with torch.no_grad():
            got = told(small(**inputs))
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise UnsupportedModelError(
            f"{type(model).__name__} does not run with fewer heads ({str(error).splitlines()[0]}): its "
            "slicing is not supported, use --format masked"
        ) from error
    off = float((got - wanted).abs().max())
    if not off <= TOLERANCE:
        raise UnsupportedModelError(
            f"a {type(model).__name__} without these heads answers otherwise than with them silenced (logits "
            f"differ by {off:.1e}): this way of pruning it is not supported"
            + ("; use --format masked" if small.num_parameters() < whole.num_parameters() else "")
        )
    return off


def _columns(part: Any) -> Tensor:
    """The weight with inputs first, (in, out), as a view: GPT-2's Conv1D stores it so, Linear transposed."""
    return part.weight if hasattr(part, "nf") else part.weight.T


def _cut(part: Any, which: Tensor, *, inwards: bool) -> None:
    """Keep these inputs, or these outputs, of a projection."""
    transposed = hasattr(part, "nf")
    which = which.to(part.weight.device)
    along = int(inwards != transposed)  # dimension of the weight: Linear is (out, in)
    part.weight = nn.Parameter(part.weight.index_select(along, which.nonzero()[:, 0]).contiguous())
    if not inwards and part.bias is not None:
        part.bias = nn.Parameter(part.bias[which].contiguous())
    inside, outside = ("nx", "nf") if transposed else ("in_features", "out_features")
    name = inside if inwards else outside
    if hasattr(part, name):
        setattr(part, name, int(which.sum()))
