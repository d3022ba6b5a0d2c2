"""How models are opened: options handed to transformers, device maps, the checkpoint's precision."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import tiny
from attattr import Attributor, UnsupportedModelError
from attattr.errors import InputError
from attattr.models import loading, opening
from attattr.models.loading import load
from attattr.models.opening import opened
from attattr.models.place import input_device

PARTS = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm", "lm_head")
ON_DISK = dict.fromkeys(PARTS, "disk") | {"model.norm": "cpu", "model.rotary_emb": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models") / "llama"
    tiny.llama().float().save_pretrained(made / "in" / "here")
    tiny.tokenizer(bert=False).save_pretrained(made / "in" / "here")
    tiny.llama().bfloat16().save_pretrained(made / "half")
    tiny.tokenizer(bert=False).save_pretrained(made / "half")
    return made


@pytest.fixture
def unmoved(monkeypatch):
    """What would be moved or cast is an error."""

    def refuse(*args, **kwargs):
        raise AssertionError("moved")

    monkeypatch.setattr(transformers.PreTrainedModel, "to", refuse)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "cpu", "device_map": "auto"}, "leave the device out, or the map"),
        ({"quantize": "3bit"}, "unknown quantize '3bit': choose one of 4bit, 8bit"),
        ({"quantize": "8bit", "quantization_config": object()}, "give one of them"),
        ({"dtype": "float32", "torch_dtype": torch.float16}, "torch_dtype is an older name of dtype"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"config": object()}, "config cannot be given"),
    ],
)
def test_options_that_do_not_go_together(given, message):
    with pytest.raises(InputError, match=message):
        opened(**given)


def test_options_of_files_go_to_every_file_and_others_to_the_weights_alone(monkeypatch):
    asked = []

    class Asked(Exception):  # noqa: N818
        pass

    def config(name, **options):
        asked.append(options)
        raise Asked

    monkeypatch.setattr(opening.hub, "reachable", lambda: True)
    monkeypatch.setattr("transformers.utils.find_adapter_config_file", lambda name, **options: None)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", config)
    with contextlib.suppress(loading.ModelError):
        load("some/model", token="secret", subfolder="in", attn_implementation="eager", revision="main")
    assert asked == [{"token": "secret", "subfolder": "in", "revision": "main", "trust_remote_code": False}]
    weights = opened(attn_implementation="eager", max_memory=None, token="secret").weights
    assert weights == {"attn_implementation": "eager"}


def test_what_transformers_is_asked_for_reaches_the_model(folder):
    model = load(folder, subfolder="in/here", attn_implementation="eager").model
    assert model.config._attn_implementation == "eager"
    with pytest.raises(InputError, match="devcie is no option of loading"):
        load(folder, subfolder="in/here", devcie="cpu")
    with pytest.raises(InputError, match="attn_implementation has no effect on an embedded model"):
        load("sst2", attn_implementation="eager")


def test_the_precision_of_the_checkpoint(folder, monkeypatch):
    assert load(folder / "half").model.dtype == torch.float32
    for dtype in ("auto", "bfloat16"):
        assert load(folder / "half", dtype=dtype).model.dtype == torch.bfloat16
    assert load(folder / "half", torch_dtype=torch.float16).model.dtype == torch.float16
    assert load(folder / "in" / "here", dtype="auto").model.dtype == torch.float32
    # elsewhere than on the CPU it is the default, which what is asked for goes before
    monkeypatch.setattr(opening, "place_for", lambda device, dtype: torch.device("cuda"))
    assert opened().dtype is None
    assert opened(dtype="float32").dtype == torch.float32
    assert opened(device_map={"": "cuda:0"}).dtype is None
    assert opened(device_map={"a": "cpu", "b": "disk"}).dtype == torch.float32


def test_what_a_device_map_put_somewhere_is_not_moved_and_gives_the_same(folder, unmoved, caplog):
    there = folder / "in" / "here"
    mapped = Attributor.from_pretrained(str(there), device_map=ON_DISK)
    assert {p.device.type for p in mapped.model.parameters()} == {"meta", "cpu"}
    assert input_device(mapped.model).type == "cpu"
    assert not caplog.records
    plain = Attributor(transformers.LlamaForCausalLM.from_pretrained(there), mapped.tokenizer)
    one, other = (each.attribute("the film is good", store="edges") for each in (mapped, plain))
    for a, b in zip(one.sites, other.sites, strict=True):
        np.testing.assert_array_equal(a.edges.score, b.edges.score)
    assert all(parameter.requires_grad for parameter in mapped.model.parameters())
    assert mapped.facts["digest"] == mapped.info.digest  # it is still what was loaded
    assert mapped.digest == plain.digest


def test_an_adapter_on_a_mapped_base_is_at_work_unmerged(folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = str(folder / "in" / "here")
    made = get_peft_model(
        transformers.LlamaForCausalLM.from_pretrained(base),
        LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]),
    )
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    made.save_pretrained(tmp_path)
    merged = Attributor.from_pretrained(str(tmp_path), device="cpu").attribute("the film is good")
    for device_map in ("cpu", {"": "cpu"}):
        one = Attributor.from_pretrained(str(tmp_path), device_map=device_map)
        assert any("lora" in name for name, _ in one.model.named_parameters())
        np.testing.assert_allclose(one.attribute("the film is good").scores, merged.scores, atol=1e-5)

    with pytest.raises(InputError, match="merge the adapter into it, save that"):
        load(tmp_path, device_map=ON_DISK)


class Quantised:
    """What a model's config says of weights that are stored quantised."""

    quantization_config = object()


