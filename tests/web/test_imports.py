"""Importing by the pages, and running an analysis by its form."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from analyses import registry
from apps.imaging.models import Acquisition
from apps.jobs.models import Job
from apps.provenance import record
from apps.web.present import schema
from apps.web.present.previews import preview_of
from tests.web.conftest import World, spacing

BYTES = b"II*\x00 and more"


@pytest.fixture
def empty(world: World) -> Acquisition:
    return world.acquisition


def send(client: Client, row: Acquisition, address: str = "", **more: Any) -> Any:
    url = address or reverse("acquisition-files", args=[row.pk])
    return client.post(url, {"file": SimpleUploadedFile("a.tif", BYTES, "image/tiff")}, **more)


def test_an_acquisition_is_described_without_taking_the_uploader_for_the_operator(world: World, seen_by: Any) -> None:
    client = seen_by(world.contributor)
    url = reverse("specimen-import", args=[world.specimen.pk])
    assert client.get(url).status_code == 200
    answer = client.post(url, {"modality": "sem", "operator_name": "Grace", "acquired_at": "2024-06-01T09:30:00"})
    made = Acquisition.objects.exclude(pk=world.acquisition.pk).get()
    assert answer["Location"] == reverse("acquisition", args=[made.pk])
    assert (made.operator, made.operator_name, made.state) == (None, "Grace", world.specimen.current_state)
    refused = client.post(url, {"modality": "sem", "acquired_at": "yesterday"})
    assert refused.status_code == 400
    assert 'aria-invalid="true"' in refused.content.decode()
    assert seen_by(world.viewer).post(url, {"modality": "sem"}).status_code == 403
    assert seen_by(world.outsider).get(url).status_code == 404


def test_files_are_received_and_looked_into(world: World, empty: Acquisition, seen_by: Any) -> None:
    answer = send(seen_by(world.contributor), empty)
    assert answer["Location"] == reverse("acquisition", args=[empty.pk])
    assert [file.name for file in empty.files.all()] == ["a.tif"]
    assert Job.objects.filter(kind="preview", inputs__acquisition=str(empty.pk)).count() == 1
    text = seen_by(world.contributor).get(reverse("acquisition", args=[empty.pk])).content.decode()
    assert "Looking into the files" in text
    assert "Confirm and ingest" in text
    again = send(seen_by(world.contributor), empty, headers={"Accept": "application/json"})
    assert again.status_code == 400
    assert "same bytes" in again.json()["detail"]


def test_an_upload_without_the_ticket_of_its_form_is_refused(world: World, empty: Acquisition) -> None:
    """The attack: a page elsewhere sends a body in a member's name."""
    client, other = Client(enforce_csrf_checks=True), Client(enforce_csrf_checks=True)
    for each in (client, other):
        each.force_login(world.contributor, backend="django.contrib.auth.backends.ModelBackend")
    plain = reverse("acquisition-files", args=[empty.pk])
    assert send(client, empty).status_code == 403
    assert send(client, empty, f"{plain}?ticket=made-up").status_code == 403
    page = client.get(reverse("acquisition", args=[empty.pk])).content.decode()
    address = page.split('action="' + plain)[1].split('"')[0]
    assert send(other, empty, plain + address).status_code == 403  # the ticket of another session
    assert empty.files.count() == 0
    assert send(client, empty, plain + address).status_code == 302
    assert empty.files.count() == 1


def test_viewers_send_nothing_and_strangers_see_nothing(world: World, empty: Acquisition, seen_by: Any) -> None:
    assert send(seen_by(world.viewer), empty).status_code == 403
    assert send(seen_by(world.outsider), empty).status_code == 404
    assert send(Client(), empty).status_code == 302
    assert empty.files.count() == 0


