"""The page of a reply in a browser: spans, turns, sources and table; and a source taken out at the server.

Needs Debian's chromium and Playwright; skips, saying so, without them.
"""

from __future__ import annotations

import re
import socket
import threading

import pytest

import attattr
from attattr.page import server

DESK = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DOCUMENTS = {
    "one": "[1] Breko owns the golden violin.",
    "two": "[2] Tisa owns the large lamp.",
}
CHAT = [{"role": "user", "content": "\n".join(DOCUMENTS.values()) + "\n\nOne question: What does Tisa own?"}]
REPLY = "Tisa owns the large lamp. Breko owns the golden violin."


@pytest.fixture(scope="module")
def facts():
    return attattr.Attributor.from_pretrained("facts")


@pytest.fixture(scope="module")
def made(facts):
    return facts.attribute_generation(CHAT, continuation=REPLY, sources=DOCUMENTS, n_steps=4)


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("reply") / "reply.html"
    made.to_html(path)
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
        page.wait_for_selector(".part .graph g.edge", state="attached")
        opened.append(context)
        return page

    yield opening
    assert said == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    for context in opened:
        context.close()


def strongest(made, span: int) -> str:
    table = made.per_source()
    return table.sources[table.strongest(span)]


def test_the_chosen_span_leads_headline_blocks_words_and_graph(at, saved, made):
    page = at(saved)
    spans = page.locator(".reply .span")
    assert spans.all_inner_texts() == [span.text for span in made.spans]
    for number, span in enumerate(made.spans):
        spans.nth(number).click()
        page.wait_for_selector(f".part .graph text.root:has-text('{span.text}')", state="attached")
        assert page.locator("h1").inner_text() == f"“{span.text}” rests most on {strongest(made, number)}"
        assert spans.nth(number).get_attribute("aria-pressed") == "true"
        shown = page.locator(".source .effect").all_inner_texts()
        assert [each.replace("−", "-") for each in shown] == [title_of(e) for e in made.effect[number, :2]]
        first = page.locator(".source .chip").first  # "[1]", over all layers
        total = sum(
            float(site.key_sum[:, token].sum())
            for site in span.attribution.sites
            for token in made.sources[0].tokens[:1]
        )
        assert first.get_attribute("title").replace("−", "-") == title_of(total)
    assert page.locator(".turn").get_attribute("data-role") == "user"
    assert page.locator(".source .said").all_inner_texts() == [*DOCUMENTS.values()]


def title_of(value: float) -> str:
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.3f}" if size >= 5e-4 else re.sub("e-0?", "e-", f"{size:.1e}")
    return ("-" if value < 0 else "+") + text


def test_the_table_is_one_stop_and_its_rows_choose_the_span(at, saved, made):
    page = at(saved)
    cells = page.locator(".sources td.cell")
    assert cells.count() == 6 and page.locator(".sources td.cell[tabindex='0']").count() == 1
    cells.nth(0).focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("one: effect")
    assert page.locator(".source").first.get_attribute("class").split()[-1] == "lit"
    page.keyboard.press("Enter")
    assert page.locator(".reply .span").nth(1).get_attribute("aria-pressed") == "true"
    assert page.locator(".sources tr.chosen th").inner_text() == made.spans[1].text
    assert "–" in cells.nth(2).inner_text(), "before the first span nothing was written"


