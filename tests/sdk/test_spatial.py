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


# --------------------------------------------------------------------------------------------------- shared uncertainty

FACTOR, U = 1.02, 0.01


def scale_map(error, *, factor=FACTOR, u=U, shift=(0, 0, 0), backwards=False):
    covariance = np.zeros((12, 12))
    diagonal = [0, 5, 10]
    covariance[np.ix_(diagonal, diagonal)] = u**2
    return spatial.UncertainMap(affine(np.eye(3) * factor, shift), covariance, error, backwards)


def exact(shift):
    return spatial.UncertainMap(affine(np.eye(3), shift), np.zeros((12, 12)), f"exact {shift}")


def test_points_of_two_images_under_one_calibration_share_its_error():
    points = [[10.0, 20.0, 0.0], [30.0, -5.0, 2.0]]
    shared, covariance = spatial.joint_covariance(points, [[scale_map("c")], [scale_map("c")]])
    np.testing.assert_allclose(shared, np.array(points) * FACTOR)
    flat = np.ravel(points)
    np.testing.assert_allclose(covariance, U**2 * np.outer(flat, flat), atol=1e-15)
    _, apart = spatial.joint_covariance(points, [[scale_map("c")], [scale_map("d")]])
    assert not apart[:3, 3:].any()
    np.testing.assert_allclose(apart[:3, :3], covariance[:3, :3])


def test_a_distance_between_two_images_agrees_with_monte_carlo():
    points = np.array([[100.0, 20.0, 5.0], [30.0, -50.0, 0.0]])
    stages = [(1000.0, 0.0, 0.0), (800.0, 300.0, 0.0)]
    own = np.array([np.diag([0.01, 0.02, 0.01]), np.diag([0.03, 0.01, 0.02])])
    paths = [[scale_map("c"), exact(stage)] for stage in stages]
    mapped, covariance = spatial.joint_covariance(points, paths, own)
    length, u = spatial.distance_with_error(mapped[0], mapped[1], covariance)
    rng = np.random.default_rng(11)
    factors = rng.normal(FACTOR, U, (40_000, 1))
    drawn = [
        factors * rng.multivariate_normal(point, spread, 40_000) + stage
        for point, spread, stage in zip(points, own, stages, strict=True)
    ]
    lengths = np.linalg.norm(drawn[0] - drawn[1], axis=1)
    assert length == pytest.approx(lengths.mean(), rel=1e-3)
    assert u == pytest.approx(lengths.std(), rel=0.02)


def test_there_and_back_under_one_calibration_leaves_no_error():
    point = [[7.0, -3.0, 2.0]]
    mapped, covariance = spatial.joint_covariance(point, [[scale_map("c"), scale_map("c", backwards=True)]])
    np.testing.assert_allclose(mapped, point)
    np.testing.assert_allclose(covariance, 0.0, atol=1e-15)


def test_a_step_backwards_agrees_with_monte_carlo():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(12, 12)) * 1e-3
    matrix = affine(rotation([1, 2, 3], 0.7) * 1.5, (5, -2, 9))
    step = spatial.UncertainMap(matrix, root @ root.T, "t", backwards=True)
    target = np.array([[40.0, 10.0, -20.0]])
    mapped, covariance = spatial.joint_covariance(target, [[step]])
    np.testing.assert_allclose(spatial.apply(matrix, mapped), target)
    drawn = []
    for noise in rng.normal(size=(20_000, 12)) @ root.T:
        moved = matrix.copy()
        moved[:3] += noise.reshape(3, 4)
        drawn.append(np.linalg.solve(moved[:3, :3], target[0] - moved[:3, 3]))
    np.testing.assert_allclose(np.cov(np.array(drawn).T), covariance, rtol=0.1, atol=0.02 * np.abs(covariance).max())


@pytest.mark.parametrize(
    ("points", "paths", "own"),
    [
        ([[1.0, 2.0]], [[]], None),
        ([[1.0, 2.0, 3.0]], [], None),
        ([[1.0, 2.0, 3.0]], [[]], np.zeros((2, 3, 3))),
        ([[1.0, 2.0, 3.0]], [[spatial.UncertainMap(np.eye(4), np.zeros((6, 6)), "a")]], None),
        ([[1.0, 2.0, 3.0]], [[scale_map("c"), scale_map("c", u=2 * U)]], None),
        ([[1.0, 2.0, 3.0]], [[spatial.UncertainMap(np.zeros((4, 4)), np.zeros((12, 12)), "a")]], None),
    ],
)
def test_what_cannot_be_mapped_with_its_error_is_refused(points, paths, own):
    with pytest.raises(spatial.AffineError):
        spatial.joint_covariance(points, paths, own)


def test_coinciding_points_have_no_error_of_first_order():
    with pytest.raises(spatial.AffineError, match="coincide"):
        spatial.distance_with_error([1, 2, 3], [1, 2, 3], np.zeros((6, 6)))