def test_a_typed_spacing_needs_its_uncertainty(world: World, empty: Acquisition, seen_by: Any) -> None:
    client = seen_by(world.contributor)
    send(client, empty)
    url = reverse("acquisition-ingest", args=[empty.pk])
    refused = client.post(url, {"x": "0,5", "y": "0.5"})
    text = refused.content.decode()
    assert refused.status_code == 400
    assert 'value="0,5"' in text
    assert 'class="cs-error"' in text
    empty.refresh_from_db()
    assert empty.ingest_job is None
    client.post(url, {"x": "0,5", "y": "0.5", "u": "0.01", "handedness": "right"})
    empty.refresh_from_db()
    assert empty.ingest_job is not None
    assert empty.ingest_job.params["spacing"]["x"]["value"] == 0.5
    assert empty.ingest_job.params["handedness"] == "right"


def test_a_preview_says_where_no_scale_is() -> None:
    image = {
        "file": "a.tif", "reader": "TIFF", "name": "a", "kind": "intensity", "axes": ["z", "y", "x"],
        "shape": [1, 40, 50], "dtype": "uint8", "spacing": {"x": None, "y": None, "z": None},
    }  # fmt: skip
    known = image | {"spacing": {axis: {"value": 0.5, "u": None} for axis in "xy"}, "spacing_read_from": "tag 1"}
    found = preview_of({"preview": {"groups": [{"images": [image, known], "image_count": 3, "side_cars": ["a.hdr"]}]}})
    assert found is not None
    assert (found.without_scale, found.more, found.side_cars) == (1, 1, ["a.hdr"])
    assert found.images[0].scale == "no scale in this file"
    assert found.images[1].scale.endswith("(from tag 1)")
    assert preview_of({}) is None


# ------------------------------------------------------------------------------------------------------------ analyses


def run_address(image: Any, plugin: str) -> str:
    return reverse("image-run", args=[image.pk, plugin])


def test_only_analyses_that_take_the_image_are_offered(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    client = seen_by(world.contributor)
    text = client.get(reverse("image-analyses", args=[image.pk])).content.decode()
    offered, others = text.split("Not for this image")
    assert "Phases by threshold" in offered
    assert "segment the image first" in others
    assert client.get(run_address(image, "bulk.conductivity")).status_code == 404
    assert client.get(run_address(image, "no.such")).status_code == 404
    assert seen_by(world.viewer).get(reverse("image-analyses", args=[image.pk])).status_code == 200
    assert seen_by(world.viewer).post(run_address(image, "segmentation.threshold")).status_code == 403


def test_a_segmentation_is_submitted_and_the_same_again_is_the_same_job(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    client = seen_by(world.contributor)
    form = {"do": "run", "method": "fixed", "thresholds": "70; 90,", "channel": "0", "time": "0"}
    first = client.post(run_address(image, "segmentation.threshold"), form)
    job = Job.objects.get(plugin="segmentation.threshold")
    assert first["Location"] == reverse("job", args=[job.pk])
    assert job.params["thresholds"] == [70.0, 90.0]
    assert client.post(run_address(image, "segmentation.threshold"), form)["Location"] == first["Location"]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"method": "multi_otsu", "classes": "99"}, "f-classes"),
        ({"method": "multi_otsu", "classes": "many"}, "f-classes"),
        ({"method": "otsu", "channel": "-1"}, "f-channel"),
    ],
)
def test_a_wrong_parameter_is_said_beside_its_field(
    form: dict[str, str], field: str, world: World, seen_by: Any
) -> None:
    image = world.image(scale=spacing(1.0))
    answer = seen_by(world.contributor).post(run_address(image, "segmentation.threshold"), {"do": "run", **form})
    text = answer.content.decode()
    assert answer.status_code == 400
    assert 'class="cs-error"' in text.split(f'id="{field}-help"')[1].split("</div>")[0]
    assert not Job.objects.filter(plugin="segmentation.threshold").exists()


def test_phases_take_materials_or_values_and_the_cost_is_shown(world: World, seen_by: Any) -> None:
    labels = world.image(scale=spacing(1.0), kind="labels")
    client = seen_by(world.contributor)
    url = run_address(labels, "bulk.bounds")
    page = client.get(url).content.decode()
    assert [f"phases.{label}.k" in page for label in range(4)] == [True, True, True, False]
    values = {f"phases.{label}.k": str(label + 1) for label in range(3)}
    form = {"unit": "W/(m.K)", **values, "phases.1.u": "0,1", "phases.1.source": "a table"}
    assert "All of this can be run" in client.post(url, {"do": "estimate", **form}).content.decode()
    assert not Job.objects.filter(plugin="bulk.bounds").exists()
    client.post(url, {"do": "run", **form})
    job = Job.objects.get(plugin="bulk.bounds")
    assert job.params["phases"]["1"]["u"] == 0.1
    missing = client.post(url, {"do": "run", "unit": "W/(m.K)"})
    assert missing.status_code == 400
    assert 'role="alert"' in missing.content.decode()


