"""Done-when 9: one answer tells of a released number who measured, uploaded, calibrated, validated, reviewed, released.

A real SEM file, through the REST interface alone, each step by the person whose step it is; the jobs run in place of a
worker.  The calibration was overdue when the image was acquired; a person applies it all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from apps.jobs import dispatch
from apps.jobs.models import Job
from apps.projects.services import create_user
from tests.study import run_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_keeper")]

PASSWORD = "a-long-enough-word"
FILE = Path("microscopy") / "sem-zeiss" / "test_tiff_Zeiss_SEM_512pix.tif"
PIXEL_UM = 0.011649976  # of the file; acquired on 2018-09-25
FACTOR, U = 1.02, 0.004
MEASURED, DUE = "2017-05-01", "2018-05-01"
LATE = "acquired 147 days after the calibration was due"


@dataclass
class Lab:
    """People of a laboratory, each with a token of their own, and the ids of what they made."""

    clients: dict[str, APIClient]
    ids: dict[str, str] = field(default_factory=dict)

    def post(self, who: str, url: str, *, expect: int = 201, form: str = "json", **body: Any) -> Any:
        """Send a request as somebody."""
        answer = self.clients[who].post(f"/api/v1/{url}", body, format=form)
        assert answer.status_code == expect, answer.content
        return answer.json()

    def get(self, who: str, url: str) -> Any:
        """Read as somebody."""
        answer = self.clients[who].get(f"/api/v1/{url}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def run(self, who: str, plugin: str, params: dict[str, Any], **inputs: str) -> dict[str, Any]:
        """Submit an analysis, do the worker's part, and return the job with its outputs."""
        given = {"project": self.ids["project"], "plugin": plugin, "params": params, "inputs": inputs}
        job = self.post(who, "jobs/", expect=202, **given)
        return self.done(who, job["id"])

    def done(self, who: str, job: str) -> dict[str, Any]:
        """Do the worker's part of a job, and return the job."""
        run_job(Job.objects.get(pk=job))
        found: dict[str, Any] = self.get(who, f"jobs/{job}/")
        return found


