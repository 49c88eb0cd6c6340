"""A real fibre volume on an instrument with a calibration, and one whose scale is typed anew.

Three crops of ``fixtures/fibres`` stand for three acquisitions.  The file's own tags are a writer's default; the crops
say 1 um along every axis instead, as the demo study assumes.
"""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass, field
from typing import Any

import tifffile

from apps.analysis.services import submit
from apps.catalog.models import Calibration, Specimen
from apps.catalog.services import create_calibration, create_instrument, create_specimen, withdraw_calibration
from apps.imaging.models import Acquisition, Image
from apps.imaging.services import (
    apply_calibration,
    calibrate_image,
    create_acquisition,
    receive_files,
    start_ingest,
)
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project, create_user
from apps.results.models import Property, Table
from tests.conftest import REPO_ROOT
from tests.study import analyse, run_job

EDGE = 32
FACTOR, U = 1.02, 0.004
STEP = 1.05  # the change of spacing that is typed
FIBRE_FROM = 110.0  # grey value; fibres are brighter
PHASES = {"0": {"k": 0.2, "u": 0.02, "source": "handbook"}, "1": {"k": 10.0, "u": 1.0, "source": "handbook"}}
CONDUCTION = {"phases": PHASES, "unit": "W/(m.K)", "boundary": "mirrored"}


def crop(z: int, y: int, x: int) -> bytes:
    """A cube of the real volume as an ImageJ stack of 1 um."""
    volume = tifffile.imread(REPO_ROOT / "fixtures" / "fibres" / "fibers_150x150x150.tif")
    buffer = io.BytesIO()
    cube = volume[z : z + EDGE, y : y + EDGE, x : x + EDGE]
    tifffile.imwrite(
        buffer, cube, imagej=True, resolution=(1.0, 1.0), metadata={"spacing": 1.0, "unit": "um", "axes": "ZYX"}
    )
    return buffer.getvalue()


@dataclass
class Calibrated:
    """What was made, in the order it was made."""

    maker: User
    staff: User
    project: Project
    specimen: Specimen
    calibration: Calibration
    late: Calibration
    images: dict[str, Image] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    def result(self, name: str, port: str) -> Any:
        """The row of an output port of a run."""
        output = self.jobs[name].outputs[port]
        models: dict[str, Any] = {"property": Property, "table": Table}
        return models.get(output["type"], Image).objects.get(pk=output["id"])

    def acquire(self, name: str, data: bytes, date: str, **more: Any) -> Image:
        """Measure and ingest a crop."""
        acquisition: Acquisition = create_acquisition(
            actor=self.maker, project=self.project, specimen=self.specimen, modality="xrm", acquired_at=date, **more
        )
        files = [(f"{name}.tif", "image/tiff", [data])]
        receive_files(actor=self.maker, acquisition=acquisition, files=files)
        self.jobs[f"ingest {name}"] = run_job(start_ingest(actor=self.maker, acquisition=acquisition))
        self.images[name] = Image.objects.get(acquisition=acquisition)
        return self.images[name]

    def segment(self, name: str, image: Image) -> Image:
        """Label the fibres."""
        params = {"method": "fixed", "thresholds": [FIBRE_FROM]}
        job = analyse(self.maker, self.project, "segmentation.threshold", params, {"image": str(image.pk)})
        self.jobs[f"threshold {name}"] = job
        self.images[f"labels {name}"] = Image.objects.get(pk=job.outputs["labels"]["id"])
        return self.images[f"labels {name}"]

    def measure(self, name: str, labels: Image) -> None:
        """Measure the fibres."""
        given = {"labels": str(labels.pk)}
        self.jobs[f"measure {name}"] = analyse(self.maker, self.project, "segmentation.measure", {}, given)

    def conduct(self, name: str, labels: Image) -> None:
        """Compute the conductivity of the composite."""
        given = {"labels": str(labels.pk)}
        self.jobs[f"conduct {name}"] = analyse(self.maker, self.project, "bulk.conductivity", CONDUCTION, given)


def current(image: Image) -> Image:
    """The version that superseded an image last."""
    while (newer := Image.objects.filter(supersedes=image).first()) is not None:
        image = newer
    return image


def make_calibrated() -> Calibrated:
    """Make and run it in the database as it is."""
    maker, staff = create_user(username="cal-maker", password="a-long-enough-word"), _staff()
    project = create_project(actor=maker, name="fibres under calibration")
    specimen = create_specimen(actor=maker, project=project, name="composite")
    instrument = create_instrument(actor=staff, name="Xradia of the test", modality="xrm")
    calibration = create_calibration(
        actor=staff,
        instrument=instrument,
        factor=FACTOR,
        u_factor=U,
        standard="ruby spheres",
        measured_at=dt.date(2024, 5, 1),
        due_at=dt.date(2025, 5, 1),
    )
    late = create_calibration(
        actor=staff,
        instrument=create_instrument(actor=staff, name="Xradia of the neighbours", modality="xrm"),
        factor=0.97,
        u_factor=0.002,
        standard="grating 2 um",
        measured_at=dt.date(2023, 5, 1),
        due_at=dt.date(2024, 5, 1),
    )
    made = Calibrated(maker, staff, project, specimen, calibration, late)
    for name, corner in (("one", (0, 0, 0)), ("two", (60, 60, 60))):
        image = made.acquire(name, crop(*corner), "2024-08-01T10:00:00", instrument=instrument)
        made.measure(name, made.segment(name, image))
    _typed_anew(made)
    _late(made)
    return made


def _staff() -> User:
    return create_user(username="cal-staff", password="a-long-enough-word", is_staff=True)


def _typed_anew(made: Calibrated) -> None:
    """A crop whose spacing is typed 5 % larger, measured before and after."""
    before = made.acquire("before", crop(20, 40, 60), "2024-05-13T08:00:00", instrument=made.late.instrument)
    labels = made.segment("before", before)
    made.measure("before", labels)
    made.conduct("before", labels)
    typed = dict.fromkeys("xyz", STEP)
    made.images["after"] = calibrate_image(
        actor=made.maker, image=before, spacing_um=typed, spacing_u_um=0.02, reason="read off a scale bar"
    )
    made.images["labels after"] = current(labels)
    made.measure("after", made.images["labels after"])
    made.conduct("after", made.images["labels after"])


def _late(made: Calibrated) -> None:
    """The same under a calibration that was overdue; it is withdrawn while a run waits."""
    made.images["late"] = apply_calibration(
        actor=made.maker, image=made.images["after"], calibration=made.late, reason="no other one"
    )
    labels = made.images["labels late"] = current(made.images["labels after"])
    made.measure("late", labels)
    params = {"connectivity": 6}
    waiting, _ = submit(
        actor=made.maker,
        project=made.project,
        plugin="segmentation.measure",
        params=params,
        inputs={"labels": str(labels.pk)},
    )
    withdraw_calibration(actor=made.staff, calibration=made.late, reason="the grating was damaged")
    made.late.refresh_from_db()
    made.jobs["measure waiting"] = run_job(waiting)
