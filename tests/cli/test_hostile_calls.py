"""Calls of the library with values it does not expect: a sentence of its own, or a proper result.

Every argument of every public function takes its turn with every value of `VALUES`, the others being right.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import attattr
import chats
import handmade
import tiny
from attattr import (
    AttAttrError,
    Attributor,
    Example,
    InputError,
    Mask,
    Pattern,
    PatternToken,
    UnsupportedModelError,
)
from attattr.heads.importance import HeadRanking, Importance
from attattr.measure.accuracy import predict
from attattr.measure.masks import measure


class Anything:
    """A class where an object is wanted."""

    def __init__(self, *given: Any): ...


# name → a fresh one: a generator can be read but once
VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "-1": lambda: -1,
    "1.5": lambda: 1.5,
    "huge": lambda: 10**30,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "int64": lambda: np.int64(2),
    "negative int64": lambda: np.int64(-2),
    "float32": lambda: np.float32(0.5),
    "'3'": lambda: "3",
    "empty text": lambda: "",
    "text": lambda: "nonsense \ud800 é",
    "NUL": lambda: "a\0b",
    "long text": lambda: "x" * 5000,
    "bytes": lambda: b"film",
    "empty list": list,
    "nested list": lambda: [[1, [2]], []],
    "list of texts": lambda: ["a film", "the man"],
    "list of None": lambda: [None, None],
    "list of numbers": lambda: [0, 1.5, -3],
    "tuple": lambda: ("a film", "b", "c"),
    "empty tuple": lambda: (),
    "set": lambda: {"a film"},
    "dict": lambda: {"input_ids": "many"},
    "empty dict": dict,
    "generator": lambda: (i for i in (1, 2)),
    "array": lambda: np.zeros((2, 3, 4)),
    "empty array": lambda: np.zeros((0, 2)),
    "texts array": lambda: np.array(["a", "b"]),
    "tensor": lambda: torch.zeros(2, 2),
    "integer tensor": lambda: torch.tensor(1),
    "object": object,
    "class": lambda: Anything,
    "function": lambda: lambda *given: None,
    "path": lambda: Path("no such folder") / "x",
    "folder": lambda: Path(),
    "example": lambda: Example("a film"),
    "empty example": Example,
}


@dataclass(frozen=True)
class Call:
    """A function and arguments that are right."""

    function: Callable[..., Any]
    right: dict[str, Any]

    def __call__(self, **changes: Any) -> Any:
        return self.function(**self.right | changes)


def the_attributor() -> Attributor:
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    return Attributor(model, tiny.tokenizer())


ROWS = [
    Example("the film is fine", label="good"),
    Example("not very good", label="bad"),
    Example("bad", label="bad"),
]


def ranking() -> HeadRanking:
    draw = np.random.default_rng(0)
    return HeadRanking({"taylor": Importance(*draw.random((3, 3, 2)))}, ("0", "1", "2"), ("ab",), {})


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> dict[str, Call]:
    folder = tmp_path_factory.mktemp("calls")
    attributor, result, ranked = the_attributor(), handmade.attribution(), ranking()
    ours = attributor.attribute("the film is fine", n_steps=2)
    data = folder / "t.tsv"
    data.write_text("sentence\tlabel\na film\tgood\nbad\tbad\n")
    result.save(folder / "r.attattr")
    ranked.save(folder / "h.parquet")
    pattern = Pattern((PatternToken(0, 0.5, "film"),))
    (folder / "p.jsonl").write_text(pattern.line())
    (folder / "m").mkdir()
    tiny.bert(labels=2).float().save_pretrained(folder / "m")
    pruned = attattr.prune_model(attributor, ranked.of().mean, 0.5, "sliced")
    attattr.write_pruned(pruned.model, attributor.tokenizer, folder / "pruned", pruned.facts, pruned.auto)
    lm = Attributor(tiny.llama().float(), chats.tokenizer())
    made = lm.attribute_generation(chats.TEXT, continuation="good film", n_steps=1)
    numbers = iter(range(10**9))

    def new() -> Path:
        return folder / f"new-{next(numbers)}"

    def into(out=None, **given):
        return attattr.attribute_data(out=new() if out is None else out, **given)

    def written(out=None, **given):
        return attattr.write_pruned(out=new() if out is None else out, **given)

    common = {"attributor": attributor}
    run = attattr.attribute_data(attributor, ROWS, folder / "run", work=attattr.Work(n_steps=2))
    return {
        "Attributor": Call(
            Attributor, {"model": attributor.model, "tokenizer": attributor.tokenizer, "info": None}
        ),
        "from_pretrained": Call(
            Attributor.from_pretrained,
            {
                "name": str(folder / "m"),
                "revision": None,
                "trust_remote_code": False,
                "device": "cpu",
                "dtype": "float32",
                "labels": "a,b",
            },
        ),
        "attribute": Call(
            attributor.attribute,
            {
                "inputs": "the film",
                "text_pair": None,
                "target": None,
                "output": None,
                "method": "gausslegendre",
                "n_steps": 2,
                "tol": 1e-3,
                "baseline": "zero",
                "internal_batch_size": None,
                "memory_budget": None,
                "layers": None,
                "store": "dense",
                "truncate": True,
                "progress": None,
            },
        ),
        "attribute ids": Call(
            lambda **given: attributor.attribute(given, n_steps=2),
            {"input_ids": [2, 6, 7, 3], "attention_mask": [1, 1, 1, 1], "token_type_ids": [0, 0, 0, 0]},
        ),
        "Example": Call(
            lambda **given: attributor.attribute(Example(**given), n_steps=2),
            {"text": "the film", "text_pair": None, "label": None, "inputs": None, "id": None, "line": None},
        ),
        "Example ranked": Call(
            lambda **given: attattr.rank_heads(attributor, [*ROWS, Example(**given)], criteria=["attention"]),
            {
                "text": "the film",
                "text_pair": None,
                "label": "good",
                "inputs": None,
                "id": None,
                "line": None,
            },
        ),
        "Example run": Call(
            lambda **given: into(**common, examples=[Example(**given)], work=attattr.Work(n_steps=2)),
            {"text": "the film", "text_pair": None, "label": None, "inputs": None, "id": None, "line": None},
        ),
        "Pattern": Call(
            lambda **given: attattr.attack_model(attributor, ROWS, [Pattern(**given)], controls=False),
            {"tokens": pattern.tokens, "score": 0.5, "label_counts": (), "label_totals": {}, "model": None},
        ),
        "PatternToken": Call(
            lambda **given: attattr.attack_model(attributor, ROWS, [Pattern((PatternToken(**given),))]),
            {"segment": 0, "position": 0.5, "token": "film"},
        ),
        "measure": Call(
            measure,
            common
            | {
                "inputs": "the film",
                "masks": [Mask()],
                "target": None,
                "output": None,
                "truncate": True,
                "progress": None,
            },
        ),
        "Mask": Call(
            lambda **given: measure(attributor, "the film", [Mask(**given)]), {"heads": None, "edges": {}}
        ),
        "without_edges": Call(Mask.without_edges, {"result": ours, "edges": [(0, None, 1, 1)]}),
        "without_heads": Call(Mask.without_heads, {"shape": (3, 2), "heads": [(0, 1)]}),
        "evaluate_model": Call(
            attattr.evaluate_model,
            {
                "model": attributor.model,
                "tokenizer": attributor.tokenizer,
                "examples": ROWS,
                "batch_size": 2,
                "truncate": True,
                "pair": None,
                "progress": None,
                "resume": None,
            },
        ),
        "read_examples": Call(
            attattr.read_examples,
            {
                "data": str(data),
                "text_columns": None,
                "label_column": None,
                "split": None,
                "limit": None,
                "seed": 0,
            },
        ),
        "rank_heads": Call(
            attattr.rank_heads,
            common
            | {
                "examples": ROWS,
                "criteria": ("attention",),
                "reduce": "max",
                "target": "gold",
                "seed": 0,
                "progress": None,
                "resume": None,
            },
        ),
        "load_heads": Call(attattr.load_heads, {"path": folder / "h.parquet"}),
        "correlate": Call(
            attattr.correlate,
            {"first": ranked.of().mean, "second": ranked.of().low, "names": ("a", "b"), "seed": 0},
        ),
        "ranking.of": Call(ranked.of, {"criterion": None}),
        "ranking.ranked": Call(ranked.ranked, {"criterion": None}),
        "ranking.unlike": Call(ranked.unlike, {"examples": ROWS}),
        "measure_effectiveness": Call(
            attattr.measure_effectiveness, common | {"examples": ROWS[:1], "progress": None}
        ),
        "measure_faithfulness": Call(
            attattr.measure_faithfulness,
            common | {"examples": ROWS[2:], "threshold": 0.4, "seed": 0, "progress": None},
        ),
        "measure_effects": Call(
            attattr.measure_effects,
            common | {"result": ours, "edges": 2, "any_model": False, "progress": None},
        ),
        "without_sources": Call(
            attattr.without_sources,
            {
                "attributor": lm,
                "made": made,
                "sources": [made.sources[0].name],
                "max_new_tokens": 1,
                "progress": None,
            },
        ),
        "prune_model": Call(
            attattr.prune_model,
            common | {"importance": ranked.of().mean, "keep": 0.5, "layout": "masked", "seed": 0},
        ),
        "heads_to_keep": Call(
            attattr.heads_to_keep, {"importance": ranked.of().mean, "keep": 0.5, "groups": None}
        ),
        "prune_curves": Call(
            attattr.prune_curves,
            common | {"ranking": ranked, "examples": ROWS, "steps": 1, "any_model": False, "progress": None},
        ),
        "write_pruned": Call(
            written,
            {
                "model": pruned.model,
                "tokenizer": attributor.tokenizer,
                "out": None,
                "facts": pruned.facts,
                "auto": pruned.auto,
                "of": None,
            },
        ),
        "load_pruned": Call(attattr.load_pruned, {"folder": folder / "pruned"}),
        "check_model": Call(attattr.check_model, common | {"tokens": (4,), "seed": 0, "exact": None}),
        "attribute_data": Call(
            into,
            common
            | {
                "examples": ROWS[:1],
                "out": None,
                "work": attattr.Work(n_steps=2, store="heads"),
                "problems": (),
                "data": None,
                "shard_size": None,
                "engine": None,
                "progress": None,
            },
        ),
        "Work": Call(
            lambda **given: into(**common, examples=ROWS[:1], work=attattr.Work(**given)),
            {
                "target": "predicted",
                "store": "heads",
                "output": None,
                "method": "gausslegendre",
                "n_steps": 2,
                "tol": 1e-3,
                "baseline": "zero",
                "internal_batch_size": None,
            },
        ),
        "open_run": Call(attattr.open_run, {"path": folder / "run"}),
        "mine_triggers": Call(
            attattr.mine_triggers,
            common
            | {"method": "paper", "threshold": 0.0}
            | {"data": run, "top": 5, "pieces": False, "limit": None, "seed": 0, "progress": None},
        ),
        "read_patterns": Call(attattr.read_patterns, {"path": folder / "p.jsonl"}),
        "attack_model": Call(
            attattr.attack_model,
            common
            | {
                "examples": ROWS,
                "patterns": [pattern],
                "insert_into": "auto",
                "screen": 2,
                "choose": 2,
                "controls": False,
                "words_from": None,
                "seed": 0,
                "batch_size": 32,
                "any_model": False,
                "progress": None,
                "resume": None,
            },
        ),
        "load": Call(attattr.load, {"path": folder / "r.attattr"}),
        "build_flow": Call(attattr.build_flow, {"result": result}),
        "build_tree": Call(attattr.build_tree, {"result": result, "threshold": 0.4, "axis": None}),
        "merge_words": Call(attattr.merge_words, {"result": result}),
        "receptive_field": Call(attattr.receptive_field, {"result": result, "threshold": 0.4, "axis": None}),
        "top_edges": Call(result.top_edges, {"k": 3, "positive_only": False}),
        "per_head": Call(result.per_head, {"reduce": "max"}),
        "per_token": Call(result.per_token, {"axis": "key"}),
        "to_json": Call(result.to_json, {"top": 3}),
        "to_html": Call(result.to_html, {"path": None, "effects": None}),
    }


# writers say of a place that cannot be written that they raise OSError
WRITERS = {("to_html", "path"), ("write_pruned", "out")}
# a function that is given is called as promised; what it gives back is its own business
OWN = {("attribute_data", "engine", "class"), ("attribute_data", "engine", "function")}
QUICK = 4  # of all turns, every so many are taken in the quick form


def turns(call: Call, name: str, every: int) -> list[tuple[str, str]]:
    found = [
        (argument, value) for argument in call.right for value in VALUES if (name, argument, value) not in OWN
    ]
    return [turn for turn in found if zlib.crc32(repr((name, turn)).encode()) % every == 0]


NAMES = (
    """
