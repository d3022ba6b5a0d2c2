"""What the model saw of an image, and which patch is where."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as t
from PIL import Image

import tiny
from attattr import Attributor
from attattr.data.encoding import encode
from attattr.data.examples import Example
from attattr.data.images import patch_size, seen
from attattr.result.picture import pixels, size

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth, so that resizing keeps it."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shades = np.stack([x, y, (x * y + seed) % 1], -1)
    return Image.fromarray((255 * shades).astype(np.uint8))


def shown(model, processor, image) -> np.ndarray:
    """The picture that a result would hold, as numbers."""
    (encoded,) = encode(model, processor, [Example(inputs={"image": image})])
    return pixels(seen(model, processor, encoded.features)).astype(int)


def built(cls, config, **facts):
    return cls(config(**SMALL, num_labels=3, **{"image_size": 12, "patch_size": 4, **facts})).double().eval()


MODELS = {
    "vit": lambda: built(t.ViTForImageClassification, t.ViTConfig),
    "deit": lambda: built(t.DeiTForImageClassification, t.DeiTConfig),
    "registers": lambda: built(
        t.Dinov2WithRegistersForImageClassification, t.Dinov2WithRegistersConfig, num_register_tokens=2
    ),
    "wide": lambda: built(t.ViTForImageClassification, t.ViTConfig, image_size=(8, 12)),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_patch_is_the_position_that_its_pixels_move(name):
    """Row by row behind the special tokens, as the grid says: asked of the model's own embeddings."""
    model = MODELS[name]()
    height, width = (8, 12) if name == "wide" else (12, 12)
    blank = torch.zeros(1, 3, height, width, dtype=torch.float64)
    (encoded,) = encode(model, None, [Example(inputs={"pixel_values": blank})])
    axis = encoded.axes["patches"]
    assert axis.grid == (height // 4, width // 4)
    before = model(blank, output_hidden_states=True).hidden_states[0]
    assert before.shape[1] == len(axis.tokens)
    for row in range(axis.grid[0]):
        for column in range(axis.grid[1]):
            changed = blank.clone()
            changed[..., 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
            after = model(changed, output_hidden_states=True).hidden_states[0]
            moved = (after != before).any(-1)[0].nonzero().flatten().tolist()
            assert moved == [axis.first_patch + row * axis.grid[1] + column]
            assert axis.tokens[moved[0]] == f"{row},{column}"


def test_what_was_resized_and_cropped_is_shown_as_the_model_saw_it():
    processor = t.DeiTImageProcessor(
        size={"height": 16, "width": 16}, crop_size={"height": 12, "width": 12}, do_center_crop=True
    )
    image = photo(48, 32)
    expected = image.resize((16, 16), processor.resample).crop((2, 2, 14, 14))
    found = shown(MODELS["deit"](), processor, image)
    assert np.abs(found - np.asarray(expected, int)).max() <= 1
    assert np.abs(found - np.asarray(image.resize((12, 12)), int)).max() > 10  # and not the whole image


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_mean": [0.1, 0.5, 0.9], "image_std": [0.2, 0.3, 0.4]},
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    ],
)
def test_colours_come_back_whatever_the_processor_did(changes):
    image = photo(12, 12)
    assert np.abs(shown(tiny.vit(), tiny.sees(**changes), image) - np.asarray(image, int)).max() <= 1


def test_what_the_patches_do_not_cover_is_cut_off():
    model = built(t.ViTForImageClassification, t.ViTConfig, image_size=14)
    image = photo(14, 14)
    found = shown(model, tiny.sees(size={"height": 14, "width": 14}), image)
    assert np.abs(found - np.asarray(image, int)[:12, :12]).max() <= 1


def test_a_large_picture_is_kept_small_and_a_grey_one_in_three_colours():
    model, processor = tiny.vit(), tiny.sees()
    large = seen(model, processor, {"pixel_values": torch.rand(3, 1200, 600)})
    assert size(large) == (512, 256) and len(large) < 1 << 20
    one = tiny.sees(image_mean=0.5, image_std=0.5)
    grey = pixels(seen(model, one, {"pixel_values": torch.zeros(1, 8, 8)}))
    assert grey.shape == (8, 8, 3) and (grey == 128).all()


def test_without_a_processor_or_patches_there_is_no_picture():
    pixel_values = torch.zeros(3, 12, 12)
    assert seen(tiny.vit(), None, {"pixel_values": pixel_values}) is None
    assert seen(tiny.vit(), tiny.tokenizer(), {"pixel_values": pixel_values}) is None
    assert seen(tiny.bert(), tiny.sees(), {"input_ids": [1]}) is None
    assert seen(tiny.vit(), tiny.sees(), {"pixel_values": torch.zeros(3, 3, 3)}) is None
    assert seen(tiny.vit(), tiny.sees(), {"pixel_values": torch.zeros(4, 12, 12)}) is None
    assert patch_size(tiny.bert()) is None


def test_a_result_holds_picture_and_grid():
    model, image = tiny.vit(), photo(30, 20)
    result = Attributor(model, tiny.sees()).attribute({"image": image})
    assert result.grid == (3, 3) and result.axes["patches"].first_patch == 1
    assert (pixels(result.picture) == shown(model, tiny.sees(), image)).all()
    bare = Attributor(model).attribute(tiny.image())
    assert bare.grid == (3, 3) and bare.picture is None


def test_attention_within_windows_has_no_grid():
    """Nothing attends to its patches one by one: a picture with nothing on it would be a lie."""
    config = t.SwinConfig(
        embed_dim=16, num_heads=[2, 4], depths=[1, 1], window_size=2, image_size=16, num_labels=3
    )
    attributor = Attributor(t.SwinForImageClassification(config).eval())
    with pytest.warns(UserWarning, match="not attributed"):
        result = attributor.attribute({"pixel_values": torch.rand(3, 16, 16)})
    assert result.axes["patches"].grid == (4, 4) and result.grid is None
