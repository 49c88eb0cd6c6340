"""A process that works on an installation: ``python -m tests.e2e.backup_load write|sleep|cancel|lineage|jobs ...``.

``write`` ingests, segments and bounds one small volume after another until it is killed, and prints the id of every
number; ``sleep`` starts a long job, ``cancel`` ends it; ``lineage`` prints the lineage of numbers as the REST interface
gives it; ``jobs`` the state of jobs.
"""

from __future__ import annotations

import json
import sys
import time

import django

django.setup()

from rest_framework.test import APIClient  # noqa: E402

from apps.analysis.services import submit  # noqa: E402
from apps.catalog.services import create_specimen  # noqa: E402
from apps.imaging.models import Image  # noqa: E402
from apps.imaging.services import create_acquisition, receive_files, start_ingest  # noqa: E402
from apps.jobs.models import FINISHED, Job  # noqa: E402
from apps.jobs.services import create_job, request_cancel  # noqa: E402
from apps.projects.models import Project, User  # noqa: E402
from apps.projects.services import create_project, create_user  # noqa: E402
from apps.provenance import record  # noqa: E402
from apps.results.models import Property  # noqa: E402
from tests.study import MATERIAL, TYPED, rods  # noqa: E402

NAME, PROJECT = "writer", "backed up"


def _done(job: Job) -> Job:
    while job.status not in FINISHED:
        time.sleep(0.05)
        job.refresh_from_db()
    assert job.status == Job.Status.SUCCEEDED, f"{job}: {job.status} {job.message}"
    return job


def write() -> None:
    user = create_user(username=NAME, password="a-long-enough-word")
    project = create_project(actor=user, name=PROJECT)
    specimen = create_specimen(actor=user, project=project, name="bundle")
    while True:
        acquisition = create_acquisition(actor=user, project=project, specimen=specimen, modality="xrm")
        receive_files(actor=user, acquisition=acquisition, files=[("rods.tif", "image/tiff", [rods()])])
        _done(start_ingest(actor=user, acquisition=acquisition, overrides=TYPED))
        image = str(Image.objects.get(acquisition=acquisition, kind="intensity").pk)
        cut, _ = submit(
            actor=user, project=project, plugin="segmentation.threshold", params={}, inputs={"image": image}
        )
        labels = str(_done(cut).outputs["labels"]["id"])
        given = {"labels": labels, "image": image}
        bound, _ = submit(actor=user, project=project, plugin="bulk.bounds", params=MATERIAL, inputs=given)
        for number in Property.objects.filter(job=_done(bound)):
            print(number.pk, flush=True)


def sleep(seconds: str) -> None:
    """Submit a job that runs for a while, and print its id once it does."""
    user, project = User.objects.get(username=NAME), Project.objects.get(name=PROJECT)
    with record.act("job.submit", actor=user, project=project.pk) as act:
        params = {"do": "sleep", "request": {"seconds": int(seconds)}}
        job = create_job(actor=user, project=project, kind="probe", params=params, inputs={}, act=act)
    while job.status != Job.Status.RUNNING:
        time.sleep(0.05)
        job.refresh_from_db()
    print(job.pk)


def cancel(pk: str) -> None:
    request_cancel(actor=User.objects.get(username=NAME), job=Job.objects.get(pk=pk))


def lineage(*ids: str) -> None:
    client = APIClient()
    client.force_authenticate(User.objects.get(username=NAME))
    for pk in ids:
        answer = client.get(f"/api/v1/lineage/{pk}/", HTTP_HOST="localhost")
        assert answer.status_code == 200, answer.content
        print(json.dumps({"id": pk, "lineage": answer.content.decode()}), flush=True)


def jobs() -> None:
    print(
        json.dumps(
            {str(pk): [status, attempt] for pk, status, attempt in Job.objects.values_list("pk", "status", "attempt")}
        )
    )


if __name__ == "__main__":
    {function.__name__: function for function in (write, sleep, cancel, lineage, jobs)}[sys.argv[1]](*sys.argv[2:])