def test_what_is_quantised_is_placed_while_it_is_loaded():
    asked = opened(device="cpu", dtype="auto")
    assert asked.keywords(Quantised) == {"dtype": "auto", "device_map": {"": torch.device("cpu")}}
    assert not asked.is_whole(Quantised)
    assert "device_map" not in asked.keywords(object)
    model: Any = torch.nn.Linear(1, 1)
    model.config = Quantised
    model.to = None  # would be an error
    asked.settled(model)
    assert not model.training


def test_bits_are_those_of_bitsandbytes():
    eight, four = (
        opened(quantize=f"{bits}bit", dtype="float16").weights["quantization_config"] for bits in (8, 4)
    )
    assert eight.load_in_8bit
    assert four.load_in_4bit and four.bnb_4bit_compute_dtype == torch.float16


@pytest.mark.filterwarnings("ignore")
def test_weights_rounded_by_torchao(folder, unmoved):
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    config = transformers.TorchAoConfig(quantization.Int8WeightOnlyConfig())
    there = str(folder / "in" / "here")
    one = Attributor.from_pretrained(there, quantization_config=config, device="cpu").attribute(
        "the film is good"
    )
    other = Attributor(transformers.LlamaForCausalLM.from_pretrained(there), tiny.tokenizer(bert=False))
    scores = other.attribute("the film is good").scores
    assert 0 < np.abs(one.scores - scores).sum() < 0.2 * np.abs(scores).sum()
    config = transformers.TorchAoConfig(quantization.Int8DynamicActivationInt8WeightConfig())
    rounded = Attributor.from_pretrained(there, quantization_config=config, device="cpu")
    with pytest.raises(UnsupportedModelError, match=r"no gradient \(torchao's "):
        rounded.attribute("the film is good")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_weights_rounded_by_bitsandbytes(folder, unmoved, bits):
    there = str(folder / "in" / "here")
    try:
        importlib.import_module("bitsandbytes")
    except ImportError:
        with pytest.raises(loading.ModelError, match=r"cannot be loaded: .*bitsandbytes"):
            load(there, quantize=bits)
        return
    result = Attributor.from_pretrained(there, quantize=bits, device="cpu").attribute("the film is good")
    assert result.scores.any()
