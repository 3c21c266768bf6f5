"""Looks at a report as a browser without a network does: pictures of it, and everything it complained of.

Usage: python scripts/pictures.py REPORT.html --out DIR [--readme DIR]

Writes wide.png, narrow.png and print.pdf into --out, and report-segments.png, report-who.png and
report-choice.png into --readme (.github for the README). Exits with 1 when the page wrote an error to the
console, threw one, opened a dialog, scrolls sideways on a phone, or asked for anything from elsewhere; with 2
when there is no Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, sync_playwright

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OURS = ("file:", "data:", "blob:", "about:")
_SHOWN = ("segments", "who", "choice")
#: Pixels of a section that the README shows at most.
_TALL = 900
_MARGIN = 16
#: Milliseconds that a busy machine may take for one picture.
_PATIENCE = 120_000


@dataclass
class Complaints:
    """What went wrong on a page, in the order in which it did."""

    said: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """Note everything that a page says, throws, opens or asks for from now on."""
        page.on("console", lambda m: self.said.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

        def dialog(opened: object) -> None:
            self.said.append("dialog: the page ran somebody's alert")
            opened.dismiss()  # type: ignore[attr-defined]

        page.on("dialog", dialog)
        page.route("**/*", self._asked)

    def _asked(self, route: Route) -> None:
        if route.request.url.startswith(_OURS):
            route.continue_()
            return
        self.said.append(f"request: {route.request.url[:200]}")
        route.abort()


@contextmanager
def opened(browser: Browser, report: Path, complaints: Complaints, width: int, scale: int) -> Iterator[Page]:
    """The report in a window of its own, drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, device_scale_factor=scale, offline=True
    )
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    complaints.listen(page)
    page.goto(report.resolve().as_uri(), wait_until="load")
    page.wait_for_function("[...document.querySelectorAll('.plot')].every(p => p.querySelector('svg'))")
    page.wait_for_timeout(300)
    yield page
    context.close()


def look(browser: Browser, report: Path, out: Path, readme: Path | None) -> list[str]:
    """Take all pictures. Returns what the page complained of."""
    complaints = Complaints()
    with opened(browser, report, complaints, 1280, 1) as page:
        page.screenshot(path=out / "wide.png", full_page=True)
        page.pdf(path=out / "print.pdf", format="A4", print_background=True, prefer_css_page_size=True)
    with opened(browser, report, complaints, 390, 2) as page:
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if overflow > 0:
            complaints.said.append(f"layout: scrolls sideways by {overflow} px at a width of 390")
        page.screenshot(path=out / "narrow.png", full_page=True)
    if readme is not None:
        with opened(browser, report, complaints, 1000, 1) as page:
            for section in _SHOWN:
                box = page.locator(f"#{section}").bounding_box()
                if box is not None:
                    box["height"] = min(box["height"], _TALL)
                    box["x"], box["width"] = box["x"] - _MARGIN, box["width"] + 2 * _MARGIN
                    page.screenshot(path=readme / f"report-{section}.png", full_page=True, clip=box)
    return complaints.said


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Pictures of a report, and what a browser complains of.")
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readme", type=Path)
    options = parser.parse_args(arguments)
    executable = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if executable is None:
        print(f"no browser: none of {', '.join(_BROWSERS)} is on the PATH; install Chromium", file=sys.stderr)
        return 2
    if not options.report.is_file():
        print(f"no report: {options.report} is not a file", file=sys.stderr)
        return 2
    for folder in (options.out, options.readme):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        said = look(browser, options.report, options.out, options.readme)
        browser.close()
    for line in said:
        print(line, file=sys.stderr)
    print(f"{options.out}: wide.png, narrow.png, print.pdf; {len(said)} complaints")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
