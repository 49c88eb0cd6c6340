"""The bulk plugins as a runner sees them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from analyses.bulk import bounds, conductivity, rve
from analyses.bulk.coarse import coarsen
from analyses.sdk.contract import Cancelled
from analyses.sdk.testing import MemoryContext, expect_failure, image_value, run_plugin
from tests.analyses.phantoms import ball, checkerboard, disc_cell, random_labels

PHASES = {"phases": {"0": {"k": 0.2, "u": 0.02, "source": "datasheet"}, "1": {"k": 10.0}}}


def labels_of(array, **kwargs):
    return {"labels": image_value(np.asarray(array, np.uint8), kind="labels", **kwargs)}


def laminate():
    array = np.zeros((4, 6, 8), np.uint8)
    array[..., 4:] = 1
    return array


def numbers(nested):
    return np.array(nested, float)


class TestBounds:
    def test_values_interval_and_unsourced(self):
        out = run_plugin(bounds.SPEC, PHASES, labels_of(laminate()))
        assert out["wiener"].value == pytest.approx([2 / (1 / 0.2 + 1 / 10), 5.1])
        assert out["wiener"].unit == "W/(m.K)"
        interval = out["wiener"].interval
        assert interval.contains == ("constituents",)
        assert interval.high[1] - 5.1 == pytest.approx(1.96 * 0.5 * 0.02, rel=1e-3)
        assert out["wiener"].facts["unsourced"] == ["1"]
        assert out["hashin_shtrikman"].facts["valid_for"] == "isotropic mixtures only"
        assert out["hashin_shtrikman"].facts["dimension"] == 3

    def test_a_plane_is_two_dimensional(self):
        out = run_plugin(bounds.SPEC, PHASES, labels_of(checkerboard(8)))
        assert out["hashin_shtrikman"].facts["dimension"] == 2
        low, high = out["hashin_shtrikman"].value
        assert low < np.sqrt(2.0) < high

    def test_a_profile_is_one_dimensional(self):
        out = run_plugin(bounds.SPEC, PHASES, labels_of(np.array([[[0, 1, 1, 0]]])))
        assert out["hashin_shtrikman"].facts["dimension"] == 1
        assert out["hashin_shtrikman"].value == pytest.approx([2 / (1 / 0.2 + 1 / 10)] * 2)

    def test_no_interval_without_uncertainties(self):
        out = run_plugin(bounds.SPEC, {"phases": {"0": {"k": 1}, "1": {"k": 2}}}, labels_of(laminate()))
        assert out["wiener"].interval is None
        assert out["wiener"].facts["unsourced"] == ["0", "1"]

    @pytest.mark.parametrize("spec", [bounds.SPEC, conductivity.SPEC, rve.SPEC])
    def test_label_without_phase_is_refused(self, spec):
        array = random_labels(0, (16, 16, 16))
        array[0, 0, 0] = 5
        name, facts = expect_failure(spec, PHASES, labels_of(array))
        assert name == "phase_missing"
        assert facts["labels"] == [5]

    def test_unresolved_material_is_refused(self):
        params = {"phases": {"0": {"k": 1}, "1": {"material": "m"}}}
        name, facts = expect_failure(bounds.SPEC, params, labels_of(laminate()))
        assert name == "material_unresolved"
        assert facts["quantity"] == "thermal_conductivity"

    def test_phase_that_is_not_there_is_noted(self):
        params = {"phases": {**PHASES["phases"], "7": {"k": 3}}, "unit": "S/m"}
        out = run_plugin(bounds.SPEC, params, labels_of(laminate()))
        assert out["wiener"].facts["not_in_labels"] == ["7"]
        assert bounds.SPEC.material_quantity(bounds.BoundsParams(**params)) == "electrical_conductivity"

    @pytest.mark.parametrize(
        "phases",
        [{}, {"a": {"k": 1}}, {"-1": {"k": 1}}, {"01": {"k": 1}}, {"1": {}}, {"1": {"k": -1}}, {"1": {"q": 1}}],
    )
    def test_bad_phases_are_refused(self, phases):
        with pytest.raises(ValidationError):
            bounds.BoundsParams(phases=phases)


class TestConductivity:
    def test_rows_and_columns_are_x_y_z(self):
        out = run_plugin(conductivity.SPEC, PHASES, labels_of(laminate()))
        value = numbers(out["tensor"].value)
        assert np.diag(value) == pytest.approx([2 / 5.1, 5.1, 5.1], rel=1e-6)
        assert value[~np.eye(3, dtype=bool)] == pytest.approx(0.0, abs=1e-6)
        json.dumps([out["tensor"].value, dict(out["tensor"].facts), dict(out["tensor"].error)], allow_nan=False)

    def test_errors_and_interval(self):
        params = {**PHASES, "error_parts": ["voxel", "boundary"]}
        out = run_plugin(conductivity.SPEC, params, labels_of(ball(16, 3)))["tensor"]
        assert set(out.error) == {"solver", "voxel", "boundary", "constituents"}
        assert out.interval.contains == ("solver", "voxel", "boundary", "constituents")
        assert set(out.facts["not_contained"]) == {"segmentation", "rve", "scale"}
        assert out.facts["phases_without_u"] == [1]
        half = (numbers(out.interval.high) - numbers(out.interval.low))[0, 0] / 2
        parts = {name: numbers(part)[0, 0] for name, part in out.error.items()}
        expected = parts["solver"] + parts["voxel"] + parts["boundary"] + 1.959964 * parts["constituents"]
        assert half == pytest.approx(expected)
        assert 0 < parts["constituents"] < 0.1 * out.value[0][0]

    def test_error_of_resolution_looks_at_two_coarser_volumes(self):
        params = {**PHASES, "tolerance": 1e-6}
        array = ball(16, 6).astype(np.uint8)
        grids = [array, coarsen(array), coarsen(coarsen(array))]
        first, second, third = (
            run_plugin(conductivity.SPEC, {**params, "error_parts": []}, labels_of(grid))["tensor"].value[0][0]
            for grid in grids
        )
        found = run_plugin(conductivity.SPEC, params, labels_of(array))["tensor"].error["voxel"][0][0]
        assert found == pytest.approx(max(abs(first - second), abs(second - third) / 2), rel=1e-3)
        small = run_plugin(conductivity.SPEC, params, labels_of(ball(6, 2)))["tensor"]
        assert small.error["voxel"][0][0] > 0

    def test_what_moves_with_the_ratio_of_spacings_says_so(self):
        out = run_plugin(conductivity.SPEC, PHASES, labels_of(laminate(), spacing_um=(6.0, 3.0, 3.0)))
        assert out["tensor"].facts["relative_spacing"] == {"z": 2.0, "y": 1.0, "x": 1.0}
        assert {c.name for c in out["history"].columns if c.depends_on_anisotropy} == {"value"}

    def test_mirrored_has_no_off_diagonals(self):
        value = run_plugin(conductivity.SPEC, {**PHASES, "boundary": "mirrored"}, labels_of(ball(8, 3)))["tensor"].value
        assert [value[i][j] is None for i in range(3) for j in range(3)] == [i != j for i in range(3) for j in range(3)]

    def test_only_directions_asked_for(self):
        out = run_plugin(conductivity.SPEC, {**PHASES, "directions": ["z"]}, labels_of(laminate()))
        assert out["tensor"].value == [[None] * 3, [None] * 3, [None, None, pytest.approx(5.1)]]
        assert set(out["history"].columns[0].values) == {"z"}

    def test_a_plane_is_a_problem_in_two_dimensions(self):
        params = {"phases": {"0": {"k": 1}, "1": {"k": 10}}}
        out = run_plugin(conductivity.SPEC, params, labels_of(checkerboard(64), spacing_um=[None, 1, 1]))["tensor"]
        assert numbers(out.value)[:2, :2] == pytest.approx(np.sqrt(10) * np.eye(2), rel=2e-3, abs=1e-4)
        assert out.value[2] == [None] * 3
        name, _ = expect_failure(conductivity.SPEC, {**params, "directions": ["z"]}, labels_of(checkerboard(8)))
        assert name == "no_direction"

    def test_history_ends_at_the_property(self):
        out = run_plugin(conductivity.SPEC, PHASES, labels_of(ball(16, 6)))
        columns = {column.name: list(column.values) for column in out["history"].columns}
        last = [v for d, v in zip(columns["direction"], columns["value"], strict=True) if d == "x"][-1]
        assert last == pytest.approx(out["tensor"].value[0][0], rel=1e-5)

    def test_one_phase_alone(self):
        out = run_plugin(conductivity.SPEC, PHASES, labels_of(np.ones((4, 4, 4))))
        assert numbers(out["tensor"].value) == pytest.approx(10 * np.eye(3))

    def test_only_insulators_are_refused(self):
        name, _ = expect_failure(conductivity.SPEC, {"phases": {"0": {"k": 0}, "1": {"k": 0}}}, labels_of(laminate()))
        assert name == "insulating_phase"

    def test_a_pore_is_admitted_and_named(self):
        params = {"phases": {"0": {"k": 1}, "1": {"k": 0}}}
        out = run_plugin(conductivity.SPEC, params, labels_of(disc_cell(128, 0.2)))["tensor"]
        assert out.value[0][0] == pytest.approx(0.66653, rel=5e-3)  # Perrins et al. with s = 0
        assert out.facts["insulating"] == ["1"]

    def test_unknown_ratio_of_spacings_is_refused(self):
        inputs = labels_of(laminate(), spacing_um=[1.0, None, 1.0])
        assert expect_failure(conductivity.SPEC, PHASES, inputs)[0] == "spacing_incomplete"

    def test_uncalibrated_equals_calibrated(self):
        array = ball(8, 3)
        free, scaled = (
            run_plugin(conductivity.SPEC, PHASES, labels_of(array, spacing_um=s))["tensor"] for s in (None, 0.7)
        )
        assert numbers(free.value) == pytest.approx(numbers(scaled.value), rel=1e-6)
        assert free.scale_exponent == 0

    def test_result_outside_the_bounds_is_not_given_out(self):
        params = conductivity.ConductivityParams(**PHASES)
        phases = conductivity.resolve(params, labels_of(laminate())["labels"])
        with pytest.raises(conductivity.PluginError) as caught:
            conductivity.check_bounds(np.diag([5.2, 1.0, 1.0]), phases)
        assert caught.value.name == "outside_bounds"

    def test_cancel_stops_it(self):
        context = MemoryContext(cancelled=True)
        with pytest.raises(Cancelled):
            conductivity.run(context, conductivity.ConductivityParams(**PHASES), labels_of(ball(16, 6)))


def test_coarsening_keeps_the_majority():
    array = np.zeros((4, 4, 5), np.uint8)
    array[:2, :2, :2] = 1
    array[0, 0, 0] = 0
    array[2:, 2:, 2] = 1
    coarse = coarsen(array)
    assert coarse.shape == (2, 2, 2)
    assert coarse[0, 0, 0] == 1
    assert coarse.sum() == 1 + int(coarse[1, 1, 1])


def test_coarsening_favours_no_phase():
    array = random_labels(3, (64, 64, 64), 0.5)
    assert coarsen(array).mean() == pytest.approx(0.5, abs=0.01)
    assert coarsen(1 - array).mean() == pytest.approx(1 - coarsen(array).mean(), abs=0.01)


class TestRve:
    def test_fine_random_checker_is_an_rve(self):
        out = run_plugin(rve.SPEC, PHASES, labels_of(random_labels(3, (60, 60, 60))))
        assert out["rve"].facts["verdict"] == "RVE"
        assert "within 5.0%" in out["rve"].facts["reason"]
        assert out["rve"].interval.contains == ("rve",)
        whole = run_plugin(conductivity.SPEC, PHASES, labels_of(random_labels(3, (60, 60, 60))))["tensor"].value
        assert out["rve"].value[0] == pytest.approx(whole[0][0], rel=0.03)

    def test_one_big_ball_is_not(self):
        out = run_plugin(rve.SPEC, PHASES, labels_of(ball(48, 20, (10, 10, 10))))
        assert out["rve"].facts["verdict"] == "not an RVE"

    @pytest.mark.parametrize("radius", [0.2, 0.3, 0.35])
    def test_one_centred_ball_is_not_though_its_octants_are_equal(self, radius):
        array = ball(40, radius * 40)
        facts = run_plugin(rve.SPEC, {"phases": {"0": {"k": 1}, "1": {"k": 50}}}, labels_of(array))["rve"].facts
        assert facts["verdict"] == "not an RVE"
        decisive = max(facts["judgements"], key=lambda item: item["relative_error"])
        assert decisive["size"] < facts["largest_tile"] == 20
        assert f"tiles of edge {decisive['size']};" in facts["reason"]

    def test_tables_say_what_moves_with_the_ratio_of_spacings(self):
        out = run_plugin(rve.SPEC, PHASES, labels_of(random_labels(3, (20, 20, 20))))
        moved = {port: {c.name for c in out[port].columns if c.depends_on_anisotropy} for port in ("table", "sizes")}
        assert moved["table"] == {"k_x", "k_y", "k_z"}
        assert moved["sizes"] == {"mean", "spread", "relative_spread", "relative_range", "mean_low", "mean_high"}

    def test_a_gradient_of_fractions_is_not(self):
        grade = np.linspace(0.1, 0.7, 48)[:, None, None]
        array = np.random.default_rng(0).random((48, 48, 48)) < grade
        assert run_plugin(rve.SPEC, PHASES, labels_of(array))["rve"].facts["verdict"] == "not an RVE"

    def test_real_fibre_volume_is_not_an_rve(self, shared_data):
        path = shared_data / "microscopy" / "xct" / "fibers_150x150x150.tif"
        if not path.exists():
            pytest.skip(f"{path} does not exist")
        volume = tifffile.imread(path) > 131
        params = {**PHASES, "tile_sizes": [30, 50], "count": 8, "solver_tolerance": 1e-2}
        out = run_plugin(rve.SPEC, params, labels_of(volume))
        assert out["rve"].facts["verdict"] == "not an RVE"
        sizes = {column.name: np.array(column.values) for column in out["sizes"].columns}
        ranges = sizes["relative_range"][(sizes["size"] == 50) & np.char.startswith(sizes["quantity"], "k_")]
        assert ranges.max() > 0.5

    def test_tiles_do_not_overlap_and_follow_the_seed(self):
        array = random_labels(1, (40, 40, 40))
        params = {**PHASES, "tile_sizes": [8, 16], "count": 5}
        tables = [run_plugin(rve.SPEC, params, labels_of(array), seed=seed)["table"] for seed in (1, 1, 2)]
        starts = [
            list(zip(*(c.values for c in table.columns if c.name == "size" or c.name.startswith("start")), strict=True))
            for table in tables
        ]
        assert starts[0] == starts[1] != starts[2]
        assert len(set(starts[0])) == 10
        assert all(value % 8 == 0 for size, *corner in starts[0] if size == 8 for value in corner)

    def test_too_small_is_refused(self):
        assert expect_failure(rve.SPEC, PHASES, labels_of(np.ones((8, 8, 8))))[0] == "too_small"

    @pytest.mark.parametrize("sizes", [[0.5], [0.2, -1], [0.2, 10.5]])
    def test_bad_sizes_are_refused(self, sizes):
        with pytest.raises(ValidationError):
            rve.RveParams(**PHASES, tile_sizes=sizes)
