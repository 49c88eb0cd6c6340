"""Metadata of a file that somebody made: whatever they hold, rows and answers stay readable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from analyses.sdk.omezarr import open_store, write_image
from apps.core import storage
from apps.imaging.models import Acquisition, Image
from apps.jobs.models import Job
from tests.imaging.conftest import ramp
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db
Ingest = Callable[..., Job]


def sent(folder: Path, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A zipped store whose attributes were changed by hand."""
    write_image(folder / "a.zarr", ramp((6, 40, 50)), axes="zyx", spacing_um={"z": 1.0, "y": 1.0, "x": 1.0})
    file = folder / "a.zarr" / "zarr.json"
    content = json.loads(file.read_text())
    change(content["attributes"])
    file.write_text(json.dumps(content))
    shutil.make_archive(str(folder / "sent"), "zip", folder / "a.zarr")
    return (folder / "sent.zip").read_bytes()


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        ("s\ud800", "s\ufffd"),
        ("a\0b", "a\ufffdb"),
        ("x" * 3_000_000, "x" * 200),
    ],
    ids=["surrogate", "nul", "long"],
)
def test_a_label_is_short_text_in_row_store_and_answer(
    client: APIClient, acquisition: Acquisition, ingested: Ingest, tmp_path: Path, label: Any, kept: str
) -> None:
    def change(attributes: dict[str, Any]) -> None:
        attributes["ome"]["omero"] = {"channels": [{"label": label, "color": "FFFFFF"}]}
        attributes["ome"]["multiscales"][0]["name"] = "n\ud800\0" + "n" * 400
        attributes["half\udfff"] = ["\0"]

    job = ingested(acquisition, ("a.zarr.zip", sent(tmp_path, change)))
    assert job.status == "succeeded", job.message
    (row,) = client.get("/api/v1/images/").json()["results"]
    assert row["channels"] == [{"label": kept, "detector": None, "unit": None}]
    assert row["name"] == ("n\ufffd\ufffd" + "n" * 400)[:255]
    assert client.get(f"/api/v1/acquisitions/{acquisition.pk}/").status_code == 200
    assert client.get(f"/api/v1/images/{row['id']}/thumbnail.png").status_code == 200
    stored = open_store(storage.path(Image.objects.select_related("store").get().store.key))
    assert [channel.label for channel in stored.channels] == [kept]
    acquisition.refresh_from_db()
    header = json.dumps(acquisition.header, ensure_ascii=False)
    assert '"half' in header
    assert "\\u0000" not in header
    header.encode()


@pytest.mark.parametrize("label", [5, None, {"a": [1]}, "s\ud800"], ids=["number", "null", "object", "surrogate"])
def test_our_own_attribute_in_a_sent_store_is_not_believed(
    client: APIClient, acquisition: Acquisition, ingested: Ingest, tmp_path: Path, label: Any
) -> None:
    def change(attributes: dict[str, Any]) -> None:
        attributes["corrspace"] |= {"kind": "displacement", "channels": [{"label": label, "detector": ["x"]}]}

    job = ingested(acquisition, ("a.zarr.zip", sent(tmp_path, change)))
    assert job.status == "succeeded", job.message
    row = Image.objects.get()
    assert (row.kind, row.channels) == ("intensity", [])
    assert client.get(f"/api/v1/images/{row.pk}/thumbnail.png").status_code == 200
    (channel,) = open_store(tmp_path / "a.zarr").channels  # even where it is believed, labels are text
    assert (channel.label, channel.detector) == ("s\ufffd" if isinstance(label, str) else "0", None)
    assert not open_store(tmp_path / "a.zarr", trusted=False).complete


def test_a_store_that_cannot_be_read_is_a_problem_not_a_crash(client: APIClient, image: Image) -> None:
    path = storage.path(image.store.key)
    for spoil in ("{", "{}"):
        (path / "zarr.json").write_text(spoil)
        body = problem(client.get(f"/api/v1/images/{image.pk}/thumbnail.png"), 500)
        assert body["code"] == "store_damaged"


def test_a_filter_that_is_no_truth_value_is_refused(client: APIClient, image: Image) -> None:
    for value in ("maybe", "2", "None", "ja"):
        for address in ("images/?current", "mounts/?open", "rois/?current", "specimens/?root"):
            problem(client.get(f"/api/v1/{address}={value}"), 400, address.partition("?")[2])
    for value, found in (("true", 1), ("True", 1), ("1", 1), ("false", 0), ("0", 0), ("", 1)):
        assert len(client.get(f"/api/v1/images/?current={value}").json()["results"]) == found


@pytest.mark.parametrize("zone", ["+99:99", "+99:00", "-24:00"])
def test_an_offset_that_no_place_has_is_refused(client: APIClient, acquisition: Acquisition, zone: str) -> None:
    body = {
        "project": str(acquisition.project_id),
        "specimen": str(acquisition.specimen_id),
        "modality": "xrm",
        "acquired_at": "2024-05-03T14:07:09",
        "acquired_zone": zone,
    }
    problem(client.post("/api/v1/acquisitions/", body, format="json"), 400, "acquired_zone")
