"""Fits to landmark pairs: exact recovery, errors that Monte Carlo confirms, refusals with their reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from analyses.sdk import landmarks
from analyses.sdk.landmarks import KINDS, PARAMETERS, DegeneratePairsError, _covariance, _solve, fit_landmarks
from analyses.sdk.spatial import apply


def truth(kind, rng, *, planar=False, scale=1.0):
    """A map of a kind, with a shift of the size of the scene."""
    turn = Rotation.from_rotvec([0, 0, rng.uniform(-3, 3)] if planar else rng.normal(size=3)).as_matrix()
    matrix = np.eye(4)
    if kind == "rigid":
        matrix[:3, :3] = turn
    elif kind == "similarity":
        grown = rng.uniform(0.2, 5.0)
        matrix[:3, :3] = turn * grown
    elif kind == "affine":
        matrix[:3, :3] = turn @ (np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
    if planar:
        matrix[:3, 2], matrix[2, :3] = 0, 0
        matrix[2, 2] = 1
    matrix[:3, 3] = rng.normal(size=3) * scale * 10
    if planar:
        matrix[2, 3] = 0
    return matrix


def points(rng, n, *, planar=False, scale=1.0):
    found = rng.normal(size=(n, 3)) * scale
    if planar:
        found[:, 2] = 0
    return found


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    planar=st.booleans(),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_exact_pairs_give_the_map_back(kind, planar, seed, scale):
    rng = np.random.default_rng(seed)
    matrix = truth(kind, rng, planar=planar, scale=scale)
    p = points(rng, 8, planar=planar, scale=scale)
    fit = fit_landmarks(kind, p, apply(matrix, p))
    there = points(rng, 50, planar=planar, scale=scale)
    assert np.abs(apply(fit.matrix, there) - apply(matrix, there)).max() < 1e-9 * scale * 100
    assert fit.rms_um < 1e-10 * scale * 100
    assert fit.planar is planar
    assert fit.suspects == ()


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stated", [True, False])
def test_the_covariance_agrees_with_monte_carlo(kind, planar, stated):
    rng = np.random.default_rng(7)
    matrix, p = truth(kind, rng, planar=planar), points(rng, 9, planar=planar) + np.array([5.0, -3.0, 0.0])
    u = rng.uniform(0.005, 0.02, 9) if stated else np.full(9, 0.01)
    there = np.array([[7.0, -4.0, 0.0 if planar else 1.0], [5.0, -3.0, 0.0]])
    clean, mapped, predicted = apply(matrix, p), [], []
    for draw in range(3000):
        noise = rng.normal(size=p.shape) * u[:, None]
        if planar:
            noise[:, 2] = 0
        q, errors = clean + noise, u if stated else None
        mapped.append(apply(_solve(kind, p, q, np.ones(len(p)) if errors is None else 1 / u**2, planar), there))
        if draw < 60 or not stated:
            residuals = apply(_solve(kind, p, q, np.ones(len(p)), planar), p) - q
            degrees = (2 if planar else 3) * len(p) - PARAMETERS[kind][not planar]
            found, _ = _covariance(kind, matrix, p, residuals, errors, degrees, planar)
            predicted.append([_error(found, point) for point in there])
    seen = [np.cov(np.array(mapped)[:, k].T) for k in range(len(there))]
    said = np.mean(predicted, axis=0)
    axes = slice(0, 2) if planar else slice(0, 3)
    for found, wanted in zip(said, seen, strict=True):
        size = np.abs(wanted[axes, axes]).max()
        assert np.abs(found[axes, axes] - wanted[axes, axes]).max() < 0.12 * size
        if planar:
            assert not found[2].any()


def _error(covariance, point):
    gain = np.kron(np.eye(3), np.append(point, 1.0))
    return gain @ covariance @ gain.T


def test_a_mirrored_set_is_not_mirrored_by_a_rigid_fit():
    p = points(np.random.default_rng(1), 10)
    fit = fit_landmarks("rigid", p, p * [1, 1, -1])
    assert np.linalg.det(fit.matrix[:3, :3]) == pytest.approx(1.0)
    assert fit.rms_um > 0.1


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("rigid", [[0, 0, 0], [1, 0, 1]], "needs at least 3 pairs; there are 2"),
        ("rigid", [[0, 0, 1], [1, 1, 1], [2, 2, 1], [3, 3, 1]], "on a line"),
        ("similarity", [[1, 1, 1]] * 4, "coincide"),
        ("affine", [[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], "in a plane"),
        ("affine", [[0, 0, 0], [1, 1, 0], [2, 2, 0]], "on a line"),
        ("affine", [[0, 0, 0], [1, 1, 0]], "needs at least 3 pairs"),
    ],
)
def test_degenerate_pairs_are_refused_with_the_reason(kind, source, said):
    with pytest.raises(DegeneratePairsError, match=said):
        fit_landmarks(kind, source, np.array(source) * 2.0)


@pytest.mark.parametrize(("kind", "count"), [("affine", 4), ("rigid", 3), ("similarity", 3)])
def test_too_few_residuals_give_no_covariance_but_stated_errors_do(kind, count):
    rng = np.random.default_rng(3)
    p = points(rng, count)
    q = apply(truth(kind, rng), p) + rng.normal(size=p.shape) * 0.001
    bare = fit_landmarks(kind, p, q)
    if bare.degrees_of_freedom < 3:
        assert bare.covariance is None
        assert "too few" in bare.covariance_from
    stated = fit_landmarks(kind, p, q, np.full(count, 0.01))
    assert stated.covariance_from == "landmarks"
    assert np.linalg.eigvalsh(stated.covariance).min() > -1e-12


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
@pytest.mark.parametrize("stated", [True, False])
def test_a_wrong_pair_is_pointed_out_and_the_others_are_not(kind, stated):
    right = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = points(rng, 9)
        q = apply(truth(kind, rng), p) + rng.normal(size=p.shape) * 0.01
        q[4] += [0.6, -0.5, 0.4]
        suspects = fit_landmarks(kind, p, q, np.full(9, 0.01) if stated else None).suspects
        right += suspects == (4,)
        assert 4 in suspects
    assert right >= 32


def test_a_left_out_pair_is_missed_by_more_than_its_residual():
    rng = np.random.default_rng(5)
    p = points(rng, 6)
    q = apply(truth("rigid", rng), p) + rng.normal(size=p.shape) * 0.05
    fit = fit_landmarks("rigid", p, q)
    assert (fit.leave_one_out_um >= np.linalg.norm(fit.residuals_um, axis=1)).all()
    few = fit_landmarks("rigid", p[:3], q[:3])
    assert np.isnan(few.leave_one_out_um).all()


@pytest.mark.parametrize(
    ("source", "u_um", "said"),
    [
        ([[0, 0], [1, 1]], None, "shapes"),
        ([[0, 0, np.nan], [1, 1, 1]], None, "not finite"),
        ([[0, 0, 1], [1, 1, 1]], [0.1, 0.0], "above 0"),
        ([[0, 0, 1], [1, 1, 1]], [0.1], "one finite number"),
    ],
)
def test_numbers_that_are_none_are_refused(source, u_um, said):
    with pytest.raises(ValueError, match=said):
        fit_landmarks("translation", source, source, u_um)


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_in_the_plane_nothing_is_turned_over(kind, count):
    """Two exact pairs determine a turn in the plane; in space they would leave a mirrored answer open."""
    rng = np.random.default_rng(count)
    for _ in range(100):
        matrix = truth(kind, rng, planar=True)
        source = points(rng, count, planar=True)
        fit = fit_landmarks(kind, source, apply(matrix, source), np.full(count, 0.1))
        np.testing.assert_allclose(fit.matrix, matrix, atol=1e-7)
        np.testing.assert_array_equal(fit.matrix[2], [0, 0, 1, 0])


def test_a_mirrored_plane_is_fitted_badly_and_not_perfectly():
    rng = np.random.default_rng(4)
    source = points(rng, 6, planar=True)
    fit = fit_landmarks("rigid", source, source * [-1.0, 1.0, 1.0])
    assert fit.rms_um > 0.1 * np.abs(source).max()
    assert np.linalg.det(fit.matrix[:2, :2]) == pytest.approx(1.0)


@pytest.mark.parametrize("planar", [True, False])
def test_an_affine_fit_that_mirrors_is_refused(planar):
    source = points(np.random.default_rng(5), 8, planar=planar)
    flip = [-1.0, 1.0, 1.0] if planar else [1.0, 1.0, -1.0]
    with pytest.raises(DegeneratePairsError, match="handedness"):
        fit_landmarks("affine", source, source * flip)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_of_many_pairs_leaving_one_out_is_fitting_anew_without_it(kind, planar, monkeypatch):
    rng = np.random.default_rng(5)
    source = rng.uniform(-100, 100, (60, 3)) * [1, 1, not planar]
    turned = source @ Rotation.from_euler("z", 30, degrees=True).as_matrix().T + [4e4, 20, 0]
    target = turned + rng.normal(size=source.shape) * [1, 1, not planar]
    u_um = rng.uniform(0.5, 2.0, 60)
    at_once = fit_landmarks(kind, source, target, u_um).leave_one_out_um
    monkeypatch.setattr(landmarks, "_MANY", 1000)
    np.testing.assert_allclose(at_once, fit_landmarks(kind, source, target, u_um).leave_one_out_um, rtol=1e-7)


def test_of_many_pairs_the_one_that_keeps_them_from_a_line_is_not_left_out():
    source = np.zeros((60, 3))
    source[:, 0] = np.arange(60.0)
    source[7] = [7.0, 40.0, 0.1]
    missed = fit_landmarks("rigid", source, source + 1.0).leave_one_out_um
    assert np.isnan(missed[7])
    assert np.delete(missed, 7) == pytest.approx(0.0, abs=1e-9)
