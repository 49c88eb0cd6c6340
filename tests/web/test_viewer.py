"""The viewer's page and the state it hands to the client: without a browser."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from apps.core.models import Store
from apps.spatial.models import Frame
from apps.spatial.services import accept_transform, create_roi, create_transform
from apps.web.viewer import client, regions
from apps.web.viewer.state import Layer, View, state_of, view_of
from tests.factories import ProjectFactory
from tests.web.conftest import SHAPE, World, spacing

FAR = (50_000.0, -30_000.0, 12_345.678)


def layer(**more: Any) -> Layer:
    values = {
        "name": "1 made",
        "path": "/api/v1/images/x/zarr/",
        "axes": ("z", "y", "x"),
        "sizes": {"z": 40, "y": 48, "x": 64},
        "spacing_um": {"x": 1.0, "y": 2.0, "z": 3.0},
        "matrix": np.eye(4),
        "dtype": "uint16",
    }
    return Layer(**values | more)


def drawn_at(state: dict[str, Any], index: tuple[float, float, float]) -> np.ndarray:
    """Where the client draws the centre of a sample (x, y, z), in its own coordinates, as it computes it."""
    source = state["layers"][0]["source"]["transform"]
    names = list(source["inputDimensions"])
    lengths = [source["inputDimensions"][axis][0] * index["xyz".index(axis)] for axis in names]
    rows = np.array(source["matrix"])
    metres = rows[:, :-1] @ np.array(lengths)
    units = [source["outputDimensions"][axis][0] for axis in names]
    placed = metres + rows[:, -1] * units
    return np.array([placed[names.index(axis)] / state["dimensions"][axis][0] for axis in "xyz"])


# --------------------------------------------------------------------------------------------------------------- state


def test_a_sample_lies_where_the_frame_says() -> None:
    state = state_of([layer()], View((0.0, 0.0, 0.0), 0.5, (0.0, 0.0, 0.0)))
    assert drawn_at(state, (10, 20, 30)) == pytest.approx([20.0, 80.0, 180.0])
    assert json.loads(json.dumps(state)) == state


def test_a_turned_layer_keeps_rows_and_columns_apart() -> None:
    turn = np.array([[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, 6.0], [0.0, 0.0, 1.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    state = state_of([layer(matrix=turn)], View((0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 0.0)))
    assert drawn_at(state, (10, 20, 30)) == pytest.approx([-40.0 + 5.0, 10.0 + 6.0, 90.0 + 7.0])


def test_single_precision_is_enough_far_from_the_origin() -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = FAR
    fine = layer(spacing_um=dict.fromkeys("xyz", 0.005), matrix=matrix)
    view = view_of([layer(), fine])
    assert view.unit_um == 1.0
    state = state_of([fine], view)
    exact = (np.array([17, 9, 25]) * 0.005 + np.array(FAR) - np.array(view.origin_um)) / view.unit_um
    transform = state["layers"][0]["source"]["transform"]
    rounded = np.array(transform["matrix"], np.float32).astype(np.float64)
    transform["matrix"] = rounded.tolist()
    assert np.abs(drawn_at(state, (17, 9, 25)) - exact).max() * view.unit_um < 1e-3 * 0.005


def test_the_origin_is_in_the_finest_image_and_the_unit_the_first_ones() -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = FAR
    first, fine = layer(), layer(spacing_um=dict.fromkeys("xyz", 0.005), matrix=matrix)
    view = view_of([first, fine])
    assert view.origin_um == pytest.approx(fine.centre().tolist())
    assert view.position_um == pytest.approx([32.0, 48.0, 60.0])
    assert view.local(view.origin_um) == [0.0, 0.0, 0.0]


def test_without_scale_all_is_in_samples() -> None:
    state = state_of([layer(spacing_um={})], view_of([layer(spacing_um={})]))
    assert set(map(tuple, state["dimensions"].values())) == {(1, "")}
    assert drawn_at(state, (10, 20, 30)) == pytest.approx([10.0, 20.0, 30.0])


def test_channels_and_times_are_coordinates_of_the_layer() -> None:
    made = layer(axes=("t", "c", "z", "y", "x"), sizes={"t": 2, "c": 3, "z": 1, "y": 8, "x": 8}, local=(0, 2))
    drawn = state_of([made], view_of([made]))["layers"][0]
    assert list(drawn["source"]["transform"]["inputDimensions"]) == ["t", "c'", "z", "y", "x"]
    assert list(drawn["source"]["transform"]["outputDimensions"]) == ["t'", "c'", "z", "y", "x"]
    assert drawn["localPosition"] == [0.0, 2.0]


def test_labels_are_coloured_by_value_and_have_no_window() -> None:
    drawn = state_of([layer(labels=True, dtype="uint8")], view_of([layer()]))["layers"][0]
    assert "emitTransparent" in drawn["shader"]
    assert "shaderControls" not in drawn


@pytest.mark.parametrize(
    ("geometry", "wanted"),
    [
        ({"type": "point", "coordinates": [1, 2, 3]}, {"type": "point", "point": [1.0, 2.0, 3.0]}),
        (
            {"type": "polygon", "coordinates": [[0, 0, 0], [1, 0, 0], [0, 1, 0]]},
            {"type": "polyline", "points": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]},
        ),
        (
            {"type": "mesh", "coordinates": {"vertices": [[0, 5, 0], [1, 0, 0], [0, 1, 2], [0, 0, 1]], "faces": []}},
            {"type": "axis_aligned_bounding_box", "pointA": [0, 0, 0], "pointB": [1, 5, 2]},
        ),
    ],
)
def test_a_region_is_drawn_under_its_own_id(geometry: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = regions.annotation(
        {"id": "r", "name": "cell", "geometry": geometry}, View((0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 0.0))
    )
    assert found == {"id": "r", "description": "cell", **wanted}


# ---------------------------------------------------------------------------------------------------------------- page


def placed(world: World, **more: Any) -> Any:
    """An image in a frame that the ledger knows."""
    return world.image(scale=spacing(1.0), frame=world.recorded(world.frame()), **more)


def config_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    text = answer.content.decode()
    begin = text.index(">", text.index('id="viewer-config"')) + 1
    return json.loads(text[begin : text.index("</script>", begin)])


def view(*images: Any, **more: Any) -> str:
    query = "&".join([f"images={','.join(str(image.pk) for image in images)}", *(f"{k}={v}" for k, v in more.items())])
    return f"{reverse('viewer')}?{query}"


def test_the_page_opens_for_members_and_nobody_else(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    for user in (world.viewer, world.contributor, world.manager):
        found = config_of(seen_by(user).get(view(image)))
        assert found["may_draw"] is (user != world.viewer)
    assert seen_by(world.outsider).get(view(image)).status_code == 404
    assert Client().get(view(image))["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("query", ["", "?images=", "?images=none", "?images=3f0f3f0f-0000-4000-8000-000000000000"])
def test_what_names_no_image_is_a_404_page(world: World, seen_by: Any, query: str) -> None:
    assert seen_by(world.viewer).get(reverse("viewer") + query).status_code == 404


def test_a_frame_of_another_project_is_a_404_page(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    other = Frame.objects.create(project=ProjectFactory(), kind="image", name="frame", description="made for a test")
    assert seen_by(world.viewer).get(view(image, frame=other.pk)).status_code == 404
    assert seen_by(world.viewer).get(view(image, frame="none")).status_code == 404


def test_two_images_of_one_frame_need_no_transform(world: World, seen_by: Any) -> None:
    first = world.image(scale=spacing(1.0))
    second = world.image(scale=spacing(1.0), frame=first.frame)
    found = config_of(seen_by(world.viewer).get(view(first, second)))
    assert [made["name"] for made in found["state"]["layers"]] == [
        f"1 {first.name}", f"2 {second.name}", client.ELSEWHERE, "regions", "draft",
    ]  # fmt: skip
    addresses = [made["source"]["url"] for made in found["state"]["layers"][:2]]
    assert addresses == [f"/api/v1/images/{row.pk}/zarr/|zarr3:" for row in (first, second)]
    assert found["unit"] == 1.0
    assert found["frame"] == str(first.frame_id)


def test_an_image_without_a_path_is_left_out_with_the_reason(world: World, seen_by: Any) -> None:
    first, second = world.image(scale=spacing(1.0)), world.image(scale=spacing(0.1))
    bare = world.image()
    answer = seen_by(world.viewer).get(view(first, second, bare))
    assert [made["image"] for made in config_of(answer)["layers"]] == [str(first.pk)]
    text = answer.content.decode()
    assert "No accepted transform leads from its frame" in text
    assert "It has no scale, and with it no place" in text


def test_more_images_than_can_be_shown_are_named_among_those_left_out(world: World, seen_by: Any) -> None:
    rows = [world.image(scale=spacing(1.0)) for _ in range(13)]
    text = seen_by(world.viewer).get(view(*rows)).content.decode()
    assert text.count("Left out:") == 12
    assert "At most 12 images are shown at once" in text
    assert f'href="{reverse("image", args=[rows[12].pk])}"' in text


def test_a_mesh_is_handed_to_the_page_as_its_box(world: World, seen_by: Any) -> None:
    image = placed(world)
    faces = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
    mesh = {"vertices": [[1, 1, 1], [5, 1, 1], [1, 7, 1], [1, 1, 9]], "faces": faces}
    create_roi(actor=world.contributor, frame=image.frame, geometry={"type": "mesh", "coordinates": mesh}, name="pore")
    (region,) = config_of(seen_by(world.viewer).get(view(image)))["regions"]
    assert region["geometry"] == {
        "type": "mesh",
        "coordinates": {"vertices": [[1.0, 1.0, 1.0], [5.0, 7.0, 9.0]], "faces": []},
    }


def test_an_accepted_transform_places_an_image_in_either_frame(world: World, seen_by: Any) -> None:
    first, second = placed(world), placed(world)
    matrix = np.eye(4)
    matrix[:3, 3] = (100.0, 200.0, 300.0)
    made = create_transform(
        actor=world.manager,
        source=second.frame,
        target=first.frame,
        kind="translation",
        method="manual",
        matrix=matrix.tolist(),
        no_residual_reason="made for a test",
    )
    assert len(config_of(seen_by(world.viewer).get(view(first, second)))["layers"]) == 1
    accept_transform(actor=world.manager, transform=made)
    found = config_of(seen_by(world.viewer).get(view(first, second)))
    middle, shift = np.array([size // 2 for size in SHAPE[::-1]]), matrix[:3, 3]
    assert found["layers"][1]["centre"] == pytest.approx((middle + shift).tolist())
    back = config_of(seen_by(world.viewer).get(view(first, second, frame=second.frame_id)))
    assert back["layers"][0]["centre"] == pytest.approx((middle - shift).tolist())


def test_an_image_without_scale_stands_alone_in_samples(world: World, seen_by: Any) -> None:
    answer = seen_by(world.viewer).get(view(world.image(), world.image()))
    found = config_of(answer)
    assert found["unit"] is None
    assert found["frame"] is None
    assert len(found["layers"]) == 1
    assert "has no scale" in answer.content.decode()


def test_an_image_whose_bytes_are_gone_is_left_out(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    Store.objects.filter(pk=image.store_id).update(state=Store.State.DELETED)
    answer = seen_by(world.viewer).get(view(image))
    assert answer.status_code == 200
    assert "its bytes are not there" in answer.content.decode().lower()
    assert b"viewer-config" not in answer.content


def test_stored_regions_of_the_frame_are_drawn_and_superseded_ones_are_not(world: World, seen_by: Any) -> None:
    image = placed(world)
    corners = {"type": "box", "coordinates": [[1, 2, 3], [4, 5, 6]]}
    former = create_roi(actor=world.contributor, frame=image.frame, geometry=corners, name="cell")
    newer = create_roi(actor=world.contributor, frame=image.frame, geometry=corners, name="cell", supersedes=former)
    found = config_of(seen_by(world.viewer).get(view(image)))
    assert [place["id"] for place in found["regions"]] == [str(newer.pk)]
    drawn = next(made for made in found["state"]["layers"] if made["name"] == "regions")["annotations"]
    assert [annotation["id"] for annotation in drawn] == [str(newer.pk)]


def turned(world: World) -> tuple[Any, Any]:
    """Two images, and an accepted map from the second's frame, by a right angle round z, to that of the first."""
    first, second = (
        world.image(scale=spacing(1.0), frame=world.recorded(world.frame(specimen=world.specimen))) for _ in "ab"
    )
    matrix = [0.0, -1.0, 0.0, 100.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 7.0, 0.0, 0.0, 0.0, 1.0]
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = 0.25
    made = create_transform(
        actor=world.manager,
        source=second.frame,
        target=first.frame,
        kind="rigid",
        method="manual",
        matrix=matrix,
        covariance=covariance.tolist(),
        no_residual_reason="made for a test",
    )
    accept_transform(actor=world.manager, transform=made)
    return first, second


