"""Pages of what is not complete: no scale, no bytes, no value, no interval, no image, broken stores."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from django.urls import reverse

from apps.catalog.services import create_specimen
from apps.core import storage
from apps.core.models import Store
from tests.web.conftest import World, spacing


def text_of(client: Any, name: str, row: Any) -> str:
    answer = client.get(reverse(name, args=[row.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_uncalibrated_image_has_no_scale_bar_and_says_how_to_set_one(world: World, seen_by: Any) -> None:
    image = world.image()
    text = text_of(seen_by(world.contributor), "image", image)
    assert "cs-scalebar" not in text
    assert "has no spacing along x, y, z" in text
    assert reverse("image-calibrate", args=[image.pk]) in text
    assert reverse("image-calibrate", args=[image.pk]) not in text_of(seen_by(world.viewer), "image", image)


def test_uncalibrated_image_stands_beside_the_ladder(world: World, seen_by: Any) -> None:
    world.image(name="with scale", scale=spacing(1.0))
    world.image(name="without scale")
    text = text_of(seen_by(world.viewer), "specimen", world.specimen)
    ladder, without = text.split("No scale yet")
    assert "with scale" in ladder
    assert "without scale" not in ladder
    assert "without scale" in without
    assert "type it with its uncertainty" in without


def test_setting_a_scale_makes_a_new_version(world: World, seen_by: Any) -> None:
    image = world.image()
    client = seen_by(world.contributor)
    url = reverse("image-calibrate", args=[image.pk])
    form = {"x": "1,5", "y": "1.5", "z": "2", "u": "0.1", "reason": "grid of the holder"}
    answer = client.post(url, form)
    image.refresh_from_db()
    new = image.superseded_by
    assert answer["Location"] == reverse("image", args=[new.pk])
    assert new.spacing["x"] == {"value": 1.5, "unit": "um", "source": "user", "u": 0.1}
    text = text_of(client, "image", new)
    assert "The spacing is assumed" in text
    assert "cs-scalebar" in text
    assert "supersedes this one" in text_of(client, "image", image)


@pytest.mark.parametrize("wrong", [{"x": "much"}, {"x": "nan"}, {"u": ""}, {"reason": ""}, {"z": "-1"}])
def test_a_wrong_scale_is_refused_on_the_page_and_changes_nothing(
    wrong: dict[str, str], world: World, seen_by: Any
) -> None:
    image = world.image()
    form = {"x": "1", "y": "1", "z": "1", "u": "0.1", "reason": "r"} | wrong
    answer = seen_by(world.contributor).post(reverse("image-calibrate", args=[image.pk]), form, follow=True)
    assert answer.status_code == 200
    assert 'class="cs-note bad" role="status"' in answer.content.decode()
    assert not type(image).objects.filter(supersedes=image).exists()


def test_image_without_bytes_still_has_its_page(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    client = seen_by(world.viewer)
    shutil.rmtree(storage.path(image.store.key))
    assert client.get(reverse("image-slice", args=[image.pk])).status_code == 404
    assert text_of(client, "image", image)
    Store.objects.filter(pk=image.store.pk).update(state="deleted")
    assert "The bytes of this image are not there" in text_of(client, "image", image)
    assert client.get(reverse("image-slice", args=[image.pk])).status_code == 404


@pytest.mark.parametrize(
    "query", ["axis=q", "axis=z&index=-1", "index=9999999999999", "c=7&t=9", "edge=0", "edge=1e9", "index=²"]
)
def test_odd_slices_are_a_picture_or_a_404(query: str, world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    answer = seen_by(world.viewer).get(f"{reverse('image-slice', args=[image.pk])}?{query}")
    assert answer.status_code == (404 if query == "axis=q" else 200)


def test_slices_are_cached_by_their_content(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    client = seen_by(world.viewer)
    url = reverse("image-slice", args=[image.pk])
    first = client.get(f"{url}?axis=x&index=3")
    assert first["Content-Type"] == "image/png"
    assert "private" in first["Cache-Control"]
    assert client.get(f"{url}?axis=x&index=3", headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert client.get(f"{url}?axis=x&index=4")["ETag"] != first["ETag"]


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        ([None], None),
        (0.0, None),
        (1, None),
        (2.5, {"low": 2.0, "high": 3.0, "level": 0.95, "contains": ["scale"]}),
        ([None, 1.0, 2.0], None),
        ([[1.0, None, None], [None, 2.0, None], [None, None, None]], None),
        ([[1.0, 2.0], [3.0, 4.0]], None),
        ([], {"low": [], "high": [], "level": None, "contains": []}),
        ("words", None),
        ([1e-30, 1e30], {"low": [0, None], "high": [1e-29, None], "level": None, "contains": ["nobody knows"]}),
    ],
)
def test_number_of_any_form_has_a_page(value: Any, interval: Any, world: World, seen_by: Any) -> None:
    row = world.number("tensor", value, interval=interval, image=world.image(), error={"voxel": value})
    client = seen_by(world.viewer)
    assert text_of(client, "property", row)
    assert client.get(reverse("home")).status_code == 200


def test_number_without_image_or_record_has_a_page(world: World, seen_by: Any) -> None:
    row = world.number("count", 3, plugin="elsewhere.unknown", unit="1", scale_exponent=None)
    text = text_of(seen_by(world.viewer), "property", row)
    assert "no single power describes" in text
    assert "No interval is stated" in text


def test_table_without_rows_or_bytes_has_a_page(world: World, seen_by: Any) -> None:
    client = seen_by(world.viewer)
    assert "0 rows" in text_of(client, "table", world.table(rows=0))
    gone = world.table()
    shutil.rmtree(storage.path(gone.store.key))
    assert "The bytes of this table are not there" in text_of(client, "table", gone)
    assert client.get(reverse("table-csv", args=[gone.pk])).status_code == 404


def test_empty_project_and_specimen_have_pages(world: World, seen_by: Any) -> None:
    bare = create_specimen(actor=world.manager, project=world.project, name="Bare <b>")
    text = text_of(seen_by(world.viewer), "specimen", bare)
    assert "Material not stated" in text
    assert "No images yet" in text
    assert "Bare &lt;b&gt;" in text


@pytest.mark.parametrize("status", ["queued", "running", "succeeded", "failed", "errored", "cancelled"])
def test_job_in_every_state_has_a_page(status: str, world: World, seen_by: Any) -> None:
    row = world.job(status, inputs={"image": "not an id", "many": [str(world.project.pk)]}, outputs={"x": {"id": None}})
    client = seen_by(world.contributor)
    text = text_of(client, "job", row)
    assert "iteration 1 &lt;script&gt;" in text
    active = status in ("queued", "running")
    assert (reverse("job-cancel", args=[row.pk]) in text) is active
    assert (reverse("job-retry", args=[row.pk]) in text) is (status in ("failed", "errored"))
    assert ("hx-get" in text) is active
    live = client.get(reverse("job-live", args=[row.pk]))
    assert ("HX-Refresh" in live) is not active
