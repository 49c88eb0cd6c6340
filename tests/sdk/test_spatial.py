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


# ---------------------------------------------------------------------------------------------------------- round trips

angles = st.floats(-3.1, 3.1)
shifts = st.tuples(*[st.floats(-1e5, 1e5)] * 3)


@st.composite
def maps(draw):
    """An affine map: a turn, unequal scales, a little shear, a shift."""
    turn = rotation((1, 0, 0), draw(angles)) @ rotation((0, 1, 0), draw(angles)) @ rotation((0, 0, 1), draw(angles))
    stretch = np.diag([draw(st.floats(0.05, 20.0)) for _ in range(3)])
    stretch[0, 1] = stretch[0, 0] * draw(st.floats(-0.5, 0.5))
    return affine(turn @ stretch, draw(shifts))


@given(maps(), maps(), maps())
def test_composition_is_associative(a, b, c):
    left = spatial.compose([spatial.compose([a, b]), c])
    right = spatial.compose([a, spatial.compose([b, c])])
    np.testing.assert_allclose(left[:3, :3], right[:3, :3], rtol=1e-9, atol=1e-9 * np.abs(left[:3, :3]).max())
    np.testing.assert_allclose(left[:3, 3], right[:3, 3], rtol=1e-9, atol=1e-9 * (1 + np.abs(left[:3, 3]).max()))


@given(maps(), maps())
def test_the_inverse_of_a_chain_is_the_chain_of_inverses(a, b):
    whole, parts = spatial.invert(spatial.compose([a, b])), spatial.compose([spatial.invert(b), spatial.invert(a)])
    size = np.abs(whole[:3]).max()
    np.testing.assert_allclose(whole, parts, rtol=1e-9, atol=1e-9 * (1 + size))


@given(st.tuples(angles, angles, angles), st.integers(0, 2**31 - 1))
def test_voxels_of_5_nm_at_50_mm_come_back_to_a_thousandth_of_a_voxel(turns, seed):
    """A lift-out in the frame of its panel: three transforms there and back."""
    rng = np.random.default_rng(seed)
    voxel_um, far = 0.005, 50_000.0
    chain = [
        affine(rotation((1, 0, 0), turns[0]), (3.0, -2.0, 1.0)),
        affine(rotation((0, 1, 0), turns[1]) * 1.01, (far, -far, far)),
        affine(rotation((0, 0, 1), turns[2]), (-200.0, 70.0, 1000.0)),
    ]
    index = rng.integers(0, 4000, (50, 3)).astype(float)
    points = index * voxel_um
    there = points
    for matrix in chain:
        there = spatial.apply(matrix, there)
    for matrix in reversed(chain):
        there = spatial.apply(spatial.invert(matrix), there)
    assert np.abs(there / voxel_um - index).max() < 1e-3


# ------------------------------------------------------------------------------------------------------- decompositions


@given(maps(), st.booleans())
def test_a_map_is_put_together_again_from_its_parts(matrix, mirrored):
    if mirrored:
        matrix = matrix @ np.diag([1.0, 1.0, -1.0, 1.0])
    parts = spatial.decompose(matrix)
    assert parts.mirrored == mirrored
    np.testing.assert_allclose(parts.rotation @ parts.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(parts.rotation) == pytest.approx(1.0)
    x, y, z = np.radians(parts.euler_deg)
    turned = rotation((0, 0, 1), z) @ rotation((0, 1, 0), y) @ rotation((1, 0, 0), x)
    np.testing.assert_allclose(turned, parts.rotation, atol=1e-9)
    np.testing.assert_allclose(rotation(parts.axis, np.radians(parts.angle_deg)), parts.rotation, atol=1e-9)
    stretch = parts.rotation.T @ matrix[:3, :3] @ np.diag([1.0, 1.0, -1.0 if mirrored else 1.0])
    np.testing.assert_allclose(stretch, stretch.T, atol=1e-9 * np.abs(stretch).max())
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(stretch))[::-1], parts.scales, rtol=1e-9)


def test_a_quarter_turn_with_a_scale_is_said_in_words():
    parts = spatial.decompose(affine(rotation((0, 0, 1), np.pi / 2) * 2.0, (1, 2, 3)))
    assert parts.angle_deg == pytest.approx(90.0)
    np.testing.assert_allclose(parts.axis, [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(parts.scales, 2.0)
    assert parts.shear == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(parts.translation_um, [1, 2, 3])
