"""The small picture that travels with the result of an image: what the model saw, as PNG."""

from __future__ import annotations

import io

import numpy as np

SIDE = 512  # pixels of the longest side
BYTES = 1 << 20  # more than a picture of that size takes, whatever is on it
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def drawn(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 3) of uint8 as PNG, made smaller where a side is longer than 512.

    >>> image = drawn(np.zeros((1024, 512, 3), np.uint8))
    >>> size(image), pixels(image).shape
    ((512, 256), (512, 256, 3))
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))  # leaves smaller ones as they are
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def size(png: bytes) -> tuple[int, int]:
    """Height and width, read from the header."""
    return int.from_bytes(png[20:24]), int.from_bytes(png[16:20])


def pixels(png: bytes) -> np.ndarray:
    """(height, width, 3) of uint8.

    Raises:
        OSError, ValueError, SyntaxError: the picture is damaged.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"))


def checked(png: bytes) -> bytes:
    """The picture of a file, if it is one that `drawn` could have made.

    Raises:
        ValueError: it is not.
    """
    if not png.startswith(SIGNATURE) or len(png) > BYTES or not all(0 < n <= SIDE for n in size(png)):
        raise ValueError("its picture is no small PNG")
    try:
        pixels(png)
    except Exception as error:  # Pillow's readers have no common base of what they raise
        raise ValueError(f"its picture is damaged: {error}") from error
    return png
