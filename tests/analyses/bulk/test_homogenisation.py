"""The conductivity solver against exact answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyses.bulk.closed_forms import square_array_of_cylinders, wiener
from analyses.bulk.green import Green
from analyses.bulk.homogenisation import NotConvergedError, expected_change, homogenise
from analyses.bulk.stencil import Stencil
from tests.analyses.phantoms import ball, checkerboard, disc_cell, random_labels


@pytest.mark.parametrize("boundary", ["periodic", "mirrored"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_laminate_in_series_and_parallel(boundary, axis):
    labels = np.zeros((8, 10, 12), np.uint8)
    np.moveaxis(labels, axis, 0)[labels.shape[axis] // 2 :] = 1
    found = np.diag(homogenise(labels, np.array([1.0, 100.0]), boundary=boundary).tensor)
    for i in range(3):
        exact = 200.0 / 101.0 if i == axis else 50.5
        assert found[i] == pytest.approx(exact, rel=1e-6)


def test_three_phase_laminate_with_unequal_layers():
    labels = np.zeros((4, 4, 20), np.uint8)
    labels[..., 5:7], labels[..., 7:] = 1, 2
    k = np.array([0.3, 40.0, 2.0])
    low, high = wiener([0.25, 0.1, 0.65], k)
    solved = homogenise(labels, k, tolerance=1e-6)
    found = np.diag(solved.tensor)
    assert np.all(solved.solver <= 2e-6 * high)
    assert found == pytest.approx([high, high, low], rel=1e-6)


@pytest.mark.parametrize("boundary", ["periodic", "mirrored"])
def test_checkerboard_is_the_geometric_mean(boundary):
    found = homogenise(checkerboard(128), np.array([1.0, 10.0]), boundary=boundary, tolerance=1e-5).tensor
    assert np.diag(found) == pytest.approx([np.sqrt(10.0)] * 2, rel=2e-3)


@pytest.mark.parametrize("fraction", [0.2, 0.5])
@pytest.mark.parametrize("ratio", [10.0, 50.0, 0.01, 0.0])
def test_square_array_of_cylinders(fraction, ratio):
    """No composite voxels are needed: the pixels in the nominal disc reach the tolerance."""
    found = homogenise(disc_cell(256, fraction), np.array([1.0, ratio]), tolerance=1e-5).tensor
    assert np.diag(found) == pytest.approx([square_array_of_cylinders(fraction, ratio)] * 2, rel=5e-3)


@pytest.mark.parametrize(("ratio", "printed"), [(10.0, 2.4155), (50.0, 2.9146), (0.01, 0.3339)])
def test_formula_of_perrins_gives_the_printed_values(ratio, printed):
    assert square_array_of_cylinders(0.5, ratio) == pytest.approx(printed, abs=5e-5)


def test_anisotropic_voxels_see_the_same_geometry():
    """An ellipse of voxels twice as long along y is the same disc."""
    fine = disc_cell(128, 0.4)
    coarse = fine.reshape(64, 2, 128)[:, 0]
    expected = homogenise(fine, np.array([1.0, 20.0])).tensor
    found = homogenise(coarse, np.array([1.0, 20.0]), spacing=(2.0, 1.0)).tensor
    ignored = homogenise(coarse, np.array([1.0, 20.0])).tensor
    assert np.diag(found) == pytest.approx(np.diag(expected), rel=0.02)
    assert abs(ignored[0, 0] / expected[0, 0] - 1) > 0.04


def test_rotated_anisotropic_medium_has_off_diagonals():
    """Diagonal stripes: principal values along and across, so the off-diagonal is half their difference."""
    y, x = np.mgrid[:64, :64]
    labels = (((x + y) % 32) < 16).astype(np.uint8)
    solved = homogenise(labels, np.array([1.0, 5.0]), tolerance=1e-6)
    low, high = wiener([0.5, 0.5], [1.0, 5.0])
    assert np.linalg.eigvalsh(solved.tensor) == pytest.approx([low, high], rel=0.02)
    assert solved.tensor[0, 1] == pytest.approx(-(high - low) / 2, rel=0.03)
    assert solved.asymmetry < 1e-5


def test_scales_with_the_conductivities_and_not_with_the_spacing():
    labels = random_labels(1, (12, 10, 14))
    base = homogenise(labels, np.array([1.0, 30.0]), spacing=(1, 1, 2)).tensor
    assert homogenise(labels, np.array([7.0, 210.0]), spacing=(5, 5, 10)).tensor == pytest.approx(7 * base, rel=1e-5)


def test_insulating_phase_that_blocks_conducts_nothing():
    labels = np.zeros((8, 8, 16), np.uint8)
    labels[..., 4:8] = 1
    found = np.diag(homogenise(labels, np.array([1.0, 0.0])).tensor)
    assert found[2] == pytest.approx(0.0, abs=1e-6)
    assert found[:2] == pytest.approx([0.75, 0.75], rel=1e-6)


def test_mirrored_equals_periodic_of_the_mirrored_volume():
    labels = random_labels(5, (6, 8, 10))
    doubled = labels
    for axis in range(3):
        doubled = np.concatenate([doubled, np.flip(doubled, axis)], axis)
    k = np.array([1.0, 25.0])
    mirrored = homogenise(labels, k, boundary="mirrored", tolerance=1e-6).tensor
    periodic = homogenise(doubled, k, tolerance=1e-6).tensor
    assert np.diag(mirrored) == pytest.approx(np.diag(periodic), rel=1e-5)
    assert np.isnan(mirrored[~np.eye(3, dtype=bool)]).all()
    assert np.abs(periodic[~np.eye(3, dtype=bool)]).max() < 1e-4


def test_sensitivities_are_derivatives():
    labels = ball(16, 5).astype(np.uint8)
    k = np.array([1.0, 8.0])
    solved = homogenise(labels, k, tolerance=1e-7)
    assert np.einsum("p,pij->ij", k, solved.sensitivity) == pytest.approx(solved.tensor)
    above, below = (homogenise(labels, np.array([1.0, 8.0 + s]), tolerance=1e-7).tensor for s in (0.2, -0.2))
    assert np.diag(solved.sensitivity[1]) == pytest.approx(np.diag(above - below) / 0.4, rel=0.01)


def test_history_falls_and_the_expected_change_covers_what_is_left():
    labels = random_labels(2, (32, 32, 32), 0.3)
    k = np.array([1.0, 100.0])
    converged = homogenise(labels, k, axes=(0,), tolerance=1e-7).tensor[0, 0]
    for tolerance in (1e-2, 1e-3, 1e-4):
        solved = homogenise(labels, k, axes=(0,), tolerance=tolerance)
        history = solved.histories[0]
        assert all(b <= a for a, b in itertools.pairwise(history))
        assert 0 <= solved.tensor[0, 0] / converged - 1 <= 1.5 * tolerance
        assert solved.solver[0, 0] <= tolerance * solved.tensor[0, 0] * 1.001


def test_expected_change_of_a_geometric_series():
    history = [1.0 + 0.5**i for i in range(12)]
    assert expected_change(history[:4]) == float("inf")
    assert 0.5**11 * 0.99 <= expected_change(history) <= 4 * 0.5**11


def test_refuses_nonsense():
    labels = random_labels(0, (4, 4, 4))
    with pytest.raises(ValueError, match="not all 0"):
        homogenise(labels, np.array([0.0, 0.0]))
    with pytest.raises(ValueError, match=">= 0"):
        homogenise(labels, np.array([1.0, -2.0]))
    with pytest.raises(ValueError, match="spacing must be 3"):
        homogenise(labels, np.array([1.0, 2.0]), spacing=(1, 2))
    with pytest.raises(NotConvergedError, match="after 3 iterations"):
        homogenise(labels, np.array([1.0, 100.0]), max_iterations=3, tolerance=1e-6)


@pytest.mark.parametrize("modes", [("periodic",) * 3, ("odd", "even", "even"), ("even", "even", "odd")])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 0.25, 0.5)])
def test_green_inverts_the_operator_of_a_homogeneous_medium(modes, weights):
    rng = np.random.default_rng(4)
    stencil = Stencil((7, 5, 9), weights, modes)
    ones = np.ones(stencil.voxels, np.float32)
    u = stencil._hold(rng.random(stencil.nodes).astype(np.float32))
    right = stencil.apply(u, ones)
    again = stencil.apply(Green(stencil).apply(right), ones)
    assert again == pytest.approx(right, abs=2e-5)


@pytest.mark.parametrize("modes", [("periodic",) * 3, ("odd", "even", "even"), ("periodic",) * 2])
def test_operator_is_symmetric_and_its_load_is_the_adjoint_of_the_gradient(modes):
    rng = np.random.default_rng(6)
    stencil = Stencil((6, 5, 8)[: len(modes)], (1.0, 0.5, 1.0)[: len(modes)], modes)
    local = rng.random(stencil.voxels).astype(np.float32) + 0.1
    u, v = (stencil._hold(rng.normal(size=stencil.nodes).astype(np.float32)) for _ in range(2))
    assert np.sum(v * stencil.apply(u, local)) == pytest.approx(np.sum(u * stencil.apply(v, local)), rel=1e-4)
    gradient = np.concatenate([stencil.gradient(u, *slab)[0] for slab in stencil.slabs()])
    expected = -float(np.sum(local * gradient)) * stencil.weights[0]
    assert np.sum(u * stencil.load(local, 0)) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_slabs_do_not_change_the_operator(monkeypatch):
    rng = np.random.default_rng(8)
    local = rng.random((9, 6, 7)).astype(np.float32)
    u = rng.normal(size=(9, 6, 7)).astype(np.float32)
    whole = Stencil(local.shape, (1.0,) * 3, ("periodic",) * 3)
    monkeypatch.setattr("analyses.bulk.stencil._SLAB_BYTES", 2 * 6 * 7 * 4)
    parts = Stencil(local.shape, (1.0,) * 3, ("periodic",) * 3)
    assert len(list(whole.slabs())) == 1
    assert len(list(parts.slabs())) == 5
    assert parts.apply(u, local) == pytest.approx(whole.apply(u, local), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(*[st.integers(2, 7)] * 3),
    contrast=st.floats(1e-3, 1e3),
    boundary=st.sampled_from(["periodic", "mirrored"]),
    spacing=st.tuples(*[st.floats(0.5, 2.0)] * 3),
)
def test_any_geometry_stays_within_the_bounds(seed, shape, contrast, boundary, spacing):
    labels = random_labels(seed, shape, np.random.default_rng(seed).uniform(0.1, 0.9))
    k = np.array([1.0, contrast])
    f = np.bincount(labels.ravel(), minlength=2) / labels.size
    tensor = homogenise(labels, k, boundary=boundary, spacing=spacing).tensor
    values = np.diag(tensor) if boundary == "mirrored" else np.linalg.eigvalsh(tensor)
    low, high = wiener(f, k)
    assert values.min() > 0
    assert values.min() >= low * (1 - 1e-3)
    assert values.max() <= high * (1 + 1e-3)
    if boundary == "periodic":
        assert np.array_equal(tensor, tensor.T)
