"""The way from two images to a place on a stage and back, as a member of the lab and staff walk it in a browser.

The test of it asserts on the way; the pictures of the tutorial are taken on it: ``keep`` is told the name of each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.browser import Visitor
from tests.e2e.made_rest import WireRest
from tests.e2e.phantoms import PASSWORD
from tests.e2e.register_page import click as mark
from tests.e2e.register_page import opened as registering
from tests.e2e.register_page import pane, still
from tests.e2e.served import Served, services, wait_for
from tests.e2e.viewer_page import adapter, click
from tests.e2e.viewer_page import opened as viewing
from tests.made_study import FIBRE_FROM, TRUTH, MadeStudy

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_START_SECONDS = 600.0
_MEMBER = (
    "import django; django.setup(); from apps.projects.services import create_user;"
    f" create_user(username='ben', password='{PASSWORD}')"
)
FACE = [[0.0, 0.0, 0.0], [87.8, 0.0, 0.0], [87.8, 65.8, 0.0], [0.0, 65.8, 0.0]]
SETTLE_MS = 500  # until the client of the viewer has drawn where it was sent


@contextmanager
def running(root: Path) -> Iterator[Served]:
    """A server with two accounts: ada, who is staff, and ben, who is not."""
    with services() as chosen:
        server = Served(root, DJANGO_SETTINGS_MODULE="corr_project.settings", CORR_LEASE_SECONDS="30", **chosen)
        server.environment |= {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, "DJANGO_SUPERUSER_EMAIL": "a@example.org"}
        try:
            server.start(wait=False)
            server.wait_healthy(_START_SECONDS)
            for command in (["manage.py", "createsuperuser", "--noinput", "--username", "ada"], ["-c", _MEMBER]):
                assert server.spawn([sys.executable, *command]).wait(300) == 0, server.log()[-2000:]
            yield server
        finally:
            server.stop()


def draw_face(ben: WireRest, study: MadeStudy) -> None:
    """The surface below which depths count: the polished face, all round the micrograph."""
    face = {"type": "polygon", "coordinates": FACE}
    ben.post("rois/", frame=study.frame("sem"), geometry=face, name="polished face", purpose="surface")


def measure(ben: WireRest, made: MadeStudy) -> str:
    """Tell fibres from resin and measure them; returns the id of their mean diameter."""
    params = {"method": "fixed", "thresholds": [FIBRE_FROM]}
    given = {"image": made.images["xrm"]["id"]}
    about = {"project": made.project, "plugin": "segmentation.threshold"}
    labels = ben.finish(ben.post("jobs/", **about, params=params, inputs=given)["id"])["outputs"]["labels"]["id"]
    about["plugin"] = "segmentation.measure"
    measured = ben.finish(ben.post("jobs/", **about, params={}, inputs={"labels": labels})["id"])
    return str(measured["outputs"]["mean_diameter"]["id"])


def visitor(chrome: Any, address: str, name: str) -> Visitor:
    """Somebody who has logged in."""
    found = Visitor(chrome, address)
    found.log_in(name, PASSWORD)
    return found


@dataclass
class Walk:
    """A member of the lab before the pages."""

    lab: Visitor
    made: MadeStudy
    ben: WireRest
    keep: Callable[[str], None] = lambda name: None

    @property
    def page(self) -> Any:
        return self.lab.page

    @property
    def both(self) -> str:
        """Address of the viewer with the micrograph over the volume."""
        return f"/view/?images={self.made.images['xrm']['id']},{self.made.images['sem']['id']}"

    def register(self) -> str:
        """Click six pairs, fit on a key, keep and accept; returns the id of the transform."""
        path = f"/register/?source={self.made.images['sem']['id']}&target={self.made.images['xrm']['id']}"
        page = registering(self.lab, path)
        six = [row for row in TRUTH["landmarks"] if row["state"] == "active"]
        for number, row in enumerate(six, start=1):
            for side, point, scale in (("source", row["sem_picked"], 0.1), ("target", row["xrm_picked"], 0.25)):
                pane(page, side, f"p.moveTo(x, {scale});", point)
                still(page)
                mark(page, side, np.array(point))
            assert page.locator("#pairs tr").count() == number
        page.locator("body").press("f")
        page.locator("#results").wait_for()
        page.locator("#fit-facts").get_by_text("µm").first.wait_for()
        assert page.locator("#fit-suspects li", has_text="Reject").count() == 0
        page.locator("#home-source").click()
        still(page)
        self.keep("correlate-pairs")
        page.locator("body").press("o")
        assert page.locator("#overlay").get_attribute("aria-pressed") == "true"
        page.locator("#over-side").select_option("source")
        page.locator("body").press("e")
        page.locator("#map-legend").wait_for()
        assert "m" in page.inner_text("#map-most")
        still(page)
        self.keep("correlate-error")
        page.locator("#save-reason").fill("six fibres seen in both")
        page.locator("#save").click()
        page.wait_for_url("**transform=*")
        transform = page.url.split("transform=")[1].split("&")[0]
        page.locator("#accept-reason").fill("the residuals are those of a hand")
        page.locator("#accept").click()
        page.locator("#accepted-words").wait_for()
        return transform

    def overlay(self) -> None:
        """The micrograph over the volume, with the error of the overlay beside it."""
        self.page.locator("#accepted-words a").click()
        self.page.wait_for_selector("#viewer[data-ready]")
        self.page.wait_for_timeout(SETTLE_MS)
        row = self.page.locator(f'[data-layer="{self.made.images["sem"]["id"]}"]')
        words = row.inner_text()
        assert "Through 1 transform; 95 % error of the overlay" in words
        assert re.search(r"overlay [\d.]+ [nµ]m at its middle", words), words

    def draw_buried(self) -> str:
        """Mark the buried place in the volume, as the truth has it."""
        page = viewing(self.lab, self.both)
        place = np.array(TRUTH["buried"]["xrm_calibrated"])
        adapter(page, "a.setScale(0.1); a.moveTo(x);", (place - [2.0, -1.0, 0.0]).tolist())
        page.get_by_role("button", name="Point", exact=True).click()
        page.wait_for_timeout(SETTLE_MS)
        click(page, 20, -10)
        self.keep("correlate-region")
        page.locator("#region-name").fill("buried fibre end")
        page.locator("#region-purpose").fill("to be cut free")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved buried fibre end").wait_for()
        (row,) = self.ben.get(f"rois/?frame={self.made.frame('xrm')}")["results"]
        assert np.array(row["geometry"]["coordinates"]) == pytest.approx(place, abs=0.2)
        page.locator("#regions a", has_text="buried fibre end").click()
        page.wait_for_url(f"**/regions/{row['id']}/**")
        return str(row["id"])

    def on_the_stage(self, region: str, folder: Path) -> None:
        """Position and depth with their 95 % error, on the page and on paper; then what was found."""
        page, truth = self.page, np.array(TRUTH["buried"]["stage_um"])
        page.locator("#mount").select_option(self.made.mount)
        page.get_by_role("button", name="Where is it?").click()
        page.locator("#position").wait_for()
        target = self.ben.get(f"rois/{region}/targeting/?mount={self.made.mount}")
        assert np.linalg.norm(np.array(target["point"]) - truth) <= target["u95_um"]
        assert target["depth"]["depth_um"] == pytest.approx(TRUTH["buried"]["depth_um"], abs=target["u95_um"])
        for axis in "xyz":
            row = page.locator("#position tr", has=page.locator("th", has_text=re.compile(f"^{axis}$"))).first
            shown = float(row.locator("td strong").inner_text().split()[0])
            assert shown * 1e3 == pytest.approx(target["position"][axis], abs=0.6), "the stage shows millimetres"
        page.goto(f"{self.lab.address}/regions/{region}/sheet/?mount={self.made.mount}")
        words = page.inner_text("body")
        assert "buried fibre end" in words
        assert "95 %" in words
        assert "epth" in words
        self.keep("correlate-sheet")
        paper = page.pdf(path=folder / "sheet.pdf", format="A4")
        assert paper.startswith(b"%PDF")
        page.goto(f"{self.lab.address}/regions/{region}/?mount={self.made.mount}")
        page.get_by_label("Why this region").fill("the fibre ends inside")
        page.get_by_role("button", name="Send to Made FIB-SEM").click()
        page.locator("h1", has_text="targeted").wait_for()
        reading = {"x": truth[0] / 1e3, "y": -truth[1] / 1e3, "z": truth[2] / 1e3}
        form = page.locator("form[action$='/found/']")
        for axis, value in reading.items():
            form.locator(f"[name='{axis}']").fill(f"{value:.5f}")
        form.get_by_role("button", name="Keep it").click()
        page.get_by_role("heading", name="Predicted and found").wait_for()
        page.get_by_role("heading", name="Predicted and found").scroll_into_view_if_needed()
        self.keep("correlate-found")
        (found,) = self.ben.get(f"rois/{region}/found/")["results"]
        assert found["point"] == pytest.approx(truth.tolist(), abs=0.01)
        assert found["p_value"] > 0.01


def withdraw(staff: Visitor, calibration: str) -> None:
    """As staff, on the page of the calibration."""
    page = staff.page
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{staff.address}/calibrations/{calibration}/")
    page.get_by_label("Why it is withdrawn").fill("the certificate is of another grating")
    page.get_by_role("button", name="Withdraw").click()
    wait_for(lambda: "went stale" in page.inner_text("body"), 60, "the calibration is withdrawn")
