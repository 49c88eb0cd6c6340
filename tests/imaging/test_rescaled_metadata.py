"""A version with a scale of its own serves that scale; the samples and the store stay as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ome_zarr_models.v05.image import ImageAttrs

from apps.imaging import chunks
from apps.imaging.models import Image
from apps.imaging.services import calibrate_image
from apps.projects.models import User


def group_of(image: Image) -> dict[str, Any]:
    with chunks.find_chunk(image, "zarr.json").open() as stream:
        group: dict[str, Any] = json.loads(stream.read())
    return group


@pytest.fixture
def rescaled(ada: User, image: Image) -> Image:
    new = calibrate_image(
        actor=ada, image=image, spacing_um={"x": 0.25, "y": 0.5, "z": 3.0}, spacing_u_um=0.01, reason="a grid"
    )
    return Image.objects.select_related("store").get(pk=new.pk)


def test_the_new_version_serves_its_own_scale_on_every_level(image: Image, rescaled: Image) -> None:
    before = group_of(image)["attributes"]["ome"]["multiscales"][0]
    after = group_of(rescaled)["attributes"]["ome"]["multiscales"][0]
    for old, new in zip(before["datasets"], after["datasets"], strict=True):
        for former, now in zip(old["coordinateTransformations"], new["coordinateTransformations"], strict=True):
            kind = former["type"]
            assert now[kind] == pytest.approx([v * f for v, f in zip(former[kind], (1.5, 1.0, 0.5), strict=True)])
    assert [axis["unit"] for axis in after["axes"]] == ["micrometer"] * 3


def test_the_metadata_are_valid_and_the_former_version_is_untouched(image: Image, rescaled: Image) -> None:
    attributes = group_of(rescaled)["attributes"]
    ImageAttrs.model_validate(attributes["ome"])
    assert attributes["corrspace"]["spacing_um"] == {"z": 3.0, "y": 0.5, "x": 0.25}
    assert group_of(image)["attributes"]["corrspace"]["spacing_um"] == {"z": 2.0, "y": 0.5, "x": 0.5}
    assert chunks.find_chunk(image, "zarr.json").etag != chunks.find_chunk(rescaled, "zarr.json").etag
    assert chunks.find_chunk(image, "0/c/0/0/0") == chunks.find_chunk(rescaled, "0/c/0/0/0")
