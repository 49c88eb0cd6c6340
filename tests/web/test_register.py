"""The registration page and the cuts that it draws."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image as Picture

from analyses.sdk.omezarr import StoreReader, open_store, write_image
from apps.imaging.models import Image
from apps.projects.services import set_member
from apps.spatial.models import Transform
from apps.spatial.services import accept_transform, create_transform
from apps.web.present import cuts
from apps.web.present.cuts import Cut, sample_cut
from tests.factories import ProjectFactory
from tests.web.conftest import SHAPE, World, spacing

PAIRS = [
    {"source": [x, y, z], "target": [x + 1.0, y, z], "u_um": 0.2}
    for x, y, z in ((0.0, 0.0, 0.0), (9.0, 1.0, 0.0), (0.0, 8.0, 2.0), (3.0, 2.0, 7.0))
]

# ------------------------------------------------------------------------------------------------------------- samples


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60_000, (40, 300, 600)).astype(np.uint16)


@pytest.fixture
def reader(samples: np.ndarray, tmp_path: Path) -> StoreReader:
    write_image(tmp_path / "store", samples, axes=("z", "y", "x"), spacing_um={}, kind="intensity")
    return open_store(tmp_path / "store")


def test_a_cut_on_the_samples_is_the_samples(reader: StoreReader, samples: np.ndarray) -> None:
    values, inside = sample_cut(reader, Cut((0, 0, 7), (1, 0, 0), (0, 1, 0), 600, 300))
    assert inside.all()
    assert (values == samples[7]).all()
    values, inside = sample_cut(reader, Cut((3, 5, -4), (0, 1, 0), (0, 0, 1), 200, 60))
    assert (values[4:44] == samples[:, 5:205, 3]).all()
    assert inside.sum(axis=0).tolist() == [40] * 200  # what lies outside is transparent


def test_a_pixel_smaller_than_a_sample_shows_the_sample_it_lies_in(reader: StoreReader, samples: np.ndarray) -> None:
    values, _ = sample_cut(reader, Cut((10 - 0.375, 20, 7), (0.25, 0, 0), (0, 0.25, 0), 12, 1))
    assert values[0].tolist() == np.repeat(samples[7, 20, 10:13], 4).tolist()


def test_an_oblique_cut_in_parts_equals_that_in_one(
    reader: StoreReader, samples: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Cut((20.0, 40.0, 3.0), (0.9, 0.5, 0.1), (-0.3, 0.8, 0.25), 120, 90)
    whole, inside = sample_cut(reader, cut)
    monkeypatch.setattr(cuts, "_MOST_SAMPLES", 3_000)
    parts, again = sample_cut(reader, cut)
    assert (inside == again).all()
    assert 0.2 < inside.mean() < 1.0
    assert parts == pytest.approx(whole)


def test_the_levels_of_a_pyramid_lie_on_each_other(tmp_path: Path) -> None:
    """A ramp is the same line in every level, where the centres of their samples agree."""
    ramp = np.broadcast_to((np.arange(1200) * 16).astype(np.uint16), (1, 16, 1200)).copy()
    write_image(tmp_path / "ramp", ramp, axes=("z", "y", "x"), spacing_um={}, kind="intensity")
    reader = open_store(tmp_path / "ramp")
    assert len(reader.levels) >= 3
    for step in (1.0, 2.5, 5.0):
        values, inside = sample_cut(reader, Cut((20.0, 4.0, 0.0), (step, 0, 0), (0, step, 0), 200, 1))
        assert inside.all()
        assert values[0] == pytest.approx(16 * (20.0 + step * np.arange(200)), abs=1.0)


# ---------------------------------------------------------------------------------------------------------------- cuts


def cut_of(image: Image, **more: Any) -> str:
    asked = {"origin": "0,0,0", "right": "1,0,0", "down": "0,1,0", "columns": SHAPE[2], "rows": SHAPE[1]} | more
    return f"{reverse('image-cut', args=[image.pk])}?" + "&".join(f"{key}={value}" for key, value in asked.items())


def test_a_cut_is_asked_for_in_lengths(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(0.5))
    url = cut_of(image, origin="0,0,2", right="0.5,0,0", down="0,0.5,0", low=0, high=np.prod(SHAPE))
    answer = seen_by(world.viewer).get(url)
    assert answer.status_code == 200
    drawn = np.array(Picture.open(io.BytesIO(answer.content)))
    wanted = np.arange(np.prod(SHAPE)).reshape(SHAPE)[4] * 255.0 / np.prod(SHAPE)
    assert drawn[..., 0] == pytest.approx(np.floor(wanted), abs=1)
    assert (drawn[..., 1] == 255).all()
    again = seen_by(world.viewer).get(url, headers={"if-none-match": answer["ETag"]})
    assert again.status_code == 304


def test_labels_are_coloured(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0), kind="labels")
    drawn = Picture.open(io.BytesIO(seen_by(world.viewer).get(cut_of(image)).content))
    assert drawn.mode == "RGBA"
    assert len(drawn.getcolors()) == 3


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"origin": "0,0"}, "origin"), ({"origin": "0,0,nan"}, "origin"), ({"right": "0,0,0"}, "right"),
        ({"columns": 0}, "columns"), ({"columns": "x"}, "columns"), ({"columns": 4000, "rows": 4000}, "rows"),
        ({"c": -1}, "c"), ({"down": "1e13,0,0"}, "down"),
    ],
)  # fmt: skip
def test_a_cut_that_cannot_be_is_refused_by_name(world: World, seen_by: Any, asked: dict[str, Any], field: str) -> None:
    image = world.image(scale=spacing(1.0))
    answer = seen_by(world.viewer).get(cut_of(image, **asked))
    assert answer.status_code == 400
    assert answer.content.decode().startswith(f"{field}: ")


def test_pixels_that_would_each_take_a_read_are_refused(
    world: World, seen_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.web.present.cuts._MOST_SAMPLES", 8)
    monkeypatch.setattr("apps.web.present.cuts._MOST_PARTS", 4)
    answer = seen_by(world.viewer).get(cut_of(world.image(scale=spacing(1.0))))
    assert (answer.status_code, answer.content.decode()[:7]) == (400, "right: ")


def test_an_image_without_scale_has_no_places(world: World, seen_by: Any) -> None:
    answer = seen_by(world.viewer).get(cut_of(world.image()))
    assert answer.status_code == 400
    assert "no scale" in answer.content.decode()


def test_a_cut_is_for_who_sees_the_image(world: World, seen_by: Any) -> None:
    url = cut_of(world.image(scale=spacing(1.0)))
    assert seen_by(world.outsider).get(url).status_code == 404
    assert Client().get(url)["Location"].startswith(reverse("login"))


# ---------------------------------------------------------------------------------------------------------------- page


def placed(world: World, value: float = 1.0) -> Image:
    return world.image(scale=spacing(value), frame=world.recorded(world.frame()))


def page_of(source: Image, target: Image, **more: Any) -> str:
    return f"{reverse('register')}?source={source.pk}&target={target.pk}" + "".join(
        f"&{k}={v}" for k, v in more.items()
    )


def config_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    text = answer.content.decode()
    begin = text.index(">", text.index('id="register-config"')) + 1
    return json.loads(text[begin : text.index("</script>", begin)])


def registered(world: World, source: Image, target: Image, **more: Any) -> Transform:
    return create_transform(
        actor=world.manager,
        source=source.frame,
        target=target.frame,
        kind="rigid",
        method="landmarks",
        landmarks=PAIRS,
        **more,
    )


def test_members_see_both_images_and_contributors_may_register(world: World, seen_by: Any) -> None:
    source, target = placed(world), placed(world, 0.5)
    for user in (world.viewer, world.contributor, world.manager):
        found = config_of(seen_by(user).get(page_of(source, target)))
        assert found["may_register"] is (user != world.viewer)
        assert found["panes"]["target"]["spacing"] == [0.5, 0.5, 0.5]
        assert found["panes"]["source"]["sizes"] == list(SHAPE[::-1])
        assert found["path"] is None
        assert found["standing"] is None
    assert seen_by(world.outsider).get(page_of(source, target)).status_code == 404
    assert Client().get(page_of(source, target))["Location"].startswith(reverse("login"))


def test_what_cannot_be_registered_is_told(world: World, seen_by: Any) -> None:
    client, source, bare = seen_by(world.manager), placed(world), world.image()
    assert "it has no scale" in client.get(page_of(source, bare)).content.decode()
    twin = world.image(scale=spacing(1.0), frame=source.frame)
    assert "it shares the frame of" in client.get(page_of(source, twin)).content.decode()
    other = ProjectFactory()
    set_member(actor=other.created_by, project=other, username=world.manager.username, role="viewer")
    away = world.image(scale=spacing(1.0))
    Image.objects.filter(pk=away.pk).update(project=other)
    assert "another project" in client.get(page_of(source, away)).content.decode()


def test_without_a_target_one_is_asked_for(world: World, seen_by: Any) -> None:
    source, target, bare = placed(world), placed(world), world.image()
    client = seen_by(world.viewer)
    for query in (f"source={source.pk}", f"specimen={world.specimen.pk}", f"source={source.pk}&target={source.pk}"):
        text = client.get(f"{reverse('register')}?{query}").content.decode()
        assert str(target.pk) in text
        assert str(bare.pk) not in text
    assert client.get(reverse("register")).status_code == 404
    assert client.get(f"{reverse('register')}?source=none").status_code == 404


def test_a_transform_brings_its_pairs(world: World, seen_by: Any) -> None:
    source, target = placed(world), placed(world)
    former = registered(world, source, target)
    for first, second in ((source, target), (target, source)):  # the transform says which is the source
        found = config_of(seen_by(world.contributor).get(page_of(first, second, transform=former.pk)))
        assert found["panes"]["source"]["image"] == str(source.pk)
        assert [pair["target"] for pair in found["start"]["pairs"]] == [pair["target"] for pair in PAIRS]
        assert found["start"]["status"] == "candidate"
    alone = config_of(seen_by(world.viewer).get(f"{reverse('register')}?transform={former.pk}"))
    assert [alone["panes"][side]["image"] for side in ("source", "target")] == [str(source.pk), str(target.pk)]
    linked = seen_by(world.viewer).get(reverse("transform", args=[former.pk])).content.decode()
    assert f'href="{reverse("register")}?transform={former.pk}"' in linked
    newer = registered(world, source, target, supersedes=former)
    text = seen_by(world.contributor).get(page_of(source, target, transform=former.pk)).content.decode()
    assert f"transform={newer.pk}" in text
    elsewhere = registered(world, source, placed(world))
    assert seen_by(world.viewer).get(page_of(source, target, transform=elsewhere.pk)).status_code == 404


def test_what_is_accepted_stands_there_with_its_path(world: World, seen_by: Any) -> None:
    source, target = placed(world), placed(world)
    transform = registered(world, source, target)
    accept_transform(actor=world.manager, transform=transform, reason="fits")
    found = config_of(seen_by(world.contributor).get(page_of(source, target)))
    assert found["standing"]["id"] == str(transform.pk)
    assert np.array(found["path"]["matrix"])[:3, 3] == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)


def test_the_page_is_linked_from_where_one_would_look(world: World, seen_by: Any) -> None:
    image, client = placed(world), seen_by(world.contributor)
    wanted = f'href="{reverse("register")}?source={image.pk}"'
    assert wanted in client.get(reverse("image", args=[image.pk])).content.decode()
    assert wanted in client.get(f"{reverse('viewer')}?images={image.pk}").content.decode()
    specimen = client.get(reverse("specimen", args=[world.specimen.pk])).content.decode()
    assert f'href="{reverse("register")}?specimen={world.specimen.pk}"' in specimen
