"""What a conductivity is stated with: every part of its error, or the reason why the part is not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from analyses.bulk import bounds, conductivity, sensitivities
from analyses.sdk.testing import MemoryContext, expect_failure, image_value, run_plugin
from analyses.segmentation import threshold

PHASES = {"phases": {"0": {"k": 1.0, "u": 0.05}, "1": {"k": 20.0, "u": 1.0}}}
PARTS = {"solver", "voxel", "boundary", "segmentation", "rve", "constituents"}


def blobs(edge=24, seed=0):
    """Smooth noise, 8 bit: neighbouring thresholds give neighbouring shapes."""
    field = np.fft.rfftn(np.random.default_rng(seed).standard_normal((edge,) * 3))
    frequency = np.sqrt(
        sum(np.square(axis) for axis in np.meshgrid(*(np.fft.fftfreq(edge),) * 2, np.fft.rfftfreq(edge), indexing="ij"))
    )
    smooth = np.fft.irfftn(field * np.exp(-((frequency / 0.12) ** 2)), (edge,) * 3, axes=(0, 1, 2))
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def cut(grey, level, **kwargs):
    """Labels and the image they were cut from, without a record of the threshold."""
    labels = image_value((grey > level).astype(np.uint8), kind="labels", identifier="labels", **kwargs)
    return {"labels": labels, "image": image_value(grey, identifier="image", **kwargs)}


def tensor_of(inputs, **params):
    return run_plugin(conductivity.SPEC, {**PHASES, **params}, inputs)["tensor"]


def diagonal(nested):
    return np.diag(np.array(nested, float))


class TestEverySensitivity:
    def test_with_image_and_uncertain_phases_the_interval_contains_every_part(self):
        out = tensor_of(cut(blobs(), 140))
        assert set(out.interval.contains) == set(out.error) == PARTS
        assert set(out.facts["not_contained"]) == {"scale"}
        assert out.facts["phases_without_u"] == []
        assert all(np.all(diagonal(part) > 0) for part in out.error.values())

    def test_what_is_left_out_is_named_with_its_reason(self):
        inputs = cut(blobs(12), 140)
        out = tensor_of(
            {"labels": inputs["labels"]}, phases={"0": {"k": 1}, "1": {"k": 20}}, error_parts=["segmentation", "rve"]
        )
        reasons = out.facts["not_contained"]
        assert set(reasons) == {"voxel", "boundary", "segmentation", "constituents", "scale"}
        assert "port `image`" in reasons["segmentation"]
        assert "not asked for" in reasons["boundary"]
        assert "uncertainty" in reasons["constituents"]

    def test_a_volume_too_small_for_tiles_says_so(self):
        out = tensor_of(cut(blobs(6), 140))
        assert "too few" in out.facts["not_contained"]["rve"]
        assert "rve" not in out.interval.contains

    def test_the_interval_ends_where_no_mixture_can_lie(self):
        out = tensor_of(cut(blobs(), 140), phases={"0": {"k": 5.0}, "1": {"k": 6.0}})
        low, high = diagonal(out.interval.low), diagonal(out.interval.high)
        assert np.all(low >= 5.0)
        assert np.all(high <= 6.0)
        assert np.all(low <= diagonal(out.value))
        assert np.all(diagonal(out.value) <= high)

    def test_a_part_that_does_not_converge_costs_the_part_alone(self, monkeypatch):
        def refuse(self, told):
            raise conductivity.PluginError("not_converged", direction="x", iterations=3000, change=0.1)

        monkeypatch.setitem(sensitivities._ESTIMATES, "boundary", refuse)
        out = tensor_of(cut(blobs(12), 140))
        assert "did not converge" in out.facts["not_contained"]["boundary"]
        assert "voxel" in out.interval.contains


class TestConstituents:
    def test_the_derivative_by_a_phase_is_that_of_finite_differences(self):
        """dK/dk from the local fields against two more solutions."""
        inputs, none = cut(blobs(), 140), {"error_parts": [], "tolerance": 1e-6}
        found = tensor_of(inputs, **none)
        for label, k in (("0", 1.0), ("1", 20.0)):
            up, down = (
                tensor_of(inputs, **none, phases={**PHASES["phases"], label: {"k": k * factor}})
                for factor in (1.02, 0.98)
            )
            slope = (np.array(up.value, float) - np.array(down.value, float)) / (0.04 * k)
            assert np.array(found.facts["sensitivity"][label], float) == pytest.approx(slope, rel=2e-3, abs=2e-4)

    def test_values_times_derivatives_give_the_tensor(self):
        """Euler: the tensor is homogeneous of degree one in the values of the phases."""
        out = tensor_of(cut(blobs(), 140), error_parts=[])
        total = sum(np.array(out.facts["sensitivity"][label], float) * k for label, k in (("0", 1.0), ("1", 20.0)))
        assert total == pytest.approx(np.array(out.value, float), rel=1e-6)


class TestSegmentation:
    def test_it_is_what_the_neighbouring_thresholds_give(self):
        grey = blobs()
        out = tensor_of(cut(grey, 140), error_parts=["segmentation"])
        told = out.facts["segmentation"]
        assert told["thresholds"] == [140.5]
        assert told["threshold_shift"] == 1.0
        lower, higher = (tensor_of(cut(grey, level), error_parts=[]).value for level in (139, 141))
        assert diagonal(told["lower"]) == pytest.approx(diagonal(lower))
        assert diagonal(told["higher"]) == pytest.approx(diagonal(higher))
        expected = np.maximum(abs(diagonal(lower) - diagonal(out.value)), abs(diagonal(higher) - diagonal(out.value)))
        assert diagonal(out.error["segmentation"]) == pytest.approx(expected)

    def test_the_record_of_the_labels_is_followed(self):
        grey = blobs()
        context = MemoryContext()
        found = threshold.run(context, threshold.ThresholdParams(method="otsu"), {"image": image_value(grey)})["labels"]
        labels = replace(image_value(np.array(found.array), kind="labels"), facts=found.facts)
        out = tensor_of({"labels": labels, "image": image_value(grey)}, error_parts=["segmentation"])
        told = out.facts["segmentation"]
        assert told["thresholds"] == found.facts["thresholds"]
        assert told["threshold_shift"] == found.facts["threshold_shift"]
        assert "record" in told["thresholds_from"]

    def test_the_record_names_the_channel(self):
        grey = blobs(12)
        two = image_value(np.stack([255 - grey, grey]), axes=("c", "z", "y", "x"))
        labels = image_value((grey > 140).astype(np.uint8), kind="labels")
        recorded = replace(labels, facts={"thresholds": [140.0], "threshold_shift": 1.0, "channel": 1})
        assert "segmentation" in tensor_of({"labels": recorded, "image": two}).error
        assert "2 channels" in tensor_of({"labels": labels, "image": two}).facts["not_contained"]["segmentation"]
        wrong = replace(labels, facts={"thresholds": [140.0], "channel": 2})
        assert "channel 2" in tensor_of({"labels": wrong, "image": two}).facts["not_contained"]["segmentation"]

    def test_another_image_than_the_one_cut_is_noticed(self):
        grey = blobs(12)
        inputs = cut(grey, 140)
        other = image_value(blobs(12, seed=1))
        assert "overlap" in tensor_of({**inputs, "image": other}).facts["not_contained"]["segmentation"]
        recorded = replace(inputs["labels"], facts={"thresholds": [140.0], "threshold_shift": 1.0})
        reason = tensor_of({"labels": recorded, "image": other}).facts["not_contained"]["segmentation"]
        assert "another image" in reason

    def test_labels_that_do_not_ascend_with_grey_value_are_followed(self):
        grey = blobs(16)
        swapped = {"labels": image_value((grey <= 140).astype(np.uint8), kind="labels"), "image": image_value(grey)}
        phases = {"0": {"k": 20.0}, "1": {"k": 1.0}}
        out = tensor_of(swapped, phases=phases, error_parts=["segmentation"])
        straight = tensor_of(cut(grey, 140), error_parts=["segmentation"])
        assert diagonal(out.error["segmentation"]) == pytest.approx(diagonal(straight.error["segmentation"]), rel=1e-6)

    def test_an_image_on_another_grid_is_refused(self):
        inputs = {**cut(blobs(12), 140), "image": image_value(blobs(10))}
        for spec in (conductivity.SPEC, bounds.SPEC):
            name, facts = expect_failure(spec, PHASES, inputs)
            assert name == "image_differs"
            assert facts == {"image": [10, 10, 10], "labels": [12, 12, 12]}


class TestVoxel:
    def test_the_extrapolated_value_is_nearer_to_a_finer_solution(self):
        """A laminate of tilted layers would be exact; a ball is not, and finer balls are at hand."""

        def ball(edge):
            axis = (np.arange(edge) + 0.5) / edge - 0.5
            z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
            return {"labels": image_value((x * x + y * y + z * z < 0.35**2).astype(np.uint8), kind="labels")}

        found = tensor_of(ball(32), error_parts=["voxel"], tolerance=1e-6)
        finer = tensor_of(ball(96), error_parts=[], tolerance=1e-5)
        exact = diagonal(finer.value)
        assert np.all(abs(diagonal(found.facts["extrapolated"]) - exact) < abs(diagonal(found.value) - exact))
        assert np.all(abs(diagonal(found.value) - exact) < 3 * diagonal(found.error["voxel"]))


class TestBounds:
    def test_thresholds_move_the_fractions_and_so_the_bounds(self):
        grey = blobs()
        out = run_plugin(bounds.SPEC, PHASES, cut(grey, 140))
        value = out["wiener"]
        assert value.interval.contains == ("constituents", "segmentation")
        assert value.interval.level is None
        shares = [np.mean(grey > level) for level in (139, 141)]
        highs = [20 * share + (1 - share) for share in shares]
        assert value.error["segmentation"][1] == pytest.approx(max(abs(high - value.value[1]) for high in highs))
        assert value.facts["segmentation"]["fractions"]["lower"][1] == pytest.approx(shares[0])
        assert set(value.facts["not_contained"]) == {"rve", "voxel", "boundary", "solver", "scale"}

    def test_without_the_image_the_omission_is_listed(self):
        out = run_plugin(bounds.SPEC, PHASES, {"labels": cut(blobs(8), 140)["labels"]})["hashin_shtrikman"]
        assert out.interval.level == 0.95
        assert "port `image`" in out.facts["not_contained"]["segmentation"]


class TestRealVolume:
    def test_on_half_the_grid_the_parts_are_those_of_the_whole_grid(self, shared_data, monkeypatch):
        """Boundary and segmentation, compared at half the resolution, to a third of those at full resolution."""
        path = shared_data / "microscopy" / "xct" / "100_fiberform.tif"
        if not path.exists():
            pytest.skip(f"{path} does not exist")
        inputs = cut(tifffile.imread(path), 90)
        params = {"phases": {"0": {"k": 1}, "1": {"k": 60}}, "directions": ["y"], "tolerance": 1e-3}
        params["error_parts"] = ["boundary", "segmentation"]
        coarse = run_plugin(conductivity.SPEC, params, inputs)["tensor"]
        monkeypatch.setattr(sensitivities, "COARSE_ABOVE", 1 << 30)
        full = run_plugin(conductivity.SPEC, params, inputs)["tensor"]
        assert coarse.facts["compared_on"] == {"z": 50, "y": 50, "x": 50}
        assert full.facts["compared_on"] == {"z": 100, "y": 100, "x": 100}
        for part in params["error_parts"]:
            assert coarse.error[part][1][1] == pytest.approx(full.error[part][1][1], rel=1 / 3)
