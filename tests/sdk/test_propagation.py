"""Errors along chains of uncertain maps, against Monte Carlo."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from analyses.sdk import propagation, spatial
from tests.sdk.test_spatial import affine, rotation

FACTOR, U = 1.02, 0.01


def scale_map(error, *, factor=FACTOR, u=U, shift=(0, 0, 0), backwards=False):
    covariance = np.zeros((12, 12))
    diagonal = [0, 5, 10]
    covariance[np.ix_(diagonal, diagonal)] = u**2
    return propagation.UncertainMap(affine(np.eye(3) * factor, shift), covariance, error, backwards)


def exact(shift):
    return propagation.UncertainMap(affine(np.eye(3), shift), np.zeros((12, 12)), f"exact {shift}")


def test_points_of_two_images_under_one_calibration_share_its_error():
    points = [[10.0, 20.0, 0.0], [30.0, -5.0, 2.0]]
    shared, covariance = propagation.joint_covariance(points, [[scale_map("c")], [scale_map("c")]])
    np.testing.assert_allclose(shared, np.array(points) * FACTOR)
    flat = np.ravel(points)
    np.testing.assert_allclose(covariance, U**2 * np.outer(flat, flat), atol=1e-15)
    _, apart = propagation.joint_covariance(points, [[scale_map("c")], [scale_map("d")]])
    assert not apart[:3, 3:].any()
    np.testing.assert_allclose(apart[:3, :3], covariance[:3, :3])


def test_a_distance_between_two_images_agrees_with_monte_carlo():
    points = np.array([[100.0, 20.0, 5.0], [30.0, -50.0, 0.0]])
    stages = [(1000.0, 0.0, 0.0), (800.0, 300.0, 0.0)]
    own = np.array([np.diag([0.01, 0.02, 0.01]), np.diag([0.03, 0.01, 0.02])])
    paths = [[scale_map("c"), exact(stage)] for stage in stages]
    mapped, covariance = propagation.joint_covariance(points, paths, own)
    length, u = propagation.distance_with_error(mapped[0], mapped[1], covariance)
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
    mapped, covariance = propagation.joint_covariance(point, [[scale_map("c"), scale_map("c", backwards=True)]])
    np.testing.assert_allclose(mapped, point)
    np.testing.assert_allclose(covariance, 0.0, atol=1e-15)


def test_a_step_backwards_agrees_with_monte_carlo():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(12, 12)) * 1e-3
    matrix = affine(rotation([1, 2, 3], 0.7) * 1.5, (5, -2, 9))
    step = propagation.UncertainMap(matrix, root @ root.T, "t", backwards=True)
    target = np.array([[40.0, 10.0, -20.0]])
    mapped, covariance = propagation.joint_covariance(target, [[step]])
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
        ([[1.0, 2.0, 3.0]], [[propagation.UncertainMap(np.eye(4), np.zeros((6, 6)), "a")]], None),
        ([[1.0, 2.0, 3.0]], [[scale_map("c"), scale_map("c", u=2 * U)]], None),
        ([[1.0, 2.0, 3.0]], [[propagation.UncertainMap(np.zeros((4, 4)), np.zeros((12, 12)), "a")]], None),
    ],
)
def test_what_cannot_be_mapped_with_its_error_is_refused(points, paths, own):
    with pytest.raises(spatial.AffineError):
        propagation.joint_covariance(points, paths, own)


def test_coinciding_points_have_no_error_of_first_order():
    with pytest.raises(spatial.AffineError, match="coincide"):
        propagation.distance_with_error([1, 2, 3], [1, 2, 3], np.zeros((6, 6)))


# --------------------------------------------------------------------------------------------------------------- chains

DRAWS = 20_000


def uncertain(rng, error, *, backwards=False):
    """A turn of 30 degrees about some axis and a shift, known to about 2 mrad, 2 per mille and 0.2 um."""
    turn = rotation(rng.normal(size=3), np.radians(30.0))
    root = rng.normal(size=(12, 12)) * 6e-4
    root[3::4] *= 100.0
    return propagation.UncertainMap(affine(turn, rng.uniform(-50, 50, 3)), root @ root.T, error, backwards)


def drawn(path, point, own, rng):
    """Points at the end of the path, each step with errors of its own draw, equal names with equal draws."""
    noise = {
        step.error: rng.multivariate_normal(np.zeros(12), step.covariance, DRAWS, method="svd").reshape(-1, 3, 4)
        for step in path
    }
    here = rng.multivariate_normal(point, own, DRAWS, method="svd")
    for step in path:
        maps = step.matrix[:3] + noise[step.error]
        if step.backwards:
            here = np.linalg.solve(maps[:, :, :3], (here - maps[:, :, 3])[:, :, None])[:, :, 0]
        else:
            here = np.einsum("nij,nj->ni", maps[:, :, :3], here) + maps[:, :, 3]
    return here


def agree(found, samples):
    """The whole 3 x 3 within 10 %, compared where the Monte Carlo one is the unit matrix."""
    root = np.linalg.cholesky(np.cov(samples.T))
    white = np.linalg.solve(root, np.linalg.solve(root, found).T)
    assert np.abs(np.linalg.eigvalsh((white + white.T) / 2) - 1.0).max() < 0.1


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_agrees_with_monte_carlo_both_ways(steps, backwards):
    rng = np.random.default_rng(100 + steps)
    path = [uncertain(rng, f"t{k}", backwards=backwards) for k in range(steps)]
    point, own = np.array([80.0, -40.0, 25.0]), np.diag([0.01, 0.04, 0.02])
    found = propagation.propagate([point], path, [own])
    agree(found.covariances[0], drawn(path, point, own, rng))
    mapped, joint = propagation.joint_covariance([point], [path], [own])
    np.testing.assert_allclose(found.points, mapped, rtol=1e-12)
    np.testing.assert_allclose(found.covariances[0], joint, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("mixed", list(itertools.product([False, True], repeat=3))[1:-1])
def test_directions_may_alternate_along_a_chain(mixed):
    rng = np.random.default_rng(7)
    path = [uncertain(rng, f"t{k}", backwards=back) for k, back in enumerate(mixed)]
    point = np.array([10.0, 60.0, -30.0])
    agree(propagation.propagate([point], path).covariances[0], drawn(path, point, np.zeros((3, 3)), rng))


def test_one_calibration_twice_along_a_chain_stays_correlated():
    """Two images of one instrument, joined by a transform: the scale error enters once each way, and not squared up."""
    rng = np.random.default_rng(3)
    path = [scale_map("c", u=0.005), uncertain(rng, "t"), scale_map("c", u=0.005, backwards=True)]
    point = np.array([300.0, -200.0, 100.0])
    found = propagation.propagate([point], path).covariances[0]
    agree(found, drawn(path, point, np.zeros((3, 3)), rng))
    apart = propagation.propagate([point], [path[0], path[1], scale_map("d", u=0.005, backwards=True)]).covariances[0]
    assert np.trace(apart) > 1.5 * np.trace(found)


def test_a_million_points_are_mapped_as_one_by_one():
    rng = np.random.default_rng(1)
    path = [uncertain(rng, "a"), uncertain(rng, "b", backwards=True)]
    points = rng.uniform(-100, 100, (40_000, 3))
    found = propagation.propagate(points, path)
    for index in (0, 16_383, 16_384, 39_999):
        mapped, covariance = propagation.joint_covariance(points[[index]], [path])
        np.testing.assert_allclose(found.points[index], mapped[0], rtol=1e-12)
        np.testing.assert_allclose(found.covariances[index], covariance, rtol=1e-9, atol=1e-15)


# --------------------------------------------------------------------------------------------------- degrees of freedom


def test_the_factor_is_chi_square_where_errors_are_given_and_hotelling_where_they_are_estimated():
    assert propagation.coverage_factor(2) == pytest.approx(2.4477, abs=1e-4)
    assert propagation.coverage_factor(3) == pytest.approx(2.7955, abs=1e-4)
    assert propagation.coverage_factor(3, 6) == pytest.approx(np.sqrt(3 * stats.f.ppf(0.95, 3, 6)))
    np.testing.assert_allclose(propagation.coverage_factor(2, [np.inf, 1e7]), 2.4477, atol=1e-4)


def test_degrees_of_freedom_travel_with_the_larger_part_of_the_variance():
    def shift(u, error, nu):
        covariance = np.zeros((12, 12))
        covariance[[3, 7, 11], [3, 7, 11]] = u**2
        return propagation.UncertainMap(np.eye(4), covariance, error, degrees_of_freedom=nu)

    found = propagation.propagate([[1.0, 2, 3]], [shift(1.0, "a", 5), shift(0.1, "b", np.inf)])
    assert found.degrees_of_freedom[0] == pytest.approx(5 * 1.01**2)
    assert propagation.propagate([[1.0, 2, 3]], [shift(1.0, "a", np.inf)]).degrees_of_freedom[0] == np.inf


def test_the_stated_radius_is_that_of_the_plane_where_nothing_is_uncertain_across_it():
    flat, full = np.diag([4.0, 1.0, 0.0]), np.diag([4.0, 1.0, 1.0])
    found = propagation.expanded_error([flat, full])
    np.testing.assert_allclose(found, [2 * 2.4477, 2 * 2.7955], atol=1e-3)
