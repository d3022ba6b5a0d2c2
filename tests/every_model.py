"""A tiny random model of every model type of the installed transformers, and an input for it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from attattr import AttAttrError

HEADS = {
    "sequence classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "causal LM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "seq2seq LM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "image classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}
PARAMETERS = 40_000_000  # of a tiny model at most

# what a config's attributes become, whichever of them it has; every expert is chosen, since choosing some
# jumps, and nothing that jumps can be integrated
SIZES = {
    64: """
        vocab_size src_vocab_size tgt_vocab_size vocab_size_per_layer_input max_seq_len n_ctx
        max_position_embeddings n_positions max_source_positions max_target_positions
        original_max_position_embeddings
    """,
    60: """
        image_token_id image_token_index video_token_id audio_token_id audio_token_index blank_token_id
    """,
    48: """
        intermediate_size encoder_ffn_dim decoder_ffn_dim ffn_dim d_ff n_inner hidden_dim
    """,
    32: """
        hidden_size d_model n_embd dim embed_dim emb_dim embedding_size encoder_hidden_size d_inner
        attention_hidden_size pooler_hidden_size moe_intermediate_size shared_expert_intermediate_size
        ffn_hidden_size dim_ff dff intermediate_size_mlp projection_dim out_hidden_size
        shared_experts_intermediate_size adapter_out_dim
    """,
    16: """
        qk_head_dim image_size
    """,
    8: """
        head_dim d_kv swa_head_dim d_head kv_channels v_head_dim dim_head rotary_dim q_lora_rank
        kv_lora_rank qk_nope_head_dim qk_rope_head_dim hidden_size_per_layer_input linear_key_head_dim
        linear_value_head_dim mamba_d_head mamba_head_dim mamba_chunk_size mamba_d_state ssm_state_size
        state_size mamba_dt_rank time_step_rank chunk_size
    """,
    4: """
        num_attention_heads n_head n_heads encoder_attention_heads attention_heads num_heads
        decoder_attention_heads swa_num_attention_heads sliding_window patch_size laurel_rank
        linear_num_key_heads linear_num_value_heads mamba_n_heads mamba_num_heads
    """,
    3: """
        num_channels sep_token_id
    """,
    2: """
        num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers
        depth num_dense_layers type_vocab_size window_size num_key_value_heads num_kv_heads kv_n_heads
        swa_num_key_value_heads num_experts num_local_experts n_routed_experts moe_num_experts
        num_experts_per_tok num_experts_per_token moe_topk moe_k moe_top_k top_k_experts eos_token_id
    """,
    1: """
        n_group topk_group num_expert_group n_shared_experts num_shared_experts moe_num_shared_experts
        first_k_dense_replace bos_token_id decoder_start_token_id
    """,
    0: """
        num_kv_shared_layers pad_token_id
    """,
}
SMALL: dict[str, Any] = {name: size for size, names in SIZES.items() for name in names.split()}
SMALL |= {"forced_eos_token_id": None, "forced_bos_token_id": None}
# what the guess gets wrong, by model type; a dict in it belongs to a part of the config
SWIN = {"embed_dim": 16, "num_heads": [2, 4], "depths": [1, 1], "window_size": 2, "image_size": 16}
PYRAMID = {"hidden_sizes": [8, 16, 16, 32], "num_attention_heads": [1, 2, 2, 4], "depths": [1, 1, 1, 1]}
LATENT = {"num_key_value_heads": 4}  # attention through a latent space repeats no key-value heads
INDEXER = {
    "indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 16,
    "indexer_compress_ratio": 2, "layer_types": ["linear_attention", "indexed_attention"], "hc_lowrank": 8,
}  # fmt: skip
HYBRID = {"layers_block_type": ["linear_attention", "hybrid", "hybrid"], "num_hidden_layers": 3}
BOTH = ["sliding_attention", "full_attention"]
HINTS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1], "mamba_d_head": "auto"},
    "blt": {
        "encoder_hash_byte_group_vocab": 64, "encoder_config": {"hidden_size_global": 32},
        "decoder_config": {"hidden_size_global": 32},
    },
    "cohere_compass_text": {
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": 1e4} for kind in BOTH},
        "layer_types": BOTH,
    },
    "cvt": {"embed_dim": [16, 32, 32], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "clip_qkv": 8.0}},
    "donut-swin": SWIN,
    "dots3_note": {"vision_config": {"adapter_in_dim": 32}, "audio_config": {"adapter_input_size": 32}},
    "efficientnet": {"width_coefficient": 0.1, "depth_coefficient": 0.3, "hidden_dim": 128},
    "esmc": LATENT,
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_d_head": 8},
    "gemma3n_text": {"intermediate_size": [48, 48]},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0}},
    "granitemoehybrid": {"mamba_d_head": "auto", "layer_types": ["mamba", "attention"]},
    "hiera": {"embed_dim": 16, "image_size": [32, 32]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "levit": {
        "hidden_sizes": [16, 32, 48], "num_attention_heads": [2, 2, 2], "key_dim": [8, 8, 8],
        "patch_size": 16, "image_size": 64,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lilt": {"hidden_size": 48},
    "longt5": {"local_radius": 3, "global_block_size": 4},
    "longcat_flash": {"expert_ffn_hidden_size": 32, "zero_expert_num": 2, **LATENT},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "mamba2": {"head_dim": 16, "n_groups": 2},
    "mistral4": {"head_dim": 16},
    "mobilevit": {
        "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 8, 16, 16, 16, 32], "image_size": 64,
        "patch_size": 2,
    },
    "mobilevitv2": {
        "base_attn_unit_dims": [16, 24, 32], "n_attn_blocks": [1, 1, 1], "image_size": 64, "patch_size": 2,
    },
    "musicgen": {"decoder": {"num_codebooks": 1}},
    "musicgen_melody": {"decoder": {"num_codebooks": 1}},
    "nemo_speechlm": {
        "audio_config": {"diarization_config": {"head_config": {"audio_hidden_size": 32}}},
        "text_config": {"n_groups": 2},
    },
    "nemotron_h": {"n_groups": 2},
    "pegasus_x": {"block_size": 4},
    "longformer": {"attention_window": [4, 4]},
    "led": {"attention_window": [4, 4]},
    "perceiver": {
        "image_size": 8,
        "num_latents": 8, "d_latents": 32, "num_self_attends_per_block": 2, "num_self_attention_heads": 2,
    },
    "pvt": PYRAMID | {"image_size": 32, "num_labels": 3},
    "pvt_v2": PYRAMID | {"image_size": [32, 32]},
    "qwen4_exp": {"text_config": INDEXER},
    "qwen4_exp_text": INDEXER,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "lru_width": 32},
    "reformer": {
        "axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 8], "attention_head_size": 8,
        "attn_layers": ["local", "lsh"],
    },
    "segformer": PYRAMID,
    "swin": SWIN,
    "swinv2": SWIN | {"pretrained_window_sizes": [0, 0]},
    "vibevoice_asr": {
        f"{kind}_tokenizer_encoder_config": {"num_filters": 1} for kind in ("acoustic", "semantic")
    },
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        **HYBRID, "attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4,
    },
    "zamba2": {
        **HYBRID, "attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4,
    },
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
# side of the image where the config has none, or another than it needs
SIDES = {
    "convnext": 64,
    "convnextv2": 64,
    "segformer": 64,
    "mobilenet_v1": 64,
    "mobilenet_v2": 64,
    "efficientnet": 64,
    "cvt": 32,
}
SINGLE = ("blt",)  # their own plain attention overflows in float64


class SweepError(Exception):
    """The sweep itself could not make the model or its input."""


def pairs() -> list[tuple[str, str]]:
    """(head, model type) of everything the installed transformers has."""
    return [(head, kind) for head, names in HEADS.items() for kind in getattr(modeling_auto, names)]


def small_config(kind: str, head: str) -> Any:
    """The model type's config with everything that makes it large made small."""
    hints = HINTS.get(kind, {})
    base = CONFIG_MAPPING[kind]
    chosen = _shrunk(base(), hints)
    if head == "causal LM" and "is_decoder" in base().to_dict():
        chosen["is_decoder"] = True
    config = base(**chosen)
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = 1
    return config


