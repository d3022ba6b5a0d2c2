"""The picture of a result: kept, small, and refused where it is none."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import handmade
import pages
from attattr import load, merge_words
from attattr.errors import FileFormatError
from attattr.result import picture, written


def saved_with(tmp_path, monkeypatch, **changes):
    """A saved image result with other facts, its checksum right."""
    plain = json.dumps

    def dumps(facts, **options):
        if "picture" in facts:
            facts = {**facts, **changes}
        return plain(facts, **options)

    monkeypatch.setattr(written.json, "dumps", dumps)
    path = tmp_path / "image.attattr"
    pages.image_result().save(path)
    monkeypatch.undo()
    return path


def test_picture_and_grid_come_back_from_the_file(tmp_path):
    result = pages.image_result()
    result.save(tmp_path / "image.attattr")
    again = load(tmp_path / "image.attattr")
    assert again.picture == result.picture and again.axes == result.axes and again.grid == (3, 4)
    handmade.attribution().save(tmp_path / "text.attattr")
    text = load(tmp_path / "text.attattr")
    assert text.picture is None and text.grid is None


def test_json_has_the_grid_and_no_picture():
    facts = pages.image_result().to_json()
    assert facts["axes"]["patches"]["grid"] == [3, 4] and "picture" not in facts
    assert handmade.attribution().to_json()["axes"]["input"]["grid"] is None


def test_a_patch_is_a_word_of_its_own():
    merged = merge_words(pages.image_result())
    assert merged.grid == (3, 4)
    assert merged.tokens[:3] == ("[CLS]", "(0, 0)", "(0, 1)")


def png(*shape: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


GOOD = picture.drawn(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<svg onload='alert(1)'/>", "no small PNG"),
        (b"", "no small PNG"),
        (GOOD[:20], "no small PNG"),
        (GOOD[:-400], "damaged"),
        (GOOD[:200] + b"\0" * 40 + GOOD[240:], "damaged"),
        (png(600, 2), "no small PNG"),
        (GOOD + b"\0" * picture.BYTES, "no small PNG"),
    ],
)
def test_a_file_whose_picture_is_none_is_refused(tmp_path, monkeypatch, content, says):
    path = saved_with(tmp_path, monkeypatch, picture=base64.b64encode(content).decode())
    with pytest.raises(FileFormatError, match=says):
        load(path)


@pytest.mark.parametrize("grid", [[4, 4], [0, 4], [-3, -4], [3], "3x4"])
def test_a_grid_that_does_not_fit_is_refused(tmp_path, monkeypatch, grid):
    axes = json.loads(json.dumps({"patches": vars(pages.image_result().axes["patches"])}))
    axes["patches"]["grid"] = grid
    with pytest.raises(FileFormatError, match="grid"):
        load(saved_with(tmp_path, monkeypatch, axes=axes))


def test_not_base64_is_refused(tmp_path, monkeypatch):
    with pytest.raises(FileFormatError):
        load(saved_with(tmp_path, monkeypatch, picture="%%%"))
