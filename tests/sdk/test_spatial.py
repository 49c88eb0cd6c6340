from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyses.sdk import spatial

finite = st.floats(-1e3, 1e3, allow_subnormal=False)


def rotation(axis, angle):
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis)
    return np.eye(3) * np.cos(angle) + np.outer(axis, axis) * (1 - np.cos(angle)) + cross * np.sin(angle)


def affine(linear, shift=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return matrix


def test_the_first_sample_is_the_origin_and_the_next_one_spacing_away():
    matrix = spatial.index_to_physical({"x": 0.5, "y": 0.25, "z": 2.0})
    np.testing.assert_array_equal(spatial.apply(matrix, [[0, 0, 0], [1, 1, 1]]), [[0, 0, 0], [0.5, 0.25, 2.0]])


def test_a_plane_needs_no_spacing_across():
    matrix = spatial.index_to_physical({"x": 0.5, "y": 0.5, "z": None}, {"x": 9, "y": 9, "z": 1})
    np.testing.assert_array_equal(spatial.apply(matrix, [2, 4, 0]), [1, 2, 0])


def test_lengths_without_a_spacing_are_refused_naming_the_axes():
    with pytest.raises(spatial.UncalibratedError, match="y, z"):
        spatial.index_to_physical({"x": 1.0, "y": None}, {"x": 5, "y": 5, "z": 5})


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_spacing_that_is_no_length_is_refused(bad):
    with pytest.raises(spatial.AffineError, match="'y'"):
        spatial.index_to_physical({"x": 1.0, "y": bad, "z": 1.0})


@given(st.integers(0, 12), st.integers(0, 50))
def test_a_coarse_sample_lies_in_the_middle_of_its_block(level, index):
    f = 2**level
    block = np.arange(f * index, f * (index + 1))
    found = spatial.apply(spatial.level_to_base((f, f, 1)), [index, index, 3])
    np.testing.assert_array_equal(found, [block.mean(), block.mean(), 3])


@given(st.tuples(finite, finite, finite), st.floats(0.01, 3), st.tuples(finite, finite, finite), st.floats(1e-3, 1e3))
def test_there_and_back_is_the_identity(axis, angle, shift, scale):
    if np.linalg.norm(axis) < 1e-3:
        axis = (0, 0, 1)
    matrix = affine(rotation(axis, angle) * scale, shift)
    points = np.array([[1.0, 2, 3], [-40, 5, 600]])
    back = spatial.apply(spatial.invert(matrix), spatial.apply(matrix, points))
    np.testing.assert_allclose(back, points, rtol=1e-9, atol=1e-8 * (1 + np.abs(shift).max() / scale))
    np.testing.assert_array_equal(spatial.invert(matrix)[3], [0, 0, 0, 1])


def test_composition_applies_the_first_matrix_first():
    turn, move = affine(rotation((0, 0, 1), np.pi / 2)), affine(np.eye(3), (10, 0, 0))
    np.testing.assert_allclose(spatial.apply(spatial.compose([turn, move]), [1, 0, 0]), [10, 1, 0], atol=1e-12)
    np.testing.assert_allclose(spatial.apply(spatial.compose([move, turn]), [1, 0, 0]), [0, 11, 0], atol=1e-12)
    np.testing.assert_array_equal(spatial.compose([]), np.eye(4))


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        (np.eye(3), "4 x 4"),
        (np.full((4, 4), np.nan), "finite"),
        (affine(np.zeros((3, 3))), "singular"),
        (affine([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), "singular"),
        (affine(np.diag([1, 1, -1])), "mirrors"),
        (np.vstack([np.eye(4)[:3], [0, 0, 1, 1]]), "last row"),
        ([["a"] * 4] * 4, "numeric"),
    ],
)
def test_unusable_matrices_are_refused_with_the_reason(matrix, why):
    with pytest.raises(spatial.AffineError, match=why):
        spatial.check_affine(matrix)


def test_a_jump_of_scale_between_axes_is_not_singular():
    spatial.check_affine(affine(np.diag([1e-3, 1e3, 1.0])))


def test_a_mirror_passes_where_it_is_asked_for():
    mirror = affine(np.diag([-1.0, 1, 1]))
    assert spatial.is_mirrored(spatial.check_affine(mirror, allow_mirror=True))
    assert not spatial.is_mirrored(np.eye(4))


def test_scale_and_translation_of_a_level():
    matrix = spatial.from_scale_translation((2.0, 2.0, 1.0), (0.5, 0.5, 0.0))
    np.testing.assert_array_equal(spatial.apply(matrix, [1, 0, 4]), [2.5, 0.5, 4])
