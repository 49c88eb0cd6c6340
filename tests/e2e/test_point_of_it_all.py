"""The point of it all in a real browser, from two images to a place on a stage and back, on the made study.

A member of a lab clicks six pairs, accepts the fit, sees the overlay with its error, draws a buried region, prints
where the stage has to go and enters what was found; staff withdraw a calibration; what rests on it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.e2e import browser
from tests.e2e.made_rest import WireRest
from tests.e2e.phantoms import PASSWORD
from tests.e2e.served import Served
from tests.e2e.viewer_page import opened as viewing
from tests.e2e.whole_walk import WEBGL, Walk, draw_face, measure, running, visitor, withdraw
from tests.made_study import TRUTH, MadeStudy, make

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "there is a browser"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(tmp_path_factory.mktemp("whole")) as server:
        yield server


@pytest.fixture(scope="module")
def address(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser.launched(*WEBGL) as started:
        yield started


def test_the_point_of_it_all(chrome: Any, address: str, tmp_path: Path) -> None:
    ben = WireRest(address, "ben", PASSWORD)
    made = make(WireRest(address, "ada", PASSWORD), ben, names=("xrm", "sem"))
    draw_face(ben, made)
    diameter = measure(ben, made)
    lab = visitor(chrome, address, "ben")
    walk, page = Walk(lab, made, ben), lab.page

    transform = walk.register()
    walk.overlay()
    region = walk.draw_buried()
    walk.on_the_stage(region, tmp_path)
    the_error_is_true(ben, made)
    assert not lab.complaints

    page.goto(f"{address}/numbers/{diameter}/")
    assert "Stale:" not in page.inner_text("main")
    withdraw(visitor(chrome, address, "ada"), made.calibrations["xrm"])
    page.goto(f"{address}/regions/{region}/?mount={made.mount}")
    assert "Stale: something this region rests on was withdrawn" in page.inner_text("main")
    assert "another grating" in page.inner_text("main")
    page.goto(f"{address}/numbers/{diameter}/")
    assert "Stale: something this number rests on was withdrawn" in page.inner_text("main")
    page = viewing(lab, walk.both)
    page.get_by_text(f"Transform {transform} is stale").first.wait_for()
    assert ben.get(f"transforms/{transform}/stale/")["stale"] is True
    assert not lab.complaints


def the_error_is_true(ben: WireRest, made: MadeStudy) -> None:
    """At least five of the six places that nobody clicked lie within the stated 95 % error."""
    held = [row for row in TRUTH["landmarks"] if row["state"] == "held_out"]
    points = [row["sem_calibrated"] for row in held]
    mapped = ben.post(f"frames/{made.frame('sem')}/map/", to=made.frame("xrm"), points=points)
    inside = 0
    for index, row in enumerate(held):
        off = np.array(mapped["points"][index]) - np.array(row["xrm_calibrated"])
        freedom = mapped["degrees_of_freedom"][index]
        limit = 3 * stats.f.ppf(0.95, 3, freedom)
        inside += off @ np.linalg.solve(np.array(mapped["covariances"][index]), off) <= limit
    assert inside >= 5
    assert max(mapped["u95_um"]) < 6
