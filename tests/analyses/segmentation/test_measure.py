"""Measured shapes against what they are."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest

from analyses.sdk.testing import MemoryContext, expect_failure, image_value, run_plugin
from analyses.sdk.volumes import Volume
from analyses.segmentation.measure import SPEC, MeasureParams, find_objects
from analyses.segmentation.thickness import local_thickness
from tests.analyses.phantoms import ball, cylinder, random_labels


def measure(array, spacing=1.0, image=None, **params):
    inputs = {"labels": image_value(np.asarray(array, np.uint8), kind="labels", spacing_um=spacing)}
    if image is not None:
        inputs["image"] = image_value(image, spacing_um=spacing)
    out = run_plugin(SPEC, params, inputs)
    return {column.name: np.asarray(column.values) for column in out["table"].columns}, out


def box(shape, margin=6):
    array = np.zeros([n + 2 * margin for n in shape], np.uint8)
    array[margin:-margin, margin:-margin, margin:-margin] = 1
    return array


def test_box():
    """Volume, centroid and bounds are exact; the surface loses 0.42 voxel edges times the length of the sharp edges."""
    table, _ = measure(box((20, 24, 30)), spacing=0.5)
    assert table["volume_um3"] == pytest.approx([20 * 24 * 30 / 8])
    assert [table[f"centroid_{a}_um"][0] for a in "zyx"] == pytest.approx(
        [(6 + 9.5) / 2, (6 + 11.5) / 2, (6 + 14.5) / 2]
    )
    assert [table[f"bbox_{a}_{m}"][0] for a in "xyz" for m in ("min", "max")] == [6, 35, 6, 29, 6, 25]
    exact, edges = 2 * (20 * 24 + 20 * 30 + 24 * 30), 4 * (20 + 24 + 30)
    assert table["surface_um2"][0] * 4 == pytest.approx(exact - 0.42 * edges, rel=0.005)
    assert table["surface_um2"][0] * 4 == pytest.approx(exact, rel=0.04)
    assert not table["touches_border"][0]


@pytest.mark.parametrize("radius", [5.0, 8.0, 14.0])
def test_ball(radius):
    table, out = measure(ball(40, radius, (19.3, 20.1, 19.8)))
    assert table["volume_um3"][0] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)
    assert table["surface_um2"][0] == pytest.approx(4 * np.pi * radius**2, rel=0.015)
    assert table["equivalent_diameter_um"][0] == pytest.approx(2 * radius, rel=0.01)
    assert [table[f"centroid_{a}_um"][0] for a in "xyz"] == pytest.approx([19.8, 20.1, 19.3], abs=0.05)
    assert out["specific_surface"].value == pytest.approx(table["surface_um2"][0] / 40**3)
    assert (out["specific_surface"].unit, out["specific_surface"].scale_exponent) == ("1/um", -1)


@pytest.mark.parametrize("spacing", [(2, 1, 1), (3, 1, 1), (1, 1, 3), (3e6, 1e6, 1e6)])
def test_ball_in_anisotropic_voxels(spacing):
    unit, radius = min(spacing), 18 * min(spacing)
    shape = [int(2 * radius / edge) + 9 for edge in spacing]
    grid = [(g - n / 2 + 0.3) * edge for g, n, edge in zip(np.indices(shape), shape, spacing, strict=True)]
    table, _ = measure(sum(g**2 for g in grid) <= radius**2, spacing=spacing)
    assert table["volume_um3"][0] / unit**3 == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.01)
    assert table["surface_um2"][0] / unit**2 == pytest.approx(4 * np.pi * 18**2, rel=0.01)


@pytest.mark.parametrize("edge", [6, 10, 20])
def test_the_error_of_the_surface_covers_what_sharp_edges_lose(edge):
    found = measure(box((edge,) * 3))[1]["specific_surface"]
    exact = 6 * edge**2 / (edge + 12) ** 3
    assert found.value < exact
    assert found.interval.low < exact < found.interval.high
    assert found.interval.contains == ("voxel",)
    assert found.interval.high - found.value == pytest.approx(found.error["voxel"])


@pytest.mark.parametrize("direction", [(1, 0, 0), (1, 1, 0), (1, 2, 3)])
def test_inclined_plane(direction):
    """A half space cut by the image: only the plane counts, not the cuts."""
    normal = np.array(direction) / np.linalg.norm(direction)
    grid = np.indices((30, 30, 30)) - 14.5
    array = np.tensordot(normal, grid, 1) < 0.1
    area = measure(array)[0]["surface_um2"][0]
    # area of the section of a cube of 30 by a central plane, by counting points of a fine grid on the plane
    axes = np.linalg.svd(normal[None])[2][1:]
    u = (np.arange(1200) - 599.5) * 0.05
    points = u[:, None, None] * axes[0] + u[None, :, None] * axes[1]
    exact = np.count_nonzero(np.abs(points).max(axis=-1) <= 15) * 0.05**2
    assert area == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("diameter", [6.0, 9.0, 14.0])
@pytest.mark.parametrize("direction", [(1, 1, 0), (1, 2, 3), (3, -1, 5)])
def test_fibre_diameter(diameter, direction):
    _, out = measure(cylinder(44, diameter, direction, (0.3, 0.1, 0.2)), spacing=2.0)
    found = out["mean_diameter"]
    assert found.value == pytest.approx(2 * diameter, abs=1.0)
    assert found.error["voxel"] == 3.0
    assert (found.interval.low, found.interval.high) == (found.value - 3.0, found.value + 3.0)
    assert (found.interval.level, found.interval.contains) == (None, ("voxel",))
    assert found.facts["from_surface_um"] == pytest.approx(2 * diameter, rel=0.07)
    assert found.scale_exponent == 1
    assert found.facts["p10_um"] <= found.facts["median_um"] <= found.facts["p90_um"]


def test_fibres_along_an_axis_depend_on_their_place_in_the_grid():
    """Straight and aligned, every section has the same error: right on the average, 1.4 voxels short at worst."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(12):
        array = cylinder(24, 10.0, (1, 0, 0), (0, *rng.random(2)))[:4]
        found = measure(array)[1]["mean_diameter"]
        assert found.interval.low <= 10.0 <= found.interval.high
        errors.append(found.value - 10.0)
    assert abs(np.mean(errors)) < 0.7
    assert max(np.abs(errors)) < 1.45