@pytest.fixture
def lab(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Lab:
    settings.CORR_DATA_ROOT = tmp_path
    monkeypatch.setattr(dispatch, "ring", lambda job_id: True)
    clients = {}
    for name in ("stella", "mia", "uma", "otto", "rita", "vic"):
        create_user(username=name, password=PASSWORD, is_staff=name == "stella")
        clients[name] = APIClient()
        answer = clients[name].post("/api/v1/auth/token/", {"username": name, "password": PASSWORD}, format="json")
        clients[name].credentials(HTTP_AUTHORIZATION=f"Token {answer.json()['token']}")
    return Lab(clients)


def prepare(lab: Lab) -> None:
    """Stella looks after the instrument and the methods; Mia manages the project."""
    microscope = lab.post("stella", "instruments/", name="ULTRA 55", modality="sem")["id"]
    lab.ids["calibration"] = lab.post(
        "stella",
        "calibrations/",
        instrument=microscope,
        factor=FACTOR,
        u_factor=U,
        axes="xy",
        standard="grating 463 nm",
        certificate="C-17",
        measured_at=MEASURED,
        due_at=DUE,
    )["id"]
    record = {"status": "validated", "reason": "compared with discs", "text": "Discs: diameters to half a pixel."}
    named = {"validated_by": "Vera Lidator", "validated_on": "2024-05-02", "document": "REP-7"}
    lab.post("stella", "plugins/segmentation.measure/status/", **record, **named)
    lab.ids["project"] = lab.post("mia", "projects/", name="particles")["id"]
    for name, role in (("uma", "contributor"), ("otto", "contributor"), ("rita", "contributor"), ("vic", "viewer")):
        lab.post("mia", f"projects/{lab.ids['project']}/members/", username=name, role=role)
    specimen = lab.post("mia", "specimens/", project=lab.ids["project"], name="powder 3")["id"]
    lab.ids |= {"instrument": microscope, "specimen": specimen}


def measure(lab: Lab, data: bytes) -> None:
    """Otto measured; Uma uploads, applies the calibration and runs the analyses."""
    named = {key: lab.ids[key] for key in ("project", "specimen", "instrument")}
    acquisition = lab.post("uma", "acquisitions/", modality="sem", operator="otto", **named)["id"]
    part = SimpleUploadedFile("powder.tif", data, "image/tiff")
    lab.post("uma", f"acquisitions/{acquisition}/files/", form="multipart", file=part)
    lab.done("uma", lab.post("uma", f"acquisitions/{acquisition}/ingest/", expect=202)["job"])
    (image,) = lab.get("uma", f"acquisitions/{acquisition}/")["images"]
    assert lab.get("uma", f"images/{image}/")["calibration"] is None, "what is overdue is not applied by itself"
    given = {"calibration": lab.ids["calibration"], "reason": "no other one covers that year"}
    image = lab.post("uma", f"images/{image}/apply-calibration/", **given)["id"]
    labels = lab.run("uma", "segmentation.threshold", {"method": "otsu"}, image=image)["outputs"]["labels"]["id"]
    number = lab.run("uma", "segmentation.measure", {}, labels=labels)["outputs"]["mean_diameter"]["id"]
    lab.ids |= {"image": image, "number": number}


def release(lab: Lab) -> None:
    """Rita reviews, Mia releases; nobody else may."""
    url = f"properties/{lab.ids['number']}/"
    lab.post("uma", f"{url}review/", expect=403, verdict="approved")
    lab.post("rita", f"{url}review/", verdict="approved", comment="agrees with a count by hand")
    lab.post("rita", f"{url}release/", expect=403)
    lab.post("mia", f"{url}release/", comment="for data sheet 4")


@pytest.fixture
def released(lab: Lab, shared_data: Path) -> Lab:
    path = shared_data / FILE
    if not path.is_file():
        pytest.skip(f"shared data: {path} does not exist")
    prepare(lab)
    measure(lab, path.read_bytes())
    release(lab)
    return lab


def people(answer: dict[str, Any]) -> None:
    """The sentences name everyone, each with what they answer for, and the standing of the methods."""
    told = [sentence["text"] for sentence in answer["sentences"]]

    def one(*words: str) -> str:
        (found,) = [text for text in told if all(word in text for word in words)]
        return found

    measured = one("was measured by")
    assert measured.startswith("powder 3 was measured by otto with SEM on ULTRA 55")
    assert "2018-09-25" in measured, "the time that the file states"
    assert "uma" not in measured
    uploaded = one("uploaded by")
    assert "was uploaded by uma" in uploaded
    assert "otto" not in uploaded
    assert LATE in one("uma applied a calibration", "because")
    assert "no other one covers that year" in one("uma applied a calibration", "because")
    ran = one("uma ran segmentation.measure")
    assert "(method validated on 2024-05-02 by Vera Lidator, REP-7)" in ran
    assert f"its scale is that of calibration v1, {LATE}" in ran
    assert "(draft method)" in one("uma ran segmentation.threshold")
    assert one("reviewed by").startswith("It was reviewed by rita")
    assert "and approved" in one("reviewed by")
    assert one("released by").startswith("It was released by mia")
    assert told[-2:] == [one("reviewed by"), one("released by")], "what people decided comes last, in its order"
    assert (answer["stale"], answer["truncated"]) == ([], False)


def calibration(answer: dict[str, Any], used: str) -> None:
    """The calibration is flagged wherever the answer speaks of it."""
    assert len(answer["calibrations"]) == 2, "of the image, and of the labels that follow it"
    for listed in answer["calibrations"]:
        assert listed["calibration"] == used
        assert (listed["instrument"], listed["measured_at"], listed["due_at"]) == ("ULTRA 55", MEASURED, DUE)
        assert (listed["flags"], listed["notes"]) == (["overdue"], [LATE])
    although = next(said for said in answer["asserted"] if said["what"] == "use of a calibration")
    assert (although["value"], although["by"]) == ({"although": [LATE]}, ["uma"])
    checks = {check["question"]: check for check in answer["completeness"]["checks"]}
    held = checks["Every calibration held by its dates and its range, and stands."]
    assert (held["satisfied"], held["note"]) == (False, LATE)
    assert checks["The operator of every acquisition is stated."]["satisfied"]
    assert checks["The time of every acquisition is stated."]["satisfied"]
    assert checks["Every method was validated when it ran."]["note"] == "not validated: segmentation.threshold 1.0.0"


def test_one_answer_names_everyone_who_answers_for_a_released_number(released: Lab) -> None:
    number = released.get("vic", f"properties/{released.ids['number']}/")
    assert number["review_status"] == "released"
    assert number["unit"] == "um"
    assert number["error"]["scale"] == pytest.approx(number["value"] * U / FACTOR)
    answer = released.get("vic", f"properties/{released.ids['number']}/derivation/")
    people(answer)
    calibration(answer, released.ids["calibration"])
