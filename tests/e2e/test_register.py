"""The registration page in a real browser: pairs by real clicks, a wrong one pointed out, the error true."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from tests.e2e import browser
from tests.e2e.browser import SCHEMES, SIZES, Visitor
from tests.e2e.phantoms import COARSE_AT, COARSE_UM, FINE_AT, FINE_UM, PASSWORD, Rest, place
from tests.e2e.register_page import DOTS_UM, MadePair, click, make_pair, on_page, opened, pane, still, truth
from tests.e2e.served import Served, services, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "there is a browser"),
]
_START_SECONDS = 600.0
_SECONDS = 60.0
U_UM = 0.3  # of a click: a pixel of either pane is about half a micrometre


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("register")
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
def address(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"


@pytest.fixture(scope="module")
def rest(address: str) -> Rest:
    return Rest(address)


@pytest.fixture(scope="module")
def made(rest: Rest) -> MadePair:
    return make_pair(rest)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser.launched() as running:
        yield running


@pytest.fixture(scope="module")
def ada(chrome: Any, address: str) -> Visitor:
    visitor = Visitor(chrome, address)
    visitor.log_in("ada", PASSWORD)
    visitor.page.on("dialog", lambda asked: asked.accept())  # leaving with unsaved pairs is asked about
    return visitor


def pictured(page: Any, side: str) -> np.ndarray:
    """Grey values of a pane, one a CSS pixel, without what is drawn over the pictures."""
    still(page)
    pane(page, side, "p.kept = p.layers; p.layers = []; p.draw();")
    page.evaluate("side => document.getElementById(`pane-${side}`).scrollIntoView({block: 'center'})", side)
    url = pane(page, side, "return p.canvas.toDataURL();")
    pane(page, side, "p.layers = p.kept; p.draw();")
    with Picture.open(io.BytesIO(_decoded(url))) as picture:
        grey = np.array(picture.convert("L"), np.float64)
    grey[-40:, :200] = 0.0  # the scale bar
    return grey


def _decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def middle_of_light(grey: np.ndarray) -> tuple[np.ndarray, int]:
    """Middle of what is bright, in CSS pixels where the first pixel's centre is at a half, and how much it is."""
    rows, columns = np.nonzero(grey > 100)
    assert len(rows), "nothing bright"
    return np.array([columns.mean(), rows.mean()]) + 0.5, len(rows)


# -------------------------------------------------------------------------------------------------------- right pixels


@pytest.mark.parametrize(("side", "at", "um"), [("source", FINE_AT, FINE_UM), ("target", COARSE_AT, COARSE_UM)])
@pytest.mark.parametrize("plane", ["xy", "xz", "yz"])
def test_one_sample_is_drawn_at_its_pixel(
    ada: Visitor, made: MadePair, side: str, at: tuple[int, int, int], um: float, plane: str
) -> None:
    page = opened(ada, made.address("fine", "coarse"))
    spot = place(at, um)
    page.locator("#link").click()
    page.locator(f"#plane-{side}").select_option(plane)
    pane(page, side, "p.moveTo(x, p.config.spacing[0] / 12);", (spot + 1.5 * um).tolist())
    normal = next(axis for axis, name in enumerate("xyz") if name not in plane)
    pane(page, side, "const at = [...p.view.at]; at[x[0]] = x[1]; p.moveTo(at);", [normal, float(spot[normal])])
    found, pixels = middle_of_light(pictured(page, side))
    wanted = pane(page, side, "return p.toCanvas(x);", spot.tolist())
    assert found == pytest.approx(wanted[:2], abs=0.6)  # a sample is 12 pixels: half of one cannot hide
    assert pixels == pytest.approx(144, abs=13)
    assert not ada.complaints


def test_the_overlay_lies_where_the_transform_says(ada: Visitor, made: MadePair) -> None:
    """Oblique, between two scales: the bright sample of each appears on that of the other."""
    page = opened(ada, made.address("fine", "coarse"))
    page.locator("#link").click()
    page.locator("#over-colour").fill("#ffffff")
    for side, at, um, pixels in (("target", COARSE_AT, COARSE_UM, 12.5), ("source", FINE_AT, FINE_UM, 12.5)):
        spot = place(at, um)
        page.locator("#over-side").select_option(side)
        if page.locator("#overlay").get_attribute("aria-pressed") == "false":
            page.locator("#overlay").click()
        pane(page, side, "p.moveTo(x, 0.01);", (spot + np.array([1.0, -0.5, 0.0])).tolist())
        pane(page, side, "p.shows = 'over'; p.draw();")
        wanted = np.array(pane(page, side, "return p.toCanvas(x);", spot.tolist())[:2])
        grey = pictured(page, side)
        if side == "target":
            found, lit = middle_of_light(grey)
            assert found == pytest.approx(wanted, abs=0.75)
            assert 0.8 * pixels**2 < lit < 2.0 * pixels**2  # an oblique cut through a cube is the larger
        else:
            column, row = wanted.astype(int)  # the coarse sample fills the pane about the fine one
            assert (grey[row - 30 : row + 30, column - 30 : column + 30] > 200).all()
    page.keyboard.press("b")
    assert "Shown:" in page.inner_text("#blink-shows")