def _shrunk(config: Any, hints: dict[str, Any]) -> dict[str, Any]:
    known = config.to_dict()
    layers = next((known[n] for n in ("num_hidden_layers", "n_layer", "num_layers") if n in known), None)
    chosen: dict[str, Any] = {}
    for name, value in known.items():
        try:
            part = getattr(config, name, None)
        except Exception:  # an attribute of each layer has no value of its own
            part = None
        if name in hints and not isinstance(part, transformers.PreTrainedConfig):
            chosen[name] = hints[name]
        elif isinstance(part, transformers.PreTrainedConfig):
            chosen[name] = _shrunk(part, hints.get(name, {}))
            if "model_type" in part.to_dict():
                chosen[name]["model_type"] = part.model_type
        elif name == "depths" and isinstance(value, list):
            chosen[name] = [1] * len(value)
        elif name == "layer_types" and isinstance(value, list):
            chosen[name] = (list(dict.fromkeys(value)) * 2)[:2]
        elif name in SMALL and not isinstance(value, list | tuple | bool):
            chosen[name] = SMALL[name]
        elif isinstance(value, list) and isinstance(layers, int) and len(value) == layers > 2:
            chosen[name] = value[:2]
    if "kv_lora_rank" in known and "num_key_value_heads" in known:
        chosen |= LATENT
    return chosen | {name: value for name, value in hints.items() if name not in known}


