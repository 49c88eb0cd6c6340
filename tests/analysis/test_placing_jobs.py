"""Images placed by jobs: a slice in its volume, times on a reference, one image on the grid of another."""

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

from analyses.sdk import omezarr
from apps.audit.fsck import job_findings
from apps.catalog.services import create_specimen
from apps.imaging.models import Image
from apps.imaging.selectors import store_path
from apps.imaging.services import create_acquisition, receive_files, start_ingest
from apps.jobs import dispatch
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project, create_user
from apps.spatial.models import Transform
from benchmarks.registration.cuts import cut
from benchmarks.registration.phantoms import fibres
from benchmarks.registration.times import drifting
from tests.study import run_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_keeper")]


@dataclass
class Bench:
    """A project, and images by name."""

    user: User
    project: Project
    images: dict[str, Image]

    def client(self) -> Client:
        made = Client()
        made.force_login(self.user)
        return made

    def asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client().post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")
        assert answer.status_code in (200, 201, 202), answer.content
        return answer.json()

    def got(self, path: str) -> dict[str, Any]:
        answer = self.client().get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def ran(self, plugin: str, params: dict[str, Any], inputs: dict[str, Any]) -> Job:
        """Ask over REST, run the job, give it as it ended."""
        body = {"project": str(self.project.pk), "plugin": plugin, "params": params, "inputs": inputs}
        return run_job(Job.objects.get(pk=self.asked("jobs/", body)["id"]))

    def transform(self, source: str, target: str, matrix: np.ndarray) -> str:
        ends = {name: str(self.images[image].frame_id) for name, image in (("source", source), ("target", target))}
        body = ends | {"kind": "rigid", "method": "manual", "matrix": matrix.tolist(), "reason": "made so"}
        return self.asked("transforms/", body)["id"]


def ingested(bench: Bench, specimen: Any, name: str, samples: np.ndarray, *, modality: str, step: float) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.clip(np.rint(samples), 0, 255).astype(np.uint8))
    acquisition = create_acquisition(
        actor=bench.user, project=bench.project, specimen=specimen, modality=modality, operator_name="Otto Perator"
    )
    receive_files(actor=bench.user, acquisition=acquisition, files=[(f"{name}.tif", "image/tiff", [buffer.getvalue()])])
    spacing = dict.fromkeys("xy" if samples.ndim == 2 else "xyz", step)
    typed = {"spacing_um": spacing, "spacing_u_um": step / 100, "handedness": "right"}
    run_job(start_ingest(actor=bench.user, acquisition=acquisition, overrides=typed))
    bench.images[name] = Image.objects.get(acquisition=acquisition)


