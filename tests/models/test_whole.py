"""The embedded model that is no adapter: it loads by its name, and only as it was shipped."""

from __future__ import annotations

import shutil

import pytest
import torch

from attattr.errors import InputError, ModelError
from attattr.models import embedded
from attattr.models.loading import load

pytestmark = pytest.mark.skipif(
    not embedded.folder_of("facts").is_dir(), reason="the embedded model facts is not there yet"
)
FILES = sorted(embedded.read_card("facts")["files"]) if embedded.folder_of("facts").is_dir() else []


@pytest.fixture
def copied(tmp_path, monkeypatch):
    shutil.copytree(embedded.WHOLE, tmp_path / "whole")
    monkeypatch.setattr(embedded, "WHOLE", tmp_path / "whole")
    return tmp_path / "whole" / "facts"


def test_it_is_a_plain_float32_model_with_a_chat_template():
    loaded, card = load("facts", device="cpu"), embedded.read_card("facts")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    assert not loaded.model.training
    assert sum(p.numel() for p in loaded.model.parameters()) == card["recipe"]["parameters"]
    info = loaded.info
    assert (info.name, info.embedded, info.pair, info.base) == ("facts", True, None, None)
    assert info.digest == card["files"]["model.safetensors"]
    assert info.tokenizer_digest == card["files"]["tokenizer.json"]
    assert loaded.tokenizer.is_fast and loaded.tokenizer.chat_template


@pytest.mark.parametrize("file", [*FILES, "card.json"])
def test_a_missing_or_corrupted_file_says_reinstall(copied, file):
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (copied / file).write_bytes(content)
    with pytest.raises(ModelError, match=r"facts.* reinstall attattr"):
        load("facts")
    (copied / file).unlink()
    with pytest.raises(ModelError, match=r"facts.* reinstall attattr"):
        load("facts")


def test_all_that_a_load_reads_has_a_digest(copied):
    assert {path.name for path in copied.iterdir()} == {*FILES, "README.md", "card.json", "examples.jsonl"}
    shutil.rmtree(copied)
    with pytest.raises(ModelError, match="'facts' is missing from this installation: reinstall attattr"):
        load("facts")


def test_what_is_of_a_hub_or_a_classifier_is_refused():
    with pytest.raises(InputError, match="no model of the hub"):
        load("facts", revision="main")
    with pytest.raises(InputError, match="no labels to rename"):
        load("facts", labels="a,b")
