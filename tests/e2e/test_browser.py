"""The pages as a person has them: a file is brought in, confirmed, analysed, and its number read, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import resolve

from apps.web import urls
from tests.e2e import browser
from tests.e2e.addresses import ELSEWHERE, NOT_PAGES
from tests.e2e.browser import SCHEMES, SIZES, Visitor
from tests.e2e.lab_files import files_of
from tests.e2e.served import REPO_ROOT, Served, services, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "there is a browser"),
]
FIBRES = REPO_ROOT / "fixtures" / "fibres" / "fibers_150x150x150.tif"
PASSWORD = "correct-horse-battery-staple"
_START_SECONDS = 600.0
LOOKED_AT = [(size, scheme) for size in SIZES for scheme in SCHEMES]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("browser")
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
def chrome() -> Iterator[Any]:
    with browser.launched() as running:
        yield running


@pytest.fixture(scope="module")
def address(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"


@pytest.fixture(scope="module")
def ada(chrome: Any, address: str) -> Visitor:
    visitor = Visitor(chrome, address)
    visitor.log_in("ada", PASSWORD)
    return visitor


@pytest.fixture(scope="module")
def pages(ada: Visitor) -> dict[str, str]:
    """The walk itself: project, specimen, import, facts, segmentation, number.  Returns the pages it came by."""
    page = ada.page
    page.get_by_role("link", name="New project").first.click()
    page.get_by_label("Name").fill("Fibres")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(_page_of("projects"))
    found = {"home": "/", "project": _path(page.url)}
    page.get_by_role("link", name="New specimen").click()
    page.get_by_label("Name").fill("Coupon")
    page.get_by_role("button", name="Add the specimen").click()
    page.wait_for_url(_page_of("specimens"))
    found["specimen"] = _path(page.url)
    page.get_by_role("link", name="Import files").first.click()
    found["import"] = _path(page.url)
    page.get_by_label("What it is").select_option("xrm")
    page.get_by_role("button", name="Go on to the files").click()
    page.wait_for_url(_page_of("acquisitions"))
    found["acquisition"] = _path(page.url)
    page.set_input_files("#file", str(FIBRES))
    page.get_by_role("button", name="Send").click()
    page.get_by_text("No scale in this file").first.wait_for()
    found["waiting acquisition"] = found["acquisition"]
    _confirm(page)
    page.get_by_role("heading", name="Images").wait_for()
    page.locator(".cs-tile a").first.click()
    page.wait_for_url(_page_of("images"))
    found["image"] = _path(page.url)
    page.get_by_role("link", name="Run an analysis").first.click()
    found["analyses"] = _path(page.url)
    page.get_by_role("link", name="Phases by threshold").click()
    found["form of an analysis"] = _path(page.url)
    page.get_by_role("button", name="Check, and estimate the cost").click()
    page.get_by_text("All of this can be run").wait_for()
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url(_page_of("jobs"))
    found["job"] = _path(page.url)
    page.get_by_role("link", name="Phase fractions").wait_for()
    labels = page.locator("a", has_text=": phases").first.get_attribute("href")
    assert labels is not None
    found["labels"] = labels
    page.get_by_role("link", name="Phase fractions").click()
    page.wait_for_url(_page_of("numbers"))
    found["number"] = _path(page.url)
    return found


@pytest.fixture(scope="module")
def lab(served: Served, ada: Visitor, shared_data: Path) -> dict[str, str]:
    """Pages of things that the walk does not make: micrograph, calibration, spectrum, table, decisions, the admin's."""
    absent = [path.name for path in files_of(shared_data / "microscopy") if not path.is_file()]
    if absent:
        pytest.skip(f"shared data: {', '.join(absent)} not there")
    command = [sys.executable, "-m", "tests.e2e.lab", "ada", str(shared_data / "microscopy")]
    made = subprocess.run(
        command, cwd=REPO_ROOT, env=served.environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert made.returncode == 0, made.stderr[-3000:]
    found: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def every_page(pages: dict[str, str], lab: dict[str, str]) -> dict[str, str]:
    return {**pages, **_more(pages), **lab}


def _page_of(things: str) -> re.Pattern[str]:
    """Address of one thing, not of a form below another."""
    return re.compile(rf"/{things}/[0-9a-f]{{8}}-[0-9a-f-]{{27}}/$")


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3].split("?")[0]


def _confirm(page: Any) -> None:
    for axis in "xyz":
        page.get_by_label(f"Distance along {axis}").fill("1.0")
    page.get_by_label("Standard uncertainty").fill("0.05")
    page.get_by_role("button", name="Confirm and ingest").click()


def test_a_file_is_imported_confirmed_analysed_and_its_number_read(ada: Visitor, pages: dict[str, str]) -> None:
    ada.goto(pages["number"])
    text = ada.page.inner_text("main")
    assert "Phase fractions" in text
    assert re.search(r"label 0\s+0\.36", text)
    assert "typed by hand" in text
    ada.goto(pages["image"])
    assert "1 ± 0.05 µm" in ada.page.inner_text("main")
    assert not ada.complaints


