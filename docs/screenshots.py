"""Make the pictures of the documentation anew from a served demo.

    python manage.py demo --port 8123        (in one terminal)
    python docs/screenshots.py 8123 DATA_ROOT (in another; DATA_ROOT is that of the demo)

The pictures are written to ``docs/_static``, with a palette of 128 colours to keep them small.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
FIBRES = HERE.parent / "fixtures" / "fibres" / "fibers_150x150x150.tif"
SIZE = {"width": 1280, "height": 800}
COLOURS = 128


def keep(page: Page, name: str) -> None:
    """Write what is in the window."""
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(HERE / "_static" / f"{name}.png", optimize=True)


def log_in(page: Page, address: str, data_root: Path) -> None:
    """Log in as the account of the demo that works."""
    accounts = json.loads((data_root / "demo-accounts.json").read_text())
    page.goto(f"{address}/login/")
    page.fill("#id_username", "demo")
    page.fill("#id_password", accounts["demo"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")


def take(page: Page, address: str) -> None:
    """Walk through the study and keep the pages on the way."""
    keep(page, "home")
    page.get_by_role("link", name="Effective thermal conductivity").first.click()
    keep(page, "demo")
    page.goto(f"{address}/")
    page.get_by_role("link", name="Published fibre volume").first.click()
    keep(page, "specimen")
    specimen = page.url
    page.get_by_role("link", name="fibers_150x150x150", exact=True).first.click()
    keep(page, "image")
    page.goto(specimen)
    page.get_by_role("link", name="fibers_150x150x150: phases").first.click()
    page.get_by_role("link", name="Run an analysis").first.click()
    page.get_by_role("link", name="Effective conductivity").click()
    keep(page, "run")
    page.goto(specimen)
    page.get_by_role("link", name="Import files").first.click()
    page.get_by_label("What it is").select_option("xrm")
    page.get_by_role("button", name="Go on to the files").click()
    page.set_input_files("#file", str(FIBRES))
    page.get_by_role("button", name="Send").click()
    page.get_by_text("No scale in this file").first.wait_for()
    keep(page, "confirm")


def main() -> None:
    """Start the browser and take the pictures."""
    address, data_root = f"http://127.0.0.1:{sys.argv[1]}", Path(sys.argv[2])
    with sync_playwright() as tool:
        options: dict[str, Any] = {"args": ["--no-sandbox", "--disable-gpu"]}
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), **options)
        page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
        log_in(page, address, data_root)
        take(page, address)
        browser.close()


if __name__ == "__main__":
    main()
