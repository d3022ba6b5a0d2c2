"""The image of a command: a file that says it is one, by its content or by its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

from attattr.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def is_image(name: str) -> bool:
    """Whether it names an image: by its ending, where it is a file or has no spaces as texts do; or because
    the file that is there is one."""
    try:
        there = Path(name).is_file()  # a pipe is read once, as a text
    except (OSError, ValueError):  # too long for a name, or with characters that none has
        return False
    if name.lower().endswith(ENDINGS):
        return there or not any(map(str.isspace, name))
    return there and _opens(name)


def read(name: str) -> Any:
    """The first picture in a file, in red, green and blue, upright as its camera noted.

    Raises:
        InputError: it is not there, damaged, or none of these formats.
    """
    from PIL import Image, ImageOps

    if not Path(name).is_file():
        raise InputError(f"there is no image '{name}'")
    try:
        with Image.open(name, formats=FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except PermissionError as error:
        raise InputError(f"the image '{name}' cannot be read: {error.strerror}") from error
    except Exception as error:  # Pillow's readers have no common base of what they raise
        raise InputError(
            f"the image '{name}' cannot be read: it is damaged, too large, or none of {', '.join(FORMATS)}"
        ) from error


def is_one(content: bytes) -> bool:
    """Whether this is what a file of an image holds."""
    return _opens(io.BytesIO(content))


def _opens(name: str | IO[bytes]) -> bool:
    from PIL import Image

    try:
        with Image.open(name, formats=FORMATS):
            return True
    except Exception:  # as above: it is a text, or will be told to be none
        return False
