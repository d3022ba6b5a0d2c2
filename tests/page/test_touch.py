"""The page by finger, by keyboard and by its address: the sheet, one tab stop a view, what a link carries.

Needs Debian's chromium and Playwright; skips, saying so, without them.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import pages
from attattr.result.effects import Effects

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1440, "height": 900}}


@pytest.fixture(scope="module")
def result():
    return pages.random_result(14, layers=3, heads=4, seed=3)


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
    """The address of a saved page with measured effects."""
    path = tmp_path_factory.mktemp("saved") / "report.html"
    edges = tuple(result.top_edges(20))
    change = np.array([edge.score / 2 for edge in edges])
    result.to_html(path, effects=Effects(result.target.value, edges, change, result.per_head("sum") * 0.75))
    return path.as_uri()


@pytest.fixture
def at(browser):
    """at(address, browser options…) -> page; at the end it has said nothing and fetched nothing."""
    opened, said, asked = [], [], []

    def opening(address, **options):
        context = browser.new_context(**(options or DESK))
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector(".attattr .graph svg")
        opened.append(context)
        return page

    yield opening
    assert said == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    for context in opened:
        context.close()


def seen(page) -> tuple:
    """What the reader has chosen, as the page shows it."""
    pressed = page.locator(".choice button[aria-pressed=true]").all_inner_texts()
    details = page.locator(".details h2").inner_text()
    slider = page.locator(".slider output").inner_text()
    chosen = page.locator(".heads g.cell.chosen").get_attribute("aria-label")
    return pressed, details, slider, chosen, page.locator(".which").inner_text()


def choose(page) -> None:
    """Something of everything that an address holds."""
    page.get_by_role("button", name="Tokens", exact=True).click()
    page.get_by_role("button", name="Strongest edges").click()
    page.locator(".slider input").evaluate(
        "slider => { slider.value = 17; slider.dispatchEvent(new Event('input')); }"
    )
    page.get_by_role("button", name="Taken out", exact=True).click()
    page.locator(".edge-list tbody tr").nth(3).click()
    page.mouse.move(0, 0)
    page.wait_for_function("document.querySelector('.details h2').textContent.includes('attends to')")


def test_a_link_and_a_reload_give_the_view_again(at, saved, result):
    page = at(saved)
    opened = seen(page)
    assert "#" not in page.url, "nothing is chosen, nothing stands in the address"
    choose(page)
    view, link = seen(page), page.url
    edge = result.top_edges(4)[3]
    assert f"pinned={edge.site}.{edge.head}.{edge.query}.{edge.key}" in link and "count=17" in link
    assert view != opened
    page.reload()
    page.wait_for_selector(".details .shares")
    assert seen(page) == view
    other = at(link)
    other.wait_for_selector(".details .shares")
    assert seen(other) == view and other.url == link


@pytest.mark.slow
def test_back_takes_one_step_back(at, saved):
    page = at(saved)
    opened = seen(page)
    page.locator(".edge-list tbody tr").nth(3).click()
    page.mouse.move(0, 0)
    page.wait_for_selector(".details .shares")
    first = seen(page)
    page.locator(".edge-list tbody tr").nth(5).click()
    page.mouse.move(0, 0)
    page.wait_for_function(
        "before => document.querySelector('.details h2').textContent !== before", arg=first[1]
    )
    second = seen(page)
    page.go_back()
    page.wait_for_function(
        "before => document.querySelector('.details h2').textContent !== before", arg=second[1]
    )
    assert seen(page) == first
    page.go_back()
    page.wait_for_selector(".details .guide")
    assert seen(page) == opened
    page.go_forward()
    page.wait_for_selector(".details .shares")
    assert seen(page) == first


FOREIGN = {
    "section-2": "“section-2”, which is nothing of this page",
    "pinned=7.0.1.2": "names an edge that this result does not have",
    "pinned=1.all.1.2-999": "names an edge that this result does not have",
    "pinned=1.0.1": "names an edge that this result does not have",
    "head=0.4": "names a head that this result does not have",
    "mode=edges&count=1e9": "count of the address is not a number from 1 to 150",
    "window=3-999": "window of the address is not one of this text",
    "mode=<img src=x onerror=alert(1)>": "mode “<img src=x onerror=alert(1)>”, which is not here",
    "of=abc&mode=edges": "The address is that of another result",
}


def test_a_foreign_address_is_ignored_with_a_sentence(at, saved):
    page = at(f"{saved}#{next(iter(FOREIGN))}")
    note = page.locator(".foreign")
    opened = seen(page)
    for fragment, said in FOREIGN.items():
        page.evaluate("fragment => { location.hash = fragment; }", fragment)
        page.wait_for_function(
            "said => document.querySelector('.foreign').textContent.includes(said)", arg=said
        )
        assert note.inner_text().endswith(": it is ignored.") and seen(page) == opened
    assert page.locator("img").count() == 0, "text stays text"
    page.evaluate("location.hash = 'mode=edges'")
    note.wait_for(state="hidden")
    assert seen(page) != opened


def middle(edge) -> tuple[float, float]:
    """Of an edge, where it is on the screen."""
    return edge.evaluate(
        """e => {
          const line = e.querySelector('.reach'), at = line.getPointAtLength(line.getTotalLength() / 2);
          const {x, y} = at.matrixTransform(line.getScreenCTM());
          return [x, y];
        }"""
    )


def test_a_tap_opens_a_sheet_within_the_screen(at, saved):
    page = at(saved, **PHONE)
    edge = page.locator(".graph g.edge").last
    page.evaluate("by => scrollBy(0, by)", middle(edge)[1] - 800)
    page.touchscreen.tap(*middle(edge))
    sheet = page.get_by_role("dialog", name="The chosen edge")
    sheet.locator(".shares").wait_for()
    box = sheet.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert box["y"] > 844 / 3 and box["y"] + box["height"] <= 844
    assert 0 < middle(edge)[1] < box["y"], "what was tapped low on the screen is not covered"
    titles = sheet.locator(".shares th").all_inner_texts()
    assert titles == ["head", "score", "attention"] and "attends to" in sheet.locator("h2").inner_text()
    for button in sheet.get_by_role("button").all():
        assert min(button.bounding_box()["width"], button.bounding_box()["height"]) >= 32
    assert page.locator(".details").count() == 1, "the details themselves, not a copy"
    before = page.evaluate("scrollY")
    sheet.get_by_role("button", name="Close").tap()
    sheet.wait_for(state="hidden")
    assert page.evaluate("scrollY") == before and page.locator("aside .details").count() == 1
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_targets_are_large_enough_for_a_finger(at, saved):
    page = at(saved, **PHONE)
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, input:not([type=checkbox]), .cell, .chip, tr")]
          .filter(e => e.getClientRects().length && !e.closest('thead tr, .completeness'))
          .map(e => [e.getBoundingClientRect(), e])
          .filter(([{width, height}, e]) => height < 32 || (width < 32 && !e.matches('.chip')))
          .map(([{width, height}, e]) => `${e.outerHTML.slice(0, 80)} ${width} x ${height}`)"""
    )  # a token in the line of a text is as wide as it is
    assert small == []
    widths = page.locator(".graph .edge .reach").evaluate_all(
        "all => all.map(e => getComputedStyle(e).strokeWidth)"
    )
    assert set(widths) == {"32px"}
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_every_view_has_one_tab_stop(at, saved):
    page = at(saved)
    marks = {
        ".tokens": ".chip", ".graph": "g.edge", ".heads": "g.cell", ".edge-list tbody": "tr",
        ".matrix .apart tbody": "tr", ".scatter >> nth=0": ".point", ".scatter >> nth=1": ".point",
    }  # fmt: skip
    stops = "all => all.filter(e => e.tabIndex === 0).length"

    def one_each():
        page.wait_for_timeout(50)  # what is drawn anew is counted after it is drawn
        return {view: page.locator(view).locator(mark).evaluate_all(stops) for view, mark in marks.items()}

    assert one_each() == dict.fromkeys(marks, 1)
    assert page.locator(".edge-list tbody tr").count() == 25
    page.get_by_role("columnheader", name="attention").get_by_role("button").click()
    page.locator(".heads g.cell").nth(5).click()
    assert one_each() == dict.fromkeys(marks, 1)

    for view, mark in marks.items():
        start = page.locator(view).locator(f"{mark}[tabindex='0']")
        start.focus()
        for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
        assert page.evaluate("mark => document.activeElement.matches(mark)", mark), view
        assert one_each() == dict.fromkeys(marks, 1), view


