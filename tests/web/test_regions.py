"""The page of a region, its sheet, and what is done there."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests.web.conftest import World
from tests.web.places import Places


@pytest.fixture
def places(world: World) -> Places:
    return Places(world)


def text_of(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.content.decode()[:2000]
    return " ".join(answer.content.decode().split())


def test_smoke(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.viewer)
    places.surface()
    row = places.candidate()
    at = {"mount": str(places.mount.pk)}
    for url in (
        reverse("region", args=[places.pit.pk]),
        reverse("transform", args=[row.pk]),
        reverse("transform", args=[places.first.pk]),
        reverse("specimen-frames", args=[places.world.specimen.pk]),
    ):
        text_of(client.get(url))
    for name in ("region", "region-sheet"):
        text = text_of(client.get(reverse(name, args=[places.pit.pk]), at))
        print(text)