def elsewhere_of(answer: Any) -> list[dict[str, Any]]:
    layers = config_of(answer)["state"]["layers"]
    return next(made for made in layers if made["name"] == client.ELSEWHERE)["annotations"]


def test_a_region_of_another_frame_is_drawn_where_it_lies_with_its_error(world: World, seen_by: Any) -> None:
    first, second = turned(world)
    triangle = {"type": "polygon", "coordinates": [[0, 0, 0], [10, 0, 0], [0, 5, 1]]}
    roi = create_roi(actor=world.contributor, frame=second.frame, geometry=triangle, name="pore")
    answer = seen_by(world.viewer).get(view(first))
    found = config_of(answer)
    assert found["regions"] == []
    assert found["elsewhere"] == [{"id": str(roi.pk), "middle": pytest.approx([97.5, 5.0, 7.5])}]
    (drawn,) = elsewhere_of(answer)
    origin = np.array(found["origin"])
    points = np.array(drawn["points"]) * found["unit"] + origin
    assert points.tolist() == pytest.approx(np.array([[100, 0, 7], [100, 10, 7], [95, 0, 8], [100, 0, 7]]))
    assert "± 1.4 µm (95 %)" in answer.content.decode()  # 2.80 times 0.5 um
    own = seen_by(world.viewer).get(view(second))
    assert elsewhere_of(own) == []
    assert [place["id"] for place in config_of(own)["regions"]] == [str(roi.pk)]


