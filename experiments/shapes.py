"""A small vision transformer that tells shapes apart, and a picture to explain with it: docs/images.md.

    python experiments/shapes.py build/shapes

Makes its pictures itself: one disc, ring or cross of a random colour, size and place on a ground of
random colour and noise. Trains for a few minutes, prints the accuracy on pictures that it has not seen, and
writes the model with its image processor into the folder, and shape.png beside them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image, ImageDraw
from torch.nn.functional import cross_entropy

NAMES = ("disc", "ring", "cross")
SIDE, PATCH = 64, 8  # pixels
BATCH = 32
SEED = 0
UNSEEN = 1_000  # pictures


def picture(rng: np.random.Generator, shape: int) -> Image.Image:
    """One shape, anywhere."""
    ground, ink = rng.integers(0, 256, (2, 3))
    while np.abs(ground - ink).sum() < 220:  # to be seen
        ink = rng.integers(0, 256, 3)
    pixels = np.clip(ground + rng.normal(0, 8, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    radius = int(rng.integers(11, 19))
    x, y = rng.integers(radius + 1, SIDE - radius - 1, 2).tolist()
    draw, colour = ImageDraw.Draw(image), tuple(ink.tolist())
    box = (x - radius, y - radius, x + radius, y + radius)
    if NAMES[shape] == "disc":
        draw.ellipse(box, fill=colour)
    elif NAMES[shape] == "ring":
        draw.ellipse(box, outline=colour, width=5)
    else:
        draw.line((x - radius, y, x + radius, y), colour, 5)
        draw.line((x, y - radius, x, y + radius), colour, 5)
    return image


def batch(
    processor: transformers.BaseImageProcessor, rng: np.random.Generator, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures as the model takes them, and which shapes they show."""
    shapes = rng.integers(0, len(NAMES), size)
    images = [picture(rng, int(shape)) for shape in shapes]
    return processor(images=images, return_tensors="pt")["pixel_values"], torch.as_tensor(shapes)


def train(steps: int) -> tuple[transformers.ViTForImageClassification, transformers.BaseImageProcessor]:
    """The model after so many batches; every picture is a new one."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    processor = transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    config = transformers.ViTConfig(
        hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, image_size=SIDE,
        patch_size=PATCH, id2label=dict(enumerate(NAMES)), label2id={n: i for i, n in enumerate(NAMES)},
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).train()
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for step in range(steps):
        pixels, shapes = batch(processor, rng, BATCH)
        loss = cross_entropy(model(pixels).logits, shapes)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 100 == 0:
            print(f"batch {step} of {steps}: loss {loss.item():.3f}", flush=True)
    return model.eval(), processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the model and the picture")
    parser.add_argument("--steps", type=int, default=1_500, help=f"batches of {BATCH} pictures")
    asked = parser.parse_args()
    model, processor = train(asked.steps)
    with torch.no_grad():
        pixels, shapes = batch(processor, np.random.default_rng(SEED + 1), UNSEEN)
        right = (model(pixels).logits.argmax(-1) == shapes).float().mean()
    print(f"accuracy on {UNSEEN:,} pictures that it has not seen: {right:.1%}")
    model.save_pretrained(asked.out)
    processor.save_pretrained(asked.out)
    picture(np.random.default_rng(SEED + 2), NAMES.index("ring")).save(asked.out / "shape.png")


if __name__ == "__main__":
    main()