def test_its_address_brings_span_layer_and_edge_back(at, saved):
    page = at(saved)
    page.locator(".reply .span").nth(1).click()
    page.wait_for_selector(".part .graph text.root:has-text('Breko')", state="attached")
    page.get_by_label("Layers that colour the words").select_option("2")
    page.locator(".part .graph g.edge").first.press("Enter")
    page.wait_for_function("location.hash.includes('pinned=')")
    assert "span=1" in page.url and "words=2" in page.url
    page.reload()
    page.wait_for_selector(".part .details h2:has-text('attends to')", state="attached")
    assert page.get_by_label("Layers that colour the words").input_value() == "2"
    assert page.locator("h1").inner_text().startswith("“Breko owns")
    page.locator(".reply .span").nth(0).click()
    page.go_back()
    page.wait_for_selector(".reply .span:nth-of-type(n+2)[aria-pressed=true]")
    assert page.locator("h1").inner_text().startswith("“Breko owns")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_and_scrolls_one_way(at, saved, scheme):
    page = at(saved, **PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("The reply", "The prompt", "Spans × sources", "How it flows"):
        box = page.get_by_label(name, exact=True).first.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, name


def test_views_can_be_saved(at, saved):
    page = at(saved)
    for view in ("reply", "prompt", "sources"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save {view} as SVG").click()
        text = download.value.path().read_text(encoding="utf-8")
        assert download.value.suggested_filename == f"attattr-{view}.svg"
        assert "rests most on" in text and "Tisa" in text


def test_a_printed_reply_has_all_of_it(at, saved, made):
    page = at(saved, **PHONE, color_scheme="dark")
    page.emulate_media(media="print")
    page.locator(".attattr.printing").wait_for()
    ground = "getComputedStyle(document.querySelector('.attattr')).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 720, "height": 844})
    for part in (".prompt", ".sources .scrolls"):
        assert page.locator(part).evaluate(
            "e => e.scrollHeight <= e.clientHeight + 1 && e.scrollWidth <= e.clientWidth + 1"
        ), part
    right = page.locator("[data-view]").evaluate_all(
        "all => all.flatMap(e => [e, ...e.querySelectorAll('svg, canvas, table')])"
        ".map(e => e.getBoundingClientRect().right)"
    )
    assert max(right) <= 681
    assert not any(each.is_visible() for each in page.get_by_role("button", name="Save").all())
    assert page.locator("h1").inner_text() == f"“{made.spans[0].text}” rests most on {strongest(made, 0)}"
    assert page.locator(".source .said").all_inner_texts() == [*DOCUMENTS.values()]
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) > 1
    page.emulate_media(media="screen")
    page.locator(".attattr:not(.printing)").wait_for()


@pytest.fixture
def served(browser):
    """A page of the local server; at the end it has said nothing."""
    import uvicorn

    serving = uvicorn.Server(uvicorn.Config(server.make_app(), log_level="error", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        context = browser.new_context(**DESK)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.get_by_label("Model", exact=True).select_option("facts")
        page.get_by_label("What is said").fill(CHAT[0]["content"])
        yield page
        context.close()
        serving.should_exit = True
        thread.join(10)
    assert said == []


def test_at_the_server_a_source_is_taken_out(served, facts):
    page = served
    page.get_by_text("Sources, reply, length").click()
    for name, text in DOCUMENTS.items():
        page.get_by_role("button", name="Name a source").click()
        page.get_by_label("Name of the source").last.fill(name)
        page.get_by_label("Its text, as it stands").last.fill(text)
    page.get_by_role("button", name="Ask", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.locator(".part .graph g.edge").first.wait_for(state="attached")
    made = facts.attribute_generation(CHAT, sources=DOCUMENTS, max_new_tokens=64)
    assert frame.locator("h1").inner_text() == f"“{made.reply}” rests most on two"
    out = attattr.without_sources(facts, made, ["two"], max_new_tokens=64)
    frame.locator(".source").nth(1).get_by_role("button", name="Take out").click()
    page.locator(".instead q").wait_for()
    assert page.locator(".instead q").inner_text() == out.reply != made.reply
    assert f"log p {out.without[0]:.3f}".replace("-", "−") in page.locator(".instead table").inner_text()
    assert frame.locator(".source.out").count() == 1 and "out=source.1" in page.url
    page.reload()  # the result is held still
    page.locator(".instead q").wait_for()
    assert page.locator(".instead q").inner_text() == out.reply
    page.get_by_role("button", name="Put back two").click()
    page.locator(".instead:empty").wait_for(state="attached")
    assert page.frame_locator("iframe").locator(".source.out").count() == 0
    page.get_by_role("button", name="Change").click()
    page.get_by_label("Its text, as it stands").last.fill("what is not there")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator(".status .error").wait_for()
    assert "is not in the prompt" in page.locator(".status .error").inner_text()


def test_cancelling_ends_the_writing_and_another_reply_is_written(served, monkeypatch):
    began, ended = threading.Event(), threading.Event()

    def endless(*_, progress, **__):
        began.set()
        try:
            while not ended.wait(0.02):
                progress(1, 3, "writing")
        finally:
            ended.set()

    with monkeypatch.context() as patch:
        patch.setattr(attattr.Attributor, "attribute_generation", endless)
        served.get_by_role("button", name="Ask", exact=True).click()
        served.get_by_text("writing, 1 of 3").wait_for()
        served.get_by_role("button", name="Cancel").click()
        served.get_by_text("Cancelled.").wait_for()
        assert ended.wait(10)
    served.get_by_role("button", name="Ask", exact=True).click()
    frame = served.frame_locator("iframe")
    frame.locator(".part .graph g.edge").first.wait_for(state="attached")
    assert frame.locator("h1").inner_text().startswith("“Tisa owns the large lamp")
