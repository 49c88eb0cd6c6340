"""Images: a new scale is a new version, bytes come by key alone, pictures are small and honest."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from rest_framework.test import APIClient

from analyses.sdk.omezarr import write_image
from apps.core import storage
from apps.core.errors import UncalibratedError
from apps.core.models import Store
from apps.imaging import chunks, thumbnails
from apps.imaging.models import Acquisition, Image
from apps.imaging.selectors import describe_image, require_calibrated
from apps.imaging.services import create_image, move_acquisition
from apps.jobs.models import Job
from apps.projects.models import User
from apps.provenance import graph, record
from apps.provenance.models import Edge, ErasableText, Node
from apps.provenance.selectors import assertions
from tests.imaging.conftest import client_of, ramp, tiff_bytes
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db
GIVEN = {"spacing_um": {"x": 1.5, "y": 1.5, "z": 3}, "spacing_u_um": 0.05, "reason": "read off Bert's scale bar"}


def calibrate(client: APIClient, image_id: Any, **change: Any) -> Any:
    return client.post(f"/api/v1/images/{image_id}/calibrate/", GIVEN | change, format="json")


def labels_like(image: Image, labels: Any) -> Image:
    """Labels over the image's samples, as an analysis publishes them."""
    key = storage.new_key("zarr")
    info = write_image(storage.path(key), labels, axes=image.axes, spacing_um={}, kind="labels")
    store = Store.objects.create(
        kind="zarr",
        key=key,
        state="ready",
        digest=info.digest,
        manifest=info.manifest.to_bytes().decode(),
        size_bytes=info.size,
        file_count=len(info.manifest.entries),
    )
    assert image.job is not None
    with record.act("test_labels", actor=image.created_by, project=image.project_id) as act:
        row = create_image(
            act=act,
            job=image.job,
            project=image.project,
            specimen=image.specimen,
            state=image.state,
            store=store,
            description={"kind": "labels", "axes": image.axes, "shape": image.shape, "dtype": labels.dtype.name},
            like=image,
            name="labels",
        )
        act.derived(row, image)
    return row


def test_new_scale_is_a_new_version_over_the_same_samples(client: APIClient, image: Image, ada: User) -> None:
    response = calibrate(client, image.pk)
    assert response.status_code == 201, response.content
    new = response.json()
    assert new == client.get(f"/api/v1/images/{new['id']}/").json()
    assert (new["version"], new["supersedes"], new["digest"]) == (2, str(image.pk), image.store.digest)
    assert new["spacing"]["z"] == {"value": 3.0, "unit": "um", "source": "user", "u": 0.05}
    assert new["frame"] not in (None, str(image.frame_id))
    old = client.get(f"/api/v1/images/{image.pk}/").json()
    assert (old["spacing"]["z"]["value"], old["frame"]) == (2.0, str(image.frame_id))
    assert client.get(f"/api/v1/acquisitions/{image.acquisition_id}/").json()["images"] == [new["id"]]
    current = client.get("/api/v1/images/?current=true").json()["results"]
    assert [row["id"] for row in current] == [new["id"]]
    row = Image.objects.get(pk=new["id"])
    assert row.frame is not None
    assert row.frame.extent.x_min == pytest.approx(-0.75)


def test_calibration_is_recorded_as_typed_by_hand(client: APIClient, image: Image, ada: User) -> None:
    new = uuid.UUID(calibrate(client, image.pk).json()["id"])
    assert Edge.objects.filter(subject_id=new, relation="wasRevisionOf", object_id=image.pk).exists()
    (said,) = assertions([new])
    assert (said["what"], said["value"]["z"]["value"], said["value"]["z"]["u"]) == ("spacing", 3.0, 0.05)
    text = ErasableText.objects.get(node_id=said["by"], name="reason")
    assert text.text == "read off Bert's scale bar"
    assert "Bert" not in str(Node.objects.get(pk=said["by"]).attributes)
    assert {image.pk, ada.pk} <= set(graph.ancestors([new], limit=1000))


def test_superseded_image_is_not_calibrated_again(client: APIClient, image: Image) -> None:
    new = calibrate(client, image.pk).json()["id"]
    body = problem(calibrate(client, image.pk), 409)
    assert body["details"]["superseded_by"] == new
    assert calibrate(client, new, reason="better").json()["version"] == 3