Attributor, from_pretrained, attribute, attribute ids, Example, Example ranked, Example run,
Pattern, PatternToken, measure, Mask, without_edges, without_heads, evaluate_model, read_examples,
rank_heads, load_heads, correlate, ranking.of, ranking.ranked, ranking.unlike,
measure_effectiveness, measure_faithfulness, measure_effects, without_sources, prune_model, heads_to_keep,
prune_curves, write_pruned, load_pruned, check_model, attribute_data, Work, open_run, mine_triggers,
read_patterns, attack_model, load, build_flow, build_tree, merge_words, receptive_field, top_edges, per_head,
per_token, to_json, to_html
""".replace("\n", " ")
    .strip()
    .split(", ")
)


@pytest.mark.parametrize("every", [QUICK * 3, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("name", NAMES)
def test_a_call_gives_a_result_or_a_sentence(calls, tmp_path, monkeypatch, name, every):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    call = calls[name]
    for argument, value in turns(call, name, every):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                call(**{argument: VALUES[value]()})
            except AttAttrError:
                continue
            except Exception as error:
                if isinstance(error, OSError) and (name, argument) in WRITERS:
                    continue
                pytest.fail(f"{name}({argument}={value}): {type(error).__name__}: {error}")


def test_every_call_is_right_before_it_is_changed(calls):
    assert set(calls) == set(NAMES)
    assert sum(len(turns(call, name, 1)) for name, call in calls.items()) > 150
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in calls.values():
            call()


def test_every_public_function_is_among_them(calls):
    functions = {
        name
        for name in attattr.__all__
        if callable(thing := getattr(attattr, name)) and not isinstance(thing, type)
    }
    assert functions <= set(calls)


def test_numbers_of_numpy_count_as_pythons(calls, tmp_path):
    attributor = calls["attribute"].function.__self__
    plain = attributor.attribute(
        "the film", target=1, n_steps=3, tol=0.001, internal_batch_size=4, layers=[0, 2]
    )
    made = attributor.attribute(
        "the film",
        target=np.int64(1),
        n_steps=np.int32(3),
        tol=np.float64(0.001),
        internal_batch_size=np.int64(4),
        layers=np.array([0, 2]),
    )
    assert made.options == plain.options and np.array_equal(made.scores, plain.scores)
    made.save(tmp_path / "x")
    assert attattr.load(tmp_path / "x").options == attattr.load(tmp_path / "x").options
    work = attattr.Work(n_steps=np.int64(2), tol=np.float32(0.5), internal_batch_size=np.int64(4))
    run = attattr.attribute_data(attributor, ROWS, tmp_path / "run", work=work, shard_size=np.int64(2))
    assert run.complete and run.manifest["options"]["n_steps"] == 2


# -- heads that are no classifiers ----------------------------------------------------------------------

SIZES = transformers.BertConfig(**tiny.SMALL, num_attention_heads=2)


@pytest.mark.parametrize(
    "kind", ["BertModel", "BertForTokenClassification", "BertForQuestionAnswering", "BertForMaskedLM"]
)
def test_what_needs_classes_refuses_a_head_without_and_names_it(kind):
    model = getattr(transformers, kind)(SIZES)
    attributor = Attributor(model, tiny.tokenizer())
    for asked in (
        lambda: attattr.evaluate_model(model, tiny.tokenizer(), ROWS),
        lambda: attattr.rank_heads(attributor, ROWS),
        lambda: predict(model, tiny.tokenizer(), ROWS),
    ):
        with pytest.raises(InputError, match=f"a {kind} .*: only classifiers have an accuracy"):
            asked()
    with pytest.raises(InputError, match="triggers are of classes"):
        attattr.mine_triggers(attributor, ROWS)


def test_outputs_that_are_not_what_the_head_should_give_are_told():
    class Own(transformers.PreTrainedModel):
        """Of a class that transformers does not know: taken for a classifier."""

        config_class = transformers.BertConfig

        def __init__(self, inside):
            super().__init__(transformers.BertConfig(attn_implementation="eager"))
            self.inside = inside

        def forward(self, input_ids, attention_mask=None, return_dict=None):
            return self.inside(input_ids, attention_mask)

    with pytest.raises(UnsupportedModelError, match=r"a Own gives logits of 4 × 2 an input"):
        Attributor(Own(transformers.BertForTokenClassification(SIZES)), tiny.tokenizer()).attribute(
            "the film"
        )
    with pytest.raises(UnsupportedModelError, match="hold no logits"):
        Attributor(Own(transformers.BertModel(SIZES)), tiny.tokenizer()).attribute("the film")


def test_a_class_of_ones_own_has_the_head_that_it_comes_from():
    class Own(transformers.BertForTokenClassification):
        """Of a class that transformers does not know."""

    found = Attributor(Own(SIZES), tiny.tokenizer()).attribute("the film", target="film:LABEL_1", n_steps=2)
    assert (found.target.kind, found.target.position) == ("label", 2)


@pytest.mark.parametrize("model", [None, "sst2", torch.nn.Linear(2, 2), transformers.BertModel], ids=repr)
def test_what_is_no_model_is_told(model):
    with pytest.raises(InputError, match="give a model of transformers"):
        Attributor(model)


def test_dynamic_quantisation_is_told_in_a_sentence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(tiny.bert().float(), {torch.nn.Linear}, torch.qint8)
    with pytest.raises(AttAttrError, match="quantis"):
        Attributor(model, tiny.tokenizer()).attribute("the film")


# -- what may lie in a run's folder, and what may stand in its manifest ---------------------------------


@pytest.mark.parametrize("planted", ["fifo", "folder", "link"])
def test_a_lock_that_somebody_planted_is_told(calls, tmp_path, planted):
    out = tmp_path / "run"
    out.mkdir()
    make = {
        "fifo": lambda: os.mkfifo(out / ".lock"), "folder": (out / ".lock").mkdir,
        "link": lambda: (out / ".lock").symlink_to(tmp_path / "elsewhere"),
    }[planted]  # fmt: skip
    make()
    with pytest.raises(InputError, match=r"\.lock' is no file of attattr's: take it away"):
        calls["attribute_data"](out=out)
    assert not (tmp_path / "elsewhere").exists()