def test_touching_fibres_keep_their_diameter():
    """4 volume / surface is fooled by contacts, local thickness is not."""
    grid = np.indices((48, 48))
    discs = [(grid[0] - y) ** 2 + (grid[1] - x) ** 2 <= 26.0 for y in (11, 21, 31) for x in (11, 21, 31)]
    alone, together = (np.repeat(np.any(chosen, axis=0)[None], 20, axis=0) for chosen in (discs[:1], discs))
    (_, single), (table, many) = measure(alone), measure(together)
    assert table["id"].tolist() == [1]
    assert many["mean_diameter"].value == pytest.approx(single["mean_diameter"].value, abs=0.15)
    assert many["mean_diameter"].value == pytest.approx(10.2, abs=1.0)
    assert many["mean_diameter"].facts["from_surface_um"] > 1.15 * single["mean_diameter"].facts["from_surface_um"]


def test_plane_gives_areas_and_perimeters():
    y, x = np.indices((60, 60), dtype=float)
    disc = (y - 29.4) ** 2 + (x - 30.2) ** 2 <= 20**2
    table, out = measure(disc, spacing=(1.0, 0.5, 0.5))
    assert table["area_um2"][0] == pytest.approx(np.pi * 100, rel=0.01)
    assert table["perimeter_um"][0] == pytest.approx(2 * np.pi * 10, rel=0.02)
    assert "volume_um3" not in table
    assert "surface_um2" not in table
    assert table["centroid_z_um"][0] == 0
    assert out["mean_diameter"].value == pytest.approx(20, abs=0.6)
    assert out["mean_diameter"].facts["from_surface_um"] == pytest.approx(20, rel=0.02)


def test_uncalibrated_thin_axis_of_a_plane_does_not_matter():
    disc = ball(31, 9)[15]
    with_z, without = (measure(disc, spacing=s)[0] for s in ((7.0, 1, 1), (None, 1, 1)))
    assert np.array_equal(with_z["area_um2"], without["area_um2"])
    assert np.array_equal(with_z["perimeter_um"], without["perimeter_um"])