def test_a_box_that_is_turned_is_drawn_by_its_twelve_edges(world: World, seen_by: Any) -> None:
    first, second = turned(world)
    box = {"type": "box", "coordinates": [[0, 0, 0], [4, 2, 1]]}
    create_roi(actor=world.contributor, frame=second.frame, geometry=box, name="cell")
    answer = seen_by(world.viewer).get(view(first))
    (drawn,) = elsewhere_of(answer)
    points = np.array(drawn["points"]) * config_of(answer)["unit"] + np.array(config_of(answer)["origin"])
    ends = np.round(points, 6).tolist()
    edges = {frozenset((tuple(a), tuple(b))) for a, b in pairwise(ends)}
    assert len(edges) == 12
    assert all(np.count_nonzero(np.subtract(*map(np.array, edge))) == 1 for edge in edges)
    assert points.min(axis=0) == pytest.approx([98.0, 0.0, 7.0])
    assert points.max(axis=0) == pytest.approx([100.0, 4.0, 8.0])


def test_regions_that_no_path_brings_here_are_not_drawn(world: World, seen_by: Any) -> None:
    first = placed(world)
    far = world.recorded(world.frame(specimen=world.specimen))
    create_roi(actor=world.contributor, frame=far, geometry={"type": "point", "coordinates": [1, 2, 3]}, name="lost")
    answer = seen_by(world.viewer).get(view(first))
    assert elsewhere_of(answer) == []
    assert "From other frames" not in answer.content.decode()