def test_contrast_handles_change_the_picture(ada: Visitor, pages: dict[str, str]) -> None:
    ada.goto(pages["image"])
    before = ada.page.locator("[data-slice] img").first.get_attribute("src")
    ada.page.get_by_label("Black at").first.fill("100")
    ada.page.keyboard.press("Tab")
    picture = ada.page.locator("[data-slice] img").first
    wait_for(lambda: "low=100" in (picture.get_attribute("src") or ""), 30, "the picture is asked for anew")
    wait_for(lambda: picture.evaluate("e => e.complete && e.naturalWidth > 1"), 30, "the picture is there")
    assert picture.get_attribute("src") != before
    assert not ada.complaints


def test_a_click_shows_the_spectrum_of_a_place(ada: Visitor, lab: dict[str, str]) -> None:
    ada.goto(lab["spectrum image"])
    ada.page.locator("[data-cut]").wait_for()  # the peak at zero energy is a hundred times as high as the rest
    ada.page.locator("[data-slice] img").first.click(position={"x": 4, "y": 4})
    ada.page.get_by_text("place x = 0, y = 0").wait_for()
    assert ada.page.locator("[data-plot] path.place").count() == 1
    ada.page.get_by_role("button", name="Show the map").click()
    ada.page.get_by_alt_text("Element map of").wait_for()
    assert not ada.complaints


def test_the_scale_bar_stands_above_the_data_bar(ada: Visitor, lab: dict[str, str]) -> None:
    ada.goto(lab["calibrated image"])
    picture = ada.page.locator("[data-slice] img").first.bounding_box()
    bar = ada.page.locator(".cs-scalebar").first.bounding_box()
    assert (
        bar["y"] + bar["height"] <= picture["y"] + picture["height"] * 884 / 943
    )  # rows of the file above its data bar
    assert "by calibration (nominally 441.94 nm" in ada.page.inner_text("main")


def test_a_wrong_parameter_is_refused_beside_its_field(ada: Visitor, pages: dict[str, str]) -> None:
    ada.goto(pages["form of an analysis"])
    ada.page.locator("#f-method").select_option("multi_otsu")
    ada.page.get_by_label("Classes").fill("99")
    ada.page.get_by_role("button", name="Run it").click()
    ada.page.wait_for_load_state("networkidle")
    field = ada.page.get_by_label("Classes")
    assert field.get_attribute("aria-invalid") == "true"
    assert field.input_value() == "99"
    assert "16" in ada.page.locator("#f-classes-help .cs-error").inner_text()
    ada.complaints.clear()  # the browser names the 400 itself


def test_a_token_is_shown_once_and_revoked(ada: Visitor) -> None:
    ada.goto("/account/")
    ada.page.locator("#f-name").fill("microscope")
    ada.page.get_by_role("button", name="Make a token").click()
    key = ada.page.locator("#new-key").inner_text()
    assert len(key) > 30
    ada.goto("/account/")
    assert key not in ada.page.content()
    ada.page.once("dialog", lambda dialog: dialog.accept())
    ada.page.get_by_role("button", name="Revoke microscope").click()
    ada.page.get_by_text("was revoked").wait_for()
    assert not ada.complaints


def test_every_route_of_a_page_is_looked_at(every_page: dict[str, str]) -> None:
    seen = {resolve(path).url_name for path in every_page.values()} | NOT_PAGES | ELSEWHERE
    # the viewer is looked at in tests of its own
    routes = {route.name for route in urls.urlpatterns if not route.name.startswith("viewer")}
    assert routes <= seen


def test_no_page_has_a_serious_violation(chrome: Any, address: str, every_page: dict[str, str]) -> None:
    """Every page in every colour and size; it is loaded once, as what changes with them changes without a request."""
    visitor = Visitor(chrome, address)
    visitor.log_in("ada", PASSWORD)
    found = {}
    for name, path in every_page.items():
        if name == "login":
            continue
        visitor.look(*LOOKED_AT[0])
        visitor.goto(path)
        found[name, *LOOKED_AT[0]] = visitor.violations() + visitor.too_wide()
        for size, scheme in LOOKED_AT[1:]:
            visitor.look(size, scheme)
            found[name, size, scheme] = visitor.violations(browser.LOOKS) + visitor.too_wide()
        if name == "missing":
            visitor.complaints.clear()  # the browser names the 404 itself
    visitor.context.close()
    assert {place: said for place, said in found.items() if said} == {}
    assert not visitor.complaints


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_log_in_page_has_no_serious_violation(chrome: Any, address: str, scheme: str) -> None:
    visitor = Visitor(chrome, address, scheme=scheme)
    visitor.goto("/login/")
    assert visitor.violations() == []
    assert visitor.out_of_reach() == {}
    visitor.context.close()


def test_every_control_is_reached_by_tab(ada: Visitor, every_page: dict[str, str]) -> None:
    found = {}
    for name, path in every_page.items():
        if name == "login":
            continue
        ada.goto(path)
        found[name] = ada.out_of_reach()
    ada.complaints.clear()  # the browser names the 404 itself
    assert {name: said for name, said in found.items() if said} == {}