def test_the_panes_move_together_along_what_is_accepted(ada: Visitor, made: MadePair) -> None:
    page = opened(ada, made.address("fine", "coarse"))
    page.locator("#home-source").click()
    pane(page, "source", "p.moveTo(x); p.on.moved(p);", place(FINE_AT, FINE_UM).tolist())
    assert pane(page, "target", "return p.view.at;") == pytest.approx(place(COARSE_AT, COARSE_UM).tolist(), abs=0.51)
    page.mouse.move(*on_page(page, "source", place(FINE_AT, FINE_UM)))
    said = page.locator("#place-target")
    wait_for(lambda: "µm" in said.inner_text(), _SECONDS, said.inner_text())
    numbers = [float(word) for word in said.inner_text().replace(",", "").split() if word[-1].isdigit()][:3]
    assert numbers == pytest.approx(place(COARSE_AT, COARSE_UM).tolist(), abs=0.1)


# --------------------------------------------------------------------------------------------------- six pairs, by hand


def mapped(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.zeros(len(points))]) @ truth()[:3, :3].T + truth()[:3, 3]


def test_six_clicked_pairs_of_which_one_is_wrong(ada: Visitor, made: MadePair, rest: Rest) -> None:
    page = opened(ada, made.address("source", "target"))
    page.locator("#error-all").fill(str(U_UM))
    for index, (x, y) in enumerate(DOTS_UM[:6]):
        there = mapped(DOTS_UM[index : index + 1])[0] + ([9.0, 4.0, 0.0] if index == 4 else [0.0, 0.0, 0.0])
        click(page, "source", np.array([x, y, 0.0]))
        click(page, "target", there)
    page.keyboard.press("f")
    page.get_by_text("Pair 5 is suspect").wait_for()
    assert page.locator("#fit-suspects li").count() == 1
    assert page.locator("#pairs tr").nth(4).get_attribute("class").split() == ["cr-is-suspect"]
    _map_of_error(page)
    page.reload()  # what is not saved outlives it
    page.wait_for_selector("#register[data-ready]")
    page.get_by_text("that were not saved are back").wait_for()
    page.get_by_role("button", name="Reject pair 5").click()
    page.get_by_text("Fitted. Look at the overlay").wait_for()
    assert page.locator("#pairs tr").nth(4).locator("select").input_value() == "rejected"
    first = _saved(page, "dots")
    stored = rest.get(f"transforms/{first}/")
    assert [row["state"] for row in stored["landmarks"]] == ["active"] * 4 + ["rejected", "active"]
    assert "robust fit" in stored["landmarks"][4]["reason"]
    _close_to_truth(stored)
    page.locator("#accept-reason").fill("five agree")
    page.get_by_role("button", name="Accept", exact=True).click()
    page.locator("#accepted-words").wait_for()
    assert rest.get(f"transforms/{first}/")["status"] == "accepted"
    assert not ada.complaints
    # a version that holds one pair out supersedes it, and takes its place only by name
    page = opened(ada, made.address("source", "target", transform=first))
    page.get_by_label("pair 1, state").select_option("held_out")
    page.locator("#pane-source").focus()
    page.keyboard.press("f")
    page.get_by_text("agrees with the stated error").wait_for()
    second = _saved(page, "one held out")
    assert rest.get(f"transforms/{first}/")["superseded_by"] == second
    page.get_by_role("button", name="Accept", exact=True).click()
    page.get_by_text("Tick that it is replaced").wait_for()
    page.locator("#replace").check()
    page.get_by_role("button", name="Accept", exact=True).click()
    page.locator("#accepted-words").wait_for()
    assert [rest.get(f"transforms/{pk}/")["status"] for pk in (first, second)] == ["candidate", "accepted"]


def _saved(page: Any, reason: str) -> str:
    page.locator("#save-reason").fill(reason)
    page.get_by_role("button", name="Save as candidate").click()
    page.get_by_text("Saved as a candidate").wait_for()
    return str(page.evaluate("new URL(location.href).searchParams.get('transform')"))


def _map_of_error(page: Any) -> None:
    """The map grows outside of the landmarks, and says what the server says."""
    page.keyboard.press("e")
    page.wait_for_selector("#map-legend:not([hidden])")
    least, most = page.inner_text("#map-least"), page.inner_text("#map-most")
    assert least != most
    assert all(word.endswith(("µm", "nm")) for word in (least, most))
    page.keyboard.press("e")
    page.wait_for_selector("#map-legend", state="hidden")


