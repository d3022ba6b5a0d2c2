"""The local server in a browser: ask, watch, take out, compare, cancel; and nothing leaves this machine.

Needs Debian's chromium and Playwright; skips, saying so, without them.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from attattr import Attributor, merge_words
from attattr.measure.masks import Mask, measure
from attattr.models.loading import Loaded, ModelInfo
from attattr.page import server
from attattr.page import session as explainer

ADAPTERS = Path(__file__).resolve().parents[2] / "src" / "attattr" / "models" / "adapters"
EMBEDDED = pytest.mark.skipif(not (ADAPTERS / "mnli").is_dir(), reason="needs the embedded model mnli")
PAIR = ("A chef is slicing onions in a busy kitchen.", "Someone is preparing food.")
SECONDS = 60_000  # that a model may take here, in ms


@pytest.fixture(scope="module")
def running():
    """The app and the address of a real server, with tiny models besides the embedded ones."""
    import uvicorn

    real = explainer.load
    with pytest.MonkeyPatch.context() as patch:

        def load(name, **options):
            if name not in ("single", "pair"):
                return real(name, **options)
            return Loaded(tiny.bert(), tiny.tokenizer(), ModelInfo(name, pair=name == "pair"))

        patch.setattr(explainer, "load", load)
        app = server.make_app(["single", "pair"])
        serving = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            yield app, f"http://127.0.0.1:{listening.getsockname()[1]}"
            serving.should_exit = True
            thread.join(10)


@pytest.fixture
def page(browser, running):
    """The page; at the end it said nothing but what a test took off `page.said`, and asked no one else."""
    app, address = running
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.said, requests = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.get_by_label("Model").wait_for()
    yield page
    context.close()
    assert page.said == []
    assert len(requests) > 3
    assert [url for url in requests if not url.startswith((f"{address}/", "data:", "blob:"))] == []
    until = time.monotonic() + 10
    while app.state.line.jobs:  # a tab that was closed leaves no work behind
        assert time.monotonic() < until
        time.sleep(0.02)


def ask(page, model: str, *texts: str) -> None:
    page.get_by_label("Model").select_option(model)
    for label, text in zip(("Text", "Second text"), texts, strict=False):
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Explain").click()


def report_of(page, number: int = 0):
    """The report in the frame, when it is there."""
    frame = page.frame_locator("iframe").nth(number)
    frame.locator(".graph g.edge").first.wait_for(state="attached", timeout=SECONDS)
    return frame


def shown(page) -> dict[str, str]:
    """Class → the numbers that stand beside it."""
    page.locator(".moved:not(.stale) .class").first.wait_for()
    lines = page.locator(".moved .class").all()
    return {each.locator("bdi").inner_text(): each.locator(".numbers").inner_text() for each in lines}


def in_percent(before: float, after: float) -> str:
    return f"{100 * before:.1f} → {100 * after:.1f} %"


@EMBEDDED
def test_what_is_taken_out_moves_the_prediction_as_measured(page):
    ask(page, "mnli", *PAIR)
    page.locator(".status progress[value]").wait_for(timeout=SECONDS)
    frame = report_of(page)
    assert page.locator(".status progress").count() == 0
    mnli = Attributor.from_pretrained("mnli")
    result = mnli.attribute(*PAIR)
    label = result.prediction.label
    assert frame.locator("h1 bdi").inner_text() == label and page.title() == f"{label} · attattr"
    assert page.locator("iframe").get_attribute("title") == f"Report: {label}"

    edge = frame.locator(".graph g.edge").first
    where, _, words = edge.get_attribute("aria-label").split(", score")[0].partition(": ")
    site, (query, key) = int(where.removeprefix("layer ")), words.split(" attends to ")
    edge.dispatch_event("click")
    taken = page.get_by_role("button", name=f"Take out {query} → {key} ({where}, all heads)")
    taken.click()
    words = [token.lower() for token in merge_words(result).tokens]  # the page has them as the text does
    assert words.count(query.lower()) == words.count(key.lower()) == 1
    tokens = [token.lower() for token in result.tokens]
    mask = Mask.without_edges(result, [(site, None, tokens.index(query.lower()), tokens.index(key.lower()))])
    clean, (without_edge,) = measure(mnli, PAIR, [mask])
    assert abs(clean - without_edge) > 0.01, "a change that can be seen"
    assert shown(page)[label] == in_percent(clean, without_edge)
    assert set(shown(page)) == {"entailment", "neutral", "contradiction"}

    cell = frame.locator(".heads g.cell").nth(50)
    cell.click()
    name = cell.get_attribute("aria-label").split(": ")[0]
    layer, head = (int(part.split()[1]) for part in name.split(", "))
    page.get_by_role("button", name=f"Take out {name}").click()
    chip = page.get_by_role("button", name=f"Put back {name}")
    chip.wait_for()
    both = replace(mask, heads=Mask.without_heads((6, 12), [(layer, head)]).heads)
    _, (without_both,) = measure(mnli, PAIR, [both])
    assert abs(without_both - without_edge) > 0.001
    assert shown(page)[label] == in_percent(clean, without_both)

    chip.click()
    chip.wait_for(state="detached")
    assert shown(page)[label] == in_percent(clean, without_edge)
    page.get_by_role("button", name=f"Put back {query}").click()
    page.locator(".moved .class").first.wait_for(state="detached")
    taken.wait_for()  # the edge is pinned still, and can be taken out again


@EMBEDDED
def test_two_models_beside_each_other(page):
    ask(page, "mnli", *PAIR)
    report_of(page)
    page.get_by_role("button", name="Compare").click()
    second = page.get_by_role("region", name="Second result")
    report_of(page, 1)
    assert second.get_by_label("Model").input_value() == "snli"
    assert second.get_by_label("Second text").input_value() == PAIR[1]
    left, right = (page.locator("iframe").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"] and left["width"] > 700 and right["width"] > 700
    assert left["x"] + left["width"] <= right["x"] and right["x"] + right["width"] <= 1440
    assert left["height"] > 600
    for number in (0, 1):
        body = report_of(page, number).locator(".attattr")
        assert body.evaluate("e => document.documentElement.scrollWidth <= innerWidth"), "nothing to the side"
    page.get_by_role("button", name="One result").click()
    assert page.locator("iframe").count() == 1 and second.count() == 0


@EMBEDDED
def test_text_is_shown_as_text(page):
    hostile = "<script>alert(1)</script> <img src=x onerror=alert(2)> good"
    ask(page, "sst2", hostile)
    frame = report_of(page)
    said = "".join(frame.locator(".tokens .chip").all_inner_texts())
    assert "<script>alert(1)</script><imgsrc=xonerror=alert(2)>" in said
    assert frame.locator("img").count() == page.locator("img").count() == 0
    assert page.get_by_label("Text", exact=True).input_value() == hostile


def test_a_pair_needs_both_texts(page):
    ask(page, "mnli", "the film")  # known for pairs before it is loaded
    page.get_by_text("The second text is empty: give both.").wait_for()
    assert page.get_by_role("button", name="Explain").is_visible()
    (refusal,) = page.said  # Chromium tells of every answer that is no 200
    page.said.clear()
    assert "400" in refusal
    ask(page, "pair", "the film")
    page.get_by_text("This model compares two texts: give the second one too.").wait_for()


class Slow:
    """Attribution that ends when it is cancelled."""

    def __init__(self):
        self.began, self.ended = threading.Event(), threading.Event()

    def __call__(self, *texts, progress, **options):
        self.began.set()
        try:
            while True:
                progress(1, 3, "")
                time.sleep(0.02)
        finally:
            self.ended.set()


def test_cancel_ends_the_work(page, monkeypatch):
    slow = Slow()
    with monkeypatch.context() as patch:
        patch.setattr(Attributor, "attribute", slow)
        ask(page, "single", "the film is good")
        page.get_by_text("attributing, 1 of 3").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Cancelled.").wait_for()
        assert slow.ended.wait(10)
    page.get_by_role("button", name="Explain").click()
    assert report_of(page).locator(".heads g.cell").count() == 6


def test_another_example_takes_the_place_of_the_one_at_work(page, monkeypatch):
    slow = Slow()
    with monkeypatch.context() as patch:
        patch.setattr(Attributor, "attribute", slow)
        ask(page, "single", "the film is good")
        assert slow.began.wait(10)
        slow.ended.clear()
        patch.setattr(
            explainer.Explainer,
            "explain",
            lambda *_: {"id": "x", "label": "new", "probability": 1, "notes": []},
        )
        page.locator(".welcome button").first.click()
        assert slow.ended.wait(10)
        page.frame_locator("iframe[title='Report: new']").get_by_text("no longer held").wait_for()
    assert "Cancelled" not in page.locator(".status").inner_text()
    page.said.clear()  # Chromium on the 404: there is no result x


def test_who_waits_is_told(page, browser, running, monkeypatch):
    slow = Slow()
    with monkeypatch.context() as patch:
        patch.setattr(Attributor, "attribute", slow)
        ask(page, "single", "the film is good")
        assert slow.began.wait(10)
        other = browser.new_page()
        other.goto(running[1])
        ask(other, "single", "the film")
        other.get_by_text("busy: 1 request is ahead of this one").wait_for()
        other.close()
        page.get_by_role("button", name="Cancel").click()
        assert slow.ended.wait(10)
        page.get_by_text("Cancelled.").wait_for()


def test_a_server_that_ended_is_told_in_a_sentence(page):
    page.route("**/api/explain", lambda route: route.abort())
    ask(page, "single", "the film")
    page.get_by_text("The server does not answer: is it still running?").wait_for()
    page.said.clear()  # Chromium's own words on the broken connection


def words(frame) -> tuple[str, str]:
    """The first word of a report, and what is read of the edge that is pointed at or pinned."""
    return frame.locator(".chip").nth(1).inner_text(), frame.locator(".details h2").inner_text()


def pin_row(frame, number: int) -> None:
    frame.locator(".edge-list tbody tr").nth(number).dispatch_event("click")
    frame.locator(".details .shares").wait_for()


ALL_SAID = """addEventListener("DOMContentLoaded", () => {
  window.said = "";
  new MutationObserver(() => (window.said += document.querySelector(".status")?.textContent ?? ""))
    .observe(document.body, {childList: true, subtree: true, characterData: true});
});"""  # for what is gone again soon


def test_the_address_holds_what_is_asked_pinned_and_taken_out(page, browser, running):
    ask(page, "single", "the film is good")
    frame = report_of(page)
    pin_row(frame, 2)
    chosen = words(frame)
    page.locator(".offers .add").first.click()
    before = shown(page)
    link = page.url
    assert all(part in link for part in ("#model=single", "text=the+film+is+good", "pinned=", "out="))

    page.reload()  # the result is held: nothing is explained again
    frame = report_of(page)
    frame.locator(".details .shares").wait_for()
    assert words(frame) == chosen and shown(page) == before and page.url == link

    ask(page, "single", "good film")
    page.locator("iframe").nth(0).wait_for()
    page.wait_for_url(re.compile(r"#model=single&text=good\+film$"))
    assert words(report_of(page))[0] == "good"
    page.go_back()
    page.locator(".chips .chip").wait_for()
    assert page.get_by_label("Text", exact=True).input_value() == "the film is good"
    assert words(report_of(page)) == chosen and shown(page) == before

    context = browser.new_context()
    other = context.new_page()
    other.add_init_script(ALL_SAID)
    explained: list[str] = []
    other.on("request", lambda request: explained.append(request.url))
    other.goto(link)
    frame = report_of(other)
    frame.locator(".details .shares").wait_for()
    assert words(frame) == chosen and shown(other) == before and other.url == link
    assert sum(url.endswith("/api/explain") for url in explained) == 1
    assert "explaining again what the address asks for" in other.evaluate("window.said")
    context.close()


@EMBEDDED
def test_an_address_that_cannot_be_asked_is_ignored_with_a_sentence(page):
    for fragment, said in {
        "section": "The address names no text to explain here",
        "model=single&text=+": "The address names no text to explain here",
        "model=%3Cimg%20src=x%3E&text=a": "the model “<img src=x>”, which is not offered here",
        "model=mnli&text=a&text=b&target=maybe": "the class “maybe”, which mnli does not have",
        "model=sst2&text=a&text=b": "The address has two texts, and sst2 takes one",
    }.items():
        page.evaluate("fragment => { location.hash = fragment; }", fragment)
        note = page.locator(".status .note", has_text=said)
        note.wait_for()
        assert note.inner_text().endswith(": it is ignored.")
        assert page.locator("iframe, img").count() == 0 and page.locator(".welcome").is_visible()


@pytest.mark.slow
def test_what_an_address_cannot_hold_is_told(page):
    ask(page, "single", "the film is good " * 600)
    page.get_by_text("The texts are too long for the address (8,000 characters)").wait_for(timeout=SECONDS)
    assert "#" not in page.url
    report_of(page)
    page.reload()
    report_of(page)
    assert page.get_by_label("Text", exact=True).input_value().startswith("the film is good the film")


def test_a_double_click_on_explain_does_not_cancel(page):
    page.get_by_label("Model").select_option("single")
    page.get_by_label("Text", exact=True).fill("the film is good")
    page.locator(".send").dblclick()
    assert report_of(page).locator(".heads g.cell").count() == 6
    assert "Cancelled" not in page.locator(".status").inner_text()


def test_two_reports_are_drawn_to_one_scale_and_pointed_at_together(page):
    ask(page, "single", "the film is good")
    report_of(page)
    page.get_by_role("button", name="Compare").click()
    second = page.get_by_role("region", name="Second result")
    second.get_by_label("Text", exact=True).fill("good the film")
    second.get_by_role("button", name="Explain").click()
    page.wait_for_url(re.compile("2.text=good"))
    left, right = report_of(page), report_of(page, 1)
    row = page.get_by_role("region", name="Differences")
    row.locator(".class").first.wait_for()
    facts = [json.loads(page.frames[n].locator("#data").text_content()) for n in (1, 2)]

    # classes: both probabilities, and how far apart they are
    for each in row.locator(".class").all():
        label = each.locator("bdi").inner_text()
        a, b = ({p["label"]: p["value"] for p in fact["prediction"]}[label] for fact in facts)
        by = round(100 * (b - a), 1)
        sign = "−" if by < 0 else "+" if by > 0 else ""
        expected = f"{100 * a:.1f} % | {100 * b:.1f} % ({sign}{abs(by):.1f} points)"
        assert each.locator(".numbers").inner_text() == expected

    # one scale: the strongest head of both is the only one that is drawn full
    sums = [[v for site in fact["sites"] for v in site["head_sum"]] for fact in facts]
    full = max(abs(v) for one in sums for v in one)
    for frame, values in ((left, sums[0]), (right, sums[1])):
        drawn = frame.locator(".cell .fill").evaluate_all(
            "all => all.map(e => Number(e.getAttribute('fill-opacity')))"
        )
        share = np.abs(values) / full
        np.testing.assert_allclose(drawn, np.where(share < 0.005, 0, 0.06 + 0.94 * share**0.8), atol=6e-4)

    # the graph too: width 1 is the larger scale of both
    flows = [(fact["words"] or fact["tokens"])["flow"] for fact in facts]
    common = max(
        fact[level]["flow"]["scale"] for fact in facts for level in ("words", "tokens") if fact[level]
    )
    for frame, flow in ((left, flows[0]), (right, flows[1])):
        width = float(frame.locator(".graph g.edge").first.get_attribute("data-width"))
        assert width == pytest.approx(flow["width"][0] * flow["scale"] / common)

    # pointed at together: the same token, wherever it stands there
    left.locator(".chip", has_text="film").hover()
    right.locator(".chip.key", has_text="film").wait_for()
    button = row.get_by_role("button").first
    button.hover()
    for frame in (left, right):
        frame.locator(".details .shares").wait_for()
    query, key = button.locator("bdi").all_inner_texts()
    assert words(left)[1] == words(right)[1] == f"{query} attends to {key}"
    button.click()
    assert page.url.count("pinned=") == 2

    page.get_by_role("button", name="One result").click()
    assert row.is_hidden() and "2.text" not in page.url
    page.go_back()
    report_of(page, 1)
    row.locator(".class").first.wait_for()


def test_on_a_phone_the_form_folds_and_the_sheet_takes_out(browser, running):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{running[1]}/#model=single&text=the+film+is+good")
    frame = report_of(page)
    assert not page.get_by_label("Text", exact=True).is_visible()
    asked = page.get_by_role("button", name="single the film is good Change")
    assert asked.bounding_box()["height"] >= 32
    pin_row(frame, 1)
    sheet = frame.get_by_role("dialog", name="The chosen edge")
    box = sheet.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
    sheet.get_by_role("button", name="Take out").tap()
    page.locator(".chips .chip").wait_for()
    assert len(shown(page)) == 3 and "out=" in page.url
    asked.tap()
    assert page.get_by_label("Text", exact=True).is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