@pytest.fixture(scope="module")
def bench(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root: Path = tmp_path_factory.mktemp("data")
    volume = fibres()
    with django_db_blocker.unblock(), override_settings(CORR_DATA_ROOT=root), mock.patch.object(dispatch, "ring"):
        try:
            user = create_user(username="placer", password="a-long-enough-word")
            made = Bench(user, create_project(actor=user, name="places"), {})
            bundle = create_specimen(actor=user, project=made.project, name="bundle")
            piece = create_specimen(actor=user, project=made.project, name="piece of it", parent=bundle)
            ingested(made, bundle, "volume", volume[:48, :48, :48], modality="xrm", step=1.0)
            ingested(made, piece, "other", volume[4:52, 2:50, 3:51], modality="neutron", step=1.0)
            yield made
        finally:
            call_command("flush", verbosity=0, interactive=False)


def samples_of(image: Image) -> np.ndarray:
    return np.asarray(omezarr.open_store(store_path(image.store)).level(0)[...])


def test_an_image_is_written_in_the_frame_of_another(bench: Bench) -> None:
    """It shares frame and spacing with the one whose grid it lies on, and shows specimen and modality of the other."""
    shift = np.eye(4)
    shift[:3, 3] = [3.0, 2.0, 4.0]
    edge = bench.transform("other", "volume", shift)
    fixed, other = bench.images["volume"], bench.images["other"]
    inputs = {"fixed": str(fixed.pk), "moving": str(other.pk), "transform": edge}
    job = bench.ran("registration.resample", {"fill": 255}, inputs)
    made = Image.objects.get(pk=job.outputs["image"]["id"])
    assert (made.frame_id, made.spacing, made.shape) == (fixed.frame_id, fixed.spacing, fixed.shape)
    assert (made.specimen_id, made.state_id, made.modality) == (other.specimen_id, other.state_id, "neutron")
    assert (made.handedness, made.dtype, made.kind) == ("right", "uint8", "intensity")
    assert made.name.startswith(other.name)
    assert (made.facts["fill"], made.facts["transform"]) == (255, edge)
    there = samples_of(made)
    assert np.array_equal(there[4:, 2:, 3:], samples_of(fixed)[4:, 2:, 3:])
    assert (there[:4] == 255).all()
    told = bench.got(f"lineage/{made.pk}/?direction=upstream&depth=2&relation=wasDerivedFrom")
    assert {str(fixed.pk), str(other.pk), edge} <= {node["id"].removeprefix("urn:uuid:") for node in told["nodes"]}


def test_labels_go_along_and_a_second_run_gives_the_same(bench: Bench) -> None:
    other = bench.images["other"]
    cut = bench.ran("segmentation.threshold", {"method": "otsu"}, {"image": str(other.pk)})
    edge = bench.transform("volume", "other", np.eye(4))
    labels = cut.outputs["labels"]["id"]
    inputs = {"fixed": str(bench.images["volume"].pk), "labels": labels, "moving": str(other.pk), "transform": edge}
    job = bench.ran("registration.resample", {}, inputs)
    made = Image.objects.get(pk=job.outputs["labels"]["id"])
    assert made.kind == "labels"
    assert made.facts["thresholds"]
    assert np.array_equal(samples_of(made), samples_of(Image.objects.get(pk=labels)))
    again = run_job(Job.objects.get(pk=bench.asked(f"jobs/{job.pk}/rerun/", {})["id"]))
    assert (again.verdict or {})["verdict"] == "identical"


def test_a_slice_is_placed_and_a_volume_cut_along_it(bench: Bench) -> None:
    """The transform of the job leads from the slice to the volume; the volume is then written on the slice's grid."""
    made = cut(11, fibres(), edge=36, shift=4.0)
    specimen = bench.images["volume"].specimen
    ingested(bench, specimen, "coarse", made.fixed, modality="xrm", step=1.0)
    ingested(bench, specimen, "slice", made.moving[0], modality="sem", step=made.step)
    coarse, fine = bench.images["coarse"], bench.images["slice"]
    near = bench.transform("slice", "coarse", made.start(np.random.default_rng(2), 2.0, 2.0).matrix)
    inputs = {"fixed": str(coarse.pk), "moving": str(fine.pk), "initial": near}
    job = bench.ran("registration.slice_in_volume", {"search_um": 3.0, "search_deg": 3.0, "starts": 4}, inputs)
    told = bench.got(f"transforms/{job.outputs['transform']['id']}/")
    assert (told["method"], told["status"], told["kind"]) == ("registration", "candidate", "rigid")
    assert (told["source"], told["target"]) == (str(fine.frame_id), str(coarse.frame_id))
    assert made.errors(np.reshape(told["matrix"], (4, 4))).mean() <= 0.25
    row = Transform.objects.get(pk=told["id"])
    assert row.covariance is not None
    assert "score_gap" in row.facts
    along = {"fixed": str(fine.pk), "moving": str(coarse.pk), "transform": told["id"]}
    plane = Image.objects.get(pk=bench.ran("registration.resample", {}, along).outputs["image"]["id"])
    assert (plane.frame_id, plane.shape, plane.modality) == (fine.frame_id, fine.shape, "xrm")


def test_a_series_gives_a_transform_for_every_image(bench: Bench) -> None:
    samples, truth = drifting(1, count=2, edge=48, planar=True)
    specimen = bench.images["volume"].specimen
    for number, part in enumerate(samples):
        ingested(bench, specimen, f"time {number}", part[0], modality="light", step=1.0)
    times = [bench.images[f"time {number}"] for number in range(2)]
    job = bench.ran("registration.series", {}, {"images": [str(image.pk) for image in times]})
    assert job.outputs["drift"]["type"] == "table"
    assert [output["type"] for output in job.outputs["transforms"]] == ["transform"]
    told = bench.got(f"transforms/{job.outputs['transforms'][0]['id']}/")
    assert (told["source"], told["target"]) == (str(times[1].frame_id), str(times[0].frame_id))
    assert np.abs(np.reshape(told["matrix"], (4, 4)) - truth[1])[:, 3].max() <= 0.3
    assert bench.got(f"properties/{job.outputs['closure']['id']}/")["unit"] == "um"
    rows = bench.got(f"tables/{job.outputs['drift']['id']}/")
    assert rows["rows"]
    again = run_job(Job.objects.get(pk=bench.asked(f"jobs/{job.pk}/rerun/", {})["id"]))
    assert (again.verdict or {})["verdict"] == "identical"
    assert not list(job_findings())
