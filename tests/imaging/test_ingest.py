"""From files to images: a job of its own process, published once, with its lineage, or failed with the reason."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from rest_framework.test import APIClient

from analyses.sdk.manifest import verify_store
from analyses.sdk.omezarr import open_store
from apps.core import storage
from apps.core.errors import ConflictError
from apps.core.models import Store
from apps.imaging.models import Acquisition, Image, SourceFile
from apps.imaging.selectors import describe_image
from apps.imaging.services import create_acquisition, start_ingest
from apps.jobs import runner
from apps.jobs import services as jobs
from apps.jobs.models import Job
from apps.projects.models import User
from apps.provenance import graph
from apps.provenance.models import Edge, Node
from apps.provenance.selectors import assertions
from apps.spatial.models import Frame, FrameExtent
from tests.imaging.conftest import calibrated_tiff, client_of, ramp, tiff_bytes, upload
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db
Check = Callable[[], None]
Ingest = Callable[..., Job]
SPACING = {"spacing_um": {"x": 0.7, "y": 0.7, "z": 0.9}, "spacing_u_um": 0.01}


def ask(client: APIClient, acquisition: Acquisition, overrides: Any = None) -> Any:
    body = {} if overrides is None else {"overrides": overrides}
    return client.post(f"/api/v1/acquisitions/{acquisition.pk}/ingest/", body, format="json")


def test_calibrated_stack_becomes_an_image(
    client: APIClient, acquisition: Acquisition, nothing_left: Check, transactional_db: None
) -> None:
    samples = ramp()
    assert upload(client, acquisition, ("fibres.tif", calibrated_tiff(samples))).status_code == 201
    response = ask(client, acquisition)
    assert response.status_code == 202
    assert client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()["status"] == "queued"
    assert runner.execute(response.json()["job"]) == "succeeded"
    found = client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()
    assert (found["status"], found["job"]) == ("ready", response.json()["job"])
    (image_id,) = found["images"]
    image = client.get(f"/api/v1/images/{image_id}/").json()
    assert (image["axes"], image["shape"], image["dtype"]) == (["z", "y", "x"], [6, 40, 50], "uint16")
    assert (image["kind"], image["calibrated"], image["modality"]) == ("intensity", True, "xrm")
    assert image["spacing"]["z"] == {"value": 2.0, "unit": "um", "source": "file", "u": None}
    assert image["spacing"]["x"]["value"] == pytest.approx(0.5)
    assert (image["version"], image["supersedes"], image["stale"]) == (1, None, False)
    assert image["digest"].startswith("sha256:")
    assert image["levels"] == [{"path": "0", "shape": [6, 40, 50]}]
    assert found["facts"]["spacing_z"] == {"value": 2.0, "unit": "um", "source": "file"}
    assert found["header"]["fibres.tif"]["images"][0]
    row = Image.objects.select_related("store").get()
    path = storage.path(row.store.key)
    assert np.array_equal(open_store(path).level(0)[...], samples)
    assert verify_store(path, json.loads(row.store.manifest)) == []
    assert image["size_bytes"] == row.store.size_bytes
    nothing_left()


def test_frame_begins_half_a_sample_before_its_origin(image: Image) -> None:
    frame = Frame.objects.get(pk=image.frame_id)
    assert (frame.kind, frame.specimen_id, frame.state_id) == ("image", image.specimen_id, image.state_id)
    assert "centre of the first sample" in frame.description
    box = FrameExtent.objects.get(frame=frame)
    assert (box.x_min, box.x_max) == pytest.approx((-0.25, 24.75))
    assert (box.y_min, box.y_max) == pytest.approx((-0.25, 19.75))
    assert (box.z_min, box.z_max) == pytest.approx((-1.0, 11.0))


def test_lineage_reaches_file_reader_and_person(image: Image, ada: User) -> None:
    source = SourceFile.objects.get()
    assert Edge.objects.filter(subject_id=image.pk, relation="hadPrimarySource", object_id=source.pk).exists()
    assert Edge.objects.filter(subject_id=image.pk, relation="wasGeneratedBy", object_id=image.job_id).exists()
    assert Edge.objects.filter(subject_id=image.job_id, relation="used", object_id=source.pk).exists()
    above = set(graph.ancestors([image.pk], limit=1000))
    assert {source.pk, image.acquisition_id, image.specimen_id, ada.pk} <= above
    software = Node.objects.filter(pk__in=above, type="prov:SoftwareAgent")
    assert {"corr:name": "corrspace reader: TIFF", "corr:version": "1.0.0"} in [node.attributes for node in software]
    assert assertions([image.pk]) == []


def test_what_analysis_gets_is_whole(image: Image) -> None:
    value = describe_image(image)
    assert sorted(value) == sorted(
        ["id", "kind", "path", "axes", "shape", "dtype", "spacing_um", "spacing_u_um", "channels", "frame",
         "handedness", "digest", "name", "facts", "signal"]
    )  # fmt: skip
    assert value["spacing_um"] == pytest.approx({"z": 2.0, "y": 0.5, "x": 0.5})
    assert value["spacing_u_um"] == {"z": None, "y": None, "x": None}
    assert Path(value["path"]).is_dir()
    assert value["frame"] == str(image.frame_id)


def test_uncalibrated_stays_so_and_typed_spacing_is_an_assertion(
    acquisition: Acquisition, ada: User, ingested: Ingest
) -> None:
    assert ingested(acquisition, ("a.tif", tiff_bytes(ramp()))).status == "succeeded"
    plain = Image.objects.get()
    assert (plain.calibrated, plain.spacing, plain.frame) == (False, None, None)
    other = create_acquisition(actor=ada, project=acquisition.project, specimen=acquisition.specimen, modality="xrm")
    job = ingested(
        other, ("b.tif", tiff_bytes(ramp() + 1)), overrides=SPACING | {"handedness": "right", "name": "mine"}
    )
    assert job.status == "succeeded", job.message
    typed = Image.objects.get(acquisition=other)
    assert (typed.name, typed.handedness, typed.calibrated) == ("mine", "right", True)
    assert typed.spacing["z"] == {"value": 0.9, "unit": "um", "source": "user", "u": 0.01}
    said = {entry["what"]: entry["value"] for entry in assertions([typed.pk])}
    assert said["spacing"]["x"]["value"] == 0.7
    assert said["handedness"]["value"] == "right"
    assert open_store(storage.path(typed.store.key)).spacing_um == pytest.approx({"z": 0.9, "y": 0.7, "x": 0.7})


def test_typed_spacing_goes_before_the_file_and_both_are_kept(acquisition: Acquisition, ingested: Ingest) -> None:
    ingested(
        acquisition, ("a.tif", calibrated_tiff(ramp())), overrides={"spacing_um": {"x": 3, "y": 3}, "spacing_u_um": 1}
    )
    image = Image.objects.get()
    assert [image.spacing[axis]["source"] for axis in "xyz"] == ["user", "user", "file"]
    assert image.facts["spacing_x_in_file"] == {"value": 0.5, "unit": "um", "source": "file"}


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"spacing_um": {"x": 1, "y": 1}}, "overrides.spacing_u_um"),
        ({"spacing_u_um": 1}, "overrides.spacing_u_um"),
        ({"spacing_um": {"x": 0, "y": 1}, "spacing_u_um": 0.1}, "overrides.spacing_um.x"),
        ({"spacing_um": {"x": -1, "y": 1}, "spacing_u_um": 0.1}, "overrides.spacing_um.x"),
        ({"spacing_um": {"x": "1", "y": 1}, "spacing_u_um": 0.1}, "overrides.spacing_um.x"),
        ({"spacing_um": {"x": True, "y": 1}, "spacing_u_um": 0.1}, "overrides.spacing_um.x"),
        ({"spacing_um": {"x": 1}, "spacing_u_um": 0.1}, "overrides.spacing_um"),
        ({"spacing_um": {"x": 1, "y": 1, "w": 1}, "spacing_u_um": 0.1}, "overrides.spacing_um.w"),
        ({"spacing_um": 1, "spacing_u_um": 0.1}, "overrides.spacing_um"),
        ({"spacing_um": {"x": 1, "y": 1}, "spacing_u_um": {"x": 1}}, "overrides.spacing_u_um.y"),
        ({"spacing_um": {"x": 1, "y": 1}, "spacing_u_um": {"x": 1, "y": 1, "z": 1}}, "overrides.spacing_u_um.z"),
        ({"spacing_um": {"x": 1, "y": 1}, "spacing_u_um": -1}, "overrides.spacing_u_um"),
        ({"spacing_nm": {"x": 1, "y": 1}}, "overrides.spacing_nm"),
        ({"handedness": "ambidextrous"}, "overrides.handedness"),
        ({"name": "a/b"}, "overrides.name"),
        ("none", "overrides"),
    ],
)
def test_bad_override_is_named(client: APIClient, acquisition: Acquisition, overrides: Any, field: str) -> None:
    upload(client, acquisition, ("a.tif", b"x"))
    problem(ask(client, acquisition, overrides), 400, field)
    assert not Job.objects.exists()


def test_nan_spacing_is_refused(client: APIClient, acquisition: Acquisition) -> None:
    upload(client, acquisition, ("a.tif", b"x"))
    raw = '{"overrides": {"spacing_um": {"x": NaN, "y": 1}, "spacing_u_um": 0.1}}'
    response = client.generic("POST", f"/api/v1/acquisitions/{acquisition.pk}/ingest/", raw, "application/json")
    assert "NaN" in problem(response, 400)["detail"]
    huge = raw.replace("NaN", "1e999")
    problem(client.generic("POST", f"/api/v1/acquisitions/{acquisition.pk}/ingest/", huge, "application/json"), 400)
    with pytest.raises(Exception, match="finite"):
        start_ingest(
            actor=acquisition.created_by,
            acquisition=acquisition,
            overrides={"spacing_um": {"x": float("nan"), "y": 1.0}, "spacing_u_um": 0.1},
        )
    assert not Job.objects.exists()


def test_once_and_not_without_files(client: APIClient, acquisition: Acquisition, ingested: Ingest) -> None:
    assert "files" in problem(ask(client, acquisition), 409)["detail"]
    upload(client, acquisition, ("a.tif", tiff_bytes(ramp())))
    job = ask(client, acquisition).json()["job"]
    assert "queued" in problem(ask(client, acquisition), 409)["detail"]
    runner.execute(job)
    assert "already" in problem(ask(client, acquisition), 409)["detail"]
    assert Job.objects.count() == Image.objects.count() == 1


def bomb() -> bytes:
    """A TIFF of 200 bytes that announces two hundred thousand million samples."""
    entries = [(256, 4, 1, 400_000), (257, 4, 1, 500_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, 150), (277, 3, 1, 1), (278, 4, 1, 500_000), (279, 4, 1, 50)]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (struct.pack("<2sHI", b"II", 42, 8) + directory + b"\0" * 4).ljust(200, b"\0")


def truncated() -> bytes:
    whole = tiff_bytes(ramp((8, 64, 64)))
    return whole[: len(whole) * 2 // 3]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("bomb.tif", bomb(), None),
        ("cut.tif", truncated(), "truncated_file"),
        ("really.tif", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "content_mismatch"),
        ("notes.dat", b"voltage 15 kV, all fine\n", "unsupported_format"),
        ("empty-head.tif", b"II*\0" + b"\xff" * 40, None),
    ],
)
def test_bad_file_fails_the_job_and_leaves_nothing(
    client: APIClient,
    acquisition: Acquisition,
    ingested: Ingest,
    nothing_left: Check,
    name: str,
    data: bytes,
    code: str,
) -> None:
    job = ingested(acquisition, (name, data))
    assert job.status == "failed", (job.status, job.message)
    assert code in (None, job.exit_code), (job.exit_code, job.message)
    assert name in job.message
    found = client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()
    assert (found["status"], found["message"], found["images"]) == ("failed", job.message, [])
    assert not Image.objects.exists()
    assert not Store.objects.filter(kind="zarr").exists()
    assert Edge.objects.filter(subject_id=job.pk, relation="used", object_id=SourceFile.objects.get().pk).exists()
    nothing_left()


def test_side_car_file_is_kept_and_said(acquisition: Acquisition, ingested: Ingest) -> None:
    job = ingested(acquisition, ("a.tif", tiff_bytes(ramp())), ("a.txt", b"CM_ACCEL_VOLT 15\n"))
    assert job.status == "succeeded", job.message
    acquisition.refresh_from_db()
    assert acquisition.facts["side_car_files"]["value"] == ["a.txt"]
    assert "a.txt" in "\n".join(job.log_lines.values_list("text", flat=True))


def test_failed_ingest_can_be_asked_for_again_or_retried(
    client: APIClient, ada: User, acquisition: Acquisition, ingested: Ingest
) -> None:
    first = ingested(acquisition, ("notes.dat", b"nothing that is an image\n"))
    again, is_new = jobs.retry_job(actor=ada, job=first)
    assert is_new
    acquisition.refresh_from_db()
    assert acquisition.ingest_job_id == again.pk
    assert client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()["status"] == "queued"
    assert runner.execute(again.pk) == "failed"
    assert upload(client, acquisition, ("a.tif", tiff_bytes(ramp()))).status_code == 201
    job = ask(client, acquisition).json()["job"]
    assert runner.execute(job) == "succeeded"
    with pytest.raises(ConflictError):
        jobs.retry_job(actor=ada, job=again)


def test_second_publication_is_refused(acquisition: Acquisition, ada: User, ingested: Ingest) -> None:
    """Two jobs for one acquisition, however they came about, give one set of images."""
    first = ingested(acquisition, ("a.tif", tiff_bytes(ramp())))
    Acquisition.objects.update(ingest_job=None)
    twin = start_ingest(actor=ada, acquisition=acquisition)
    assert runner.execute(twin.pk) == "failed"
    twin.refresh_from_db()
    assert twin.exit_code == "already_ingested"
    assert list(Image.objects.values_list("job", flat=True)) == [first.pk]


def test_several_files_give_several_images(client: APIClient, acquisition: Acquisition, ingested: Ingest) -> None:
    job = ingested(
        acquisition, ("se.tif", tiff_bytes(ramp((1, 30, 40)))), ("bse.tif", tiff_bytes(ramp((1, 30, 40)) + 7))
    )
    assert job.status == "succeeded", job.message
    assert sorted(job.outputs) == ["image", "image_2"]
    assert client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()["images"] == [
        job.outputs["image"]["id"], job.outputs["image_2"]["id"]
    ]  # fmt: skip
    listed = client.get(f"/api/v1/images/?acquisition={acquisition.pk}&kind=intensity").json()["results"]
    assert len(listed) == 2
    assert client.get("/api/v1/images/?kind=labels").json()["results"] == []
    problem(client.get("/api/v1/images/?shape=3"), 400, "shape")


def test_who_may_ingest(acquisition: Acquisition, viewer: User, outsider: User) -> None:
    for user, status in ((None, 401), (outsider, 404), (viewer, 403)):
        problem(ask(client_of(user), acquisition), status)


def test_fibre_volume_end_to_end(
    client: APIClient, acquisition: Acquisition, shared_data: Path, nothing_left: Check, transactional_db: None
) -> None:
    source = shared_data / "microscopy" / "xct" / "fibers_150x150x150.tif"
    if not source.is_file():
        pytest.skip(f"{source.name}: not in the shared data")
    upload(client, acquisition, (source.name, source.read_bytes()))
    overrides = {"spacing_um": {"x": 1.3, "y": 1.3, "z": 1.3}, "spacing_u_um": {"x": 0.1, "y": 0.1, "z": 0.1}}
    job = ask(client, acquisition, overrides).json()["job"]
    assert runner.execute(job) == "succeeded"
    (image_id,) = client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()["images"]
    image = client.get(f"/api/v1/images/{image_id}/").json()
    assert image["shape"] == [150, 150, 150]
    assert image["calibrated"] is True
    row = Image.objects.select_related("store").get(pk=image_id)
    assert np.array_equal(open_store(storage.path(row.store.key)).level(0)[...], tifffile.imread(source))
    metadata = json.loads(b"".join(client.get(f"/api/v1/images/{image_id}/zarr/zarr.json").streaming_content))
    assert metadata["attributes"]["ome"]["version"] == "0.5"
    picture = client.get(f"/api/v1/images/{image_id}/thumbnail.png?size=128")
    assert picture["Content-Type"] == "image/png"
    nothing_left()
