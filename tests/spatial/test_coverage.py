"""Every image that covers a region, and what is near a place."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from scipy.spatial.transform import Rotation

from apps.spatial.coverage_boxes import candidates, fraction_inside, meet
from apps.spatial.services import withdraw_transform
from tests.factories import RoiFactory, SpecimenEventFactory, SpecimenFactory, UserFactory
from tests.spatial.places import join, make_image, moved

TURN = Rotation.from_euler("z", 30, degrees=True).as_matrix()


# -------------------------------------------------------------------------------------------------------- without rows


def boxes(seed):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix() @ np.diag(rng.uniform(0.3, 3, 3))
    matrix[:3, 3] = rng.uniform(-6, 6, 3)
    return np.array([-1.0, -2.0, -1.5]), np.array([1.0, 2.0, 1.5]), matrix, np.full(3, -2.0), np.full(3, 2.5)


@pytest.mark.parametrize("seed", range(60))
def test_boxes_meet_if_and_only_if_linear_programming_finds_a_common_point(seed):
    from scipy.optimize import linprog

    low, high, matrix, other_low, other_high = boxes(seed)
    linear, shift = matrix[:3, :3], matrix[:3, 3]
    above, below = np.vstack([linear, -linear]), np.concatenate([other_high - shift, shift - other_low])
    common = linprog(np.zeros(3), A_ub=above, b_ub=below, bounds=list(zip(low, high, strict=True))).status == 0
    assert meet(low, high, matrix, other_low, other_high, 0.0) == common
    if common:
        assert candidates(low, high, matrix[None], other_low[None], other_high[None])[0]


@pytest.mark.parametrize("seed", range(8))
def test_the_fraction_agrees_with_random_points(seed):
    low, high, matrix, other_low, other_high = boxes(seed)
    matrix[:3, 3] /= 6
    points = np.random.default_rng(1).uniform(low, high, (200_000, 3)) @ matrix[:3, :3].T + matrix[:3, 3]
    inside = ((points >= other_low) & (points <= other_high)).all(axis=1).mean()
    assert fraction_inside(low, high, matrix, other_low, other_high) == pytest.approx(inside, abs=0.03)


def test_the_fraction_is_exact_along_the_axes_and_for_flat_things():
    low, high = np.zeros(3), np.array([10.0, 10.0, 0.0])
    image_low, image_high = np.array([5.0, -1.0, -3.0]), np.array([20.0, 9.0, 3.0])
    assert fraction_inside(low, high, np.eye(4), image_low, image_high) == pytest.approx(0.45)
    point = np.array([6.0, 1.0, 0.0])
    assert fraction_inside(point, point, np.eye(4), image_low, image_high) == 1.0
    plane_low, plane_high = np.array([0.0, 0.0, 0.0]), np.array([10.0, 5.0, 0.0])
    cube = np.array([10.0, 10.0, 10.0])
    assert fraction_inside(low, cube, np.eye(4), plane_low, plane_high) == pytest.approx(0.5)


def test_a_plane_is_missed_by_no_more_than_the_error():
    plane_low, plane_high = np.zeros(3), np.array([10.0, 10.0, 0.0])
    low, high = np.array([1.0, 1.0, 2.0]), np.array([2.0, 2.0, 3.0])
    aside = np.array([10.0, 0.0, 0.0])
    assert not meet(low, high, np.eye(4), plane_low, plane_high, 1.9)
    assert meet(low, high, np.eye(4), plane_low, plane_high, 2.1)
    assert not meet(low + aside, high + aside, np.eye(4), plane_low, plane_high, 2.1), "only across the plane"


# ----------------------------------------------------------------------------------------------------------- with rows


@pytest.fixture
def study(db):
    """A volume, an oblique finer one inside of it, a plane on top, and an image that nothing leads to."""
    specimen = SpecimenFactory()
    volume = make_image(
        specimen, (100, 100, 100), (10.0, 10.0, 10.0), modality="xrm", acquired_at="2024-05-01T09:00:00"
    )
    fine = make_image(specimen, (100, 100, 100), (1.0, 1.0, 1.0), modality="nano_xrm")
    plane = make_image(specimen, (1, 1000, 1000), (0.5, 0.5, 0.5), modality="sem")
    apart = make_image(specimen, (1, 10, 10), (1.0, 1.0, 1.0), modality="light")
    join(fine.frame, volume.frame, moved((200, 200, 200), TURN), 0.8)
    join(plane.frame, volume.frame, moved((100, 100, 220)), 2.0)
    return specimen, volume, fine, plane, apart


def covering(client, roi):
    answer = client.get(f"/api/v1/rois/{roi.pk}/coverage/")
    assert answer.status_code == 200, answer.content
    return answer.json()


def inside(volume, low, high):
    return RoiFactory(frame=volume.frame, geometry={"type": "box", "coordinates": [low, high]})


def test_every_image_at_a_place_with_scale_time_and_error(study, as_user):
    _, volume, fine, plane, _ = study
    roi = inside(volume, [205, 230, 215], [215, 240, 225])
    told = covering(as_user(roi.created_by), roi)
    found = {row["image"]: row for row in told["results"]}
    assert set(found) == {str(volume.pk), str(fine.pk), str(plane.pk)}
    assert told["unreached"] == 1
    own = found[str(volume.pk)]
    assert (own["fraction"], own["whole"], own["u95_um"], own["path"]) == (1.0, True, 0.0, [])
    assert own["acquired_at"]["value"] == "2024-05-01T09:00:00"
    assert own["spacing"]["x"]["value"] == 10.0
    assert (own["modality"], own["state_number"], own["kind"]) == ("xrm", 0, "intensity")
    inner = found[str(fine.pk)]
    assert inner["u95_um"] == pytest.approx(0.8 * 2.7955, rel=1e-4)
    middle = TURN.T @ (np.array([210, 235, 220]) - 200)
    assert np.allclose(inner["point"], middle)
    assert inner["whole"]
    assert found[str(plane.pk)]["whole"], "the plane at z = 220 cuts it"


def test_partly_covered_and_not_covered(study, as_user):
    _, volume, fine, plane, _ = study
    client = as_user(volume.project.created_by)
    edge = covering(client, inside(volume, [985, 0, 0], [1005, 10, 10]))["results"]
    assert [(row["image"], round(row["fraction"], 6)) for row in edge] == [(str(volume.pk), 0.5)]
    buried = covering(client, inside(volume, [205, 230, 240], [215, 240, 245]))["results"]
    assert str(plane.pk) not in {row["image"] for row in buried}, "15 um below the plane, the error is 5.6 um"
    near = covering(client, inside(volume, [205, 230, 223], [215, 240, 233]))["results"]
    assert str(plane.pk) in {row["image"] for row in near}, "3 um below the plane"
    corner = covering(client, inside(volume, [290, 200, 210], [299, 209, 220]))["results"]
    assert str(fine.pk) not in {row["image"] for row in corner}, (
        "inside the box around the turned volume, not inside it"
    )


def test_a_withdrawn_way_does_not_cover(study, as_user):
    _, volume, fine, *_ = study
    roi = inside(volume, [205, 230, 215], [215, 240, 225])
    edge = fine.frame.transforms_out.get()
    withdraw_transform(actor=roi.created_by, transform=edge, reason="slipped")
    told = covering(as_user(roi.created_by), roi)
    assert str(fine.pk) not in {row["image"] for row in told["results"]}
    assert told["unreached"] == 2


def test_images_of_another_state_come_with_a_warning(study, as_user):
    specimen, volume, *_ = study
    roi = inside(volume, [205, 230, 215], [215, 240, 225])
    SpecimenEventFactory(specimen=specimen, kind="mill")
    specimen.refresh_from_db()
    later = make_image(specimen, (1, 1000, 1000), (0.5, 0.5, 0.5))
    join(later.frame, volume.frame, moved((100, 100, 221)), 2.0, valid_states=[volume.state])
    (row,) = [row for row in covering(as_user(roi.created_by), roi)["results"] if row["image"] == str(later.pk)]
    assert row["state_number"] == 1
    assert "mill" in " ".join(row["warnings"])


def test_queries_do_not_grow_with_images(study, as_user):
    specimen, volume, *_ = study
    roi = inside(volume, [205, 230, 215], [215, 240, 225])
    client = as_user(roi.created_by)

    def count():
        with CaptureQueriesContext(connection) as context:
            covering(client, roi)
        return len(context)

    count()  # the graph of a project is read once, and kept
    before = count()
    for index in range(3):
        more = make_image(specimen, (1, 1000, 1000), (0.5, 0.5, 0.5))
        join(more.frame, volume.frame, moved((100, 100, 219 + index)), 1.0)
    count()
    assert count() == before
    assert before <= 12


def near(client, frame, point, radius):
    return client.get(f"/api/v1/frames/{frame.pk}/near/?point={point}&radius_um={radius}")


def test_what_is_near_a_place(study, as_user):
    _, volume, fine, plane, _ = study
    client = as_user(volume.project.created_by)
    here = inside(volume, [205, 230, 215], [215, 240, 225])
    there = RoiFactory(frame=fine.frame, geometry={"type": "point", "coordinates": [0.0, 0.0, 0.0]})
    far = inside(volume, [800, 800, 800], [810, 810, 810])
    told = near(client, volume.frame, "200,200,220", 40).json()
    rois = {row["roi"]: row for row in told["rois"]}
    assert set(rois) == {str(here.pk), str(there.pk)}
    assert str(far.pk) not in rois
    assert rois[str(there.pk)]["distance_um"] == pytest.approx(20)
    assert rois[str(there.pk)]["u95_um"] == pytest.approx(0.8 * 2.7955, rel=1e-4)
    assert rois[str(here.pk)]["distance_um"] == pytest.approx(np.hypot(5, 30))
    images = {row["image"]: row["distance_um"] for row in told["images"]}
    assert images[str(plane.pk)] == images[str(volume.pk)] == 0.0
    assert [row["distance_um"] for row in told["rois"]] == sorted(row["distance_um"] for row in told["rois"])


def test_a_superseded_region_is_not_near(study, as_user):
    _, volume, *_ = study
    client = as_user(volume.project.created_by)
    first = inside(volume, [0, 0, 0], [1, 1, 1])
    second = RoiFactory(frame=volume.frame, geometry=first.geometry, supersedes=first)
    assert [row["roi"] for row in near(client, volume.frame, "0,0,0", 5).json()["rois"]] == [str(second.pk)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("point=1,2&radius_um=5", "point"),
        ("point=1,2,nan&radius_um=5", "point"),
        ("radius_um=5", "point"),
        ("point=1,2,3", "radius_um"),
        ("point=1,2,3&radius_um=-1", "radius_um"),
        ("point=1,2,3&radius_um=inf", "radius_um"),
        ("point=1,2,3&radius_um=1&x=1", "x"),
    ],
)
def test_a_bad_question_is_refused_by_name(study, as_user, query, field):
    _, volume, *_ = study
    answer = as_user(volume.project.created_by).get(f"/api/v1/frames/{volume.frame.pk}/near/?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_who_sees(study, as_user):
    _, volume, *_ = study
    roi = inside(volume, [0, 0, 0], [1, 1, 1])
    stranger = as_user(UserFactory())
    assert stranger.get(f"/api/v1/rois/{roi.pk}/coverage/").status_code == 404
    assert near(stranger, volume.frame, "0,0,0", 5).status_code == 404
    assert as_user(None).get(f"/api/v1/rois/{roi.pk}/coverage/").status_code == 401


def test_an_image_as_a_napari_layer_lies_where_the_graph_puts_it(study, as_user):
    """napari takes an index (z, y, x) to the world in the same order."""
    _, volume, fine, _, apart = study
    client = as_user(volume.project.created_by)
    told = client.get(f"/api/v1/images/{fine.pk}/napari/?frame={volume.frame.pk}").json()
    assert told["layer"]["axis_labels"] == ["z", "y", "x"]
    world = np.array(told["layer"]["affine"]) @ [7.0, 5.0, 3.0, 1.0]
    assert world[:3][::-1] == pytest.approx(TURN @ [3.0, 5.0, 7.0] + 200)
    assert told["u95_um"] == pytest.approx(0.8 * 2.7955, rel=1e-4)
    own = client.get(f"/api/v1/images/{volume.pk}/napari/").json()
    assert np.allclose(own["layer"]["affine"], np.diag([10.0, 10.0, 10.0, 1.0]))
    answer = client.get(f"/api/v1/images/{apart.pk}/napari/?frame={volume.frame.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_path")
    assert as_user(UserFactory()).get(f"/api/v1/images/{fine.pk}/napari/").status_code == 404


def test_whole_needs_every_corner_inside(study, as_user):
    """The lattice on which a turned box is counted does not see a corner that sticks out."""
    _, volume, fine, *_ = study
    centre = TURN @ [50.0, 50.0, 50.0] + 200
    # in the fine image the outermost corner is at 50 + half * (cos 30 + sin 30); its samples end at 99.5
    client = as_user(volume.project.created_by)
    for half, whole in ((36.0, True), (36.5, False)):
        roi = inside(volume, (centre - half).tolist(), (centre + half).tolist())
        (row,) = [row for row in covering(client, roi)["results"] if row["image"] == str(fine.pk)]
        assert row["fraction"] == pytest.approx(1.0)
        assert row["whole"] is whole


def test_near_says_that_there_is_more_and_counts_current_regions_alone(study, as_user, monkeypatch):
    _, volume, *_ = study
    client = as_user(volume.project.created_by)
    monkeypatch.setattr("apps.spatial.coverage.MAX_ROIS", 2)
    former = inside(volume, [0, 0, 0], [1, 1, 1])
    for _ in range(3):
        former = RoiFactory(frame=volume.frame, geometry=former.geometry, supersedes=former)
    inside(volume, [0, 0, 0], [2, 2, 2])
    told = near(client, volume.frame, "0,0,0", 5).json()
    assert (len(told["rois"]), told["truncated"]) == (2, False)
    inside(volume, [0, 0, 0], [3, 3, 3])
    told = near(client, volume.frame, "0,0,0", 5).json()
    assert (len(told["rois"]), told["truncated"]) == (2, True)


def test_what_is_large_and_not_asked_for_is_not_loaded(study, as_user):
    _, volume, *_ = study
    inside(volume, [0, 0, 0], [1, 1, 1])
    client = as_user(volume.project.created_by)
    with CaptureQueriesContext(connection) as context:
        near(client, volume.frame, "0,0,0", 5)
    asked = " ".join(query["sql"] for query in context)
    assert '"spatial_roi"."geometry",' not in asked
    assert '"imaging_acquisition"."header"' not in asked
