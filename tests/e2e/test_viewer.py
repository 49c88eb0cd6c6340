"""The viewer in a real browser: every layer on every load, and every sample at the right pixel.

All images here are made: dark volumes with one bright sample, so that the truth is one point.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.e2e import browser
from tests.e2e.browser import SCHEMES, SIZES, Visitor
from tests.e2e.phantoms import (
    BLOCK,
    COARSE_AT,
    COARSE_UM,
    FAR_FROM_ORIGIN,
    FAR_UM,
    FINE_AT,
    FINE_UM,
    LONG_AT,
    PASSWORD,
    SPECIMEN_AT,
    SPECIMEN_U_UM,
    Made,
    Rest,
    make,
    place,
)
from tests.e2e.served import Served, services, wait_for
from tests.e2e.viewer_page import DRAW_SECONDS, adapter, click, hover, look, opened, settled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "there is a browser"),
]
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_START_SECONDS = 600.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("viewer")
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
def made(rest: Rest) -> Made:
    return make(rest)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser.launched(*WEBGL) as running:
        yield running


@pytest.fixture(scope="module")
def ada(chrome: Any, address: str) -> Visitor:
    visitor = Visitor(chrome, address)
    visitor.log_in("ada", PASSWORD)
    return visitor


# ------------------------------------------------------------------------------------------------------------- loading


def test_ten_fresh_profiles_of_ten_show_every_layer(chrome: Any, ada: Visitor, made: Made) -> None:
    wanted = ["1 made coarse", "2 made fine", "3 made far", "regions from elsewhere", "regions", "draft"]
    ready = "return a.layerNames().every((name) => a.layer(name).isReady() && !a.trouble(name));"
    seen = []
    for _ in range(10):
        visitor = Visitor(chrome, ada.address)
        visitor.context.add_cookies(ada.context.cookies())
        page = opened(visitor, made.view("coarse", "fine", "far"))
        page.wait_for_timeout(500)  # what is lost is lost at once, not later
        wait_for(lambda page=page: adapter(page, ready), DRAW_SECONDS, "every layer has its source")
        seen.append(adapter(page, "return a.layerNames();"))
        assert not visitor.complaints
        visitor.context.close()
    assert seen == [wanted] * 10


# -------------------------------------------------------------------------------------------------------- right pixels

SHIFT = np.array([60.0, -40.0])  # pixels from the middle at which the bright sample is to appear


def beside(spot_at: np.ndarray, um_per_pixel: float) -> np.ndarray:
    """The point to look at, so that the bright sample appears ``SHIFT`` from the middle."""
    return spot_at - np.append(SHIFT * um_per_pixel, 0.0)


@pytest.mark.parametrize(
    ("frame", "layer", "um_per_pixel", "sample_pixels"),
    [
        ("coarse", "coarse", 0.05, 20.0),
        ("coarse", "fine", 0.01, 12.5),
        ("fine", "fine", 0.01, 12.5),
        ("fine", "coarse", 0.01, 100.0),
    ],
)
def test_one_sample_is_drawn_at_its_pixel(
    ada: Visitor, made: Made, frame: str, layer: str, um_per_pixel: float, sample_pixels: float
) -> None:
    other = "fine" if frame == "coarse" else "coarse"
    page = opened(ada, made.view(frame, other))
    truth = place(COARSE_AT, COARSE_UM) if frame == "coarse" else place(FINE_AT, FINE_UM)
    number = 1 if layer == frame else 2
    look(page, f"{number} made {layer}", beside(truth, um_per_pixel), um_per_pixel)
    right, down, pixels = settled(page)
    # Half a sample is 6 to 50 pixels here: a slip of the convention cannot hide.
    assert [right, down] == pytest.approx(SHIFT.tolist(), abs=0.75)
    assert 0.8 * sample_pixels**2 < pixels < 2.0 * sample_pixels**2  # an oblique cut through a cube is the larger
    assert not ada.complaints


def test_axes_are_not_mirrored(ada: Visitor, made: Made) -> None:
    """In a plane of the other two pairs of axes too, and with the spot far off the middle along each."""
    page = opened(ada, made.view("coarse"))
    truth = place(COARSE_AT, COARSE_UM)
    for layout, across, down in (("xy", 0, 1), ("xz", 0, 2)):
        adapter(page, "a.setLayout(x);", layout)
        at = truth.copy()
        at[across] -= 4.0
        at[down] += 2.0
        look(page, "1 made coarse", at, 0.1)
        found = settled(page)
        assert found[:2] == pytest.approx([40.0, -20.0], abs=0.75)


def test_five_nanometres_at_fifty_millimetres_are_drawn_right(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("coarse", "far"))
    um_per_pixel = FAR_UM / 12
    look(page, "2 made far", beside(FAR_FROM_ORIGIN, um_per_pixel), um_per_pixel)
    right, down, pixels = settled(page)
    assert [right, down] == pytest.approx(SHIFT.tolist(), abs=0.75)
    assert 0.8 * 12**2 < pixels < 2.0 * 12**2
    assert adapter(page, "return a.position();") == pytest.approx(
        beside(FAR_FROM_ORIGIN, um_per_pixel).tolist(), abs=1e-3 * FAR_UM
    )


def test_a_coarser_level_lies_on_the_finest(ada: Visitor, made: Made) -> None:
    """Two bright columns at the edges of a block are one even grey in a coarser level: twice as many bright pixels."""
    page = opened(ada, made.view("long"))
    truth = (np.array(LONG_AT[::-1]) + (BLOCK - 1) / 2) * COARSE_UM  # the middle of the block
    look(page, "1 made long", beside(truth, 0.1), 0.1)
    block = (BLOCK * COARSE_UM / 0.1) ** 2
    # The second number: how many pixels a sample may have before a finer level is taken.
    for lit, target in ((block / 2, 1), (block, 40)):
        adapter(page, "a.layer('1 made long').layer.sliceViewRenderScaleTarget.value = x;", target)
        wait_for(lambda lit=lit: settled(page)[2] == pytest.approx(lit, rel=0.15), DRAW_SECONDS, f"{lit} bright pixels")
        assert settled(page)[:2] == pytest.approx(SHIFT.tolist(), abs=0.75)


def test_the_pointer_reads_the_place_of_the_sample(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("coarse", "fine"))
    truth = place(COARSE_AT, COARSE_UM)
    look(page, "1 made coarse", beside(truth, 0.05), 0.05)
    hover(page, *SHIFT)
    said = page.inner_text("#cursor-here")
    numbers = [float(word.strip(", ")) for word in said.replace("µm", "").split() if word.strip(", ")[-1:].isdigit()]
    assert numbers == pytest.approx(truth.tolist(), abs=0.06)
    assert said.endswith("µm")


def test_the_pointer_reads_the_place_in_the_specimen_with_its_error(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("coarse"))
    truth = place(COARSE_AT, COARSE_UM)
    look(page, "1 made coarse", truth, 0.05)
    hover(page, 0, 0)
    said = page.locator("#cursor-specimen")
    wait_for(lambda: "±" in said.inner_text(), DRAW_SECONDS, said.inner_text())
    found = dict(re.findall(r"([xyz]) (-?[0-9.]+ ± [0-9.]+)", said.inner_text()))
    assert sorted(found) == ["x", "y", "z"]
    for axis, wanted in zip("xyz", truth + SPECIMEN_AT, strict=True):
        value, error = (float(word) for word in found[axis].split(" ± "))
        assert value == pytest.approx(wanted, abs=0.06)
        assert error == pytest.approx(2.80 * SPECIMEN_U_UM, abs=0.006)  # 95 % in space
    assert not ada.complaints


def test_an_image_without_scale_is_shown_in_samples(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("bare", "coarse"))
    text = page.inner_text("main")
    assert "has no scale" in text
    assert "the view is in samples" in text.lower()
    truth = np.array(COARSE_AT[::-1], np.float64)
    look(page, "1 made bare", beside(truth, 0.05), 0.05)
    right, down, _ = settled(page)
    assert [right, down] == pytest.approx(SHIFT.tolist(), abs=0.75)
    assert page.inner_text("#cursor-here").endswith("samples")


# ------------------------------------------------------------------------------------------------------------ controls


def test_blinking_changes_between_two_layers_on_a_key(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("coarse", "fine"))
    shown = "return a.layerNames().slice(0, 2).map((name) => a.layer(name).visible);"
    assert adapter(page, shown) == [True, True]
    page.locator("body").press("b")
    assert adapter(page, shown) == [True, False]
    page.frame_locator("#viewer").locator("body").press("b")
    assert adapter(page, shown) == [False, True]
    page.get_by_role("button", name="Overlay again").click()
    assert adapter(page, shown) == [True, True]
    assert adapter(page, "return a.layer('2 made fine').layer.opacity.value;") == 0.5


def test_contrast_opacity_and_visibility_follow_the_fields(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("coarse", "fine"))
    row = page.locator(f'[data-layer="{made.images["fine"]}"]')
    row.locator('[name="opacity"]').fill("80")
    row.locator('[name="white"]').fill("2000")
    row.locator('[name="white"]').press("Tab")
    made_state = adapter(page, "return a.layer('2 made fine').layer.toJSON();")
    assert made_state["opacity"] == 0.8
    assert made_state["shaderControls"]["grey"]["range"] == [1000, 2000]
    row.locator('[name="visible"]').uncheck()
    assert adapter(page, "return a.layer('2 made fine').visible;") is False
    assert adapter(page, "return a.layer('1 made coarse').visible;") is True


# ------------------------------------------------------------------------------------------------------------- regions


def stored(rest: Rest, made: Made, name: str) -> list[dict[str, Any]]:
    rows = rest.get(f"rois/?frame={made.frames['coarse']}&current=true")["results"]
    return [row for row in rows if row["name"] == name]


def test_a_region_is_drawn_saved_and_corrected(ada: Visitor, made: Made, rest: Rest) -> None:
    page = opened(ada, made.view("coarse"))
    look(page, "1 made coarse", np.array([20.0, 20.0, 11.0]), 0.1)
    page.get_by_role("button", name="Polygon", exact=True).click()
    for right, down in ((-50, -50), (50, -50), (50, 30)):
        click(page, right, down)
    page.keyboard.press("Enter")
    page.locator("#region-name").fill("made triangle")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved made triangle").wait_for()
    (row,) = stored(rest, made, "made triangle")
    assert row["geometry"]["type"] == "polygon"
    assert np.array(row["geometry"]["coordinates"]) == pytest.approx(
        np.array([[15.0, 15.0, 11.0], [25.0, 15.0, 11.0], [25.0, 23.0, 11.0]]), abs=0.06
    )
    page = opened(ada, made.view("coarse"))  # drawn from what is stored
    drawn = adapter(page, "return a.drawn('regions').toJSON();")
    assert [annotation["id"] for annotation in drawn if annotation["description"] == "made triangle"] == [row["id"]]
    page.get_by_role("button", name="Edit made triangle").click()
    lines = page.locator("#region-points").input_value().splitlines()
    lines[0] = "14, 15, 11"
    page.locator("#region-points").fill("\n".join(lines))
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved made triangle").wait_for()
    (newer,) = stored(rest, made, "made triangle")
    assert newer["supersedes"] == row["id"]
    assert newer["version"] == 2
    assert newer["geometry"]["coordinates"][0] == [14.0, 15.0, 11.0]
    drawn = adapter(page, "return a.drawn('regions').toJSON().map((annotation) => annotation.id);")
    assert newer["id"] in drawn
    assert row["id"] not in drawn
    assert not ada.complaints


@pytest.mark.parametrize(("kind", "clicks"), [("Point", [(10, 20)]), ("Box", [(-30, -20), (40, 10)])])
def test_points_and_boxes_need_no_key(
    ada: Visitor, made: Made, rest: Rest, kind: str, clicks: list[tuple[int, int]]
) -> None:
    page = opened(ada, made.view("coarse"))
    look(page, "1 made coarse", np.array([20.0, 20.0, 11.0]), 0.1)
    page.get_by_role("button", name=kind, exact=True).click()
    for right, down in clicks:
        click(page, right, down)
    page.locator("#region-name").fill(f"made {kind}")
    page.get_by_role("button", name="Save").click()
    page.get_by_text(f"Saved made {kind}").wait_for()
    (row,) = stored(rest, made, f"made {kind}")
    wanted = [[20.0 + 0.1 * right, 20.0 + 0.1 * down, 11.0] for right, down in clicks]
    assert np.array(row["geometry"]["coordinates"]).reshape(-1, 3) == pytest.approx(np.array(wanted), abs=0.06)


def test_a_refused_region_says_why_and_stays(ada: Visitor, made: Made) -> None:
    page = opened(ada, made.view("coarse"))
    page.get_by_role("button", name="Polyline", exact=True).click()
    for right in (-20, 20):
        click(page, right, 0)
    page.keyboard.press("Enter")
    page.locator("#region-name").fill("made line")
    page.locator("#region-points").fill("1, 2, 3\n1, 2, 3")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("its points are all the same").wait_for()
    page.locator("#region-points").fill("1, 2")
    page.get_by_role("button", name="Save").click()
    assert "three numbers" in page.inner_text("#region-error")
    assert page.locator("#region-form").is_visible()
    ada.complaints.clear()  # the browser names the 400 itself


def test_a_region_marked_in_the_fine_image_is_seen_in_the_coarse_one(ada: Visitor, made: Made, rest: Rest) -> None:
    point = {"type": "point", "coordinates": place(FINE_AT, FINE_UM).tolist()}
    row = rest.post("rois/", frame=made.frames["fine"], geometry=point, name="made far pore")
    page = opened(ada, made.view("coarse"))
    drawn = adapter(page, "return a.drawn('regions from elsewhere').toJSON();")
    (found,) = [annotation for annotation in drawn if annotation["id"] == row["id"]]
    lies = adapter(page, "return a.toFrame(x);", found["point"])
    assert lies == pytest.approx(place(COARSE_AT, COARSE_UM).tolist(), abs=1e-3)
    page.get_by_role("button", name="Show made far pore").click()
    assert adapter(page, "return a.position();") == pytest.approx(lies, abs=1e-3)
    assert "error not known" in page.inner_text("#regions-elsewhere")  # the way there states none
    page.locator("#elsewhere-visible").uncheck()
    assert adapter(page, "return a.layer('regions from elsewhere').visible;") is False
    assert not ada.complaints


# -------------------------------------------------------------------------------------------------------------- access


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", list(SIZES))
def test_the_page_has_no_serious_violation(chrome: Any, ada: Visitor, made: Made, size: str, scheme: str) -> None:
    visitor = Visitor(chrome, ada.address, size=size, scheme=scheme)
    visitor.context.add_cookies(ada.context.cookies())
    page = opened(visitor, made.view("coarse", "fine"))
    page.get_by_role("button", name="Box", exact=True).click()
    # Inside is the page of another project, its controls switched off: what is left of it is a picture with a name.
    assert visitor.violations(exclude=["#viewer"]) == []
    assert page.locator("#viewer").get_attribute("title")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not visitor.complaints
    visitor.context.close()


def test_the_main_actions_are_reached_by_tab(ada: Visitor, made: Made) -> None:
    opened(ada, made.view("coarse", "fine"))
    reached = ada.reached_by_tab()
    assert {"Change", "Whole first image", "Go to made fine", "Blink (b)", "Polygon"} <= reached