BAD_SCALES: list[tuple[dict[str, Any], str]] = [
    ({"spacing_um": {"x": 1, "y": 0}}, "spacing_um.y"),
    ({"spacing_um": {"x": 1, "y": 1, "t": 1}}, "spacing_um.t"),
    ({"spacing_u_um": None}, "spacing_u_um"),
    ({"spacing_u_um": "0.1"}, "spacing_u_um"),
    ({"reason": ""}, "reason"),
    ({"spacing_nm": 3}, "spacing_nm"),
]


def test_bad_scale_is_named(client: APIClient, image: Image) -> None:
    for change, field in BAD_SCALES:
        problem(calibrate(client, image.pk, **change), 400, field)
    assert Image.objects.count() == 1


def test_volume_needs_its_third_spacing(
    client: APIClient, acquisition: Acquisition, ingested: Callable[..., Job]
) -> None:
    ingested(acquisition, ("a.tif", tiff_bytes(ramp())))
    image = Image.objects.get()
    with pytest.raises(UncalibratedError, match=f"POST /api/v1/images/{image.pk}/calibrate/"):
        require_calibrated(image)
    problem(calibrate(client, image.pk, spacing_um={"x": 1, "y": 1}), 400, "spacing_um.z")
    done = calibrate(client, image.pk).json()
    assert (done["calibrated"], done["frame"] is not None) == (True, True)
    require_calibrated(Image.objects.get(pk=done["id"]))


def test_who_may_calibrate(image: Image, viewer: User, outsider: User) -> None:
    for user, status in ((None, 401), (outsider, 404), (viewer, 403)):
        problem(calibrate(client_of(user), image.pk), status)


def test_labels_stand_in_the_frame_of_their_image_and_move_with_it(client: APIClient, ada: User, image: Image) -> None:
    from apps.catalog.services import create_specimen

    labels = labels_like(image, (ramp() % 3).astype("uint8"))
    assert (labels.frame_id, labels.spacing, labels.handedness) == (image.frame_id, image.spacing, image.handedness)
    assert (labels.acquisition, labels.modality) == (None, "xrm")
    assert describe_image(labels)["frame"] == str(image.frame_id)
    assert calibrate(client, labels.pk).status_code == 201
    right = create_specimen(actor=ada, project=image.project, name="right")
    acquisition = Acquisition.objects.get(pk=image.acquisition_id)
    move_acquisition(actor=ada, acquisition=acquisition, specimen=right, reason="swapped")
    assert set(Image.objects.values_list("specimen", flat=True)) == {right.pk}


# ------------------------------------------------------------------------------------------------------- bytes by key


def zarr_url(image: Image, key: str) -> str:
    return f"/api/v1/images/{image.pk}/zarr/{key}"


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_every_file_of_the_manifest_is_served(client: APIClient, image: Image) -> None:
    entries = chunks._entries(image.store_id)
    assert {"zarr.json", "0/zarr.json", "0/c/0/0/0"} <= set(entries)
    for key, entry in entries.items():
        response = client.get(zarr_url(image, key), HTTP_ACCEPT="application/octet-stream")
        data = content(response)
        assert response.status_code == 200
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.size, entry.sha256)
        assert response["Content-Length"] == str(entry.size)
        assert response["ETag"] == f'"{entry.sha256}"'
        assert response["Cache-Control"] == "private, max-age=31536000, immutable"
        expected = "application/json" if key.endswith("zarr.json") else "application/octet-stream"
        assert response["Content-Type"] == expected
        head = client.head(zarr_url(image, key))
        assert (head["Content-Length"], content(head)) == (str(entry.size), b"")


def test_other_keys_are_not_found(client: APIClient, image: Image) -> None:
    keys = ["../zarr.json", "0/../zarr.json", "%2e%2e/%2e%2e/secret_key", "/etc/passwd", "0//zarr.json", "./zarr.json",
     "zarr.json/", "0", ".zattrs", "0/c/9/9/9", "zarr.json%00", "..%5c..%5csecret_key", "zarr.JSON"]  # fmt: skip
    for key in keys:
        problem(client.get(zarr_url(image, key)), 404)