def make(head: str, kind: str, spread: float = 0.25) -> tuple[Any, dict[str, torch.Tensor]]:
    """A tiny random model in float64 and one input for it, without batch dimension.

    spread: standard deviation of the weights; freshly initialised ones are so small that attention hardly
    matters.

    Raises:
        SweepError: it is not tiny, or cannot be made.
    """
    name = getattr(modeling_auto, HEADS[head])[kind]
    cls = getattr(transformers, name if isinstance(name, str) else name[0])
    try:
        config = _of_class(cls, small_config(kind, head))
        config._experts_implementation = "eager"  # the others have no float64
        with torch.device("meta"):
            size = sum(parameter.numel() for parameter in cls(config).parameters())
    except Exception as error:
        raise SweepError(f"the config could not be made small: {sentence(error)}") from error
    if size > PARAMETERS:
        raise SweepError(f"the config could not be made small: {size:,} parameters")
    try:
        torch.manual_seed(0)
        model = cls(config).double().eval()
    except Exception as error:
        raise SweepError(f"the model could not be made: {sentence(error)}") from error
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            embeds = any(word in name for word in ("embed", "shared", "wte"))
            if parameter.ndim > 1 and parameter.std() > 0 and not embeds:
                parameter.mul_(spread / parameter.std())
            elif name.endswith(".temp"):  # ZAYA's fresh 0 would make all attention uniform
                parameter.copy_(torch.randn_like(parameter) / 2 + 1)
    example = _example(head, kind, model)
    try:
        assert kind not in SINGLE
        _try(model, example)
    except Exception as first:
        model.float()
        example = {n: value.float() if value.is_floating_point() else value for n, value in example.items()}
        try:
            _try(model, example)
        except Exception:
            raise SweepError(f"the plain forward fails: {sentence(first)}") from first
    return model, example


def _of_class(cls: Any, config: Any) -> Any:
    """The part of the config that the class takes, where the head stands on a part of the model."""
    if isinstance(config, cls.config_class):
        return config
    parts = [getattr(config, name, None) for name in config.sub_configs]
    return next((part for part in parts if isinstance(part, cls.config_class)), config)


def _try(model: Any, example: dict[str, torch.Tensor]) -> None:
    batch = {name: value[None] for name, value in example.items()}
    if "input_ids" in batch and "attention_mask" in inspect.signature(model.forward).parameters:
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    assert torch.isfinite(plain(model, batch)).all(), "the output is not finite"


@torch.no_grad()
def plain(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of the model as it is."""
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    return model(**batch, **options).logits


def _example(head: str, kind: str, model: Any) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    if kind == "imagegpt":  # its pixels are tokens
        return {"input_ids": _ids(random, 16)}
    if head == "image classification":
        config = getattr(model.config, "vision_config", model.config)
        side = SIDES.get(kind) or getattr(config, "image_size", 64)
        side = side[0] if isinstance(side, list | tuple) else side
        return {"pixel_values": torch.rand(3, side, side, generator=random, dtype=torch.float64)}
    example = {"input_ids": _ids(random, 7)}
    example["input_ids"][-1] = 2  # encoder–decoder classifiers read there
    if head == "seq2seq LM" and "decoder_input_ids" in inspect.signature(model.forward).parameters:
        example["decoder_input_ids"] = torch.tensor([1, 7, 9])
    return example


def _ids(random: torch.Generator, count: int) -> torch.Tensor:
    return torch.randint(5, 55, (count,), generator=random)


def sentence(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("Class validation error") and len(lines) > 1:
        first = lines[1].strip()
    ours = isinstance(error, AssertionError | SweepError | AttAttrError)
    kind = "" if ours else type(error).__name__ + ": "
    return (kind + first)[:170].rstrip(".")
