"""Matrices, covariances and places: taken, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from apps.core.errors import InvalidValueError
from apps.spatial import geometry

ROTATION = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
TETRAHEDRON = {
    "vertices": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "faces": [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
}


def matrix_of(linear, shift=(1.0, 2.0, 3.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = shift
    return matrix.tolist()


@pytest.mark.parametrize(
    ("kind", "linear"),
    [
        ("translation", np.eye(3)),
        ("rigid", ROTATION),
        ("similarity", 1e-3 * ROTATION),
        ("affine", ROTATION @ np.diag([1.0, 0.9, 1e-3])),
        ("reflection", np.diag([1.0, 1.0, -1.0])),
    ],
)
def test_a_kind_takes_what_it_may_do(kind, linear):
    nested = matrix_of(linear)
    flat = [number for row in nested for number in row]
    assert geometry.clean_matrix(nested, kind=kind) == geometry.clean_matrix(flat, kind=kind) == flat


@pytest.mark.parametrize(
    ("kind", "linear", "words"),
    [
        ("translation", ROTATION, "neither turns nor scales"),
        ("rigid", 1.001 * ROTATION, "not orthonormal"),
        ("rigid", np.diag([1.0, 1.0, -1.0]), "mirrors"),
        ("similarity", np.diag([1.0, 1.0, 1.01]), "unequally"),
        ("affine", -np.eye(3), "mirrors"),
        ("reflection", ROTATION, "does not mirror"),
        ("affine", np.diag([1.0, 1.0, 0.0]), "singular"),
        ("affine", np.zeros((3, 3)), "singular"),
        ("affine", np.diag([1.0, 1.0, 1e-12]), "singular"),
    ],
)
def test_a_kind_refuses_what_it_may_not_do(kind, linear, words):
    with pytest.raises(InvalidValueError, match=words) as refused:
        geometry.clean_matrix(matrix_of(linear), kind=kind)
    assert refused.value.field == "matrix"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "identity",
        [],
        [1.0] * 15,
        [[1.0] * 4] * 3,
        [[1.0] * 4] * 3 + [[1.0] * 3],
        [*np.eye(4).ravel()[:15].tolist(), float("nan")],
        [*np.eye(4).ravel()[:15].tolist(), "1"],
        [*np.eye(4).ravel()[:15].tolist(), True],
        [*np.eye(4).ravel()[:15].tolist(), 2.0],
        [1e12, *np.eye(4).ravel()[1:].tolist()],
    ],
)
def test_what_is_no_matrix_is_refused(value):
    with pytest.raises(InvalidValueError):
        geometry.clean_matrix(value, kind="affine")


def test_a_bad_entry_is_named():
    nested = matrix_of(np.eye(3))
    nested[1][2] = float("inf")
    with pytest.raises(InvalidValueError) as refused:
        geometry.clean_matrix(nested, kind="affine")
    assert refused.value.field == "matrix.1.2"


def test_a_covariance_of_mixed_units_is_taken():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(12, 6)) * np.array([1e-7] * 3 + [3.0] + [1e-7] * 3 + [3.0] + [1e-7] * 3 + [3.0])[:, None]
    covariance = factor @ factor.T  # rank 6, as of a rigid transform
    assert np.allclose(geometry.clean_covariance(covariance.tolist()), covariance, rtol=1e-12)
    zeros = np.zeros((12, 12)).tolist()
    assert geometry.clean_covariance(zeros) == zeros


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({(0, 1): 0.5}, "not symmetric"),
        ({(0, 1): 2.0, (1, 0): 2.0}, "not positive semi-definite"),
        ({(3, 3): -1.0}, "variance of entry 3 is negative"),
        ({(3, 3): 0.0, (3, 4): 0.1, (4, 3): 0.1}, "variance 0"),
        ({(3, 3): float("nan")}, "finite"),
    ],
)
def test_what_is_no_covariance_is_refused(change, words):
    covariance = np.eye(12)
    for place, number in change.items():
        covariance[place] = number
    with pytest.raises(InvalidValueError, match=words):
        geometry.clean_covariance(covariance.tolist())


@given(arrays(np.float64, (12, 5), elements=st.floats(-1e3, 1e3)))
def test_every_gram_matrix_is_a_covariance(factor):
    geometry.clean_covariance((factor @ factor.T).tolist())


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ({"type": "point", "coordinates": [1, 2, 3]}, [1, 2, 3], [1, 2, 3]),
        ({"type": "polyline", "coordinates": [[0, 5, 0], [1, 0, 0]]}, [0, 0, 0], [1, 5, 0]),
        ({"type": "polygon", "coordinates": [[0, 0, 1], [2, 0, 1], [2, 2, 1]]}, [0, 0, 1], [2, 2, 1]),
        ({"type": "box", "coordinates": [[1, 1, 1], [0, 0, -1]]}, [0, 0, -1], [1, 1, 1]),
        ({"type": "mesh", "coordinates": TETRAHEDRON}, [0, 0, 0], [1, 1, 1]),
    ],
)
def test_a_place_has_a_bounding_box(place, low, high):
    box = geometry.bounding_box(geometry.clean_geometry(place))
    assert [box[f"{axis}_min"] for axis in "xyz"] == low
    assert [box[f"{axis}_max"] for axis in "xyz"] == high


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ("point", "geometry"),
        ({}, "geometry.type"),
        ({"type": "sphere", "coordinates": [0, 0, 0]}, "geometry.type"),
        ({"type": ["point"], "coordinates": [0, 0, 0]}, "geometry.type"),
        ({"type": "mask", "image": "a", "value": 1}, "geometry.type"),
        ({"type": "point"}, "geometry.coordinates"),
        ({"type": "point", "coordinates": [0, 0, 0], "unit": "nm"}, "geometry"),
        ({"type": "point", "coordinates": [0, 0]}, "geometry.coordinates"),
        ({"type": "point", "coordinates": [0, 0, float("nan")]}, "geometry.coordinates.z"),
        ({"type": "point", "coordinates": [0, 0, 1e10]}, "geometry.coordinates.z"),
        ({"type": "point", "coordinates": "abc"}, "geometry.coordinates"),
        ({"type": "polyline", "coordinates": [[0, 0, 0]]}, "geometry.coordinates"),
        ({"type": "polyline", "coordinates": [[0, 0, 0], [0, 0, 0]]}, "geometry.coordinates"),
        ({"type": "polygon", "coordinates": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}, "geometry.coordinates"),
        ({"type": "polygon", "coordinates": [[0, 0, 0], [1, 0, 0], [1, "1", 0]]}, "geometry.coordinates.2.y"),
        ({"type": "box", "coordinates": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}, "geometry.coordinates"),
        ({"type": "box", "coordinates": [[1, 1, 1], [1, 1, 1]]}, "geometry.coordinates"),
        ({"type": "mesh", "coordinates": []}, "geometry.coordinates"),
        (
            {"type": "mesh", "coordinates": TETRAHEDRON | {"faces": TETRAHEDRON["faces"][:3]}},
            "geometry.coordinates.faces",
        ),
        (
            {"type": "mesh", "coordinates": TETRAHEDRON | {"faces": [*TETRAHEDRON["faces"][:3], [1, 2, 9]]}},
            "geometry.coordinates.faces.3",
        ),
        (
            {"type": "mesh", "coordinates": TETRAHEDRON | {"faces": [*TETRAHEDRON["faces"][:3], [1, 2]]}},
            "geometry.coordinates.faces.3",
        ),
        (
            {"type": "mesh", "coordinates": TETRAHEDRON | {"faces": [*TETRAHEDRON["faces"], [1, 2, 3]]}},
            "geometry.coordinates.faces",
        ),
    ],
)
def test_what_is_no_place_is_refused_by_its_part(place, field):
    with pytest.raises(InvalidValueError) as refused:
        geometry.clean_geometry(place)
    assert refused.value.field == field


def test_residual_of_known_offsets():
    pairs = [([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), ([1.0, 0.0, 0.0], [2.0, 2.0, 7.0])]
    flat = [number for row in matrix_of(np.eye(3)) for number in row]
    assert geometry.residual_um(flat, pairs) == pytest.approx(np.sqrt((0 + 16) / 2))
    assert geometry.residual_um(flat, []) is None