def test_link_inside_a_store_is_not_followed(client: APIClient, image: Image, data_root: Any) -> None:
    secret = data_root / "secret"
    target = storage.path(image.store.key) / "0" / "c" / "0" / "0" / "0"
    secret.write_bytes(b"s" * target.stat().st_size)
    target.unlink()
    target.symlink_to(secret)
    response = client.get(zarr_url(image, "0/c/0/0/0"))
    assert response.status_code == 500
    assert b"sss" not in content(response)


def test_changed_or_lost_chunk_is_no_empty_chunk(client: APIClient, image: Image) -> None:
    target = storage.path(image.store.key) / "0" / "c" / "0" / "0" / "0"
    target.write_bytes(b"short")
    assert client.get(zarr_url(image, "0/c/0/0/0")).json()["code"] == "store_damaged"
    target.unlink()
    assert client.get(zarr_url(image, "0/c/0/0/0")).status_code == 500


def test_range_gives_that_part(client: APIClient, image: Image) -> None:
    cases = [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=3-999999999", slice(3, None)),
        ("bytes=-999999999", slice(0, None)),
    ]
    whole = content(client.get(zarr_url(image, "0/c/0/0/0")))
    for header, expected in cases:
        response = client.get(zarr_url(image, "0/c/0/0/0"), HTTP_RANGE=header)
        begin, end, _ = expected.indices(len(whole))
        assert response.status_code == 206
        assert content(response) == whole[expected]
        assert response["Content-Range"] == f"bytes {begin}-{end - 1}/{len(whole)}"
        assert response["Content-Length"] == str(end - begin)


def test_range_beyond_or_odd(client: APIClient, image: Image) -> None:
    url = zarr_url(image, "zarr.json")
    assert problem(client.get(url, HTTP_RANGE="bytes=999999999-"), 416)["details"]["size"] > 0
    problem(client.get(url, HTTP_RANGE="bytes=-0"), 416)
    for odd in ("bytes=0-1,4-5", "lines=1-2", "bytes=9-3", "bytes=-", "bytes=" + "9" * 5000 + "-"):
        assert client.get(url, HTTP_RANGE=odd).status_code == 200
    stale = client.get(url, HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE='"other"')
    assert stale.status_code == 200
    fresh = client.get(url, HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=stale["ETag"])
    assert fresh.status_code == 206


def test_known_bytes_are_not_sent_again(client: APIClient, image: Image) -> None:
    url = zarr_url(image, "zarr.json")
    tag = client.get(url)["ETag"]
    for header in (tag, f'W/{tag}, "x"', "*"):
        response = client.get(url, HTTP_IF_NONE_MATCH=header)
        assert (response.status_code, content(response)) == (304, b"")
    assert client.get(url, HTTP_IF_NONE_MATCH='"x"').status_code == 200


def test_bytes_and_pictures_are_for_members(image: Image, viewer: User, outsider: User) -> None:
    for path in ("zarr/zarr.json", "thumbnail.png", ""):
        url = f"/api/v1/images/{image.pk}/{path}"
        problem(client_of(None).get(url), 401)
        problem(client_of(outsider).get(url), 404)
        assert client_of(viewer).get(url).status_code == 200
    # not even to learn that he has the right bytes
    tag = chunks.find_chunk(image, "zarr.json").etag
    problem(client_of(outsider).get(zarr_url(image, "zarr.json"), HTTP_IF_NONE_MATCH=tag), 404)


def test_deleted_bytes_are_said_to_be(client: APIClient, image: Image) -> None:
    Store.objects.filter(pk=image.store_id).update(state="deleted")
    problem(client.get(zarr_url(image, "zarr.json")), 409)
    problem(client.get(f"/api/v1/images/{image.pk}/thumbnail.png"), 409)


# ----------------------------------------------------------------------------------------------------------- pictures


def picture_of(client: APIClient, image: Image, size: int | None = None) -> Any:
    url = f"/api/v1/images/{image.pk}/thumbnail.png" + (f"?size={size}" if size else "")
    response = client.get(url)
    assert response.status_code == 200, response.content
    return Picture.open(io.BytesIO(response.content))


