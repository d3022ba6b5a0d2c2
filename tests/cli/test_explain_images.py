"""An image on the command line: explained from end to end, and told in a sentence where it cannot be."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import attattr
import commands
import pages
import tiny
from attattr.cli import images
from attattr.report.terminal import view
from attattr.result.words import word_effects


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that sees, one that sees without a processor, one that reads; and an image."""
    root = tmp_path_factory.mktemp("models")
    model = tiny.vit().float()
    model.save_pretrained(root / "sees")
    tiny.sees().save_pretrained(root / "sees")
    model.save_pretrained(root / "bare")
    tiny.bert().float().save_pretrained(root / "reads")
    tiny.tokenizer().save_pretrained(root / "reads")
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(noise).save(root / "scene.png")
    return root


def test_an_image_is_explained_as_the_library_does_it(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outputs = [tmp_path / name for name in ("facts.json", "image.attattr", "page.html")]
    asked = ("--json", outputs[0], "--save", outputs[1], "--html", outputs[2])
    outcome = commands.run("explain", folder / "scene.png", "--model", folder / "sees", *asked)
    assert outcome.exit_code == 0, outcome.stderr
    with Image.open(folder / "scene.png") as image:
        expected = attattr.Attributor.from_pretrained(folder / "sees").attribute({"image": image})
    result = attattr.load(outputs[1])
    np.testing.assert_allclose(result.scores, expected.scores, atol=1e-6)
    assert result.picture == expected.picture
    facts = json.loads(outputs[0].read_text())
    assert facts["text"] is None and facts["axes"]["patches"]["grid"] == [3, 3]
    page = outputs[2].read_text()
    assert '"rows":3,"columns":3,"first":1' in page and '"effects":{"clean"' in page
    values = word_effects(expected).values
    strongest = int(np.abs(values[1:]).argmax())
    named = "({}, {})".format(*divmod(strongest, 3))
    line = next(line for line in outcome.stdout.splitlines() if line.startswith(named))
    assert line.split()[-1] == f"{values[1 + strongest]:+.4f}"


def test_effects_of_an_image_are_what_a_mask_does(folder):
    """Measured on the clean forward, beside the same taken out by hand."""
    from attattr.measure.effects import attribute_and_measure
    from attattr.measure.masks import Mask, measure

    attributor = attattr.Attributor.from_pretrained(folder / "sees")
    with Image.open(folder / "scene.png") as file:
        image = {"image": file.copy()}
    result, effects = attribute_and_measure(attributor, image, edges=3)
    edge = effects.edges[0]
    mask = Mask.without_edges(result, [(edge.site, edge.head, edge.query, edge.key)])
    clean, (without,) = measure(attributor, image, [mask])
    np.testing.assert_allclose(effects.edge_change[0], clean - without, atol=1e-6)
    assert np.isfinite(effects.head_change).all()


@pytest.mark.parametrize("verb", ["explain", "tree", "figure"])
def test_images_that_cannot_be_explained_are_told_in_a_sentence(folder, tmp_path, verb):
    (tmp_path / "cut.png").write_bytes((folder / "scene.png").read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no image at all")
    (tmp_path / "empty.webp").touch()
    scene, sees = folder / "scene.png", ("--model", folder / "sees")
    cases = [
        ((scene,), "no embedded model sees images: name one that does with --model"),
        ((scene, "--model", folder / "reads"), "the model reads texts"),
        ((scene, "--model", folder / "bare"), "no image processor (preprocessor_config.json)"),
        (("a fine film", *sees), "the model sees images, and was given a text"),
        ((scene, "a film", *sees), "is an image: it is explained alone"),
        ((scene, scene, *sees), "is an image: it is explained alone"),
        ((tmp_path / "missing.JPG", *sees), "there is no image"),
        *((((tmp_path / name), *sees), "damaged") for name in ("cut.png", "text.jpg", "empty.webp")),
    ]
    more = ("--out", tmp_path / "figure.png") if verb == "figure" else ()
    for arguments, says in cases:
        outcome = commands.run(verb, *arguments, *more)
        assert (outcome.exit_code, outcome.stdout) == (2, ""), outcome.stderr
        last = outcome.stderr.strip().splitlines()[-1]
        assert last.startswith("Error: ") and says in last, last
        assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "figure.png").exists()


def test_what_is_an_image_is_seen_by_name_or_content(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture").write_bytes((folder / "scene.png").read_bytes())
    (tmp_path / "BM of note.txt").write_text("BM is where this text begins, as bitmaps do.")
    assert all(map(images.is_image, ("picture", "cat.PNG", str(folder / "scene.png"))))
    others = ("BM of note.txt", "see the picture cat.png", "a film", "x" * 5000, "\0", ".")
    assert not any(map(images.is_image, others))


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "I;16", "CMYK"])
def test_every_kind_of_pixel_becomes_red_green_and_blue(tmp_path, mode):
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "I;16") else "image.png")
    Image.new(mode, (6, 4)).save(path)
    assert (images.read(str(path)).mode, images.read(str(path)).size) == ("RGB", (6, 4))


def test_a_photograph_stands_upright_and_an_animation_begins_with_its_first_picture(tmp_path):
    sideways = Image.new("RGB", (6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    sideways.save(tmp_path / "photo.jpg", exif=exif)
    assert images.read(str(tmp_path / "photo.jpg")).size == (4, 6)
    red, blue = (Image.new("RGB", (6, 4), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "moves.gif", save_all=True, append_images=[blue])
    assert images.read(str(tmp_path / "moves.gif")).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (14, 14), (2, 60)])
def test_the_view_of_an_image_fits_the_terminal(colour, rows, columns):
    result = pages.image_result(rows, columns)
    console = Console(width=80, record=True, file=io.StringIO(), color_system="truecolor")
    console.print(view(result, 5, colour=colour))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    said = f"What attending to each of {rows * columns} patches, by (row, column), gave in layer "
    assert any(line.startswith(said) for line in lines)
    edge = next(edge for edge in result.top_edges(5) if edge.query and edge.key)
    named = "({}, {}) → ({}, {})".format(*divmod(edge.query - 1, columns), *divmod(edge.key - 1, columns))
    assert any(named in line for line in lines)
    assert lines.count("  " * columns) == (rows if colour and columns <= 40 else 0)  # patches in shades


def test_the_figure_of_tokens_lies_over_the_picture(folder, tmp_path):
    saved, drawn = tmp_path / "image.attattr", tmp_path / "tokens.svg"
    pages.image_result().save(saved)
    outcome = commands.run("figure", saved, "--kind", "tokens", "--out", drawn)
    assert outcome.exit_code == 0, outcome.stderr
    first = drawn.read_text()
    assert "what the model saw" in first and first.count("<image") >= 3
    commands.run("figure", saved, "--kind", "tokens", "--words", "--out", drawn)
    assert drawn.read_text() == first