def test_enter_pins_and_escape_lets_go(at, saved):
    page = at(saved)
    page.locator(".matrix canvas").nth(1).wait_for()
    for view in (".graph g.edge", ".edge-list tbody tr", ".matrix .apart tbody tr", ".point", ".pictures"):
        page.locator(f"{view}[tabindex='0']").first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Unpin").wait_for()
        pinned = re.search(r"pinned=([^&]+)", page.url).group(1)
        assert re.fullmatch(r"\d+\.(\d+|all)\.[\d-]+\.[\d-]+", pinned), view
        page.keyboard.press("Escape")
        page.wait_for_function("!location.hash.includes('pinned')")


@pytest.mark.slow
def test_the_cells_of_a_head_are_reached_by_the_arrow_keys(at, saved):
    page = at(saved)
    page.locator(".matrix canvas").nth(1).wait_for()
    page.locator(".pictures").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    told = page.locator(".matrix .told").inner_text()
    assert re.match(r".* \(0\) attends to .* \(1\): score .*, attention ", told)


def test_a_long_text_scrolls_to_what_is_found(at, tmp_path):
    path = tmp_path / "long.html"
    pages.random_result(180, layers=2, heads=2).to_html(path)
    page = at(path.as_uri())
    name = page.locator(".chip").evaluate_all("all => all.at(-6).textContent")
    page.get_by_label("Find a token").fill(name)
    assert page.locator(".chip.key").inner_text() == name
    box, chip = page.locator(".tokens").bounding_box(), page.locator(".chip.key").bounding_box()
    assert box["y"] <= chip["y"] and chip["y"] + chip["height"] <= box["y"] + box["height"] + 1
    assert page.evaluate("scrollY") == 0