def test_a_trap_and_a_focus_that_does_not_show_are_found(ada: Visitor) -> None:
    ada.goto("/account/")
    ada.page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<button id=dull>Dull</button>"
        "<button id=trap>Trap</button><button>Late</button>'); document.getElementById('dull').style.outline = 'none';"
        "document.getElementById('trap').addEventListener('keydown', e => { if (e.key === 'Tab') e.preventDefault(); })"
    )
    assert ada.out_of_reach() == {"missed": ["button Late"], "unseen": ["button Dull"], "trapped": ["button Trap"]}


def test_a_planted_violation_is_found(ada: Visitor) -> None:
    ada.goto("/account/")
    ada.page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/static/web/icon.svg\">"
        "<p id=\"pale\">pale</p>'); document.getElementById('pale').style.color = '#eeeeee'"
    )
    said = " ".join(ada.violations())
    assert "image-alt" in said
    assert "color-contrast" in said


def _more(pages: dict[str, str]) -> dict[str, str]:
    """Pages that the walk did not come by."""
    return {
        "login": "/login/",
        "members": f"{pages['project']}members/",
        "jobs": f"{pages['project']}jobs/",
        "new specimen": pages["project"].replace("/projects/", "/new-specimen/"),
        "event": f"{pages['specimen']}events/add/",
        "bulk form": f"{pages['labels']}analyses/bulk.conductivity/",
        "calibrations": "/calibrations/",
        "account": "/account/",
        "new project": "/new-project/",
        "missing": "/projects/00000000-0000-4000-8000-000000000000/",
        "REST interface": "/api/v1/docs/",
        "admin": "/admin/",
        "admin users": "/admin/projects/user/",
        "admin new calibration": "/admin/catalog/calibration/add/",
        "admin new specimen": "/admin/catalog/specimen/add/",
    }


ACTIONS = {
    "home": ("New project", "Projects", "ada"),
    "project": ("New specimen", "Add, change or remove members"),
    "specimen": ("Import files", "Record an event"),
    "import": ("Go on to the files",),
    "image": ("Run an analysis", "Acquisition"),
    "form of an analysis": ("Run it", "Check, and estimate the cost"),
}


@pytest.mark.parametrize("name", list(ACTIONS))
def test_main_actions_are_reached_by_tab(ada: Visitor, pages: dict[str, str], name: str) -> None:
    ada.goto(pages[name])
    reached = ada.reached_by_tab()
    assert "Skip to the content" in reached
    assert set(ACTIONS[name]) <= reached


def test_a_menu_is_opened_walked_and_closed_by_keys(ada: Visitor) -> None:
    ada.goto("/")
    summary = ada.page.locator(".cs-menu.end > summary")
    summary.press("Enter")
    ada.page.keyboard.press("Tab")
    assert ada.page.evaluate("document.activeElement.innerText") == "Account and tokens"
    ada.page.keyboard.press("Escape")
    assert ada.page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert not ada.page.get_by_role("link", name="Account and tokens").is_visible()


def test_the_first_tab_skips_to_the_content(ada: Visitor) -> None:
    ada.goto("/calibrations/")
    ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Enter")
    assert ada.page.evaluate("document.activeElement.id") == "content"


def test_an_upload_works_without_a_script(chrome: Any, address: str, pages: dict[str, str], tmp_path: Path) -> None:
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/login/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("main button[type=submit]")
    page.goto(f"{address}{pages['import']}")
    page.click("main button[type=submit]")
    copy = tmp_path / "plain.tif"
    copy.write_bytes(FIBRES.read_bytes())
    page.set_input_files("#file", str(copy))
    page.click("form[data-upload] button")
    page.wait_for_load_state()
    assert "plain.tif" in page.inner_text("main")
    assert "1 file received" in page.inner_text("main")
    context.close()


def test_a_large_file_goes_on_where_the_line_broke(ada: Visitor, pages: dict[str, str], tmp_path: Path) -> None:
    page = ada.page
    ada.goto(pages["import"])
    page.click("main button[type=submit]")
    copy = tmp_path / "large.tif"
    copy.write_bytes(FIBRES.read_bytes())
    page.set_input_files("#file", str(copy))
    page.evaluate("Object.assign(document.querySelector('form[data-upload]').dataset, {large: 1000, piece: 1000000})")
    begins: list[str] = []

    def pass_or_break(route: Any) -> None:
        begins.append(route.request.headers["upload-offset"])
        if len(begins) == 3:
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*/", lambda r: pass_or_break(r) if r.request.method == "PATCH" else r.continue_())
    page.click("form[data-upload] button")
    page.get_by_role("link", name="large.tif").or_(page.get_by_text("large.tif")).first.wait_for(timeout=120_000)
    page.unroute("**/api/v1/uploads/*/")
    assert begins == ["0", "1000000", "2000000", "2000000", "3000000"]
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('upload ')).length") == 0
    ada.complaints.clear()  # the browser names the broken request itself