def _close_to_truth(stored: dict[str, Any]) -> None:
    """What the map does to places all over the source lies within its stated 95 % error of the truth."""
    matrix, covariance = np.array(stored["matrix"]), np.array(stored["covariance"])
    for x, y in [(0.0, 0.0), (190.0, 10.0), (100.0, 75.0), (10.0, 140.0), (190.0, 145.0), *DOTS_UM]:
        gain = np.kron(np.eye(3), [x, y, 0.0, 1.0])
        spread = (gain @ covariance @ gain.T)[:2, :2]
        off = (matrix @ [x, y, 0.0, 1.0])[:2] - mapped(np.array([[x, y]]))[0, :2]
        assert off @ np.linalg.solve(spread, off) < 5.991  # chi-square, two dimensions


def test_somebody_else_was_faster(ada: Visitor, made: MadePair, rest: Rest) -> None:
    page = opened(ada, made.address("source", "plain"))
    _typed(page, 2)
    page.keyboard.press("f")
    page.locator("#results").wait_for()
    saved = _saved(page, "two pairs")
    pairs = [{"source": [x, y, 0.0], "target": [x, y, 0.0]} for x, y in DOTS_UM[:3]]
    ends = {"source": made.frames["source"], "target": made.frames["plain"]}
    faster = rest.post("transforms/", **ends, kind="rigid", method="landmarks", landmarks=pairs)["id"]
    rest.post(f"transforms/{faster}/accept/", reason="faster")
    page.get_by_role("button", name="Accept", exact=True).click()
    page.get_by_text("to put this one in its place").wait_for()
    assert faster in page.inner_text("#standing")
    assert rest.get(f"transforms/{saved}/")["status"] == "candidate"
    page.locator("#replace").check()
    page.get_by_role("button", name="Accept", exact=True).click()
    page.locator("#accepted-words").wait_for()
    assert rest.get(f"transforms/{faster}/")["status"] == "candidate"
    ada.complaints.clear()  # the browser names the 409 itself


def _typed(page: Any, count: int) -> None:
    """Pairs by numbers, with keys alone."""
    for index in range(count):
        page.locator("#pair-add").focus()
        page.keyboard.press("Enter")
        x, y = DOTS_UM[index]
        page.keyboard.type(f"{x}, {y}")  # the new row has the focus
        page.keyboard.press("Tab")
        page.keyboard.type(f"{x + 3.0}, {y}, 0")
        page.keyboard.press("Tab")
    page.locator("#pane-source").focus()


# -------------------------------------------------------------------------------------------------------------- access


def test_the_page_is_usable_by_keys_alone(ada: Visitor, made: MadePair) -> None:
    page = opened(ada, made.address("coarse", "plain"))
    for key, side in (("ArrowRight", "source"), ("ArrowDown", "target")):
        page.locator(f"#pane-{side}").focus()
        before = pane(page, side, "return [...p.view.at];")
        page.keyboard.press(key)
        page.keyboard.press(f"Shift+{key}")
        after = pane(page, side, "return [...p.view.at];")
        axis = 0 if key == "ArrowRight" else 1
        assert after[axis] - before[axis] == pytest.approx(41 * pane(page, side, "return p.view.scale;"))
        page.keyboard.press("Enter")
    assert page.locator("#pairs tr").count() == 1
    page.locator("#pane-source").focus()
    page.keyboard.press(".")
    assert pane(page, "source", "return p.slice;") == 21
    page.keyboard.press("f")
    alert = page.locator("#register-error")
    alert.wait_for()
    assert "needs at least 3 pairs; there are 1" in alert.inner_text()
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert page.locator("#pairs tr").count() == 0
    ada.complaints.clear()  # the browser names the 400 itself


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", list(SIZES))
def test_the_page_has_no_serious_violation(ada: Visitor, made: MadePair, size: str, scheme: str) -> None:
    page = opened(ada, made.address("source", "target", **_latest(ada, made)))
    ada.look(size, scheme)
    assert not ada.violations()
    assert not ada.too_wide()
    if (size, scheme) == ("1280 x 720", "light"):
        assert not ada.out_of_reach()
    page.goto(f"{ada.address}/register/?source={made.images['source']}")
    assert page.locator("#target option").count() == len(made.images) + 1
    assert not ada.violations()


def _latest(ada: Visitor, made: MadePair) -> dict[str, str]:
    """The newest registration of the two, so that the page is full."""
    found = ada.page.request.get(
        f"{ada.address}/api/v1/transforms/?source={made.frames['source']}&target={made.frames['target']}"
    ).json()["results"]
    return {"transform": found[0]["id"]} if found else {}
