"""The pictures of the pages and of the server in docs/images, made anew: `python experiments/pictures.py`.

Needs Debian's chromium and Playwright (the development extra). The figures of docs/figures.md are made by the
commands there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

PAIR = ("A woman is playing the violin on a crowded street.", "Nobody is making music.")
WIDTH, HEIGHT = 1440, 900
PORT = 8437
PATIENCE = 180_000  # ms, of a busy machine
ROOT = Path(__file__).parents[1]
IMAGES, ASK = ROOT / "docs" / "images", ROOT / "examples" / "ask.json"
FIRST = ".graph g.edge"
REPLY = ["generate", "--chat", str(ASK), "--model", "facts", "--html"]


def of_file(browser: Any, out: Path, report: Path) -> None:
    for name, scheme, fragment in (
        ("page", "light", ""),
        ("page-dark", "dark", ""),
        ("page-head", "light", "#head=2.3"),
    ):
        page = opened(browser, scheme)
        page.goto(report.as_uri() + fragment)
        page.wait_for_selector(FIRST, state="attached")
        if name == "page-dark":
            pin(page)
        if name == "page-head":
            page.locator("[data-view=head]").scroll_into_view_if_needed()
            page.evaluate("document.querySelector('[data-view=head]').parentElement.scrollIntoView()")
        shot(page, out / f"{name}.png")


def opened(browser: Any, scheme: str = "light") -> Page:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    return page


def pin(page: Any) -> None:
    """The strongest edge, by keyboard: no other mark lies in its way."""
    page.locator(FIRST).first.press("Enter")


def of_server(browser: Any, out: Path, address: str) -> None:
    asked = [("model", "mnli"), *(("text", text) for text in PAIR)]
    page = opened(browser)
    page.goto(f"{address}/#{urlencode(asked)}")
    report = page.frame_locator("iframe").first
    report.locator(FIRST).first.wait_for(state="attached")
    pin(report_frame(page))
    page.get_by_role("button", name="Take out").first.click()
    page.wait_for_timeout(4000)
    shot(page, out / "server.png")
    both = [*asked, ("2.model", "snli"), *(("2.text", text) for text in PAIR)]
    page = opened(browser)
    page.goto(f"{address}/#{urlencode(both)}")
    for side in (0, 1):
        page.frame_locator("iframe").nth(side).locator(FIRST).first.wait_for(state="attached")
    shot(page, out / "compare.png")


def of_reply(browser: Any, out: Path, report: Path, address: str) -> None:
    page = opened(browser)
    page.goto(report.as_uri())
    page.wait_for_selector(FIRST, state="attached")
    shot(page, out / "page-reply.png")
    asked = json.loads(ASK.read_text(encoding="utf-8"))
    turns = [("turn", f"{each['role']}\n{each['content']}") for each in asked["messages"]]
    sources = [("source", f"{name}\n{text}") for name, text in asked["sources"].items()]
    page = opened(browser)
    page.goto(f"{address}/#{urlencode([('model', 'facts'), *turns, *sources, ('out', 'source.1')])}")
    page.locator(".instead table").wait_for()
    shot(page, out / "server-reply.png")


def report_frame(page: Page) -> Any:
    return page.frames[1]


def shot(page: Page, path: Path) -> None:
    page.wait_for_timeout(500)  # until nothing moves
    page.screenshot(path=path)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument(
        "--shapes", type=Path, help="folder of experiments/shapes.py: the page of an image, too"
    )
    asked = parser.parse_args()
    out = asked.out
    command = [sys.executable, "-m", "attattr"]
    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"))
        report = Path(folder, "report.html")
        subprocess.run(
            [*command, "explain", *PAIR, "--html", str(report)], check=True, stdout=subprocess.DEVNULL
        )
        of_file(browser, out, report)
        if asked.shapes:
            shape = [str(asked.shapes / "shape.png"), "--model", str(asked.shapes)]
            subprocess.run([*command, "explain", *shape, "--html", str(report)], check=True)
            page = opened(browser)
            page.goto(report.as_uri())
            page.wait_for_selector(".picture svg")
            shot(page, out / "page-image.png")
        address = f"http://127.0.0.1:{PORT}"
        serving = subprocess.Popen([*command, "serve", "--port", str(PORT)], stderr=subprocess.DEVNULL)
        try:
            for _ in range(120):
                try:
                    urlopen(address)
                    break
                except OSError:
                    time.sleep(0.5)
            of_server(browser, out, address)
            subprocess.run([*command, *REPLY, str(report)], check=True, stdout=subprocess.DEVNULL)
            of_reply(browser, out, report, address)
        finally:
            serving.terminate()
        browser.close()


if __name__ == "__main__":
    main()
