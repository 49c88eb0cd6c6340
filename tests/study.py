"""A small study run for real: a made volume of rods through ingest, threshold, measure, bounds and conductivity.

Committed once for a module and flushed after it; tests read it inside their own transactions.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tifffile
from django.core.management import call_command

from apps.analysis.services import submit
from apps.catalog.services import create_specimen
from apps.imaging.models import Acquisition, Image
from apps.imaging.services import create_acquisition, receive_files, start_ingest
from apps.jobs import dispatch, runner
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project, create_user, set_member
from apps.results.models import Property, Table

EDGE = 24
PHASES = {"0": {"k": 1.0, "u": 0.1, "source": "handbook"}, "1": {"k": 10.0}}
MATERIAL = {"phases": PHASES, "unit": "W/(m.K)"}
TYPED = {"spacing_um": {"x": 2.0, "y": 2.0, "z": 2.0}, "spacing_u_um": 0.1}


@dataclass
class Study:
    """What was made, and who made it."""

    maker: User
    viewer: User
    outsider: User
    project: Project
    acquisition: Acquisition
    image: Image
    labels: Image
    jobs: dict[str, Job]

    def result(self, plugin: str, port: str) -> Any:
        """The row of an output port."""
        output = self.jobs[plugin].outputs[port]
        models: dict[str, Any] = {"property": Property, "table": Table}
        return models.get(output["type"], Image).objects.get(pk=output["id"])


def rods() -> bytes:
    """A TIFF stack: square rods of 8 x 8 voxels along z, one in each quarter, bright on dark, with noise."""
    plane = np.zeros((EDGE, EDGE), np.int16)
    for y, x in ((2, 2), (2, 14), (14, 2), (14, 14)):
        plane[y : y + 8, x : x + 8] = 150
    noise = np.random.default_rng(7).integers(0, 20, (EDGE, EDGE, EDGE))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, (plane + 20 + noise).astype(np.uint8))
    return buffer.getvalue()


def run_job(job: Job) -> Job:
    """Run a queued job in this process (its work in a child) and return how it ended."""
    runner.execute(job.pk)
    job.refresh_from_db()
    assert job.status == Job.Status.SUCCEEDED, f"{job}: {job.status} {job.exit_code} {job.message}"
    return job


def analyse(user: User, project: Project, plugin: str, params: dict[str, Any], inputs: dict[str, Any]) -> Job:
    """Submit a run and run it."""
    job, _ = submit(actor=user, project=project, plugin=plugin, params=params, inputs=inputs)
    return run_job(job)


def make_study() -> Study:
    """Make and run the study in the database as it is."""
    maker, viewer, outsider = (
        create_user(username=f"{name}-{uuid.uuid4().hex[:6]}", password="a-long-enough-word")
        for name in ("maker", "viewer", "outsider")
    )
    project = create_project(actor=maker, name="rods")
    set_member(actor=maker, project=project, username=viewer.username, role="viewer")
    specimen = create_specimen(actor=maker, project=project, name="bundle")
    acquisition = create_acquisition(
        actor=maker, project=project, specimen=specimen, modality="xrm", operator_name="Otto Perator"
    )
    receive_files(actor=maker, acquisition=acquisition, files=[("rods.tif", "image/tiff", [rods()])])
    jobs = {"ingest": run_job(start_ingest(actor=maker, acquisition=acquisition, overrides=TYPED))}
    image = Image.objects.get(acquisition=acquisition)
    jobs["threshold"] = analyse(maker, project, "segmentation.threshold", {"method": "otsu"}, {"image": str(image.pk)})
    labels = Image.objects.get(pk=jobs["threshold"].outputs["labels"]["id"])
    given = {"labels": str(labels.pk)}
    jobs["measure"] = analyse(maker, project, "segmentation.measure", {}, given)
    cut = {**given, "image": str(image.pk)}
    jobs["bounds"] = analyse(maker, project, "bulk.bounds", MATERIAL, cut)
    jobs["conductivity"] = analyse(maker, project, "bulk.conductivity", {**MATERIAL, "boundary": "periodic"}, cut)
    return Study(maker, viewer, outsider, project, acquisition, image, labels, jobs)


@contextmanager
def committed_study(blocker: Any, data_root: Path) -> Iterator[Study]:
    """Make the study outside of any test's transaction, and flush everything afterwards."""
    from django.test import override_settings

    with blocker.unblock(), override_settings(CORR_DATA_ROOT=data_root), mock.patch.object(dispatch, "ring"):
        try:
            yield make_study()
        finally:
            call_command("flush", verbosity=0, interactive=False)
