"""Spectrum images through the door: spectra of places, maps of windows, refusals that help."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from rest_framework.test import APIClient

from analyses.sdk.manifest import verify_store
from analyses.sdk.omezarr import open_store
from analyses.sdk.values import SignalAxis
from analyses.sdk.xray_lines import SOURCE, find_line, fwhm_kev
from apps.core import storage
from apps.imaging import spectra
from apps.imaging.models import Acquisition, Image
from apps.jobs.models import Job
from apps.projects.models import User
from tests.imaging.conftest import client_of, tiff_bytes
from tests.imaging.spectrum_files import ENERGY, cube_from, real_spectrum, zipped_store

pytestmark = pytest.mark.django_db
Ingest = Callable[..., Job]


@pytest.fixture(scope="module")
def cube(shared_data: Path) -> Any:
    return cube_from(real_spectrum(shared_data), (11, 17), 5000.0)


@pytest.fixture
def spectrum_image(acquisition: Acquisition, ingested: Ingest, cube: Any, tmp_path: Path) -> Image:
    job = ingested(acquisition, ("map.zip", zipped_store(tmp_path, cube, y=0.5, x=0.5)))
    assert job.status == "succeeded", job.message
    return Image.objects.select_related("store").get()


def test_a_cube_goes_in_and_out_whole(client: APIClient, spectrum_image: Image, cube: Any) -> None:
    row = client.get(f"/api/v1/images/{spectrum_image.pk}/").json()
    assert (row["kind"], row["axes"], row["shape"]) == ("spectrum", ["e", "z", "y", "x"], list(cube.shape))
    assert row["signal"] == [{"name": "energy", "size": 128, "offset": 0.0375, "step": 0.08, "unit": "keV"}]
    assert row["calibrated"] is True
    assert row["levels"] == [{"path": "0", "shape": list(cube.shape)}]
    path = storage.path(spectrum_image.store.key)
    assert np.array_equal(open_store(path).level(0)[...], cube)
    assert verify_store(path, json.loads(spectrum_image.store.manifest)) == []
    assert client.get(f"/api/v1/images/{spectrum_image.pk}/zarr/sum_spectrum/c/0").status_code == 200


def test_spectra_of_places_regions_and_all(client: APIClient, spectrum_image: Image, cube: Any) -> None:
    base = f"/api/v1/images/{spectrum_image.pk}/spectrum/"
    one = client.get(base, {"x": 3, "y": 5}).json()
    assert one["counts"] == cube[:, 0, 5, 3].tolist()
    assert (one["x"], one["y"], one["width"], one["height"], one["places"], one["unit"]) == (3, 5, 1, 1, 1, "1")
    region = client.get(base, {"x": 3, "y": 5, "width": 14, "height": 6}).json()
    assert region["counts"] == cube[:, 0, 5:, 3:].sum(axis=(1, 2)).tolist()
    assert region["places"] == 84
    whole = client.get(base).json()
    assert whole["counts"] == cube.sum(axis=(1, 2, 3)).tolist()
    assert (whole["x"], whole["places"], whole["signal"]) == (None, 11 * 17, spectrum_image.signal)


def test_a_map_sums_whole_channels_whose_centre_lies_in_the_window(
    client: APIClient, spectrum_image: Image, cube: Any
) -> None:
    base = f"/api/v1/images/{spectrum_image.pk}/element-map/"
    # centres are 0.0375 + 0.08 i: 1.6375 is that of channel 20, 2.4375 that of 30; 2.51 lies before that of 31
    answer = client.get(base, {"low": 1.6375, "high": 2.51, "format": "json"}).json()
    assert answer["window"]["channels"] == [20, 30]
    assert answer["window"]["centres"] == pytest.approx([1.6375, 2.4375])
    assert answer["window"]["edges"] == pytest.approx([1.5975, 2.4775])
    assert answer["counts"] == cube[20:31, 0].sum(axis=0).tolist()
    same = client.get(base, {"low": 1637.5, "high": 2510, "unit": "eV", "format": "json"}).json()
    assert same["counts"] == answer["counts"]
    raw = client.get(base, {"low": 1.6375, "high": 2.51, "format": "npy"})
    found = np.load(io.BytesIO(raw.content))
    assert found.dtype == np.uint64
    assert np.array_equal(found, cube[20:31, 0].sum(axis=0))
    assert json.loads(raw.headers["X-Corr-Map"])["window"]["channels"] == [20, 30]


def test_a_map_is_a_picture_that_is_asked_for_once(client: APIClient, spectrum_image: Image) -> None:
    url = f"/api/v1/images/{spectrum_image.pk}/element-map/?line=Si_Ka"
    answer = client.get(url)
    assert answer.headers["Content-Type"] == "image/png"
    picture = imagecodecs.png_decode(answer.content)
    assert (picture.shape, picture.dtype) == ((11, 17), np.uint8)
    assert picture[:, -3:].mean() > picture[:, :3].mean(), "brighter to the right, as the counts are"
    assert client.get(url, HTTP_IF_NONE_MATCH=answer.headers["ETag"]).status_code == 304
    other = client.get(f"/api/v1/images/{spectrum_image.pk}/element-map/?line=Al_Ka")
    assert other.headers["ETag"] != answer.headers["ETag"]


def test_a_line_says_its_source_and_what_was_assumed(client: APIClient, spectrum_image: Image, cube: Any) -> None:
    base = f"/api/v1/images/{spectrum_image.pk}/element-map/"
    answer = client.get(base, {"line": "Si_Ka", "format": "json"}).json()
    asked = answer["window"]["asked"]
    assert (asked["line"], asked["energy"], asked["source"]) == ("Si_Ka", 1.73998, SOURCE)
    assert asked["detector_resolution"] == {"value": 130.0, "unit": "eV", "at": "Mn_Ka", "source": "assumed"}
    width = fwhm_kev(find_line("Si_Ka").energy_kev)
    centres = ENERGY.offset + ENERGY.step * np.arange(ENERGY.size)
    inside = np.abs(centres - 1.73998) <= width
    assert answer["counts"] == cube[inside, 0].sum(axis=0).tolist()
    spectrum_image.facts["energy_resolution"] = {"value": 200.0, "unit": "eV", "source": "file"}
    spectrum_image.save(update_fields=["facts"])
    stated = client.get(base, {"line": "Si_Ka", "format": "json"}).json()["window"]["asked"]
    assert stated["detector_resolution"]["source"] == "file"
    assert stated["half_width"] > asked["half_width"]


def test_background_is_what_the_channels_on_both_sides_say(client: APIClient, spectrum_image: Image, cube: Any) -> None:
    answer = client.get(
        f"/api/v1/images/{spectrum_image.pk}/element-map/",
        {"low": 1.5, "high": 1.9, "background": "sides", "format": "json"},
    ).json()
    assert answer["window"]["channels"] == [19, 23]
    assert answer["background"] == {"method": "sides", "channels": [[16, 18], [24, 26]]}
    sides = cube[16:19, 0].mean(axis=0) + cube[24:27, 0].mean(axis=0)
    assert np.allclose(answer["counts"], cube[19:24, 0].sum(axis=0) - 2.5 * sides)


MAP_REFUSALS = [
    ({}, "low", "give low and high, or a line"),
    ({"low": 1}, "high", "is missing"),
    ({"low": "nan", "high": 2}, "low", "finite"),
    ({"low": 2, "high": 1}, "high", "not above"),
    ({"low": 1, "high": 99}, "low", "reaches out of the axis"),
    ({"low": 1.51, "high": 1.52}, "low", "no channel has its centre"),
    ({"low": 1, "high": 2, "unit": "nm"}, "unit", "keV"),
    ({"low": 1, "high": 2, "line": "Si_Ka"}, "low", "one or the other"),
    ({"line": "Si_Qa"}, "line", "Si has Si_Ka"),
    ({"line": "Xx"}, "line", "as in Fe_Ka"),
    ({"line": "Mo_Ka"}, "line", "reaches out of the axis"),
    ({"low": 1, "high": 2, "background": "linear"}, "background", "none, sides"),
    ({"low": 0.03, "high": 0.5, "background": "sides"}, "background", "either side"),
    ({"low": 1, "high": 2, "format": "tiff"}, "format", "png, json, npy"),
    ({"low": 1, "high": 2, "z": 1}, "z", "from 0 to 0"),
    ({"low": 1, "high": 2, "colour": "red"}, "colour", "unknown"),
]
SPECTRUM_REFUSALS = [
    ({"x": 17, "y": 0}, "x", "from 0 to 16"),
    ({"x": -1, "y": 0}, "x", "from 0 to 16"),
    ({"x": 1.5, "y": 0}, "x", "whole number"),
    ({"x": 1}, "y", "missing"),
    ({"width": 2}, "x", "missing"),
    ({"x": 16, "y": 0, "width": 2}, "width", "from 1 to 1"),
    ({"x": 1, "y": 1, "t": 1}, "t", "from 0 to 0"),
]


def test_what_cannot_be_is_refused_by_name(client: APIClient, spectrum_image: Image) -> None:
    for path, refusals in (("element-map", MAP_REFUSALS), ("spectrum", SPECTRUM_REFUSALS)):
        for params, field, said in refusals:
            answer = client.get(f"/api/v1/images/{spectrum_image.pk}/{path}/", params)
            assert answer.status_code == 400, (params, answer.content)
            assert said in " ".join(answer.json()["errors"][field]), (params, answer.json())


def test_work_is_bounded(client: APIClient, spectrum_image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    base = f"/api/v1/images/{spectrum_image.pk}"
    monkeypatch.setattr(spectra, "PIECE_BYTES", 100)
    few = client.get(f"{base}/element-map/", {"low": 1, "high": 2, "format": "json"}).json()
    monkeypatch.undo()
    assert few["counts"] == client.get(f"{base}/element-map/", {"low": 1, "high": 2, "format": "json"}).json()["counts"]
    monkeypatch.setattr(spectra, "MAX_BYTES", 1000)
    monkeypatch.setattr(spectra, "MAX_JSON_PLACES", 10)
    assert client.get(f"{base}/element-map/", {"low": 1, "high": 2}).status_code == 413
    assert client.get(f"{base}/spectrum/", {"x": 0, "y": 0, "width": 9, "height": 9}).status_code == 413
    assert client.get(f"{base}/spectrum/", {"x": 0, "y": 0}).status_code == 200
    monkeypatch.setattr(spectra, "MAX_BYTES", 1 << 20)
    answer = client.get(f"{base}/element-map/", {"low": 1, "high": 2, "format": "json"})
    assert "ask for npy" in answer.json()["errors"]["format"][0]


def test_thumbnail_is_the_sum_of_all_channels(client: APIClient, spectrum_image: Image, cube: Any) -> None:
    picture = imagecodecs.png_decode(client.get(f"/api/v1/images/{spectrum_image.pk}/thumbnail.png?size=64").content)
    total = cube.sum(axis=(0, 1)).astype(float)
    assert picture.shape == total.shape
    assert np.corrcoef(picture.ravel(), total.ravel())[0, 1] > 0.99


def test_who_may_not_see_the_project_sees_no_spectrum(
    spectrum_image: Image, outsider: User, viewer: User, client: APIClient
) -> None:
    for path in ("spectrum/", "element-map/?line=Si_Ka"):
        url = f"/api/v1/images/{spectrum_image.pk}/{path}"
        assert client_of(None).get(url).status_code == 401
        assert client_of(outsider).get(url).status_code == 404
        assert client_of(viewer).get(url).status_code == 200


def test_a_new_scale_keeps_the_signal_and_reaches_the_sum_image(client: APIClient, spectrum_image: Image) -> None:
    answer = client.post(
        f"/api/v1/images/{spectrum_image.pk}/calibrate/",
        {"spacing_um": {"x": 2.0, "y": 2.0}, "spacing_u_um": 0.1, "reason": "measured anew"},
        format="json",
    )
    assert answer.status_code == 201, answer.content
    new = answer.json()
    assert new["signal"] == spectrum_image.signal
    for key, at in (("zarr.json", 3), ("sum/zarr.json", 2)):
        body = b"".join(client.get(f"/api/v1/images/{new['id']}/zarr/{key}").streaming_content)
        (dataset,) = json.loads(body)["attributes"]["ome"]["multiscales"][0]["datasets"]
        assert dataset["coordinateTransformations"][0]["scale"][at] == 2.0


def test_images_without_spectra_say_so(
    client: APIClient, acquisition: Acquisition, ingested: Ingest, tmp_path: Path
) -> None:
    ingested(acquisition, ("a.tif", tiff_bytes(np.zeros((4, 5), "u1"))))
    plain = Image.objects.get()
    for path in ("spectrum/", "element-map/?line=Si_Ka"):
        answer = client.get(f"/api/v1/images/{plain.pk}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_spectrum")
    assert client.get(f"/api/v1/images/{plain.pk}/").json()["signal"] is None


def test_a_pattern_has_spectra_and_no_line_map(
    client: APIClient, acquisition: Acquisition, ingested: Ingest, tmp_path: Path
) -> None:
    pattern = (SignalAxis("ky", 4, -1.0, 0.5, "1/nm"), SignalAxis("kx", 5, -1.0, 0.5, "1/nm"))
    cube = np.arange(20 * 6, dtype="f4").reshape(20, 1, 2, 3)
    job = ingested(acquisition, ("p.zip", zipped_store(tmp_path, cube, pattern)))
    assert job.status == "succeeded", job.message
    image = Image.objects.get()
    assert [axis["name"] for axis in image.signal] == ["ky", "kx"]
    found = client.get(f"/api/v1/images/{image.pk}/spectrum/?x=2&y=1").json()
    assert found["counts"] == cube[:, 0, 1, 2].tolist()
    answer = client.get(f"/api/v1/images/{image.pk}/element-map/?low=0&high=1")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_spectrum")
