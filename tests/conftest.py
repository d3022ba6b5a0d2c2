"""What several test files need."""

from __future__ import annotations

import shutil

import pytest

PATIENCE = 120_000  # ms, of a busy machine


def patient(make):
    """Contexts and pages that wait longer than Playwright does by itself."""

    def made(**options):
        thing = make(**options)
        thing.set_default_timeout(PATIENCE)
        return thing

    return made


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, headless; without it or Playwright the test is left out, saying so.

    Its headless shell takes half of the processor time: no window is drawn around each page.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium)
        browser.new_context, browser.new_page = patient(browser.new_context), patient(browser.new_page)
        yield browser
        browser.close()
