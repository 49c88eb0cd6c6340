"""Where an image lies on a stage: the maths, and every reason for none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyses.sdk.propagation import UncertainMap, propagate
from analyses.sdk.spatial import apply
from apps.catalog.models import Instrument
from apps.spatial.stage_place import NotPlacedError, Plane, Reading, check_pose, place
from apps.spatial.targeting_stage import stage_of

KNOWN = {"x": 1, "y": -1, "z": 1}
PLANE = Plane(centre=(50.0, 30.0, 0.0), spacing=(0.5, 0.5), mirrored=False)
LEVEL = Reading(x=1000.0, y=2000.0, z=300.0, rotation=12.0, tilt=0.0, scan_rotation=0.0)


def stage(modality="sem", **facts):
    return stage_of(Instrument(name="Beam", modality=modality, stage_axes=KNOWN | facts))


def reading(**change):
    return Reading(**(LEVEL.__dict__ | change))


def test_the_middle_of_the_specimen_is_where_the_stage_reads():
    found = place(stage(), LEVEL, PLANE)
    assert apply(found.matrix, [PLANE.centre])[0] == pytest.approx([1000, -2000, 300]), "the reading along y falls"
    assert (found.kind, found.pose) == ("rigid", {"rotation": 12.0, "tilt": 0.0})
    assert found.assumed == []


def test_columns_go_along_x_rows_down_and_the_beam_against_z():
    linear = place(stage(), LEVEL, PLANE).matrix[:3, :3]
    assert np.allclose(linear, np.diag([1, -1, -1]))
    assert np.linalg.det(linear) == pytest.approx(1)


@pytest.mark.parametrize("sense", [1, -1])
def test_a_scan_rotation_turns_the_rows_in_its_recorded_sense(sense):
    found = place(stage(scan_rotation=sense), reading(scan_rotation=30.0), PLANE)
    turn = math.radians(30 * sense)
    assert found.matrix[:3, 0] == pytest.approx([math.cos(turn), math.sin(turn), 0])
    assert found.matrix[:3, 2] == pytest.approx([0, 0, -1])
    assert apply(found.matrix, [PLANE.centre])[0] == pytest.approx([1000, -2000, 300])


def test_a_camera_that_stands_askew_is_turned_by_what_is_recorded():
    found = place(stage("light", image_rotation_deg=90.0), reading(rotation=None, tilt=None), PLANE)
    assert found.matrix[:3, 0] == pytest.approx([0, 1, 0])
    assert len(found.assumed) == 2, "a light microscope neither turns nor tilts its stage"


def test_an_image_shift_moves_the_place_where_its_sense_is_recorded_and_is_error_where_not():
    known = place(stage(image_shift_x=-1, image_shift_y=1), reading(image_shift=(3.0, 4.0)), PLANE)
    assert apply(known.matrix, [PLANE.centre])[0] == pytest.approx([997, -1996, 300])
    unknown = place(stage(position_u_um=10.0), reading(image_shift=(3.0, 4.0)), PLANE)
    assert apply(unknown.matrix, [PLANE.centre])[0] == pytest.approx([1000, -2000, 300])
    assert unknown.errors["u_x_um"] == pytest.approx(math.sqrt(125))
    assert "image shift" in unknown.assumed[0]


def test_a_tilted_surface_is_met_by_the_beam():
    """A point one micrometre up in the image is 1 / cos t up along the surface; the beam goes down into it."""
    found = place(stage(tilt_axis="x", tilt=1), reading(tilt=60.0), PLANE)
    assert found.kind == "affine"
    assert found.matrix[:3, 1] == pytest.approx([0, -2, 0])
    assert found.matrix[:3, 2] == pytest.approx([0, -math.sin(math.pi / 3), -0.5])
    about_y = place(stage(tilt_axis="y", tilt=-1), reading(tilt=60.0), PLANE)
    assert about_y.matrix[:3, 0] == pytest.approx([2, 0, 0])
    assert about_y.matrix[:3, 2] == pytest.approx([math.sin(math.pi / 3), 0, -0.5])


def test_a_corrected_tilt_leaves_the_image_in_the_surface():
    found = place(stage(), reading(tilt=52.0, tilt_correction=-52.0), PLANE)
    assert np.allclose(found.matrix[:3, :3], np.diag([1, -1, -1]))
    assert "corrected" in found.assumed[0]


def test_the_map_of_a_fibics_file_is_taken_as_it_is():
    steps = (0.3, 0.4, 0.4, -0.3)  # readings: the rows run to x, y = 3, 4, the columns to 4, -3
    found = place(stage(), reading(affine=steps, scan_rotation=53.13), PLANE)
    assert found.matrix[:3, 0] == pytest.approx([0.6, -0.8, 0])
    assert found.matrix[:3, 1] == pytest.approx([0.8, 0.6, 0])
    assert found.kind == "reflection", "with these senses rows and columns run as in a mirror"
    upright = place(stage(), reading(affine=(0.3, 0.4, -0.4, 0.3)), PLANE)
    assert upright.kind == "rigid"
    sheared = place(stage(), reading(affine=(0.5, 0.0, 0.1, 0.5)), PLANE)
    assert sheared.kind == "affine"


def test_the_error_is_that_of_draws_of_the_reading_and_the_turns():
    found = place(stage(position_u_um=4.0, position_u_z_um=9.0, image_rotation_u_deg=2.0, tilt_u_deg=0.5), LEVEL, PLANE)
    corner = [400.0, 200.0, 0.0]
    mapped = propagate([corner], [UncertainMap(found.matrix, found.covariance, "stage")])
    draws = np.random.default_rng(5).normal(size=(200_000, 6)) * [4, 4, 9, *np.radians([0.5, 0.5, 2.0])]
    offset = found.matrix[:3, :3] @ (np.array(corner) - PLANE.centre)
    moved = draws[:, :3] + np.cross(draws[:, 3:], offset)
    assert np.allclose(np.cov(moved.T), mapped.covariances[0], rtol=0.03, atol=1.0)


def test_defaults_are_a_stage_reading_of_25_um_and_ten_degrees_of_an_unstated_scan():
    errors = place(stage(), reading(scan_rotation=None), PLANE).errors
    assert errors["u_x_um"] == 25
    assert errors["u_turn_deg"] == pytest.approx(math.hypot(1, 10))
    camera = Plane(centre=(0, 0, 0), spacing=(1, 1), mirrored=False, scanned=False)
    assert place(stage(), reading(scan_rotation=None), camera).errors["u_turn_deg"] == 1


def test_a_height_that_nobody_stated_is_anywhere_in_reach():
    found = place(stage(z_min_um=0.0, z_max_um=40_000.0), reading(z=None), PLANE)
    assert found.matrix[2, 3] == pytest.approx(20_000)
    assert found.errors["u_z_um"] == pytest.approx(40_000 / math.sqrt(12))
    assert place(stage(), reading(z=None), PLANE).errors["u_z_um"] == 1000


def test_an_undeclared_handedness_is_said():
    plane = Plane(centre=(0, 0, 0), spacing=(1, 1))
    assert "handedness" in place(stage(), LEVEL, plane).assumed[0]


@pytest.mark.parametrize(
    ("change", "facts", "code", "helps"),
    [
        ({"x": None}, {}, "no_position", "x and y"),
        ({"rotation": None}, {}, "rotation_unknown", "rotation_min_deg"),
        ({"tilt": None}, {}, "tilt_unknown", "tilt_min_deg"),
        ({"scan_rotation": 15.0}, {}, "scan_rotation", "stage_axes.scan_rotation"),
        ({"scan_rotation": 15.0}, {"scan_rotation": True}, "scan_rotation", "stage_axes.scan_rotation"),
        ({"tilt": 52.0}, {}, "tilted", "stage_axes.tilt_axis"),
        ({"tilt": 52.0}, {"tilt": 1}, "tilted", "stage_axes.tilt_axis"),
        ({"tilt": 52.0, "tilt_correction": math.nan}, {"tilt": 1, "tilt_axis": "x"}, "tilted", "not stated"),
        ({"tilt": 52.0, "tilt_correction": 38.0}, {"tilt": 1, "tilt_axis": "x"}, "tilted", "38 degrees"),
        ({"tilt": 85.0}, {"tilt": 1, "tilt_axis": "x"}, "tilted", "edge"),
        ({"affine": (0.5, 0.0, 1.0, 0.0)}, {}, "affine", "span"),
    ],
)
def test_what_is_not_known_gives_no_map_and_a_reason_that_helps(change, facts, code, helps):
    with pytest.raises(NotPlacedError) as refused:
        place(stage(**facts), reading(**change), PLANE)
    assert refused.value.code == code
    assert helps in refused.value.message


def test_a_stage_that_cannot_turn_needs_no_rotation():
    found = place(stage(rotation_min_deg=0, rotation_max_deg=0), reading(rotation=None), PLANE)
    assert found.pose["rotation"] == 0


def test_a_mirrored_image_is_left_to_landmarks():
    with pytest.raises(NotPlacedError, match="landmarks"):
        place(stage(), LEVEL, Plane(centre=(0, 0, 0), spacing=(1, 1), mirrored=True))


def test_a_stage_frame_holds_at_one_pose():
    check_pose({"rotation": 359.97, "tilt": 0.0}, {"rotation": 0.02, "tilt": 0.05})
    check_pose({"rotation": 10.0, "tilt": 0.0}, {"rotation": None, "tilt": 0.0})
    with pytest.raises(NotPlacedError, match="rotation of 10 degrees") as refused:
        check_pose({"rotation": 10.0, "tilt": 0.0}, {"rotation": 0.0, "tilt": 0.0})
    assert refused.value.code == "other_pose"
