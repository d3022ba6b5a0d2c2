"""Code that comes with a model: it runs where that was allowed, and only there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import huggingface_hub
import peft
import pytest
import transformers as t
from transformers import dynamic_module_utils

import tiny
from attattr.errors import ModelError
from attattr.models.loading import load

CODE = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
import transformers

class OwnConfig(transformers.BertConfig):
    model_type = "own"

class OwnModel(transformers.BertForSequenceClassification):
    config_class = OwnConfig

class OwnTokenizer(transformers.PreTrainedTokenizerFast):
    pass

class OwnProcessor(transformers.ViTImageProcessor):
    pass

def generate(model, *args, **kwargs):
    return model
"""


@pytest.fixture(autouse=True)
def asks_nobody(monkeypatch, tmp_path):
    """transformers asks whether to run code where it was not told; and it copies the code it runs."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("transformers_modules"):
            del sys.modules[name]


def edited(file: Path, **facts) -> None:
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(known | facts))


def saved(folder: Path, model, tokenizer) -> Path:
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "own.py").write_text(CODE.format(marker=str(folder.parent / "marker")))
    return folder


def own_model(folder: Path) -> Path:
    saved(folder, tiny.bert(), tiny.tokenizer())
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}
    edited(folder / "config.json", model_type="own", architectures=["OwnModel"], auto_map=names)
    return folder


def own_tokenizer(folder: Path) -> Path:
    names = {"AutoTokenizer": [None, "own.OwnTokenizer"]}
    edited(folder / "tokenizer_config.json", auto_map=names, tokenizer_class="OwnTokenizer")
    return folder


def model_of_a_known_type(folder: Path) -> Path:
    saved(folder, tiny.bert(), tiny.tokenizer())
    names = {"AutoModelForSequenceClassification": "own.OwnModel"}
    edited(folder / "config.json", auto_map=names)
    return folder


def tokenizer_of_a_known_type(folder: Path) -> Path:
    return own_tokenizer(saved(folder, tiny.bert(), tiny.tokenizer()))


def image_processor(folder: Path) -> Path:
    saved(folder, tiny.vit(), t.ViTImageProcessor(size={"height": 12, "width": 12}))
    names = {"AutoImageProcessor": "own.OwnProcessor"}
    edited(folder / "preprocessor_config.json", auto_map=names, image_processor_type="OwnProcessor")
    return folder


def way_to_generate(folder: Path) -> Path:
    saved(folder, tiny.gpt2(), tiny.tokenizer(bert=False))
    (folder / "custom_generate").mkdir()
    (folder / "own.py").rename(folder / "custom_generate" / "generate.py")
    return folder


def adapter(folder: Path, base: Path) -> Path:
    model = peft.get_peft_model(
        tiny.bert().float(), peft.LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
    )
    model.peft_config["default"].base_model_name_or_path = str(base)
    return saved(folder, model, tiny.tokenizer())


def adapter_with_a_tokenizer(folder: Path) -> Path:
    return own_tokenizer(adapter(folder, saved(folder.parent / "base", tiny.bert(), tiny.tokenizer())))


def adapter_on_a_model_with_code(folder: Path) -> Path:
    return adapter(folder, own_model(folder.parent / "base"))


REFUSED = (own_model, image_processor, adapter_with_a_tokenizer, adapter_on_a_model_with_code)
# transformers has a class of its own for these
LOADED = (model_of_a_known_type, tokenizer_of_a_known_type, way_to_generate)


@pytest.mark.parametrize("make", REFUSED + LOADED, ids=lambda make: make.__name__)
def test_no_code_runs_unless_that_is_allowed(make, tmp_path):
    folder = make(tmp_path / "folder")
    if make in REFUSED:
        with pytest.raises(ModelError, match=f"'{folder}' brings code of its own: .*--trust-remote-code"):
            load(folder, device="cpu")
    else:
        load(folder, device="cpu")
    assert not (tmp_path / "marker").exists()
    load(folder, device="cpu", trust_remote_code=True)
    assert (tmp_path / "marker").read_text() == "ran"


@pytest.mark.parametrize("make", [own_model, adapter_on_a_model_with_code], ids=lambda make: make.__name__)
def test_nor_does_code_from_the_hub(make, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = make(tmp_path / "folder")
    stored, commit = tmp_path / "hub" / "models--some--one", "0" * 40
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text(commit)
    (stored / "snapshots").mkdir()
    folder.rename(stored / "snapshots" / commit)
    with pytest.raises(ModelError, match="'some/one' brings code of its own"):
        load("some/one", device="cpu")
    assert not (tmp_path / "marker").exists()
    assert load("some/one", device="cpu", trust_remote_code=True).info.revision == commit
    assert (tmp_path / "marker").read_text() == "ran"