def test_the_image_page_leads_to_the_viewer(world: World, seen_by: Any) -> None:
    image = world.image(scale=spacing(1.0))
    assert view(image) in seen_by(world.viewer).get(reverse("image", args=[image.pk])).content.decode()


# -------------------------------------------------------------------------------------------------------------- client


def policy_of(answer: Any) -> dict[str, str]:
    parts = answer["Content-Security-Policy"].split(";")
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in parts)}


def test_the_policy_is_loosened_for_the_client_alone(world: World, seen_by: Any) -> None:
    browser = seen_by(world.viewer)
    inside = browser.get(reverse("viewer-client"))
    assert inside["X-Frame-Options"] == "SAMEORIGIN"
    assert policy_of(inside)["frame-ancestors"] == "'self'"
    assert policy_of(inside)["script-src"] == "'self' 'wasm-unsafe-eval'"
    around = browser.get(view(world.image(scale=spacing(1.0))))
    assert around["X-Frame-Options"] == "DENY"
    assert policy_of(around)["frame-ancestors"] == "'none'"
    assert "script-src" not in policy_of(around)
    assert "unsafe-eval" not in around["Content-Security-Policy"]


def test_the_client_takes_a_login(world: World) -> None:
    assert Client().get(reverse("viewer-client")).status_code == 302


def test_the_shim_comes_before_the_client(world: World, seen_by: Any) -> None:
    text = seen_by(world.viewer).get(reverse("viewer-client")).content.decode()
    places = [text.index(name) for name in ("viewer-client.js", *client.SCRIPTS)]
    assert places == sorted(places)


def test_the_vendored_client_is_what_was_published() -> None:
    listed = finders.find(f"{client.FOLDER}/files.json")
    assert listed
    with open(listed) as file:  # noqa: PTH123
        digests = json.load(file)
    for name, digest in digests.items():
        found = finders.find(f"{client.FOLDER}/{name}")
        assert found, name
        with open(found, "rb") as file:  # noqa: PTH123
            assert hashlib.sha256(file.read()).hexdigest() == digest, name
    for path in (*client.SCRIPTS, client.STYLE):
        assert path.removeprefix(f"{client.FOLDER}/") in digests
    assert client.VERSION in client.FOLDER