@pytest.mark.parametrize("spec", registry.all_specs(), ids=lambda spec: spec.name)
def test_every_plugin_has_a_form_that_gives_its_defaults_back(spec: Any) -> None:
    described = spec.params.model_json_schema()
    kept = {name: part for name, part in described["properties"].items() if name != schema.PHASES}
    texts = {
        field.name: list(field.value) if field.kind == "checks" else [str(field.value or "")]
        for field in schema.fields_of(described)
    }
    given = schema.params_of({**described, "properties": kept}, texts, [])
    defaults = {name: field.default for name, field in spec.params.model_fields.items() if name in given}
    assert {name: _plain(value) for name, value in given.items()} == {
        name: _plain(value) for name, value in defaults.items()
    }


def _plain(value: Any) -> Any:
    """Numbers as the form shows them, with six digits."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


# --------------------------------------------------------------------------------------------------- members, decisions


def test_a_manager_adds_changes_and_removes_a_member(world: World, seen_by: Any) -> None:
    client, name = seen_by(world.manager), world.outsider.get_username()
    url = reverse("members", args=[world.project.pk])
    client.post(url, {"username": name, "role": "viewer"})
    member = world.project.memberships.get(user=world.outsider)
    client.post(reverse("member-role", args=[world.project.pk, member.pk]), {"role": "contributor"})
    member.refresh_from_db()
    assert member.role == "contributor"
    client.post(reverse("member-remove", args=[world.project.pk, member.pk]), {"reason": "left"})
    assert not world.project.memberships.filter(user=world.outsider).exists()
    refused = client.post(url, {"username": "nobody", "role": "viewer"})
    assert refused.status_code == 400
    assert "there is no active account" in refused.content.decode()
    assert seen_by(world.contributor).post(url, {"username": name, "role": "viewer"}).status_code == 403


def test_a_number_is_reviewed_by_a_second_person_and_released_by_a_manager(world: World, seen_by: Any) -> None:
    number = world.number("fractions", [0.4, 0.6], plugin="segmentation.threshold")
    page = reverse("property", args=[number.pk])
    assert "number-review" not in seen_by(world.manager).get(page).content.decode()  # who had it made
    assert seen_by(world.manager).post(reverse("number-review", args=[number.pk])).status_code == 403
    seen_by(world.contributor).post(reverse("number-review", args=[number.pk]), {"verdict": "approved"})
    assert "Approved numbers to release" in seen_by(world.manager).get(reverse("home")).content.decode()
    seen_by(world.manager).post(reverse("number-release", args=[number.pk]), {"comment": "for the sheet"})
    text = seen_by(world.viewer).get(page).content.decode()
    assert "Released on" in text
    assert "for the sheet" in text
    seen_by(world.manager).post(reverse("number-withdraw", args=[number.pk]), {"reason": "wrong phases"})
    assert "Its release was withdrawn" in seen_by(world.viewer).get(page).content.decode()


def test_home_names_what_waits(world: World, seen_by: Any) -> None:
    world.image(name="bare one")
    failed = world.job("failed")
    stale = world.number("fractions", [0.4, 0.6], plugin="segmentation.threshold")
    with record.act("withdraw", actor=world.manager, project=world.project.pk) as act:
        act.stale([stale.pk], cause=world.project.pk, reason="the scale was wrong")
    text = seen_by(world.manager).get(reverse("home")).content.decode()
    assert "Images without scale" in text
    assert "bare one" in text
    assert reverse("job", args=[failed.pk]) in text
    assert "Numbers of yours that are stale" in text
    assert "Nothing waits for you" in seen_by(world.outsider).get(reverse("home")).content.decode()
