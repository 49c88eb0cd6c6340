"""Things that every page has something to show of: ``python -m tests.e2e.lab ACCOUNT FOLDER`` beside a running server.

A scanning electron micrograph under a calibration, a spectrum image, and a volume without scale, all from real files
of the shared data; numbers in every state of review, a table, a job that failed.  Writes the addresses of their pages
as one JSON object, name -> path.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from pathlib import Path
from typing import Any

import django

django.setup()

from django.urls import reverse  # noqa: E402

from apps.analysis.services import submit  # noqa: E402
from apps.catalog.models import Calibration, Instrument, Specimen  # noqa: E402
from apps.catalog.services import create_calibration, create_instrument, create_specimen, record_event  # noqa: E402
from apps.imaging.models import Acquisition, Image  # noqa: E402
from apps.imaging.services import apply_calibration, create_acquisition, receive_files, start_ingest  # noqa: E402
from apps.jobs.models import FINISHED, Job  # noqa: E402
from apps.projects.models import Project, Role, User  # noqa: E402
from apps.projects.services import create_project, create_user, set_member  # noqa: E402
from apps.results.models import Property, Table  # noqa: E402
from apps.results.services import release_result, review_result  # noqa: E402
from tests.e2e.lab_files import MICROGRAPH, SPECTRUM, VOLUME  # noqa: E402

_SECONDS = 300.0


def make(user: User, folder: Path) -> dict[str, str]:
    """Make all of it as one member of staff; return the address of each page by name."""
    project, helper = _project(user)
    specimen = create_specimen(actor=user, project=project, name="Polished section", description="Section of a bulk.")
    record_event(
        actor=user,
        specimen=specimen,
        kind="polish",
        occurred_at=dt.datetime(2017, 12, 1, 9, tzinfo=dt.UTC),
        performed_by="Kim",
        conditions={"grain": {"value": 1.0, "unit": "um"}},
    )
    calibration = _calibration(user)
    micrograph = _image(user, specimen, folder / MICROGRAPH, modality="sem", instrument=calibration.instrument)
    if micrograph.calibration_id is None:
        micrograph = apply_calibration(actor=user, image=micrograph, calibration=calibration, reason="of that year")
    spectrum = _image(user, specimen, folder / SPECTRUM, kind=Image.Kind.SPECTRUM, modality="eds")
    bare = _image(user, specimen, folder / VOLUME, modality="xrm")
    numbers, table = _results(user, helper, project, micrograph)
    failed = _failed(user, project, bare)
    return {
        "lab project": reverse("project", args=[project.pk]),
        "lab specimen": reverse("specimen", args=[specimen.pk]),
        "calibration": reverse("calibration", args=[calibration.pk]),
        "calibrated image": reverse("image", args=[micrograph.pk]),
        "acquisition of a micrograph": reverse("acquisition", args=[micrograph.acquisition_id]),
        "spectrum image": reverse("image", args=[spectrum.pk]),
        "image without scale": reverse("image", args=[bare.pk]),
        "failed job": reverse("job", args=[failed.pk]),
        "table": reverse("table", args=[table.pk]),
        "released number": reverse("property", args=[numbers[0].pk]),
        "approved number": reverse("property", args=[numbers[1].pk]),
        "admin list": reverse("admin:imaging_image_changelist"),
        "admin row": reverse("admin:catalog_specimen_change", args=[specimen.pk]),
        "admin calibration": reverse("admin:catalog_calibration_change", args=[calibration.pk]),
        "admin job": reverse("admin:jobs_job_change", args=[failed.pk]),
    }


def _project(user: User) -> tuple[Project, User]:
    """Return the project, and a contributor who runs what the first account may then review."""
    project = create_project(actor=user, name="Lab bench", description="Real files of instruments.", licence="MIT")
    helper = User.objects.filter(username="kim").first() or create_user(username="kim", password="a-long-enough-word")
    set_member(actor=user, project=project, username=helper.get_username(), role=Role.CONTRIBUTOR)
    return project, helper


def _calibration(user: User) -> Calibration:
    """Two versions of one instrument's scale: the first holds for the micrograph, the second is overdue."""
    instrument = Instrument.objects.filter(name="Quanta FEG").first()
    if instrument is not None:
        return Calibration.objects.get(instrument=instrument, version=1)
    instrument = create_instrument(
        actor=user, name="Quanta FEG", modality="sem", manufacturer="FEI", model="Quanta 200F"
    )
    common: dict[str, Any] = {"actor": user, "instrument": instrument, "axes": "xy", "standard": "Grating, 10 µm"}
    first = create_calibration(
        **common,
        factor=1.012,
        u_factor=0.004,
        certificate="C-2017-31",
        measured_at=dt.date(2017, 6, 1),
        due_at=dt.date(2018, 6, 1),
        valid_range={"magnification": [100, 5000]},
    )
    create_calibration(
        **common,
        factor=1.009,
        u_factor=0.004,
        certificate="C-2018-30",
        measured_at=dt.date(2018, 6, 4),
        due_at=dt.date(2019, 6, 4),
        supersedes=first,
    )
    return first


def _image(user: User, specimen: Specimen, file: Path, *, kind: str = Image.Kind.INTENSITY, **measured: Any) -> Image:
    row = create_acquisition(actor=user, project=specimen.project, specimen=specimen, **measured)
    with file.open("rb") as stream:
        receive_files(
            actor=user, acquisition=row, files=[(file.name, "application/octet-stream", iter([stream.read()]))]
        )
    start_ingest(actor=user, acquisition=row, overrides={})
    job = Acquisition.objects.select_related("ingest_job").get(pk=row.pk).ingest_job
    if job is None or _ended(job).status != Job.Status.SUCCEEDED:
        raise RuntimeError(f"{file.name} was not ingested: {job and job.message}")
    rows = Image.objects.filter(acquisition=row, kind=kind, superseded_by__isnull=True)
    return rows.select_related("acquisition").order_by("created_at")[0]


def _ended(job: Job) -> Job:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        job.refresh_from_db()
        if job.status in FINISHED:
            return job
        time.sleep(0.1)
    raise RuntimeError(f"{job} does not end: {job.status}")


def _run(user: User, project: Project, plugin: str, params: dict[str, Any], inputs: dict[str, str]) -> Job:
    job, _ = submit(actor=user, project=project, plugin=plugin, params=params, inputs=inputs)
    return _ended(job)


def _results(user: User, helper: User, project: Project, image: Image) -> tuple[list[Property], Table]:
    """Numbers and a table of the micrograph: one number released, one approved, the others as they came."""
    params = {"method": "otsu"}
    threshold = _run(helper, project, "segmentation.threshold", params, {"image": str(image.pk)})
    labels = str(threshold.outputs["labels"]["id"])
    measured = _run(helper, project, "segmentation.measure", {}, {"labels": labels, "image": str(image.pk)})
    rows = list(Property.objects.filter(job__in=(threshold, measured)).order_by("created_at", "pk"))
    for row in rows[:2]:
        review_result(actor=user, row=row, verdict="approved", comment="Threshold looked at.")
    release_result(actor=user, row=rows[0], comment="For the report.")
    return rows, Table.objects.filter(job=measured)[0]


def _failed(user: User, project: Project, image: Image) -> Job:
    """A channel that the image does not have."""
    params = {"method": "otsu", "channel": 7}
    return _run(user, project, "segmentation.threshold", params, {"image": str(image.pk)})


def main() -> None:
    """Make the lab, and say where it is."""
    found = make(User.objects.get(username=sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
