"""The point of it all over REST: a volume and a micrograph, six pairs, an error that is true, a buried place, a stage.

The study is made (``fixtures/made_study``), so that the truth is known; every number is asked for as a script would.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import override_settings
from rest_framework.test import APIClient
from scipy import stats

from apps.jobs import dispatch
from apps.jobs.models import Job
from apps.projects.services import create_user
from fixtures.made_study import make as generator
from tests.made_study import FIBRE_FROM, FOLDER, TRUTH, MadeStudy, make, pairs
from tests.study import run_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_keeper")]


class Client:
    """One account before the REST surface of this process."""

    def __init__(self, user: Any) -> None:
        self.client = APIClient()
        self.client.force_authenticate(user)

    def get(self, path: str) -> Any:
        answer = self.client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self.client.post(f"/api/v1/{path}", body, format="json")
        assert answer.status_code < 300, answer.content
        return answer.json()

    def upload(self, acquisition: str, name: str, data: bytes) -> None:
        sent = {"file": SimpleUploadedFile(name, data, "image/tiff")}
        answer = self.client.post(f"/api/v1/acquisitions/{acquisition}/files/", sent, format="multipart")
        assert answer.status_code == 201, answer.content

    def finish(self, job: str) -> Any:
        run_job(Job.objects.get(pk=job))
        return self.get(f"jobs/{job}/")


@pytest.fixture(scope="module")
def study(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Client, Client, MadeStudy]]:
    """Staff, a member and the study; committed, and flushed afterwards."""
    root: Path = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), override_settings(CORR_DATA_ROOT=root):
        patch.setattr(dispatch, "ring", lambda job_id: True)
        try:
            staff = Client(create_user(username="made-staff", password="a-long-enough-word", is_staff=True))
            member = Client(create_user(username="made-member", password="a-long-enough-word"))
            yield staff, member, make(staff, member)
        finally:
            call_command("flush", verbosity=0, interactive=False)


def test_the_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    again = generator.make(tmp_path)
    for name, digest in TRUTH["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
        kept, made = (np.asarray(generator.tifffile.imread(folder / name), int) for folder in (FOLDER, tmp_path))
        assert np.abs(kept - made).max() <= 1, name  # what a processor rounds otherwise
    del again["sha256"]
    np.testing.assert_allclose(_numbers(again), _numbers({k: v for k, v in TRUTH.items() if k != "sha256"}), rtol=1e-9)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 3_000_000


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in _numbers(value[key])]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


def factor_95(dimensions: int, freedom: float | None) -> float:
    if freedom is None:
        return float(np.sqrt(stats.chi2.ppf(0.95, dimensions)))
    return float(np.sqrt(dimensions * stats.f.ppf(0.95, dimensions, freedom)))


def within_95(mapped: Any, index: int, truth: Any) -> bool:
    """The truth lies in the stated 95 % ellipsoid."""
    off = np.array(mapped["points"][index]) - np.array(truth)
    squared = off @ np.linalg.solve(np.array(mapped["covariances"][index]), off)
    return bool(squared <= factor_95(3, mapped["degrees_of_freedom"][index]) ** 2)


def test_from_two_images_to_a_place_on_the_stage_and_back(study: tuple[Client, Client, MadeStudy]) -> None:
    staff, member, made = study
    for name, image in made.images.items():
        assert image["calibrated"], name
        assert image["calibration"]["id"] in made.calibrations.values()

    # six pairs, six held out
    ends = {"source": made.frame("sem"), "target": made.frame("xrm"), "kind": "rigid"}
    shown = member.post("transforms/fit/", **ends, landmarks=pairs())
    assert shown["suspects"] == []
    fitted = member.post("transforms/", **ends, method="landmarks", landmarks=pairs(), reason="six fibres")
    assert fitted["matrix"] == shown["matrix"]
    assert fitted["facts"]["held_out"]["agrees"] is True
    member.post(f"transforms/{fitted['id']}/accept/", reason="held-out pairs agree")

    # the error is true: at places that took no part in the fit
    held = [row for row in TRUTH["landmarks"] if row["state"] == "held_out"]
    mapped = member.post(
        f"frames/{made.frame('sem')}/map/", to=made.frame("xrm"), points=[row["sem_calibrated"] for row in held]
    )
    inside = [within_95(mapped, index, row["xrm_calibrated"]) for index, row in enumerate(held)]
    assert sum(inside) >= 5, inside
    assert max(mapped["u95_um"]) < 5.0, "an error that holds because it is huge says nothing"
    assert mapped["warnings"] == []

    # a buried region, and how deep it lies below the face
    edge = [(0, 0), (87.8, 0), (87.8, 65.8), (0, 65.8)]
    face = {"type": "polygon", "coordinates": [[x, y, 0.0] for x, y in edge]}
    member.post("rois/", frame=made.frame("sem"), geometry=face, name="polished face", purpose="surface")
    place = TRUTH["buried"]["xrm_calibrated"]
    roi = member.post(
        "rois/", frame=made.frame("xrm"), geometry={"type": "point", "coordinates": place}, name="buried fibre end"
    )
    covering = {row["image"] for row in member.get(f"rois/{roi['id']}/coverage/")["results"]}
    assert made.images["xrm"]["id"] in covering
    target = member.get(f"rois/{roi['id']}/targeting/?mount={made.mount}")
    truth = np.array(TRUTH["buried"]["stage_um"])
    off = np.array(target["point"]) - truth
    assert np.linalg.norm(off) <= target["u95_um"]
    assert target["u95_um"] < 15
    assert target["depth"]["depth_um"] == pytest.approx(TRUTH["buried"]["depth_um"], abs=target["u95_um"])
    assert (target["position"]["rotation"], target["position"]["tilt"]) == (35.0, 0.0)
    assert target["field"]["fits"] is True
    member.post(f"rois/{roi['id']}/target/", mount=made.mount, reason="the fibre ends inside")

    # found where the truth is
    reading = {"x": truth[0], "y": -truth[1], "z": truth[2]}
    found = member.post(f"rois/{roi['id']}/found/", mount=made.mount, position=reading, u_um=0.5)
    assert found["distance_um"] == pytest.approx(float(np.linalg.norm(off)), rel=1e-6)
    assert found["p_value"] > 0.05
    (history,) = member.get("found/history/")["results"]
    assert (history["count"], history["contradicts"]) == (1, False)

    # a number that is a length, and one that is none
    labels = member.finish(
        member.post(
            "jobs/",
            project=made.project,
            plugin="segmentation.threshold",
            params={"method": "fixed", "thresholds": [FIBRE_FROM]},
            inputs={"image": made.images["xrm"]["id"]},
        )["id"]
    )["outputs"]["labels"]["id"]
    measured = member.finish(
        member.post("jobs/", project=made.project, plugin="segmentation.measure", params={}, inputs={"labels": labels})[
            "id"
        ]
    )
    diameter = measured["outputs"]["mean_diameter"]["id"]
    before = member.get(f"properties/{diameter}/")
    assert before["stale"] is False
    assert before["error"]["scale"] > 0
    kept = {path: member.get(path) for path in (f"transforms/{fitted['id']}/", f"rois/{roi['id']}/")}

    # the calibration falls
    gone = staff.post(f"calibrations/{made.calibrations['xrm']}/withdraw/", reason="the grating was another one")
    assert gone["stale"] == [], "staff see nothing of a project that they are not members of"
    for thing in (f"transforms/{fitted['id']}", f"rois/{roi['id']}", f"found/{found['id']}"):
        assert member.get(f"{thing}/stale/")["stale"] is True, thing
    assert member.get(f"properties/{diameter}/")["stale"] is True
    assert member.get(f"properties/{diameter}/")["value"] == before["value"]
    assert {path: member.get(path) for path in kept} == kept, "nothing is overwritten"
    again = member.post(f"frames/{made.frame('sem')}/map/", to=made.frame("xrm"), points=[[0, 0, 0]])
    assert any("stale" in warning for warning in again["warnings"])
    warnings = member.get(f"rois/{roi['id']}/targeting/?mount={made.mount}")["warnings"]
    assert any(f"region {roi['id']} is stale" in line for line in warnings)
    assert any("withdrawn" in line for line in warnings)
    assert member.get("found/history/")["results"] == []
    story = json.dumps(member.get(f"rois/{roi['id']}/derivation/"))
    assert "the fibre ends inside" in story
    assert "the grating was another one" in story


def test_a_wrong_pair_is_pointed_out_rejected_and_the_former_version_stays(
    study: tuple[Client, Client, MadeStudy],
) -> None:
    """Nine pairs of which one is of another fibre; what is stored of the pairs is what anybody computes."""
    _, member, made = study
    ends = {"source": made.frame("sem"), "target": made.frame("xrm"), "kind": "rigid", "method": "landmarks"}
    given = [pair | {"state": "active"} for pair in pairs()]
    given[4]["target"] = np.add(given[4]["target"], [9.0, -6.0, 4.0]).tolist()
    former = member.post("transforms/", **ends, landmarks=given)
    assert former["suspects"] == [4]
    given[4] |= {"state": "rejected", "reason": "another fibre"}
    better = member.post("transforms/", **ends, landmarks=given, supersedes=former["id"])
    assert better["suspects"] == []
    assert better["residual_um"] < former["residual_um"] / 2
    kept = member.get(f"transforms/{former['id']}/")
    assert kept["matrix"] == former["matrix"]
    assert [row["state"] for row in kept["landmarks"]] == ["active"] * len(given)
    assert (kept["superseded_by"], better["supersedes"]) == (better["id"], former["id"])
    for said in (kept, member.get(f"transforms/{better['id']}/")):
        matrix = np.array(said["matrix"])
        for row, stored in zip(said["landmarks"], said["residuals_um"], strict=True):
            image = matrix[:3, :3] @ row["source"] + matrix[:3, 3]
            assert stored == pytest.approx(float(np.linalg.norm(image - np.array(row["target"]))), rel=1e-9)
            assert row["residual_um"] == stored
        active = [r for r, row in zip(said["residuals_um"], said["landmarks"], strict=True) if row["state"] == "active"]
        assert said["residual_um"] == pytest.approx(float(np.sqrt(np.mean(np.square(active)))), rel=1e-9)