@pytest.mark.parametrize(("connectivity", "objects"), [(6, 3), (18, 2), (26, 1)])
def test_connectivity(connectivity, objects):
    array = np.zeros((5, 6, 7), np.uint8)
    array[1, 1, 1] = array[1, 2, 2] = array[2, 3, 3] = 1
    assert len(measure(array, connectivity=connectivity)[0]["id"]) == objects


@pytest.mark.parametrize(("connectivity", "objects"), [(6, 2), (18, 1), (26, 1)])
def test_connectivity_in_a_plane(connectivity, objects):
    array = np.zeros((6, 7), np.uint8)
    array[1, 1] = array[2, 2] = 1
    assert len(measure(array, connectivity=connectivity)[0]["id"]) == objects


def test_small_objects_are_left_out_but_counted():
    array = box((4, 4, 4), margin=3)
    array[0, 0, 0] = 1
    table, out = measure(array, spacing=2.0, min_volume_um3=100)
    assert table["volume_um3"].tolist() == [512.0]
    assert out["specific_surface"].facts["objects_left_out"] == 1


def test_other_phase_and_intensity():
    array = box((4, 4, 4), margin=3) * 3
    image = np.arange(array.size, dtype=np.uint16).reshape(array.shape)
    table, _ = measure(array, image=image, phase=3)
    assert table["intensity_mean"] == pytest.approx([image[array == 3].mean()])


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("planes", [1, 2, 5])
@pytest.mark.parametrize("spacing", [(1, 2, 1), (3, 1, 1)])
def test_slabs_change_nothing(connectivity, planes, spacing):
    array = random_labels(connectivity, (17, 19, 23), 0.2)
    volume = Volume(image_value(array, kind="labels"))
    grey = Volume(image_value(np.random.default_rng(1).integers(0, 999, array.shape, np.uint16)))
    params = MeasureParams(connectivity=connectivity)
    budget = 24 * 19 * 23 * planes
    whole, parts = (find_objects(MemoryContext(), volume, grey, params, spacing, b) for b in (10**9, budget))
    assert whole.count.size == cc3d.connected_components(array, connectivity=connectivity).max()
    for name in ("count", "first", "coordinates", "box", "intensity"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    assert parts.surface == pytest.approx(whole.surface, rel=1e-12)


@pytest.mark.parametrize("shape", [(60, 12, 12), (33, 14, 9)])
def test_blocks_do_not_change_the_thickness(shape):
    array = random_labels(9, shape, 0.9) > 0
    array[20:30, 2:11, 1:8] = True

    def read(start, stop):
        return array[start:stop]

    whole = local_thickness(read, shape, (1.0, 1.0, 1.0))
    parts = local_thickness(read, shape, (1.0, 1.0, 1.0), block_bytes=1)
    assert np.array_equal(whole.diameters, parts.diameters)
    assert np.array_equal(whole.voxels, parts.voxels)
    assert whole.voxels.sum() == array.sum()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.5, 0.5), (1.5, 1.1, 0.7)])
def test_the_thickness_goes_with_the_spacing_whatever_its_rounding(spacing):
    array = random_labels(4, (24, 22, 20), 0.7) > 0
    array[4:18, 3:17, 5:16] = True

    def read(start, stop):
        return array[start:stop]

    once = local_thickness(read, array.shape, spacing)
    for factor in (1.05, 0.97, 1 / 3, 1e-3, 12345.678):
        scaled = local_thickness(read, array.shape, tuple(edge * factor for edge in spacing))
        assert np.array_equal(scaled.voxels, once.voxels), factor
        np.testing.assert_allclose(scaled.diameters, once.diameters * factor, rtol=1e-12)


def test_empty_full_and_mismatched_are_refused():
    zeros, ones = (image_value(np.full((3, 4, 5), v, np.uint8), kind="labels") for v in (0, 1))
    assert expect_failure(SPEC, {}, {"labels": zeros})[0] == "phase_absent"
    assert expect_failure(SPEC, {}, {"labels": ones})[0] == "no_background"
    other = image_value(np.zeros((3, 4, 6), np.uint8))
    assert expect_failure(SPEC, {}, {"labels": ones, "image": other})[0] == "shape_mismatch"
    assert expect_failure(SPEC, {"channel": 1}, {"labels": ones, "image": zeros})[0] == "no_such_index"
    free = image_value(np.ones((3, 4, 5), np.uint8), kind="labels", spacing_um=None)
    assert expect_failure(SPEC, {}, {"labels": free})[0] == "uncalibrated"
