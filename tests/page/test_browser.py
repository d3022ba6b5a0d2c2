"""The page in a browser: what is seen, clicked, saved; and that nothing runs or is fetched but the page.

Needs Debian's chromium and Playwright; skips, saying so, without them.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import handmade
import pages
import tiny
from attattr import Attributor, build_flow, build_tree, merge_words
from attattr.report.flow import draw_flow
from attattr.result.effects import Effects

SCREEN = {"width": 1440, "height": 900}


class Tab:
    """A page that was opened, and all that it said or asked for."""

    def __init__(self, browser, path: Path, **options):
        self.context = browser.new_context(viewport=SCREEN, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(".attattr .graph svg")


@pytest.fixture
def open_page(browser, tmp_path):
    """open_page(result, effects=…, browser options…) -> page; at the end nothing was said or fetched."""
    tabs = []

    def opening(result, effects=None, **options):
        path = tmp_path / f"{len(tabs)}.html"
        result.to_html(path, effects=effects)
        tabs.append(Tab(browser, path, **options))
        return tabs[-1].page

    yield opening
    for tab in tabs:
        assert tab.said == []
        assert [url[:5] for url in tab.requests[1:] if not url.startswith(("data:", "blob:"))] == []
        tab.context.close()


@pytest.fixture(scope="module")
def forty():
    return pages.random_result(40, layers=6, heads=12, seed=3)


def with_effects(result):
    edges = tuple(result.top_edges(50))
    change = np.array([edge.score / 2 for edge in edges])
    return Effects(result.target.value, edges, change, result.per_head("sum") * 0.75)


def edges_of(page) -> int:
    return int(page.locator(".graph").get_attribute("data-edges"))


def show(page, mode: str) -> None:
    page.get_by_role("group", name="What is drawn").get_by_role("button", name=mode, exact=True).click()


def set_slider(page, value: float) -> None:
    page.locator(".slider input").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", str(value)
    )


def boxes_overlap(page, selector: str) -> int:
    """How many pairs of labels overlap, by their turned boxes."""
    return page.evaluate(
        """selector => {
          const corners = [...document.querySelectorAll(selector)].map(text => {
            const {x, y, width, height} = text.getBBox(), matrix = text.getScreenCTM();
            const up = y + 0.12 * height, down = y + 0.88 * height; // a line is higher than its letters
            const {a, b, c, d, e, f} = matrix;
            return [[x, up], [x + width, up], [x + width, down], [x, down]]
              .map(([u, v]) => [a * u + c * v + e, b * u + d * v + f]);
          });
          const apart = (p, q) => [...p.keys()].some(k => {
            const [ax, ay] = p[k], [bx, by] = p[(k + 1) % 4], normal = [by - ay, ax - bx];
            const on = of => of.map(([x, y]) => x * normal[0] + y * normal[1]);
            return Math.max(...on(p)) <= Math.min(...on(q)) || Math.max(...on(q)) <= Math.min(...on(p));
          });
          let count = 0;
          corners.forEach((p, i) => corners.slice(0, i).forEach(q => count += !apart(p, q) && !apart(q, p)));
          return count;
        }""",
        selector,
    )


def test_the_first_screen_shows_prediction_text_tree_and_heads(open_page, forty):
    page = open_page(forty, with_effects(forty))
    areas = {}
    for view in ("prediction", "tokens", "graph", "heads", "details"):
        box = page.locator(f"[data-view={view}]").bounding_box()
        assert box["x"] >= 0 and box["y"] >= 0, view
        assert box["x"] + box["width"] <= SCREEN["width"] and box["y"] + box["height"] <= SCREEN["height"], (
            view
        )
        areas[view] = box["width"] * box["height"]
    assert max(areas, key=areas.get) == "graph" and areas["graph"] > 3 * areas["heads"]
    assert page.locator("h1").inner_text() == "positive 87.5 %"
    assert "attention to another carries" in page.locator(".guide").inner_text()


# -- the flow graph --------------------------------------------------------------------------------------


def widths(page) -> list[float]:
    """Of the edges that are drawn, in units of the scale, strongest first."""
    return page.locator(".graph g.edge").evaluate_all("all => all.map(e => Number(e.dataset.width))")


def strokes(page) -> list[float]:
    lines = page.locator(".graph g.edge .line")
    return lines.evaluate_all("all => all.map(e => Number(e.getAttribute('stroke-width')))")


def test_the_page_opens_with_the_flow_that_python_chose_and_the_figure_draws(open_page, forty, tmp_path):
    page = open_page(forty)
    flow = build_flow(merge_words(forty))
    pressed = page.get_by_role("group", name="What is drawn").locator("[aria-pressed=true]")
    assert pressed.inner_text() == "Flow"
    for count in (flow.usual, 7, 60):
        set_slider(page, count)
        shown = flow.edges[:count]
        np.testing.assert_allclose(widths(page), [edge.width for edge in shown], rtol=1e-8)
        share = f"{count}, {round(100 * flow.share(count))} % of the effect"
        assert page.locator(".slider output").inner_text() == share
        labels = page.locator(".graph g.edge").evaluate_all("all => all.map(e => e.ariaLabel)")
        names = [token.removeprefix("##") for token in flow.axes["input"]]
        for label, edge in zip(labels, shown, strict=True):
            assert label.startswith(
                f"layer {edge.site}: {names[edge.query]} attends to {names[edge.key]}, score "
            )
        pale = page.locator(".graph g.edge").evaluate_all("all => all.map(e => e.matches('.apart'))")
        assert pale == [edge.joins is None or edge.joins > count for edge in shown]
        draw_flow(forty, tmp_path / "flow.svg", edges=count, words=True)
        figure = (tmp_path / "flow.svg").read_text(encoding="utf-8")
        drawn = [
            float(width)
            for path in re.findall(r'<path d="[^"]*\sC\s[^"]*"[^>]*style="([^"]*)"', figure)
            for width in re.findall(r"fill: none.*stroke-width: (\d+\.?\d*)", path)
        ]
        assert len(drawn) == count
        ratio = np.array(sorted(drawn)) / np.array(sorted(strokes(page)))
        wide = np.array(sorted(widths(page))) > 0.05
        np.testing.assert_allclose(ratio[wide], ratio[-1], rtol=0.01)  # one scale, the figure's


def test_widths_are_in_proportion_to_scores_in_every_view_and_the_key_says_so(open_page, forty):
    page = open_page(forty)
    scale = build_flow(merge_words(forty)).scale
    for mode in ("Flow", "Tree", "Strongest edges"):
        show(page, mode)
        labels = page.locator(".graph g.edge").evaluate_all("all => all.map(e => e.ariaLabel)")
        scores = [abs(float(re.search(r"score .(\d+\.\d+)", label)[1])) for label in labels]
        np.testing.assert_allclose(widths(page), np.array(scores) / scale, atol=0.006)
        key = page.locator(".legend .item").first
        unit = float(key.inner_text().split()[0])
        thick = key.locator(".swatch").evaluate("e => parseFloat(e.style.borderTopWidth)")
        largest = int(np.argmax(scores))
        assert strokes(page)[largest] / scores[largest] == pytest.approx(thick / unit, rel=0.02)


def test_an_edge_that_reaches_nothing_is_pale_and_says_why(open_page):
    result = handmade.attribution()
    assert [edge.joins for edge in build_flow(result).edges] == [1, 2, None]
    page = open_page(result)
    set_slider(page, 3)
    last = page.locator(".graph g.edge").nth(2)
    assert last.evaluate("e => e.matches('.apart')")
    assert "lead from here to where the prediction is read" in last.locator("title").text_content()
    last.dispatch_event("click")
    page.locator(".details .note", has_text="No edges that are shown lead from here").wait_for()
    assert page.locator(".details b.number").inner_text() == "+0.125"


def test_encoder_and_decoder_stand_in_one_picture(open_page):
    result = Attributor(tiny.t5(), None).attribute(tiny.source(6))
    page = open_page(result)
    flow = build_flow(result)
    sites = {flow.sites[edge.site].kind for edge in flow.edges[: flow.usual]}
    assert sites == {"encoder_self", "decoder_self", "cross"}
    assert page.locator(".graph g.band").count() == len(result.sites)
    assert page.locator(".graph text.token").count() == sum(len(a.tokens) for a in result.axes.values())
    page.locator(".graph g.edge", has_text="").first.dispatch_event("pointerenter")
    assert page.locator(".chip.query").count() == page.locator(".chip.key").count() == 1
    assert "output:" in page.locator(".tokens").inner_text()


def test_colours_are_of_one_layer_and_add_up_to_it(open_page, forty):
    page = open_page(forty)
    chosen = page.get_by_label("Layer that colours the text")
    assert chosen.input_value() == str(len(forty.sites) - 1)
    for layer in (len(forty.sites) - 1, 2):
        chosen.select_option(str(layer))
        labels = page.locator(".tokens .chip").evaluate_all("all => all.map(e => e.ariaLabel)")
        values = [float(label.rpartition(", ")[2].replace("−", "-")) for label in labels]
        total = page.locator(".summary .number").first.inner_text().replace("−", "-")
        assert float(total) == pytest.approx(forty.sites[layer].head_sum.sum(), abs=6e-4)
        assert sum(values) == pytest.approx(float(total), abs=6e-4 * len(values))


CONTRASTS = """() => {
  const parse = text => {
    const at = text.match(/[0-9.e-]+/g).map(Number), unit = text.startsWith('color') ? 255 : 1;
    return [...at.slice(0, 3).map(c => c * unit), at[3] ?? 1];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a)];
  const light = colour => {
    const of = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * of[0] + 0.7152 * of[1] + 0.0722 * of[2];
  };
  const found = [];
  for (const e of document.querySelectorAll('.attattr *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest('svg')) continue;
    const up = [];
    for (let at = e; at; at = at.parentElement) up.unshift(parse(getComputedStyle(at).backgroundColor));
    const ground = up.reduce((below, colour) => over(colour, below), [255, 255, 255]);
    const both = [light(over(parse(getComputedStyle(e).color), ground)), light(ground)].map(l => l + 0.05);
    const ratio = Math.max(...both) / Math.min(...both);
    if (ratio < 4.5) found.push(`${e.className} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(open_page, forty, scheme):
    page = open_page(forty, with_effects(forty), color_scheme=scheme)
    assert page.evaluate(CONTRASTS) == []
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(CONTRASTS) == []
    page.emulate_media(media="print")
    assert page.evaluate(CONTRASTS) == []


def test_text_is_whole_up_to_eight_lines_and_chips_are_not_split(open_page):
    page = open_page(pages.random_result(64, layers=2, heads=4, seed=3))
    box = page.locator(".tokens")
    whole = "e => e.scrollHeight <= e.clientHeight + 1"
    for width, fits in ((1440, True), (390, False)):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "long => document.querySelector('.folded').matches('.long') === long", arg=not fits
        )
        assert box.evaluate(whole) is fits
        rows = page.locator(".chip").evaluate_all("all => all.map(e => e.getClientRects().length)")
        assert set(rows) == {1}
        assert page.get_by_role("button", name="Show all").is_visible() is not fits
    page.get_by_role("button", name="Show all").click()
    assert box.evaluate(whole)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_printed_page_has_everything_each_view_on_its_own(open_page, forty):
    page = open_page(forty, with_effects(forty), color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(media="print")
    page.locator(".attattr.printing").wait_for()
    ground = "getComputedStyle(document.querySelector('.attattr')).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 720, "height": 844})
    assert page.locator(".tokens").evaluate("e => e.scrollHeight <= e.clientHeight + 1")
    right = page.locator("[data-view]").evaluate_all(
        "all => all.flatMap(e => [e, ...e.querySelectorAll('svg, canvas, table')])"
        ".map(e => e.getBoundingClientRect().right)"
    )
    assert max(right) <= 681
    assert page.locator(".graph svg").bounding_box()["width"] == pytest.approx(680, abs=1)
    breaks = page.locator(".below").evaluate_all("all => all.map(e => getComputedStyle(e).breakBefore)")
    assert set(breaks) == {"page"}
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) >= 1 + len(breaks)
    page.emulate_media(media="screen")
    page.locator(".attattr:not(.printing)").wait_for()


def test_nothing_points_to_the_net(open_page, forty):
    page = open_page(forty)
    assert page.evaluate(
        """[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])
           .filter(a => /^(src|href|xlink:href|action|srcset)$/.test(a.name)).map(a => a.value)"""
    ) == []  # fmt: skip


def test_the_policy_stops_what_is_not_the_pages_own(browser, tmp_path):
    text = handmade.attribution().to_html()
    path = tmp_path / "changed.html"
    path.write_text(
        text.replace("</body>", "<script>document.title = 'ran'</script></body>"), encoding="utf-8"
    )
    tab = Tab(browser, path)
    assert tab.page.title() != "ran" and any("Content Security Policy" in said for said in tab.said)
    tab.context.close()


def test_hostile_tokens_are_shown_as_text(open_page):
    page = open_page(pages.hostile())
    shown = page.locator(".tokens .chip").all_inner_texts()
    assert shown[1:6] == ["<script>", "</script>", "<img", "src=x", "onerror=alert(1)>"]
    assert shown[6:11] == ['"quoted"', "it's", "&amp;", "<!--", "]]>"]
    assert shown[11:15] == ["🎻", "👩\u200d🎤", "שלום", "مرحبا"]
    assert shown[15] == "\\u202eevil"
    assert page.locator("img, iframe").count() == 0 and page.locator("script").count() == 2
    assert "<script>alert(1)</script>" in page.locator("h1").inner_text()


@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.9])
def test_the_slider_rebuilds_the_tree_that_python_builds(open_page, forty, threshold):
    page = open_page(forty)
    show(page, "Tree")
    for unit, result in (("Words", merge_words(forty)), ("Tokens", forty)):
        page.get_by_role("button", name=unit, exact=True).click()
        set_slider(page, threshold)
        tree = build_tree(result, threshold=threshold)
        assert edges_of(page) == len(tree.edges)
        labels = page.locator(".graph g.edge").evaluate_all(
            "all => all.map(e => e.getAttribute('aria-label'))"
        )
        names = [token.removeprefix("##") for token in tree.tokens]
        expected = {
            f"layer {edge.layer}: {names[edge.parent]} attends to {names[edge.child]}" for edge in tree.edges
        }
        assert expected <= {label.split(", score")[0] for label in labels}


def test_pointing_at_an_edge_shows_it_and_a_click_pins_it(open_page, forty):
    page = open_page(forty, with_effects(forty))
    show(page, "Tree")
    set_slider(page, 0.2)
    edge = page.locator(".graph g.edge").last
    label = edge.get_attribute("aria-label")
    edge.dispatch_event("pointerenter")
    page.wait_for_selector(".details .shares")
    query, key = re.search(r": (.+) attends to (.+), score", label).groups()
    assert page.locator(".details h2").inner_text() == f"{query} attends to {key}"
    assert page.locator(".details .shares tbody tr").count() >= 1
    assert page.locator(".chip.query").inner_text() == query and page.locator(".chip.key").inner_text() == key
    assert page.locator(".graph.dimmed g.edge.lit").count() == 1
    edge.dispatch_event("click")
    edge.dispatch_event("pointerleave")
    assert edge.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Unpin").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector(".details .guide")
    assert edge.get_attribute("aria-pressed") == "false"


def test_the_mouse_finds_an_edge(open_page):
    page = open_page(handmade.attribution())
    middle = """e => {
      const line = e.querySelector('.reach'), at = line.getPointAtLength(line.getTotalLength() / 2);
      const {x, y} = at.matrixTransform(line.getScreenCTM());
      return [x, y];
    }"""
    page.mouse.move(*page.locator(".graph g.edge").first.evaluate(middle))
    page.wait_for_selector(".details .shares")
    page.mouse.move(5, 5)
    page.wait_for_selector(".details .guide")


def test_everything_is_reached_by_keyboard(open_page, forty):
    page = open_page(forty)
    show(page, "Tree")
    set_slider(page, 0.1)
    edges = page.locator(".graph g.edge")
    assert edges.evaluate_all("all => all.filter(e => e.tabIndex === 0).length") == 1
    edges.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert edges.nth(1).get_attribute("aria-pressed") == "true"
    cell = page.locator(".heads g.cell[tabindex='0']")
    cell.focus()
    before = cell.get_attribute("aria-label")
    page.keyboard.press("ArrowUp" if before.startswith("layer 0") else "ArrowDown")
    now = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert now.startswith("layer") and now != before
    page.keyboard.press("Enter")
    layer, head = re.match(r"layer (\d+), head (\d+)", now).groups()
    assert page.locator(".which").inner_text().startswith(f"layer {layer}, head {head}:")
    page.locator(".chip").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.classList.contains('chip')")
    assert page.locator(":is(button, input, select):not([aria-label]):empty").count() == 0


def test_a_head_opens_its_matrix(open_page, forty):
    page = open_page(forty)
    page.locator(".heads g.cell").nth(12 * 2 + 5).click()
    title = page.locator(".which").inner_text()
    assert title.startswith("layer 2, head 5: score")
    assert page.locator(".matrix canvas").count() == 2
    page.locator(".matrix canvas").first.hover(position={"x": 30, "y": 30})
    assert re.search(r"attends to .* score .* attention", page.locator(".matrix .told").inner_text())
    assert page.locator(".apart tbody tr").count() == 8
    painted = page.locator(".matrix canvas").first.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
    )
    assert painted


def test_the_map_of_heads_shows_what_is_chosen(open_page, forty):
    page = open_page(forty, with_effects(forty))
    cell = page.locator(".heads g.cell").first
    labels = []
    for name in ("Attribution", "Attention", "Taken out"):
        page.get_by_role("button", name=name, exact=True).click()
        labels.append(cell.get_attribute("aria-label"))
    assert len(set(labels)) == 3


def test_the_edge_list_is_filtered_and_sorted(open_page, forty):
    page = open_page(forty)
    rows = page.locator(".edge-list tbody tr")
    assert rows.count() == 25 and "500 of the 500" in page.locator(".edge-list .count").inner_text()
    page.locator(".edge-list select").first.select_option("2")
    assert set(rows.locator("td:nth-child(2)").all_inner_texts()) == {"layer 2"}
    page.get_by_role("columnheader", name="attention").get_by_role("button").click()
    weights = [float(text) for text in rows.locator("td:nth-child(7)").all_inner_texts()]
    assert weights == sorted(weights, reverse=True)
    page.get_by_label("Filter by token").fill("token7")
    assert all("token7" in text for text in rows.all_inner_texts())
    page.get_by_label("Filter by token").fill("there is no such token")
    assert rows.count() == 0
    page.get_by_label("Filter by token").fill("")
    rows.first.click()
    assert "pinned" in rows.first.get_attribute("class")


def test_what_really_happens_stands_beside_the_scores(open_page, forty):
    page = open_page(forty, with_effects(forty))
    assert page.locator(".scatter").nth(0).locator(".point").count() == 50
    assert page.locator(".scatter").nth(1).locator(".point").count() == 72
    assert "Correlation 1.00" in page.locator(".scatters").inner_text()
    page.locator(".scatter .point").first.dispatch_event("pointerenter")
    assert re.search(r"score .*, taken out ", page.locator(".scatter .told").first.inner_text())


def test_every_view_is_saved_as_svg_and_png(open_page, forty, tmp_path):
    page = open_page(forty, with_effects(forty), accept_downloads=True)
    buttons = page.get_by_role("button", name=re.compile("^Save .* as (SVG|PNG)$"))
    names = buttons.evaluate_all("all => all.map(b => b.getAttribute('aria-label'))")
    assert {name.split()[1] for name in names} == {
        "tokens", "graph", "heads", "head", "edges", "effects", "completeness",
    }  # fmt: skip
    for number, name in enumerate(names):
        with page.expect_download() as waiting:
            buttons.nth(number).dispatch_event("click")
        page.wait_for_timeout(150)  # Chromium lets one page save ten files a second
        kind = name[-3:].lower()
        view = name.split()[1].replace("graph", "flow")
        assert waiting.value.suggested_filename == f"attattr-handmade-positive-{view}.{kind}"
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        if kind == "png":
            assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 2000
            continue
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert root.tag.endswith("}svg") and "text" in tags and not tags & {"script", "foreignObject"}
        assert float(root.get("width")) > 200
        assert next(root.itertext()).startswith("handmade · positive 87.5 %")


def test_labels_never_overlap_at_forty_tokens(open_page, forty):
    page = open_page(forty)
    for unit in ("Tokens", "Words"):
        page.get_by_role("button", name=unit, exact=True).click()
        assert page.locator(".graph text.token").count() >= 30
        assert boxes_overlap(page, ".graph text.token") == 0
        assert boxes_overlap(page, ".graph text.node") == 0


@pytest.mark.parametrize("n", [160, pytest.param(512, marks=pytest.mark.slow)])
def test_a_page_of_many_tokens_opens_and_is_searched(open_page, record_property, tmp_path, n):
    result = pages.random_result(n)
    page = open_page(result)
    assert (tmp_path / "0.html").stat().st_size <= 8_000_000
    paint = page.evaluate("performance.getEntriesByType('paint').at(-1).startTime")
    record_property("first_contentful_paint_ms", paint)
    print(f"{n} tokens: first paint after {paint:.0f} ms")
    token = next(each for each in result.tokens[3 * n // 4 :] if each.startswith("token"))
    assert 2 < page.locator(".graph text.token").count() <= 64
    assert boxes_overlap(page, ".graph text.token") == 0
    search = page.get_by_label("Find a token")
    search.fill(token)
    assert page.locator(".overview .count").inner_text() == "1 of 1"
    page.get_by_label("Narrower window").click(click_count=3)
    search.press("Enter")
    page.locator(f".chip.key:has-text('{token}')").wait_for()  # it is drawn in its turn
    assert page.locator(".chip.key").inner_text().startswith(token)
    assert page.locator(".chip").count() < 70
    assert boxes_overlap(page, ".graph text.token") == 0
    brush = page.get_by_role("slider", name="Window of tokens")
    before = int(brush.get_attribute("aria-valuenow"))
    brush.focus()
    page.keyboard.press("ArrowLeft")
    assert int(brush.get_attribute("aria-valuenow")) == before - 5
    page.get_by_role("button", name="Whole input").click()
    assert page.locator(".chip").count() > 0.6 * n


def test_dark_and_light(open_page, forty):
    page = open_page(forty, color_scheme="dark")
    ground = "getComputedStyle(document.querySelector('.attattr')).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 23, 28)"
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_in_print_controls_are_gone_and_signs_are_dashed(open_page):
    page = open_page(handmade.attribution())
    page.get_by_role("button", name="Strongest edges").click()
    page.emulate_media(media="print")
    assert not page.locator(".slider input").is_visible() and page.locator(".graph").is_visible()
    dash = "e => getComputedStyle(e).strokeDasharray"
    assert page.locator(".edge.minus .line").first.evaluate(dash) != "none"
    assert page.locator(".edge:not(.minus) .line").first.evaluate(dash) == "none"


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_results_that_hold_less_show_what_they_hold(open_page, store):
    page = open_page(handmade.attribution(store))
    assert page.locator(".heads g.cell").count() == 4
    assert "made without the heads’ matrices" in page.locator(".matrix").inner_text()
    if store == "heads":
        assert "made without edges" in page.locator("[data-view=edges]").inner_text()


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (tiny.gpt2, tiny.text(9)),
        (tiny.t5, tiny.source(6)),
        (tiny.vit, tiny.image()),
        (tiny.llama, tiny.text(7)),
    ],
)
def test_every_kind_of_model_has_a_page(open_page, model, inputs):
    result = Attributor(model(), None).attribute(inputs)
    page = open_page(result)
    assert page.locator(".heads g.cell").count() == sum(site.n_heads for site in result.sites)
    for cell in (page.locator(".heads g.cell").first, page.locator(".heads g.cell").last):
        cell.click()
        page.locator(".matrix canvas").nth(1).wait_for()
    flow = build_flow(result)
    assert edges_of(page) == flow.usual
    show(page, "Tree")
    assert edges_of(page) == len(build_tree(result).edges)


# -- images ----------------------------------------------------------------------------------------------


@pytest.fixture
def seen():
    return pages.image_result(5, 7, layers=3, heads=2)


def strengths(values) -> np.ndarray:
    """As the token view has them."""
    share = np.abs(values) / np.abs(values).max()
    return np.where(share < 0.005, 0, 0.06 + 0.94 * share**0.8)


def test_contributions_lie_over_the_picture_patch_by_patch(open_page, seen):
    page = open_page(seen)
    assert page.locator(".tokens").count() == 0
    values = seen.sites[-1].key_sum.sum(0)
    veils = page.locator(".picture .veil")
    opacity = veils.evaluate_all("all => all.map((each) => Number(each.getAttribute('fill-opacity')))")
    np.testing.assert_allclose(opacity, 0.8 * strengths(values), atol=1e-6)
    minus = page.locator(".picture .patch").evaluate_all("all => all.map((e) => e.matches('.minus'))")
    assert minus == (values < 0).tolist()
    boxes = veils.evaluate_all("all => all.map((e) => e.getBBox()).map(({x, y}) => [x, y])")
    image = page.locator(".picture image").evaluate(
        "e => [e.getBBox().x, e.getBBox().width, e.getBBox().height]"
    )
    assert boxes[0][0] + 58 < image[0]  # [CLS] stands beside it
    for row in range(5):
        for column in range(7):
            at = [image[0] + image[1] * column / 7, image[2] * row / 5]
            np.testing.assert_allclose(boxes[1 + 7 * row + column], at, atol=0.1)
    loaded = (
        "e => { const i = new Image(); i.src = e.getAttribute('href');"
        " return i.decode().then(() => [i.width, i.height]); }"
    )
    assert page.locator(".picture image").evaluate(loaded) == [7 * 16, 5 * 12]


def test_pointing_at_a_patch_tells_row_column_and_score(open_page, seen):
    page = open_page(seen)
    page.get_by_role("group", name="Edges between patches").get_by_role("button", name="None").click()
    patch = page.locator(".picture .patch").nth(1 + 2 * 7 + 3)
    patch.hover()
    value = seen.sites[-1].key_sum.sum(0)[1 + 2 * 7 + 3]
    told = f"row 2, column 3: {value:+.3f}".replace("-", "−")
    assert page.locator(".picture .told").inner_text() == told
    assert page.locator(".picture .ends .key").count() == 1
    patch.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".picture .told").inner_text().startswith("row 3, column 3:")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".picture .told").inner_text().startswith("row 3, column 2:")


def test_edges_between_patches_are_the_strongest_of_all_or_of_the_chosen_head(open_page, seen):
    page = open_page(seen)
    group = page.get_by_role("group", name="Edges between patches")
    lines = page.locator(".picture .edge")
    label = lines.last.get_attribute("aria-label")  # the strongest, drawn last
    top = seen.top_edges(1)[0]

    def name(position):
        return "[CLS]" if position == 0 else "({}, {})".format(*divmod(position - 1, 7))

    sides = f"{name(top.query)} attends to {name(top.key)}, layer {top.site}, head {top.head}: "
    assert label == (sides + f"{top.score:+.3f}").replace("-", "−")
    assert page.locator(".picture").get_attribute("data-edges") == "12"
    group.get_by_role("button", name="One head").click()
    page.locator(".heads g.cell").nth(0).click()
    page.wait_for_function(
        "document.querySelector('.picture .told').textContent.startsWith('Edges of layer')"
    )
    which = page.locator(".picture .told").inner_text()
    site, head = map(int, re.search(r"layer (\d+), head (\d+)", which).groups())
    scores = np.abs(seen.scores[site, head])
    query, key = np.unravel_index(int(scores.argmax()), scores.shape)
    page.wait_for_function(  # of all edges the strongest may be of this head, too, before its own are drawn
        "start => document.querySelector('.picture .edge:last-child').getAttribute('aria-label')"
        ".startsWith(start)",
        arg=f"{name(query)} attends to {name(key)}, layer {site}, head {head}:",
    )
    group.get_by_role("button", name="None").click()
    page.wait_for_function("document.querySelector('.picture').dataset.edges === '0'")


def test_an_edge_that_is_pointed_at_elsewhere_is_ringed_on_the_picture(open_page, seen):
    page = open_page(seen)
    page.locator(".edge-list tbody tr").nth(20).focus()  # none of those that are drawn
    edge = seen.top_edges(21)[20]
    for side, position in (("query", edge.query), ("key", edge.key)):
        ring = page.locator(f".picture .ends .{side}").evaluate("e => [e.getBBox().x, e.getBBox().y]")
        veil = page.locator(".picture .veil").nth(position).evaluate("e => [e.getBBox().x, e.getBBox().y]")
        assert ring == veil


def test_a_picture_is_saved_and_printed_with_the_page(open_page, seen, tmp_path):
    page = open_page(seen)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save tokens as SVG").click()
    svg = Path(download.value.path()).read_text(encoding="utf-8")
    assert "data:image/png;base64," in svg and svg.count("<rect") > 36
    ElementTree.fromstring(svg)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save tokens as PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.emulate_media(media="print")
    assert page.locator(".picture image").is_visible()
    assert not page.get_by_role("group", name="Edges between patches").is_visible()
    dash = page.locator(".picture .edge.minus .line").first
    assert dash.evaluate("e => getComputedStyle(e).strokeDasharray") != "none"


@pytest.mark.parametrize("width", [1440, 390])
def test_a_picture_fits_the_screen(open_page, seen, width):
    page = open_page(seen)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".picture svg").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] > 150


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_images_with_less_in_them_have_a_page(open_page, store):
    """No picture, no scores: patches on a plain ground, and what edges there are."""
    model = Attributor(tiny.vit(), None)
    page = open_page(model.attribute(tiny.image(), store=store))
    assert page.locator(".picture .blank").count() == 1
    assert page.locator(".picture .patch").count() == 10
    assert (page.locator(".picture").get_attribute("data-edges") == "0") is (store == "heads")


def test_the_page_works_inside_a_notebook(browser):
    tab = browser.new_page()
    tab.set_content(handmade.attribution()._repr_html_())
    frame = tab.frame_locator("iframe")
    frame.locator(".graph g.edge").first.wait_for(state="attached")
    assert frame.locator("h1").inner_text() == "positive 87.5 %"
    tab.close()
