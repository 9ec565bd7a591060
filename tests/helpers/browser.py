"""A browser for tests of pages: Debian's chromium, driven by Playwright; it fetches nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

WIDTHS = (400, 1200, 2000)
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; the test is skipped where Playwright or chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright to drive with")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium to look at the page with")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Any, url: str, width: int = 1200, scheme: str = "light") -> tuple[Any, list]:
    """A page at ``url``, and the list that what it complains of goes to."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))

    def failed(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left asks no more
            said.append(f"failed: {request.url}")

    page.on("requestfailed", failed)
    page.goto(url)
    return page, said


def until(page: Any, holds: Callable[[], Any]) -> None:
    """Wait for something to hold; Playwright's own way evaluates text, which pages forbid."""
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(25)
    raise AssertionError("it did not come to hold")


def cut(page: Any) -> list[str]:
    """What does not fit: the page itself, or a table that would have to be scrolled."""
    found: list[str] = page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll('.scroll')]
            .filter(part => part.scrollWidth > part.clientWidth + 1)
            .map(part => part.getAttribute('aria-label') || part.tagName)"""
    )
    return found
