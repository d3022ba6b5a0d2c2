"""Tiny random models made from configs, and inputs for them. No hub, no files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import transformers as t

SMALL = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}


def bert(labels: int = 3, **kwargs):
    config = t.BertConfig(**SMALL, num_attention_heads=2, num_labels=labels, **kwargs)
    return _ready(t.BertForSequenceClassification, config)


def roberta():
    return _ready(
        t.RobertaForSequenceClassification, t.RobertaConfig(**SMALL, num_attention_heads=2, num_labels=2)
    )


def albert():
    config = t.AlbertConfig(**SMALL, num_attention_heads=2, num_labels=2, embedding_size=8)
    return _ready(t.AlbertForSequenceClassification, config)


def distilbert():
    config = t.DistilBertConfig(vocab_size=60, dim=16, hidden_dim=24, n_layers=3, n_heads=2, num_labels=2)
    return _ready(t.DistilBertForSequenceClassification, config)


def gpt2(cls=t.GPT2LMHeadModel, **kwargs):
    return _ready(cls, t.GPT2Config(vocab_size=60, n_embd=16, n_layer=3, n_head=2, n_positions=64, **kwargs))


def llama(cls=t.LlamaForCausalLM, **kwargs):
    """Grouped-query attention: four heads on two key-value heads."""
    config = t.LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, **kwargs)
    return _ready(cls, config)


def gemma2():
    """Soft-capped attention, which sdpa cannot do, and norms behind the attention."""
    config = t.Gemma2Config(
        **SMALL, num_attention_heads=2, num_key_value_heads=1, head_dim=8, attn_logit_softcapping=5.0
    )
    return _ready(t.Gemma2ForCausalLM, config)


def t5():
    config = t.T5Config(
        vocab_size=60, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return _ready(t.T5ForConditionalGeneration, config)


def bart():
    config = t.BartConfig(
        vocab_size=60, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64,
        decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    return _ready(t.BartForConditionalGeneration, config)


def vit():
    config = t.ViTConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=12,
        patch_size=4, num_labels=3,
    )  # fmt: skip
    return _ready(t.ViTForImageClassification, config)


def sees(**changes):
    """The image processor of `vit`."""
    return t.ViTImageProcessor(**{"size": {"height": 12, "width": 12}, **changes})


def text(length: int, seed: int = 0, low: int = 5) -> dict[str, torch.Tensor]:
    ids = torch.randint(low, 60, (length,), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids}


def source(length: int, seed: int = 0, start: int = 0) -> dict[str, torch.Tensor]:
    return text(length, seed) | {"decoder_input_ids": torch.tensor([start, 7, 9])}


def image(seed: int = 0) -> dict[str, torch.Tensor]:
    pixels = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return {"pixel_values": pixels}


def _ready(cls, config):
    torch.manual_seed(0)
    model = cls(config).double().eval()
    with torch.no_grad():  # freshly initialised weights are so small that attention hardly matters
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name and "shared" not in name:
                parameter.mul_(0.25 / parameter.std())
    return model


def tokenizer(bert: bool = True, mask: bool = False, more: Sequence[str] = ()):
    """Sixty words, and `more` of one's own; with [CLS] and [SEP] as BERT has them, or none, as decoders have
    it; the last one a [MASK]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[EOS]"]
    words += "the a film is fine bad not very man woman eats sleeps nobody and or good".split()
    words += [f"w{i}" for i in range(60 - len(words))]
    words[-1] = "[MASK]" if mask else words[-1]
    words += [word for word in more if word not in words]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"unk_token": "[UNK]", "eos_token": "[EOS]"}
    if bert:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        names |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names |= {"mask_token": "[MASK]"} if mask else {}
    return t.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **names)
