"""Places and transforms in the files of other programs."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from analyses.sdk.spatial import apply, invert
from apps.spatial.exchange.bigwarp import read_bigwarp
from apps.spatial.exchange.errors import ExchangeError
from apps.spatial.exchange.itk import read_itk, write_itk
from apps.spatial.exchange.napari import napari_layer
from apps.spatial.exchange.navigator import read_nav, write_nav
from apps.spatial.exchange.positions import (
    StagePosition,
    StageUnits,
    read_csv,
    read_fibsemos,
    write_csv,
    write_fibsemos,
)

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: 0.0 if abs(value) < 1e-9 else value)
ANGLES = st.none() | st.floats(-360, 360, allow_nan=False).map(lambda value: 0.0 if abs(value) < 1e-9 else value)
POSITIONS = st.builds(
    StagePosition,
    st.text("ab1 =-+'\"äµ,\n", max_size=9),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    ANGLES,
    ANGLES,
    st.none() | NUMBERS,
)


def close(a, b):
    return (a is None and b is None) or a == pytest.approx(b, rel=1e-12, abs=1e-12)


def same(a, b, names):
    return all(close(getattr(a, name), getattr(b, name)) for name in names)


# ------------------------------------------------------------------------------------------------------------ positions


@given(st.lists(POSITIONS, max_size=4), st.sampled_from(["m", "mm", "um"]), st.sampled_from(["deg", "rad"]))
@settings(deadline=None)
def test_csv_in_any_units_reads_back(positions, length, angle):
    back = read_csv(write_csv(positions, StageUnits(length, angle)))
    assert [one.name for one in back] == [one.name for one in positions]
    for one, other in zip(positions, back, strict=True):
        assert same(one, other, ("x", "y", "z", "rotation", "tilt", "working_distance"))


def test_csv_is_in_the_units_of_its_columns():
    text = write_csv([StagePosition("a", 1500.0, -20.0, 3.0, 90.0, None, 5000.0)], StageUnits("m", "rad"))
    header, line = text.split("\r\n")[:2]
    assert header == "name,x_m,y_m,z_m,rotation_rad,tilt_rad,working_distance_mm"
    fields = line.split(",")
    assert [float(field) for field in fields[1:5]] == pytest.approx([1.5e-3, -2e-5, 3e-6, math.pi / 2])
    assert fields[5:] == ["", "5.0"]


def test_csv_keeps_a_name_from_being_a_formula():
    text = write_csv([StagePosition("=1+1", 0.0, 0.0, 0.0)], StageUnits("um", "deg"))
    assert "\r\n'=1+1," in text
    assert read_csv(text)[0].name == "=1+1"


@given(st.lists(POSITIONS, min_size=1, max_size=3))
@settings(deadline=None)
def test_fibsemos_reads_back_as_json_and_as_yaml(positions):
    """fibsemOS loads YAML and wants numbers: PyYAML takes 1e-05 for a word."""
    text = write_fibsemos(positions)
    assert yaml.safe_load(text) == json.loads(text)
    for entry in yaml.safe_load(text):
        assert set(entry) == {"name", "x", "y", "z", "r", "t", "coordinate_system"}
        assert all(isinstance(entry[key], float) for key in "xyz")
    back = read_fibsemos(text)
    for one, other in zip(positions, back, strict=True):
        assert one.name == other.name
        assert same(one, other, ("x", "y", "z", "rotation", "tilt"))


def test_fibsemos_is_in_metres_and_radians():
    (entry,) = json.loads(write_fibsemos([StagePosition("a", 1500.0, -20.0, 3.0, 180.0, 52.0)]))
    assert [entry[key] for key in "xyz"] == pytest.approx([1.5e-3, -2e-5, 3e-6])
    assert [entry["r"], entry["t"]] == pytest.approx([math.pi, math.radians(52)])


@given(st.lists(POSITIONS, max_size=3))
@settings(deadline=None)
def test_navigator_reads_back(positions):
    back = read_nav(write_nav(positions, ["depth 3 um"] * len(positions)))
    assert len(back) == len(positions)
    for one, other in zip(positions, back, strict=True):
        assert same(one, other, "xyz")


def test_navigator_has_what_serialem_writes():
    lines = write_nav([StagePosition("pit", 1.5, -2.0, 3.0)], ["95 % error 2 um"]).splitlines()
    assert lines[0] == "AdocVersion = 2.00"
    assert "[Item = 1]" in lines
    assert {"StageXYZ = 1.5 -2.0 3.0", "Type = 0", "PtsX = 1.5", "PtsY = -2.0", "NumPts = 1"} < set(lines)
    assert "Note = pit, 95 % error 2 um" in lines


def test_navigator_passes_over_maps_and_polygons():
    text = write_nav([StagePosition("a", 1.0, 2.0, 3.0)]) + "\n[Item = 2]\nType = 2\nMapFile = x.mrc\n"
    assert len(read_nav(text)) == 1


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (read_csv, "", "0 lines"),
        (read_csv, "a,b\n", "columns"),
        (read_csv, "name,x_mm,y_mm,z_mm,rotation_deg,tilt_deg,working_distance_mm\na,1,2\n", "line 2"),
        (read_csv, "name,x_mm,y_mm,z_mm,rotation_deg,tilt_deg,working_distance_mm\na,1,,3,,,\n", "line 2"),
        (read_csv, "name,x_mm,y_mm,z_mm,rotation_deg,tilt_deg,working_distance_mm\na,nan,2,3,,,\n", "finite"),
        (read_fibsemos, "{", "JSON"),
        (read_fibsemos, "{}", "list"),
        (read_fibsemos, '[{"x": 1, "y": 2, "z": 3, "r": 0, "t": 0, "coordinate_system": "SPECIMEN"}]', "SPECIMEN"),
        (read_fibsemos, '[{"x": "1", "y": 2, "z": 3, "coordinate_system": "RAW"}]', "position 1"),
        (read_nav, "<xml>", "line 1"),
        (read_nav, "[Item = 1]\nStageXYZ = 1 2 3\n", "AdocVersion"),
        (read_nav, "AdocVersion = 2.00\n[Item = 1]\nStageXYZ = 1 2\n", "item 1"),
        (read_itk, "", "begin"),
        (read_itk, "#Insight Transform File V1.0\nTransform: BSplineTransform_double_3_3\nParameters: 1\n", "BSpline"),
        (read_itk, "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: 1 2\n", "12"),
        (
            read_itk,
            "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: " + "0 " * 12 + "\n",
            "singular",
        ),
        (read_bigwarp, "", "0 lines"),
        (read_bigwarp, "Pt-0,true,1,2\n", "6 fields"),
        (read_bigwarp, "Pt-0,yes,1,2,3,4\n", "line 1"),
        (read_bigwarp, "Pt-0,true,1,2,x,4\n", "line 1"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(read, text, said):
    with pytest.raises(ExchangeError, match=said):
        read(text)


# ----------------------------------------------------------------------------------------------------------- transforms


def some_matrix(seed, mirrored=False):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix() @ np.diag(rng.uniform(0.5, 2, 3))
    matrix[:3, :3] += rng.normal(0, 0.05, (3, 3))
    matrix[:3, 3] = rng.uniform(-5e4, 5e4, 3)
    if mirrored:
        matrix[:3, 0] *= -1
    return matrix


@pytest.mark.parametrize("seed", range(5))
def test_itk_itself_maps_points_as_the_matrix_does(seed, tmp_path):
    matrix = some_matrix(seed, mirrored=seed == 4)
    path = tmp_path / "a.tfm"
    path.write_text(write_itk(matrix, comments=["source to target, um\nno second line"]))
    read = sitk.ReadTransform(str(path))
    for point in np.random.default_rng(seed).uniform(-1e4, 1e4, (5, 3)):
        assert read.TransformPoint(point.tolist()) == pytest.approx(apply(matrix, point), rel=1e-12, abs=1e-8)
    assert np.allclose(read_itk(path.read_text()), matrix, rtol=1e-15)


def test_the_file_for_resampling_puts_an_image_where_the_transform_says(tmp_path):
    """ITK resamples with the map from the fixed grid to the moving image: a spot lands where the matrix takes it."""
    matrix = np.eye(4)
    matrix[:3, 3] = [3.0, -2.0, 1.0]
    moving = sitk.Image([12, 12, 12], sitk.sitkFloat32)
    moving[4, 6, 5] = 1.0
    path = tmp_path / "a.tfm"
    path.write_text(write_itk(matrix, direction="resampling"))
    shown = sitk.GetArrayFromImage(sitk.Resample(moving, moving, sitk.ReadTransform(str(path))))
    assert np.argwhere(shown > 0.5).tolist() == [[6, 4, 7]]  # z, y, x
    assert np.allclose(read_itk(path.read_text(), direction="resampling"), matrix)


def written_by_itk(transform, tmp_path):
    path = tmp_path / "b.tfm"
    sitk.WriteTransform(transform, str(path))
    return path.read_text()


def forms():
    euler = sitk.Euler3DTransform((5.0, -3.0, 2.0), 0.3, -0.2, 0.7, (1.0, 2.0, 3.0))
    versor = sitk.VersorRigid3DTransform((0.1, 0.2, 0.9), 0.8, (4.0, 5.0, 6.0), (1.0, 2.0, 3.0))
    similarity = sitk.Similarity3DTransform(1.3, (0.1, 0.2, 0.9), 0.8, (4.0, 5.0, 6.0), (1.0, 2.0, 3.0))
    affine = sitk.AffineTransform(some_matrix(3)[:3, :3].ravel().tolist(), (4.0, 5.0, 6.0), (10.0, 20.0, 30.0))
    return [euler, versor, similarity, affine, sitk.TranslationTransform(3, (1.0, 2.0, 3.0))]


@pytest.mark.parametrize("transform", forms(), ids=lambda one: one.GetName())
def test_what_itk_writes_is_read_as_itk_means_it(transform, tmp_path):
    matrix = read_itk(written_by_itk(transform, tmp_path))
    for point in np.random.default_rng(1).uniform(-50, 50, (5, 3)):
        assert apply(matrix, point) == pytest.approx(transform.TransformPoint(point.tolist()), rel=1e-9, abs=1e-9)
    back = read_itk(written_by_itk(transform, tmp_path), direction="resampling")
    assert np.allclose(back @ matrix, np.eye(4), atol=1e-9)


def test_a_file_in_millimetres_is_scaled():
    matrix = read_itk(write_itk(np.array([[1, 0, 0, 2.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])), unit_um=1000.0)
    assert matrix[0, 3] == 2500.0


def test_several_transforms_in_one_file_are_refused(tmp_path):
    both = sitk.CompositeTransform([sitk.TranslationTransform(3, (1.0, 0.0, 0.0)), sitk.Euler3DTransform()])
    with pytest.raises(ExchangeError):
        read_itk(written_by_itk(both, tmp_path))


def test_bigwarp_pairs_in_space_and_in_the_plane():
    text = '"Pt-0","true","1","2","3","4","5","6"\n"Pt-1","false",1,2,3,4,5,6\n'
    text += '"Pt-2","true",1,2,3,Infinity,Infinity,Infinity\n'
    first, second = read_bigwarp(text, unit_um=1000.0)
    assert first == {"source": [1e3, 2e3, 3e3], "target": [4e3, 5e3, 6e3], "state": "active"}
    assert (second["state"], second["reason"]) == ("rejected", "not active in BigWarp")
    assert read_bigwarp("Pt-0,true,1,2,4,5\n") == [
        {"source": [1.0, 2.0, 0.0], "target": [4.0, 5.0, 0.0], "state": "active"}
    ]


def test_napari_takes_an_index_to_the_place():
    """A sample of a volume with axes c, z, y, x lies in napari's world where the matrix takes it, axes reversed."""
    matrix, spacing = some_matrix(7), {"x": 0.5, "y": 0.25, "z": 2.0}
    layer = napari_layer("a", matrix, spacing, ["c", "z", "y", "x"], {"x": 4, "y": 5, "z": 6})
    affine = np.array(layer["affine"])
    world = affine @ np.array([1.0, 3.0, 2.0, 1.0, 1.0])
    assert world[0] == 1.0
    assert world[1:4][::-1] == pytest.approx(apply(matrix, [0.5 * 1, 0.25 * 2, 2.0 * 3]))
    assert layer["units"] == ["pixel", "um", "um", "um"]


