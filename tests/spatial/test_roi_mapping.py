"""A region in another frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from analyses.sdk.spatial import apply
from apps.spatial.models import Roi
from apps.spatial.roi_geometry import middle, vertices_of
from apps.spatial.services import withdraw_transform
from tests.factories import FrameFactory, ProjectFactory, RoiFactory, SpecimenFactory, UserFactory
from tests.spatial.places import join, moved

pytestmark = pytest.mark.django_db

CUBE = {"type": "box", "coordinates": [[0, 0, 0], [2, 4, 6]]}
TURN = Rotation.from_euler("xyz", [30, 20, 10], degrees=True).as_matrix()


def url(roi, frame):
    return f"/api/v1/rois/{roi.pk}/in/{getattr(frame, 'pk', frame)}/"


@pytest.fixture
def pair():
    source = FrameFactory()
    return source, FrameFactory(specimen=source.specimen)


def test_a_box_that_only_moves_stays_a_box_and_one_that_turns_becomes_a_mesh(pair, as_user):
    source, target = pair
    third = FrameFactory(specimen=source.specimen)
    join(source, target, moved((10, 20, 30)), 0.5)
    join(source, third, moved((10, 20, 30), TURN), 0.5)
    roi = RoiFactory(frame=source, geometry=CUBE)
    client = as_user(roi.created_by)
    plain = client.get(url(roi, target)).json()
    assert plain["geometry"] == {"type": "box", "coordinates": [[10, 20, 30], [12, 24, 36]]}
    assert len(plain["points"]) == len(plain["covariances"]) == 8
    # an error of 0.5 um along each axis: the ball with 95 % has 2.7955 times that radius
    assert plain["u95_um"] == pytest.approx([0.5 * 2.7955] * 8, rel=1e-4)
    turned = client.get(url(roi, third)).json()
    corners = np.array(turned["geometry"]["coordinates"]["vertices"])
    assert np.allclose(corners, vertices_of(CUBE) @ TURN.T + [10, 20, 30])
    volume = sum(np.linalg.det(corners[face]) / 6 for face in turned["geometry"]["coordinates"]["faces"])
    assert volume == pytest.approx(48), "faces closed, normals outward"


def test_points_lines_polygons_and_meshes_keep_their_form(pair, as_user):
    source, target = pair
    matrix = moved((1, 2, 3), TURN)
    join(source, target, matrix)
    mesh = {
        "vertices": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "faces": [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]],
    }
    for kind, coordinates in (
        ("point", [1, 2, 3]),
        ("polyline", [[0, 0, 0], [1, 1, 1]]),
        ("polygon", [[0, 0, 0], [2, 0, 0], [2, 3, 0]]),
        ("mesh", mesh),
    ):
        roi = RoiFactory(frame=source, geometry={"type": kind, "coordinates": coordinates})
        told = as_user(roi.created_by).get(url(roi, target)).json()
        wanted = apply(np.reshape(matrix, (4, 4)), vertices_of(roi.geometry))
        assert told["geometry"]["type"] == kind
        assert np.allclose(vertices_of(told["geometry"]), wanted)
        assert np.allclose(told["points"], wanted)


def test_the_answer_has_path_and_warnings_and_null_where_the_error_is_not_known(pair, as_user):
    source, target = pair
    edge = join(target, source, moved((5, 0, 0)), None)
    roi = RoiFactory(frame=source)
    told = as_user(roi.created_by).get(url(roi, target)).json()
    assert told["points"] == [[-4, 2, 3]]
    assert told["covariances"] == told["u95_um"] == [None]
    assert told["paths"] == [[{"transform": str(edge.pk), "direction": "backward"}]]
    assert "states no covariance" in told["warnings"][0]
    assert told["length_unit"] == "um"


def test_a_region_whose_ground_was_withdrawn_says_so(pair, as_user):
    source, target = pair
    edge = join(source, target)
    roi = RoiFactory(frame=source)
    client = as_user(roi.created_by)
    assert client.get(url(roi, target)).status_code == 200
    withdraw_transform(actor=roi.created_by, transform=edge, reason="landmarks were mixed up")
    answer = client.get(url(roi, target))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_path")
    own = client.get(url(roi, source)).json()
    assert (own["points"], own["paths"]) == ([[1, 2, 3]], [[]])


def test_who_sees_and_what_is_refused(pair, as_user):
    source, target = pair
    join(source, target)
    roi = RoiFactory(frame=source)
    client = as_user(roi.created_by)
    assert as_user(UserFactory()).get(url(roi, target)).status_code == 404
    assert client.get(url(roi, "3f0f3f0f-0000-4000-8000-000000000000")).status_code == 404
    own = ProjectFactory(actor=roi.created_by)
    elsewhere = FrameFactory(specimen=SpecimenFactory(project=own, actor=roi.created_by))
    assert list(client.get(url(roi, elsewhere)).json()["errors"]) == ["to"]
    assert list(client.get(f"{url(roi, target)}?x=1").json()["errors"]) == ["x"]
    Roi.objects.filter(pk=roi.pk).update(geometry={"type": "mask", "image": str(roi.pk), "value": 1})
    assert client.get(url(roi, target)).json()["code"] == "mask_has_no_vertices"


@pytest.mark.parametrize(
    ("geometry", "wanted"),
    [
        ({"type": "point", "coordinates": [1, 2, 3]}, [1, 2, 3]),
        (CUBE, [1, 2, 3]),
        ({"type": "polyline", "coordinates": [[0, 0, 0], [4, 0, 0], [4, 2, 0]]}, [3, 0, 0]),
        # an L: two unit squares and one below the left; the mean of the corners is another place
        (
            {"type": "polygon", "coordinates": [[0, 0, 1], [2, 0, 1], [2, 1, 1], [1, 1, 1], [1, 2, 1], [0, 2, 1]]},
            [5 / 6, 5 / 6, 1],
        ),
        (
            {
                "type": "mesh",
                "coordinates": {
                    "vertices": [[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]],
                    "faces": [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]],
                },
            },
            [1, 1, 1],
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_the_middle_of_a_place(geometry, wanted):
    assert middle(geometry) == pytest.approx(wanted)
