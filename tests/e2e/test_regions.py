"""A region in a real browser: from the page to the stage and back, the sheet as it is printed, every page by axe.

All data here is made (tests/e2e/regions_lab.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import browser
from tests.e2e.browser import LOOKS, SCHEMES, SIZES, Visitor
from tests.e2e.regions_data import PASSWORD
from tests.e2e.served import REPO_ROOT, Served, services

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "there is a browser"),
]
_START_SECONDS = 600.0
PAGES = (
    "region at the stage", "refused", "accepted transform", "candidate", "frames", "sheet",
    "record a mount", "end a mount",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("regions")
    with services() as chosen:
        server = Served(root, DJANGO_SETTINGS_MODULE="corr_project.settings", CORR_LEASE_SECONDS="30", **chosen)
        server.environment |= {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, "DJANGO_SUPERUSER_EMAIL": "a@example.org"}
        try:
            server.start(wait=False)
            server.wait_healthy(_START_SECONDS)
            made = server.spawn([sys.executable, "manage.py", "createsuperuser", "--noinput", "--username", "ada"])
            assert made.wait(120) == 0, server.log()[-2000:]
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def lab(served: Served) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.e2e.regions_lab", "ada"]
    said = subprocess.run(command, cwd=REPO_ROOT, env=served.environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    found: dict[str, str] = json.loads(said.stdout)
    found["region at the stage"] = f"{found['region']}?mount={found['mount']}"
    found["refused"] = f"{found['region']}?mount={found['unknown mount']}"
    return found


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser.launched() as started:
        yield started


@pytest.fixture
def ada(chrome: Any, served: Served) -> Iterator[Visitor]:
    visitor = Visitor(chrome, f"http://127.0.0.1:{served.port}")
    visitor.log_in("ada", PASSWORD)
    yield visitor
    visitor.context.close()


def test_every_page_at_two_sizes_in_two_schemes_and_by_keyboard(ada: Visitor, lab: dict[str, str]) -> None:
    found: dict[str, Any] = {}
    for name in PAGES:
        ada.goto(lab[name])
        for number, scheme in enumerate(SCHEMES):
            said = [] if number else ada.violations()
            for size in SIZES:
                ada.look(size, scheme)
                said += ada.too_wide()
            said += ada.violations(LOOKS)
            if said:
                found[f"{name}, {scheme}"] = said
        if missed := ada.out_of_reach():
            found[f"{name}, keyboard"] = missed
    assert found == {}
    assert [text for text in ada.complaints if "404" not in text] == []


def test_the_sheet_is_one_page_of_a4(ada: Visitor, lab: dict[str, str]) -> None:
    ada.goto(lab["sheet"])
    printed = ada.page.pdf(prefer_css_page_size=True, print_background=True)
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page\r") == 1
    assert b"/MediaBox [0 0 594.95996 841.91998]" in printed or b"/MediaBox [0 0 595" in printed
    pictures = ada.page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(pictures) == 2
    assert all(width > 100 for width in pictures)


def test_to_the_stage_and_back(ada: Visitor, lab: dict[str, str]) -> None:
    """Choose a mount, send the region, enter what was found; the miss is what was typed less what was predicted."""
    ada.goto(lab["region"])
    page = ada.page
    page.locator("#mount").select_option(lab["mount"])
    page.get_by_role("button", name="Where is it?").click()
    predicted = [float(text.replace("−", "-")) for text in page.locator("#position strong").all_inner_texts()[:3]]
    # (660, 420, 180) of the volume: 660 - 20 + 2360 across, 930 - 420 + 480 down, read falling, 180 below the surface
    assert predicted == pytest.approx([3.0, -0.99, 0.32], abs=0.004)
    page.get_by_label("Why this region").fill("the deepest of all")
    page.get_by_role("button", name="Send to Helios").click()
    page.get_by_text("The region was chosen for Helios").wait_for()
    assert page.locator("h1 .cs-status").inner_text() == "targeted"
    for axis, value in zip("xyz", predicted, strict=True):
        page.locator(f"#f-{axis}").fill(f"{value + 0.003 * (axis == 'x'):.4f}")
    page.locator("#f-u-um").fill("1")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_text("What was found is on record").wait_for()
    row = page.locator("section", has=page.locator("#found")).locator("tbody tr").first
    miss = re.search(r"\n\t([0-9.]+) µm", row.inner_text())
    assert miss is not None, row.inner_text()
    assert float(miss[1]) == pytest.approx(3.0, abs=0.15)  # the reading was typed to a tenth of a micrometre
    assert "within the stated error" in row.inner_text()
    assert page.locator("h1 .cs-status").inner_text() == "acquired"


def test_a_viewer_and_an_auditor_read_and_have_no_buttons(chrome: Any, served: Served, lab: dict[str, str]) -> None:
    for name in ("vera", "aude"):
        visitor = Visitor(chrome, f"http://127.0.0.1:{served.port}")
        visitor.log_in(name, PASSWORD)
        for where in ("region at the stage", "candidate", "frames"):
            visitor.goto(lab[where])
            assert visitor.page.get_by_role("heading", level=1).count() == 1
            assert visitor.page.locator("main form[method=post]").count() == 0
        visitor.context.close()
