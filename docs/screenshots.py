"""Make the pictures of the documentation anew from a served demo.

    python manage.py demo --port 8123                    (in one terminal)
    python -m tests.e2e.lab admin FILES > lab.json       (in another, with CORR_DATA_ROOT and DJANGO_SETTINGS_MODULE)
    python -m tests.e2e.regions_lab admin > places.json  (beside it, for the pages of regions; all of it is made)
    python docs/screenshots.py 8123 DATA_ROOT lab.json places.json

``DATA_ROOT`` is that of the demo, ``FILES`` the folder of real instrument files.  The pictures are written to
``docs/_static``, with a palette of 128 colours to keep them small.  The images that are registered are made with the
tools of the browser tests.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tests.e2e.phantoms import Rest  # noqa: E402 - after the path
from tests.e2e.register_page import SECTION_AT, make_section, section_truth  # noqa: E402

FIBRES = HERE.parent / "fixtures" / "fibres" / "fibers_150x150x150.tif"
SIZE = {"width": 1280, "height": 800}
COLOURS = 128


def keep(page: Page, name: str) -> None:
    """Write what is in the window."""
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(HERE / "_static" / f"{name}.png", optimize=True)


def log_in(page: Page, address: str, data_root: Path, name: str) -> None:
    """Log in as an account of the demo."""
    accounts = json.loads((data_root / "demo-accounts.json").read_text())
    page.goto(f"{address}/login/")
    page.fill("#id_username", name)
    page.fill("#id_password", accounts[name])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")


def take_lab(page: Page, address: str, lab: dict[str, str]) -> None:
    """Keep the pages of what the study has none of: a calibration, a spectrum image, decisions, the administration."""
    keep(page, "home")
    page.goto(f"{address}{lab['calibrated image']}")
    keep(page, "calibrated")
    page.goto(f"{address}{lab['spectrum image']}")
    page.locator("[data-slice] img").first.click(position={"x": 200, "y": 200})
    page.get_by_text("place x =").wait_for()
    page.locator("#line").select_option("Cu_Ka")
    page.get_by_role("button", name="Show the map").click()
    page.get_by_alt_text("Element map").wait_for()
    page.locator("#spectrum").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.getElementById('spectrum').getBoundingClientRect().top + scrollY - 80)")
    keep(page, "spectrum")
    page.goto(f"{address}/admin/")
    keep(page, "admin")


def take_register(page: Page, address: str, name: str, password: str) -> None:
    """Register a real volume of fibres with a made section through it: six typed pairs, one of them wrong."""
    page.goto(address + make_section(Rest(address, name, password)))
    page.wait_for_selector("#register[data-ready]")
    ends = np.column_stack([SECTION_AT, np.zeros(len(SECTION_AT))])
    places = (
        ends @ section_truth()[:3, :3].T + section_truth()[:3, 3] + np.random.default_rng(1).normal(0, 0.3, ends.shape)
    )
    ends[5] += [7.0, -4.0, 0.0]
    page.locator("#error-all").fill("0.5")
    for number, (place, end) in enumerate(zip(places, ends, strict=True), start=1):
        page.locator("#pair-add").click()
        for side, point in (("source", place), ("target", end)):
            page.get_by_label(f"pair {number}, {side}").fill(", ".join(f"{value:.2f}" for value in point))
            page.get_by_label(f"pair {number}, {side}").press("Tab")
    page.locator("#fit").click()
    page.get_by_role("button", name="Reject pair 6").click()
    page.get_by_text("Fitted. Look at the overlay").wait_for()
    page.get_by_role("button", name="Show pair 3 in both panes").click()
    page.locator("#map").click()
    page.wait_for_selector("#map-legend:not([hidden])")
    page.locator("#slice-target").blur()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_selector("#pane-target[data-busy=false]")
    keep(page, "register")


def take(page: Page, address: str) -> None:
    """Walk through the study and keep the pages on the way."""
    page.get_by_role("link", name="Effective thermal conductivity").first.click()
    keep(page, "demo")
    page.goto(f"{address}/")
    page.get_by_role("link", name="Published fibre volume", exact=True).first.click()
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


def take_places(page: Page, address: str, places: dict[str, str]) -> None:
    """Keep the pages of a region on its way to a stage, its sheet as it is printed, its transform and the frames."""
    page.goto(f"{address}{places['region']}")
    keep(page, "region")
    page.locator("#mount").select_option(places["mount"])
    page.get_by_role("button", name="Where is it?").click()
    page.locator("#position").wait_for()
    page.evaluate("window.scrollTo(0, document.getElementById('targeting').getBoundingClientRect().top + scrollY - 80)")
    keep(page, "targeting")
    page.goto(f"{address}{places['candidate']}")
    page.evaluate("window.scrollTo(0, document.getElementById('landmarks').getBoundingClientRect().top + scrollY - 80)")
    keep(page, "transform")
    page.goto(f"{address}{places['frames']}")
    keep(page, "frames")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})
    page.goto(f"{address}{places['sheet']}")
    keep(page, "sheet")


def main() -> None:
    """Start the browser and take the pictures."""
    address, data_root = f"http://127.0.0.1:{sys.argv[1]}", Path(sys.argv[2])
    with sync_playwright() as tool:
        options: dict[str, Any] = {"args": ["--no-sandbox", "--disable-gpu"]}
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), **options)
        page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
        log_in(page, address, data_root, "demo")
        take(page, address)
        page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
        log_in(page, address, data_root, "admin")
        take_lab(page, address, json.loads(Path(sys.argv[3]).read_text()))
        take_places(page, address, json.loads(Path(sys.argv[4]).read_text()))
        accounts = json.loads((data_root / "demo-accounts.json").read_text())
        take_register(page, address, "admin", accounts["admin"])
        browser.close()


if __name__ == "__main__":
    main()
