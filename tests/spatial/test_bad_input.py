"""The list of bad input: each is refused by name over REST, says what would be right, and stores nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from apps.provenance.models import Event
from apps.spatial.models import Landmark, Transform, TransformDecision
from tests.factories import FrameFactory, ProjectFactory, SpecimenFactory
from tests.spatial.places import make_image

pytestmark = pytest.mark.django_db
URL = "/api/v1/transforms/"
TURNED = [[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
SPREAD = [[10.0, 10.0, 5.0], [80.0, 15.0, 30.0], [20.0, 70.0, 60.0], [75.0, 80.0, 10.0], [50.0, 40.0, 80.0]]


@pytest.fixture
def images(db):
    """A volume of 100 um, and one of 50 um."""
    specimen = SpecimenFactory()
    return make_image(specimen, (100, 100, 100), (1.0, 1.0, 1.0)), make_image(
        specimen, (100, 100, 100), (0.5, 0.5, 0.5)
    )


def entries(**changes):
    """A 4 x 4 identity with some entries changed, by row and column: ``r0c1``."""
    matrix = np.eye(4).tolist()
    for name, value in changes.items():
        matrix[int(name[1])][int(name[3])] = value
    return matrix


def pairs(points, **extra):
    return [{"source": point, "target": [c + 3.0 for c in point]} | extra for point in points]


LINE = [[float(i), float(2 * i), float(i)] for i in range(6)]
PLANE = [[x, y, x + y] for x, y in ((0.0, 0.0), (40.0, 0.0), (0.0, 40.0), (40.0, 40.0), (20.0, 30.0))]
MIRRORED = [{"source": [x, y, z], "target": [x, y, 90.0 - z]} for x, y, z in SPREAD]
MILLIMETRES = pairs([*SPREAD[:4], [c * 1e3 for c in SPREAD[4]]])

BAD = {
    "singular": ({"kind": "affine", "matrix": entries(r2c2=0.0)}, "matrix", "singular"),
    "flat": ({"kind": "affine", "matrix": entries(r1c0=1.0, r1c1=1e-10)}, "matrix", "singular"),
    "not finite": ({"matrix": entries(r0c3=float("nan"))}, "matrix", "finite"),
    "infinite": ({"matrix": entries(r0c3=float("inf"))}, "matrix", "finite"),
    "mirrored, rigid": ({"matrix": entries(r0c0=-1.0)}, "matrix", "mirror"),
    "mirrored, similarity": ({"kind": "similarity", "matrix": entries(r1c1=-1.0)}, "matrix", "mirror"),
    "mirrored, affine": ({"kind": "affine", "matrix": entries(r2c2=-1.0)}, "matrix", "mirror"),
    "a reflection that mirrors nothing": ({"kind": "reflection", "matrix": TURNED}, "matrix", "mirror"),
    "a scale that is not rigid": ({"matrix": entries(r0c0=1.01, r1c1=1.01, r2c2=1.01)}, "matrix", "similarity"),
    "a turn that is no translation": ({"kind": "translation", "matrix": TURNED}, "matrix", "translation"),
    "not affine": ({"kind": "affine", "matrix": entries(r3c0=0.1)}, "matrix", "last row"),
    "to itself": ({"target": "source"}, "target", "itself"),
    "of two projects": ({"target": "elsewhere"}, "target", "another project"),
    "of nobody": ({"target": "3f0f3f0f-0000-4000-8000-000000000000"}, "target", "no frame"),
    "wrong unit": ({"matrix": None, "landmarks": MILLIMETRES}, "landmarks.4.source", "unit"),
    "far outside": ({"landmarks": pairs([[-101.0, 0.0, 0.0]])}, "landmarks.0.source", "outside of the image"),
    "far outside of the target": (
        {"landmarks": [{"source": [10.0, 10.0, 0.0], "target": [110.0, 0.0, 0.0]}]},
        "landmarks.0.target",
        "outside of the image",
    ),
    "too few for a rigid map": ({"matrix": None, "landmarks": pairs(SPREAD[:2])}, "landmarks", "at least 3"),
    "too few for an affine map": (
        {"kind": "affine", "matrix": None, "landmarks": pairs(SPREAD[:3])},
        "landmarks",
        "at least 4",
    ),
    "none at all": ({"matrix": None}, "matrix", "landmarks to fit"),
    "on a line, rigid": ({"matrix": None, "landmarks": pairs(LINE)}, "landmarks", "on a line"),
    "on a line, similarity": (
        {"kind": "similarity", "matrix": None, "landmarks": pairs(LINE)},
        "landmarks",
        "on a line",
    ),
    "in a plane, affine": ({"kind": "affine", "matrix": None, "landmarks": pairs(PLANE)}, "landmarks", "in a plane"),
    "mirrored pairs": ({"kind": "affine", "matrix": None, "landmarks": MIRRORED}, "landmarks", "mirror"),
    "an error for some pairs only": (
        {"matrix": None, "landmarks": [pairs(SPREAD, u_um=0.5)[0], *pairs(SPREAD[1:])]},
        "landmarks",
        "for all of them",
    ),
    "an error of nothing": ({"landmarks": pairs(SPREAD, u_um=0.0)}, "landmarks.0.u_um", "above 0"),
    "a covariance that is none": (
        {"covariance": (-np.eye(12)).tolist()},
        "covariance",
        "variance of entry 0 is negative",
    ),
    "rejected without a reason": ({"landmarks": pairs(SPREAD[:1], state="rejected")}, "landmarks.0.reason", "given"),
    "an unknown field": ({"unit": "mm"}, "unit", ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_stores_nothing(images, as_user, case):
    change, field, words = BAD[case]
    volume, fine = images
    elsewhere = FrameFactory(specimen=SpecimenFactory(project=ProjectFactory(actor=volume.project.created_by)))
    places = {"source": str(volume.frame_id), "elsewhere": str(elsewhere.pk)}
    body = {"source": str(volume.frame_id), "target": str(fine.frame_id), "kind": "rigid", "method": "manual"}
    body |= {"matrix": TURNED} | change
    body["target"] = places.get(body["target"], body["target"])
    body = {name: value for name, value in body.items() if value is not None}
    events = Event.objects.count()
    # with NaN and Infinity as Python writes them: that is what a script sends
    answer = as_user(volume.project.created_by).post(URL, json.dumps(body), content_type="application/json")
    assert answer.status_code in (400, 404), answer.content
    told = answer.json()
    assert field in told.get("errors", {}) or "not valid JSON" in told["detail"] or "JSON" in told["detail"], told
    assert words.lower() in json.dumps(told).lower() or "JSON" in told["detail"], told
    for model in (Transform, Landmark, TransformDecision):
        assert not model.objects.exists()
    assert Event.objects.count() == events


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_three_pairs_not_on_a_line_suffice_in_space(images, as_user, kind):
    volume, fine = images
    body = {"source": str(volume.frame_id), "target": str(fine.frame_id), "kind": kind, "method": "landmarks"}
    made = as_user(volume.project.created_by).post(URL, body | {"landmarks": pairs(PLANE[:3])}, format="json")
    assert made.status_code == 201, made.content


def test_between_two_planes_an_affine_map_is_fitted_in_the_plane(images, as_user):
    specimen = images[0].specimen
    plane = make_image(specimen, (1, 100, 100), (0.5, 0.5, 0.5))
    other = make_image(specimen, (1, 80, 80), (0.5, 0.5, 0.5))
    flat = [[x, y, 0.0] for x, y, _ in PLANE[:4]]
    landmarks = [{"source": point, "target": [point[0] + 2.0, 0.9 * point[1], 0.0]} for point in flat]
    body = {"source": str(plane.frame_id), "target": str(other.frame_id), "kind": "affine", "method": "landmarks"}
    made = as_user(plane.project.created_by).post(URL, body | {"landmarks": landmarks}, format="json")
    assert made.status_code == 201, made.content
    assert np.allclose(made.json()["matrix"][2], [0, 0, 1, 0]), "z to z"