def test_picture_shows_the_middle_plane(client: APIClient, image: Image) -> None:
    picture = picture_of(client, image)
    assert (picture.size, picture.mode) == ((50, 40), "L")
    plane = ramp()[3].astype(float)
    low, high = np.percentile(plane, thumbnails.PERCENTILES)
    expected = np.rint((np.clip(plane, low, high) - low) / (high - low) * 255)
    assert np.array_equal(np.asarray(picture), expected.astype("u1"))
    assert max(picture_of(client, image, 32).size) == 32


def test_picture_is_kept_and_not_sent_again(client: APIClient, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"/api/v1/images/{image.pk}/thumbnail.png"
    first = client.get(url)
    monkeypatch.setattr(thumbnails, "render", None)
    assert client.get(url).content == first.content
    assert client.get(url, HTTP_IF_NONE_MATCH=first["ETag"]).status_code == 304


def test_odd_size_is_refused(client: APIClient, image: Image) -> None:
    for size in ["0", "15", "1025", "-3", "big", "1e3", "", "٣٢", "9" * 5000]:
        problem(client.get(f"/api/v1/images/{image.pk}/thumbnail.png", {"size": size}), 400, "size")


def test_labels_have_colours_that_tell_neighbours_apart(client: APIClient, image: Image) -> None:
    values = np.zeros((6, 40, 50), "uint16")
    values[:, :, 10:20], values[:, :, 20:30], values[:, :, 30:] = 1, 2, 60000
    picture = np.asarray(picture_of(client, labels_like(image, values)))
    colours = [tuple(picture[0, column]) for column in (0, 10, 20, 49)]
    assert len(set(colours)) == 4
    assert colours[0] == (40, 40, 48)
    assert {tuple(pixel) for pixel in picture.reshape(-1, 3)} == set(colours)


def test_flat_and_odd_samples_have_a_picture(tmp_path: Any) -> None:
    cases = {
        "flat": np.full((1, 30, 40), 7, "uint8"),
        "nan": np.full((1, 30, 40), np.nan, "float32"),
        "mixed": np.where(np.arange(1200).reshape(1, 30, 40) % 2, np.inf, np.arange(1200).reshape(1, 30, 40)).astype(
            "f4"
        ),
    }
    for name, samples in cases.items():
        write_image(tmp_path / name, samples, axes=("z", "y", "x"), spacing_um={})
        picture = Picture.open(io.BytesIO(thumbnails.render(tmp_path / name, "intensity", 64)))
        assert picture.size == (40, 30)
    with_numbers = np.asarray(Picture.open(io.BytesIO(thumbnails.render(tmp_path / "mixed", "intensity", 64))))
    assert with_numbers.max() == 255
    assert with_numbers[0, 1] == 255  # infinite: beyond the brightest
    assert set(np.asarray(Picture.open(io.BytesIO(thumbnails.render(tmp_path / "nan", "intensity", 64)))).flat) == {0}


def test_colours_of_a_colour_image(tmp_path: Any) -> None:
    from analyses.sdk.values import Channel

    samples = np.zeros((3, 1, 30, 40), "uint8")
    samples[0, :, :, :20], samples[1, :, :, 20:] = 255, 255
    channels = [Channel("red"), Channel("green"), Channel("blue")]
    write_image(tmp_path / "rgb", samples, axes=("c", "z", "y", "x"), spacing_um={}, channels=channels)
    picture = np.asarray(Picture.open(io.BytesIO(thumbnails.render(tmp_path / "rgb", "intensity", 64))))
    assert picture.shape == (30, 40, 3)
    assert tuple(picture[0, 0]) == (255, 0, 0)
    assert tuple(picture[0, 39]) == (0, 255, 0)


def test_work_is_bounded_by_the_level(tmp_path: Any) -> None:
    write_image(tmp_path / "wide", ramp((1, 1200, 1600), "uint16"), axes=("z", "y", "x"), spacing_um={})
    from analyses.sdk.omezarr import open_store

    reader = open_store(tmp_path / "wide")
    assert max(reader.levels[thumbnails._level(reader, 256)].shape) < 512
    assert thumbnails._level(reader, 1024) == 0