def test_the_inverse_is_written_not_the_transpose():
    matrix = some_matrix(2)
    assert np.allclose(read_itk(write_itk(matrix, direction="resampling")), invert(matrix))
    assert io.StringIO(write_itk(matrix)).readline().strip() == "#Insight Transform File V1.0"


@pytest.mark.parametrize("in_file_order", [False, True])
def test_euler_angles_are_applied_in_the_order_that_the_file_says(tmp_path, in_file_order):
    euler = sitk.Euler3DTransform((5.0, -3.0, 2.0), 0.3, -0.2, 0.7, (1.0, 2.0, 3.0))
    euler.SetComputeZYX(in_file_order)
    text = written_by_itk(euler, tmp_path)
    assert f"FixedParameters: 5 -3 2 {int(in_file_order)}" in text
    matrix = read_itk(text)
    for point in np.random.default_rng(1).uniform(-50, 50, (5, 3)):
        assert apply(matrix, point) == pytest.approx(euler.TransformPoint(point.tolist()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "count", "fixed"),
    [("AffineTransform", 12, "0 0"), ("Euler3DTransform", 6, "0 0 0 0 0"), ("TranslationTransform", 3, "1 2 3")],
)
def test_a_wrong_count_of_fixed_parameters_is_refused(name, count, fixed):
    numbers = " ".join(["0.5"] * count)
    text = (
        f"#Insight Transform File V1.0\nTransform: {name}_double_3_3\nParameters: {numbers}\nFixedParameters: {fixed}\n"
    )
    with pytest.raises(ExchangeError, match="FixedParameters"):
        read_itk(text)


@pytest.mark.parametrize("name", ["pit \U0001f52c", "Lücke \x7f\x85\u2028", 'a "b" \\c'])
def test_any_name_is_the_same_in_json_and_yaml(name):
    text = write_fibsemos([StagePosition(name, 1.0, 2.0, 3.0)])
    assert yaml.safe_load(text)[0]["name"] == json.loads(text)[0]["name"] == name
