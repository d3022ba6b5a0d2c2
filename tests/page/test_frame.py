"""The page below a notebook's cell: as high as fits, as light or dark as the notebook."""

from __future__ import annotations

import pytest

import handmade
from attattr.page.document import frame


@pytest.mark.parametrize(
    ("body", "dark"),
    [
        ('data-jp-theme-light="false"', True), ('data-jp-theme-light="true"', False),
        ('class="vscode-dark"', True), ('class="vscode-light"', False),
    ],
)  # fmt: skip
def test_a_page_in_a_notebook_fits_and_is_light_or_dark_as_it_is(browser, tmp_path, body, dark):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><body {body}><div>{frame(handmade.attribution())}</div>")
    context = browser.new_context(
        viewport={"width": 1000, "height": 800}, color_scheme="null"
    )  # the system's
    try:
        page = context.new_page()
        page.goto(path.as_uri())
        box = page.locator("iframe").bounding_box()
        assert box["height"] == pytest.approx(0.85 * 800, abs=1) and box["width"] > 900
        inside = page.frames[1]
        inside.wait_for_selector(".attattr .graph svg", state="attached")
        assert inside.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is dark
        light = inside.evaluate("getComputedStyle(document.querySelector('.attattr')).backgroundColor")
        assert (sum(int(c) for c in light[4:-1].split(",")) < 300) is dark, light
        page.set_viewport_size({"width": 1000, "height": 2000})
        assert page.locator("iframe").bounding_box()["height"] == 900
    finally:
        context.close()
