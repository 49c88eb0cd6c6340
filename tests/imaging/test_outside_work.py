"""Work done in other programs: who asserts it, what it left, and what the derivation says of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from apps.audit import selectors as audit
from apps.catalog.models import Specimen
from apps.catalog.services import create_specimen
from apps.core.models import Store
from apps.imaging.models import Acquisition, Image, OutsideActivity, SourceFile
from apps.imaging.services import receive_files
from apps.jobs import runner
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project
from apps.provenance.checks import verify_chain
from apps.provenance.models import Edge
from tests.imaging.conftest import calibrated_tiff, client_of, ramp, tiff_bytes

URL = "/api/v1/external-activities/"
PROGRAM = {"software": "Octopus", "version": "8.9", "parameters": {"filter": "Ram-Lak", "iterations": 12}}
Check = Callable[[], None]


def labels_of(shape: tuple[int, ...] = (6, 40, 50)) -> Any:
    return (ramp(shape) % 3).astype(np.uint8)


def form(project: Project, *files: tuple[str, bytes], **fields: Any) -> dict[str, Any]:
    """A multipart form as a script sends it: nested fields as JSON, files last."""
    said = {"project": str(project.pk), **PROGRAM, **fields}
    sent = {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}
    return sent | {"file": [SimpleUploadedFile(name, data) for name, data in files]}


def enter(client: APIClient, project: Project, *files: tuple[str, bytes], **fields: Any) -> Any:
    return client.post(URL, form(project, *files, **fields), format="multipart")


def read(answer: Any, status: str = "succeeded") -> Job:
    """Run the job that reads what came."""
    assert answer.status_code == 201, answer.content
    job = Job.objects.get(pk=answer.json()["job"])
    runner.execute(job.pk)
    job.refresh_from_db()
    assert job.status == status, f"{job.status} {job.exit_code} {job.message}"
    return job


def story(thing: Any, user: User) -> str:
    return " ".join(sentence["text"] for sentence in audit.derivation(thing, user)["sentences"])


@pytest.fixture
def nothing_made() -> Check:
    """Say that a refusal left nothing behind."""

    def check() -> None:
        assert not OutsideActivity.objects.exists()
        assert not SourceFile.objects.exists()
        assert not Store.objects.exists()

    return check


# --------------------------------------------------------------------------------------------------- reconstructions


def test_a_volume_reconstructed_elsewhere_enters_with_who_asserts_it(
    transactional_db: None, client: APIClient, project: Project, specimen: Specimen, ada: User, nothing_left: Check
) -> None:
    answer = enter(
        client,
        project,
        ("volume.tif", calibrated_tiff(ramp())),
        kind="reconstruction",
        specimen=str(specimen.pk),
        operator={"name": "Otto Perator"},
        performed_at="2024-05-03T14:07:09",
    )
    assert answer.json()["operator"] == {"name": "Otto Perator"}
    assert answer.json()["asserted_by"] == str(ada.pk)
    assert (answer.json()["status"], answer.json()["inputs"]) == ("queued", [])
    read(answer)
    body = client.get(f"{URL}{answer.json()['id']}/").json()
    image = Image.objects.get(pk=body["images"][0])
    assert body["status"] == "ready"
    assert list(body["header"]) == ["volume.tif"]
    assert (image.shape, image.calibrated, image.acquisition_id) == ([6, 40, 50], True, None)
    assert image.specimen_id == specimen.pk
    told = story(image, ada)
    assert "performed outside, asserted by ada" in told
    assert "Octopus 8.9" in told
    assert "Otto Perator" in told
    assert "reconstruction not recorded, only asserted" in told
    assert not verify_chain()
    nothing_left()


def test_what_was_done_outside_is_listed_as_asserted(
    transactional_db: None, client: APIClient, project: Project, specimen: Specimen, ada: User
) -> None:
    fields = {"kind": "reconstruction", "specimen": str(specimen.pk)}
    job = read(enter(client, project, ("volume.tif", calibrated_tiff(ramp())), **fields))
    asserted = audit.derivation(job.images.get(), ada)["asserted"]
    (entry,) = [entry for entry in asserted if entry["what"] == "performed outside"]
    assert entry["by"] == ["ada"]
    assert entry["value"]["software"] == "Octopus"


def test_a_volume_without_projections_says_that_its_reconstruction_is_not_recorded(image: Image, ada: User) -> None:
    derivation = audit.derivation(image, ada)
    assert "reconstruction not recorded" in story(image, ada)
    unmet = [check["question"] for check in derivation["completeness"]["checks"] if not check["satisfied"]]
    assert "The reconstruction of every volume is recorded." in unmet


def test_a_received_file_that_was_reconstructed_from_projections_says_so(
    image: Image, client: APIClient, project: Project, specimen: Specimen, acquisition: Acquisition, ada: User
) -> None:
    from apps.imaging.services import create_acquisition  # the acquisition of the fixture holds the volume

    tilts = create_acquisition(actor=ada, project=project, specimen=specimen, modality="xrm", operator_name="Ute")
    (projections,) = receive_files(
        actor=ada, acquisition=tilts, files=[("tilts.tif", "image/tiff", [tiff_bytes(ramp((9, 8, 8)))])]
    )
    volume = SourceFile.objects.get(acquisition=acquisition)
    body = {
        "project": str(project.pk),
        "kind": "reconstruction",
        **PROGRAM,
        "inputs": [str(tilts.pk)],
        "files": [str(volume.pk)],
    }
    answer = client.post(URL, body, format="json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["job"] is None
    assert answer.json()["images"] == [str(image.pk)]
    told = story(image, ada)
    assert "performed outside, asserted by ada" in told
    assert "reconstruction not recorded" not in told
    assert "tilts.tif" in told
    activity = OutsideActivity.objects.get()
    assert Edge.objects.filter(subject_id=activity.pk, relation="used", object_id=projections.pk).exists()
    again = client.post(URL, body, format="json")
    assert again.status_code == 409


def test_nothing_is_made_of_itself(image: Image, client: APIClient, project: Project, acquisition: Acquisition) -> None:
    volume = SourceFile.objects.get(acquisition=acquisition)
    for source in (volume, image):
        body = {"project": str(project.pk), "kind": "reconstruction", **PROGRAM, "files": [str(volume.pk)]}
        answer = client.post(URL, body | {"inputs": [str(source.pk)]}, format="json")
        assert answer.status_code == 400, answer.content
        assert "inputs.0" in answer.json()["errors"]
    assert not OutsideActivity.objects.exists()


# ------------------------------------------------------------------------------------------------------ segmentations


def test_labels_made_outside_take_frame_and_spacing_of_the_image_they_lie_on(
    image: Image, client: APIClient, project: Project, ada: User
) -> None:
    answer = enter(
        client, project, ("labels.tif", tiff_bytes(labels_of())), kind="segmentation", inputs=[str(image.pk)]
    )
    assert answer.json()["like"] == str(image.pk)
    labels = read(answer).images.get()
    assert (labels.kind, labels.dtype, labels.shape) == ("labels", "uint8", image.shape)
    assert labels.frame_id == image.frame_id
    assert labels.spacing == image.spacing
    assert labels.modality == image.modality
    assert "performed outside, asserted by ada" in story(labels, ada)


def test_labels_on_another_grid_are_refused_with_the_reason(
    image: Image, client: APIClient, project: Project, nothing_left: Check
) -> None:
    wrong = ("labels.tif", tiff_bytes(labels_of((6, 40, 49))))
    answer = enter(client, project, wrong, kind="segmentation", inputs=[str(image.pk)])
    job = read(answer, "failed")
    assert job.exit_code == "grid_mismatch"
    assert "x 49" in job.message
    assert "x 50" in job.message
    assert client.get(f"{URL}{answer.json()['id']}/").json()["status"] == "failed"
    assert Image.objects.count() == 1
    nothing_left()


def test_probabilities_are_no_labels(image: Image, client: APIClient, project: Project) -> None:
    soft = ("soft.tif", tiff_bytes(labels_of().astype(np.float32) / 2))
    job = read(enter(client, project, soft, kind="segmentation", inputs=[str(image.pk)]), "failed")
    assert "labels must be integers" in job.message


def test_a_new_spacing_of_the_image_is_followed_by_labels_made_outside(
    image: Image, client: APIClient, project: Project
) -> None:
    labels = read(
        enter(client, project, ("labels.tif", tiff_bytes(labels_of())), kind="segmentation", inputs=[str(image.pk)])
    ).images.get()
    body = {"spacing_um": {"x": 0.6, "y": 0.6, "z": 2.4}, "spacing_u_um": 0.01, "reason": "a grating"}
    assert client.post(f"/api/v1/images/{image.pk}/calibrate/", body, format="json").status_code == 201
    assert Image.objects.get(supersedes=labels).spacing["x"]["value"] == 0.6


def test_several_input_images_need_a_word_on_whose_grid_the_labels_lie(
    image: Image, client: APIClient, project: Project
) -> None:
    labels = read(
        enter(client, project, ("l.tif", tiff_bytes(labels_of())), kind="segmentation", inputs=[str(image.pk)])
    ).images.get()
    both = [str(image.pk), str(labels.pk)]
    again = ("m.tif", tiff_bytes(labels_of() + 1))
    answer = enter(client, project, again, kind="segmentation", inputs=both)
    assert answer.status_code == 400
    assert "like" in answer.json()["errors"]
    answer = enter(client, project, again, kind="segmentation", inputs=both, like=str(image.pk))
    assert answer.status_code == 201


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"software": " "}, "software"),
        ({"version": ""}, "version"),
        ({"kind": "guessing"}, "kind"),
        ({"parameters": "[1]"}, "parameters"),
        ({"parameters": "{"}, "parameters"),
        ({"inputs": ["0190e7d2-0000-7000-8000-000000000000"]}, "inputs.0"),
        ({"specimen": ""}, "specimen"),
        ({"performed_at": "yesterday"}, "performed_at"),
        ({"performed_zone": "Mars/Olympus"}, "performed_zone"),
        ({"overrides": {"spacing_um": {"x": 1, "y": 1}}}, "overrides.spacing_u_um"),
        ({"surprise": "1"}, "surprise"),
        ({"operator": "nobody"}, "operator"),
    ],
)
def test_a_refusal_names_the_field_and_keeps_nothing(
    client: APIClient, project: Project, specimen: Specimen, nothing_made: Check, changed: dict[str, Any], field: str
) -> None:
    fields = {"kind": "reconstruction", "specimen": str(specimen.pk)} | changed
    answer = enter(client, project, ("volume.tif", tiff_bytes(ramp())), **fields)
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["errors"], answer.json()
    nothing_made()


def test_work_that_left_nothing_is_refused(client: APIClient, project: Project, specimen: Specimen) -> None:
    body = {"project": str(project.pk), "kind": "other", **PROGRAM, "specimen": str(specimen.pk)}
    answer = client.post(URL, body, format="json")
    assert answer.status_code == 400
    assert "files" in answer.json()["errors"]


def test_without_inputs_the_specimen_must_be_said(client: APIClient, project: Project, nothing_made: Check) -> None:
    answer = enter(client, project, ("volume.tif", tiff_bytes(ramp())), kind="reconstruction")
    assert answer.status_code == 400
    assert "specimen" in answer.json()["errors"]
    nothing_made()


def test_who_may_enter_outside_work(
    project: Project, specimen: Specimen, viewer: User, outsider: User, nothing_made: Check
) -> None:
    fields = {"kind": "reconstruction", "specimen": str(specimen.pk)}
    for user, status in ((viewer, 403), (outsider, 400), (None, 401)):
        answer = enter(client_of(user), project, ("volume.tif", tiff_bytes(ramp())), **fields)
        assert answer.status_code == status, answer.content
    nothing_made()


def test_inputs_and_files_of_another_project_are_not_found(
    image: Image, client: APIClient, ada: User, acquisition: Acquisition
) -> None:
    elsewhere = create_project(actor=ada, name="elsewhere")
    specimen = create_specimen(actor=ada, project=elsewhere, name="other")
    body = {"project": str(elsewhere.pk), "kind": "reconstruction", **PROGRAM, "specimen": str(specimen.pk)}
    volume = SourceFile.objects.get(acquisition=acquisition)
    for field, pk in (("inputs", image.pk), ("files", volume.pk)):
        answer = client.post(URL, body | {field: [str(pk)]}, format="json")
        assert answer.status_code == 400
        assert f"{field}.0" in answer.json()["errors"]


def test_a_file_has_one_origin(acquisition: Acquisition, ada: User) -> None:
    (row,) = receive_files(actor=ada, acquisition=acquisition, files=[("a.tif", "", [b"bytes"])])
    with pytest.raises(IntegrityError), transaction.atomic():
        SourceFile.objects.filter(pk=row.pk).update(acquisition=None)


def test_a_failed_reading_can_be_asked_for_again(
    transactional_db: None, client: APIClient, project: Project, specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"kind": "reconstruction", "specimen": str(specimen.pk)}
    answer = enter(client, project, ("volume.tif", calibrated_tiff(ramp())), **fields)
    with monkeypatch.context() as broken:
        broken.setattr("apps.analysis.outside.TARGET", "apps.analysis.no_such_module:take")
        read(answer, "errored")
    again = client.post(f"/api/v1/jobs/{answer.json()['job']}/retry/")
    assert again.status_code == 202
    runner.execute(again.json()["id"])
    body = client.get(f"{URL}{answer.json()['id']}/").json()
    assert (body["status"], len(body["images"])) == ("ready", 1)


def test_outside_work_follows_an_acquisition_to_the_right_specimen(
    image: Image, client: APIClient, project: Project, acquisition: Acquisition, ada: User
) -> None:
    labels = read(
        enter(client, project, ("labels.tif", tiff_bytes(labels_of())), kind="segmentation", inputs=[str(image.pk)])
    ).images.get()
    right = create_specimen(actor=ada, project=project, name="the right one")
    body = {"specimen": str(right.pk), "reason": "the holders were swapped"}
    assert client.post(f"/api/v1/acquisitions/{acquisition.pk}/move/", body, format="json").status_code == 200
    labels.refresh_from_db()
    assert OutsideActivity.objects.get().specimen_id == labels.specimen_id == right.pk


def test_a_real_volume_reconstructed_and_segmented_elsewhere_tells_both_in_its_derivation(
    transactional_db: None, client: APIClient, project: Project, specimen: Specimen, ada: User, shared_data: Path
) -> None:
    data = next(shared_data.rglob("100_fiberform.tif")).read_bytes()
    volume_fields = {
        "kind": "reconstruction",
        "specimen": str(specimen.pk),
        "overrides": {"spacing_um": {"x": 1.3, "y": 1.3, "z": 1.3}, "spacing_u_um": 0.01},
    }
    volume = read(enter(client, project, ("100_fiberform.tif", data), **volume_fields)).images.get()
    solid = (tifffile.imread(io.BytesIO(data)) > 90).astype(np.uint8)
    segmented = {"software": "Ilastik", "version": "1.4.0", "kind": "segmentation", "inputs": [str(volume.pk)]}
    labels = read(enter(client, project, ("solid.tif", tiff_bytes(solid)), **segmented)).images.get()
    assert labels.frame_id == volume.frame_id
    assert labels.spacing["x"] == {"value": 1.3, "unit": "um", "source": "user", "u": 0.01}
    told = story(labels, ada)
    for word in (
        "Reconstruction with Octopus 8.9 was performed outside, asserted by ada",
        "Segmentation with Ilastik 1.4.0 was performed outside, asserted by ada",
        "reconstruction not recorded, only asserted",
        "an operator not stated",
    ):
        assert word in told, told
    assert told.index("Reconstruction with") < told.index("Segmentation with")
    assert not verify_chain()
