"""Registration as a job: over REST from two images to a candidate transform with its error and its lineage."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tifffile
from django.core.management import call_command
from django.test import Client, override_settings

from apps.catalog.services import create_specimen
from apps.imaging.models import Image
from apps.imaging.services import create_acquisition, receive_files, start_ingest
from apps.jobs import dispatch
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project, create_user
from apps.provenance.models import Event
from apps.spatial.models import Transform
from benchmarks.registration.phantoms import Pair, errors, pair
from tests.study import run_job

pytestmark = pytest.mark.django_db


@dataclass
class Bench:
    """Two ingested images of one made pair."""

    user: User
    project: Project
    fixed: Image
    moving: Image
    made: Pair


def ingested(user: User, project: Project, specimen: Any, name: str, samples: np.ndarray) -> Image:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.clip(np.rint(samples), 0, 65535).astype(np.uint16))
    acquisition = create_acquisition(
        actor=user, project=project, specimen=specimen, modality="xrm", operator_name="Otto Perator"
    )
    receive_files(actor=user, acquisition=acquisition, files=[(f"{name}.tif", "image/tiff", [buffer.getvalue()])])
    typed = {"spacing_um": {"x": 1.0, "y": 1.0, "z": 1.0}, "spacing_u_um": 0.01}
    run_job(start_ingest(actor=user, acquisition=acquisition, overrides=typed))
    return Image.objects.get(acquisition=acquisition)


@pytest.fixture(scope="module")
def bench(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = pair(4, edge=56, degrees=5, shift=3)
    root: Path = tmp_path_factory.mktemp("data")
    with django_db_blocker.unblock(), override_settings(CORR_DATA_ROOT=root), mock.patch.object(dispatch, "ring"):
        try:
            user = create_user(username="registrar", password="a-long-enough-word")
            project = create_project(actor=user, name="pair")
            specimen = create_specimen(actor=user, project=project, name="bundle")
            fixed = ingested(user, project, specimen, "fixed", made.fixed + 100)
            moving = ingested(user, project, specimen, "moving", made.moving + 100)
            yield Bench(user, project, fixed, moving, made)
        finally:
            call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def client(bench: Bench) -> Client:
    made = Client()
    made.force_login(bench.user)
    return made


def submitted(client: Client, bench: Bench, plugin: str, params: dict[str, Any], inputs: dict[str, str]) -> Job:
    """Ask over REST, run the job, give it as it ended."""
    body = {"project": str(bench.project.pk), "plugin": plugin, "params": params, "inputs": inputs}
    answer = client.post("/api/v1/jobs/", json.dumps(body), content_type="application/json")
    assert answer.status_code in (200, 201, 202), answer.content
    return run_job(Job.objects.get(pk=answer.json()["id"]))


def transform_of(client: Client, job: Job) -> dict[str, Any]:
    output = job.outputs["transform"]
    assert output["type"] == "transform"
    answer = client.get(f"/api/v1/transforms/{output['id']}/")
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.mark.usefixtures("no_keeper")
def test_a_rigid_registration_gives_a_candidate(client: Client, bench: Bench) -> None:
    inputs = {"fixed": str(bench.fixed.pk), "moving": str(bench.moving.pk)}
    job = submitted(client, bench, "registration.rigid", {"search_deg": 10}, inputs)
    told = transform_of(client, job)
    assert (told["method"], told["status"], told["kind"]) == ("registration", "candidate", "rigid")
    assert (told["source"], told["target"]) == (str(bench.moving.frame_id), str(bench.fixed.frame_id))
    assert errors(np.reshape(told["matrix"], (4, 4)), bench.made).mean() <= 0.15
    row = Transform.objects.get(pk=told["id"])
    assert row.job_id == job.pk
    assert row.facts["metric"] < 0
    assert Event.objects.filter(pk__isnull=False).exists()


@pytest.mark.usefixtures("no_keeper")
def test_landmarks_are_fitted_and_stay_with_the_transform(client: Client, bench: Bench) -> None:
    rng = np.random.default_rng(3)
    source = rng.uniform(5, 50, (8, 3))
    target = source @ bench.made.truth[:3, :3].T + bench.made.truth[:3, 3] + rng.normal(0, 0.2, (8, 3))
    target[5] += [4.0, 0.0, 0.0]
    pairs = [{"source": p.tolist(), "target": q.tolist()} for p, q in zip(source, target, strict=True)]
    inputs = {"source_image": str(bench.moving.pk), "target_image": str(bench.fixed.pk)}
    job = submitted(client, bench, "registration.landmarks", {"kind": "rigid", "pairs": pairs}, inputs)
    told = transform_of(client, job)
    row = Transform.objects.get(pk=told["id"])
    assert (row.method, row.landmarks.count()) == ("landmarks", 8)
    assert row.facts["suspects"] == [5]
    assert row.degrees_of_freedom == 18
    missed = source @ np.reshape(row.matrix, (4, 4))[:3, :3].T + np.reshape(row.matrix, (4, 4))[:3, 3] - target
    assert row.residual_um == pytest.approx(np.sqrt(np.mean(np.sum(missed**2, axis=1))), rel=1e-9)
