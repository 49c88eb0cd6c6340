"""A real browser before a served installation: Chromium by playwright, and axe-core for what a page does wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    from playwright.sync_api import sync_playwright
except ImportError:  # not everybody who runs the tests has a browser to drive
    sync_playwright = None  # type: ignore[assignment]

ASSETS = Path(__file__).parent / "assets"
WALK = (ASSETS / "walk.js").read_text()
AXE = ASSETS / "axe-4.10.3.min.js"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SIZES = {"1280 x 720": (1280, 720), "1920 x 1080": (1920, 1080)}
SCHEMES = ("light", "dark")
# The rules whose outcome depends on the size of the window or on the colours; the others need one run a page.
LOOKS = ("color-contrast", "link-in-text-block", "scrollable-region-focusable")
WAIT_MS = 120_000
DARK = """dark => {
  const root = document.documentElement;
  return (root.dataset.bsTheme === "dark" || root.classList.contains("dark")) === dark;
}"""
# Tabs through the whole page at most; whatever has not had the focus by then cannot have it.
MOST_TABS = 250


def chromium() -> str | None:
    """Path of the browser; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> str:
    """Why there is no browser here; empty where there is one."""
    if sync_playwright is None:
        return "playwright is not installed"
    return "" if chromium() else "no chromium on the path"


@contextmanager
def launched(*more: str) -> Iterator[Any]:
    """Start the browser, with more arguments where they are given, and end it."""
    assert sync_playwright is not None
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, *more])
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A person before the pages; notes what the browser complains of."""

    def __init__(self, browser: Any, address: str, *, size: str = "1280 x 720", scheme: str = "light") -> None:
        width, height = SIZES[size]
        # colours that are on their way from one to the other have no contrast of their own
        still = {"color_scheme": scheme, "reduced_motion": "reduce"}
        self.context = browser.new_context(viewport={"width": width, "height": height}, **still)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.address = address
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))

    def _note(self, text: str) -> None:
        self.complaints.append(f"{self.page.url}: {text}")

    def look(self, size: str, scheme: str) -> None:
        """Take another window and other colours, as the system would.

        Our pages follow without being loaded anew; the admin asks the system once a page, so it is loaded again.
        """
        width, height = SIZES[size]
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        if "/admin/" in self.page.url and not self.page.evaluate(DARK, scheme == "dark"):
            self.page.reload()
            self.page.wait_for_load_state("networkidle")

    def goto(self, path: str) -> None:
        self.page.goto(self.address + path)
        self.page.wait_for_load_state("networkidle")

    def log_in(self, name: str, password: str) -> None:
        self.goto("/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(self.address + "/")

    def violations(self, rules: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
        """What axe-core calls serious or critical on the page, with the first places of each.

        Parameters
        ----------
        rules : sequence of str
            Run these alone; all of them where it is empty.
        exclude : sequence of str
            Selectors of what is left out.
        """
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(AXE.read_text())  # by the debugger, which a page's policy does not bind
        # without preload: axe would ask for the style sheets once more
        options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
        if rules:
            options["runOnly"] = list(rules)
        context = {"include": [["html"]], "exclude": [[selector] for selector in exclude]}
        found = self.page.evaluate("([context, options]) => axe.run(context, options)", [context, options])
        return [
            f"{item['id']} ({item['impact']}): {[node['target'] for node in item['nodes'][:3]]}"
            for item in found["violations"]
            if item["impact"] in ("serious", "critical")
        ]

    def too_wide(self) -> list[str]:
        """A page that is wider than its window, and by how much."""
        by = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return [f"wider than the window by {by} px"] if by > 0 else []

    def reached_by_tab(self) -> set[str]:
        """Words of everything that takes the focus when Tab is pressed from the top of the page on."""
        self.page.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)")
        reached: set[str] = set()
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            words = self.page.evaluate(
                "(() => { const e = document.activeElement; if (!e || e === document.body) return null;"
                " return (e.getAttribute('aria-label') || e.innerText || e.id || e.name || '').trim(); })()"
            )
            if words is None:
                break
            reached.add(words)
        return reached

    def out_of_reach(self) -> dict[str, list[str]]:
        """What Tab does not come to, walking from the top of the page on, and what does not show that it has the focus.

        Returns
        -------
        dict
            ``missed``, ``unseen`` and ``trapped``: the controls, by what they are and say.  ``trapped`` holds the last
            one that had the focus where the walk did not come to its end.
        """
        self.page.evaluate(WALK)
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("window.corrWalk.ended()"):
                break
        found: dict[str, list[str]] = self.page.evaluate("window.corrWalk.found()")
        return {name: rows for name, rows in found.items() if rows}
