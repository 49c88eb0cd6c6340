"""EBSD maps: the grid is where the points are, angles are radians, and what was not measured is not made up."""

from __future__ import annotations

import re
import shutil

import h5py
import numpy as np
import pytest

from apps.imaging.readers import (
    ContentMismatchError,
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFormatError,
    read,
)
from tests.readers import expected

FILES = ["ebsd/twins.ctf", "ebsd/Test_European_1.ctf", "ebsd/DC06_2uniax.ang", "ebsd/EdaxAngOnly.h5"]
SECTIONS = [f"ebsd-3d/S{number:02d}.ANG" for number in range(12)]


def channel(image, label):
    return image.array[[c.label for c in image.channels].index(label), 0]


@pytest.mark.parametrize("name", FILES + SECTIONS)
def test_all_expected_values_come_out(microscopy, name):
    [entry] = [e for e in expected.entries(microscopy) if e.file == name]
    [image] = images = expected.load(microscopy, entry)
    assert expected.wrong_values(images, entry) == []
    assert image.axes == ("c", "z", "y", "x")
    assert image.dtype == np.float32
    assert image.modality == "ebsd"
    assert [c.label for c in image.channels[:4]] == ["phase", "euler1", "euler2", "euler3"]
    assert [c.unit for c in image.channels[:4]] == ["1", "rad", "rad", "rad"]


# ------------------------------------------------------------------------------------------------------------------ ctf


def test_degrees_of_a_channel_text_file_become_radians(microscopy):
    [image] = read(microscopy / "ebsd/twins.ctf")
    assert channel(image, "euler1")[0, 0] == pytest.approx(np.deg2rad(99.591), rel=1e-6)
    assert channel(image, "euler2")[136, 166] == pytest.approx(np.deg2rad(63.977), rel=1e-6)
    assert channel(image, "bc")[0, 1] == 127
    assert channel(image, "mad")[0, 0] == pytest.approx(1.1)
    assert [c.unit for c in image.channels if c.label == "mad"] == ["deg"]
    assert image.facts["accelerating_voltage"]["value"] == 20
    assert image.facts["specimen_tilt"]["value"] == 70
    assert image.facts["phases"]["value"] == "1 Magnesium"


def test_a_decimal_comma_is_a_decimal_point(microscopy):
    [image] = read(microscopy / "ebsd/Test_European_1.ctf")
    assert image.spacing_um == {"z": None, "y": 0.5, "x": 0.5}
    assert image.shape == (9, 1, 5, 40)
    assert channel(image, "euler2")[0, 1] == pytest.approx(np.deg2rad(40.207), rel=1e-6)
    assert channel(image, "bc")[4, 39] == 131
    assert not any(name.startswith("points_") or name == "grid_source" for name in image.facts)


def test_a_header_whose_grid_is_too_small_yields_to_the_points(rewritten, microscopy):
    path = rewritten("ebsd/Test_European_1.ctf", (rb"XCells\t40", rb"XCells\t20"))
    [image], [real] = read(path), read(microscopy / "ebsd/Test_European_1.ctf")
    assert np.array_equal(image.array, real.array)
    assert image.spacing_um == real.spacing_um
    assert image.facts["grid_source"]["value"] == "positions of the points"
    assert image.spacing_source == "positions of the points"


def test_a_header_whose_step_is_wrong_yields_to_the_points(rewritten):
    [image] = read(rewritten("ebsd/Test_European_1.ctf", (rb"XStep\t0,5", rb"XStep\t0,3")))
    assert image.shape == (9, 1, 5, 40)
    assert image.spacing_um["x"] == pytest.approx(0.5)
    assert "grid_source" in image.facts


@pytest.mark.parametrize("said", [rb"XStep\t0", rb"XStep\tnan", rb"XStep\t"])
def test_a_header_without_a_step_leaves_it_to_the_points(rewritten, said):
    [image] = read(rewritten("ebsd/Test_European_1.ctf", (rb"XStep\t0,5", said)))
    assert image.spacing_um["x"] == pytest.approx(0.5)


def test_a_map_that_ends_early_is_refused(rewritten):
    with pytest.raises(TruncatedFileError, match="200 of 240 points"):
        read(rewritten("ebsd/Test_European_1.ctf", (rb"YCells\t5", rb"YCells\t6")))


def test_a_file_that_ends_inside_a_line_is_refused(microscopy, tmp_path):
    content = (microscopy / "ebsd/twins.ctf").read_bytes()
    (tmp_path / "a.ctf").write_bytes(content[: len(content) - 5])
    with pytest.raises(TruncatedFileError, match="inside line"):
        read(tmp_path / "a.ctf")


def test_two_points_at_one_place_are_refused(rewritten):
    with pytest.raises(MetadataError, match="several points at one place"):
        read(rewritten("ebsd/Test_European_1.ctf", (rb"\r\n1\t0,5000\t0,0000\t", rb"\r\n1\t1,0000\t0,0000\t")))


@pytest.mark.parametrize("value", [b"abc", b"1\t2\t3", b""])
def test_a_line_that_is_no_point_is_refused_with_its_place(rewritten, value):
    with pytest.raises(MetadataError, match="line"):
        read(rewritten("ebsd/Test_European_1.ctf", (rb"\r\n1\t1,0000\t0,0000", b"\r\n" + value + rb"\t0,0000")))


def test_a_position_that_is_no_number_is_refused(rewritten):
    with pytest.raises(MetadataError, match="without a position"):
        read(rewritten("ebsd/Test_European_1.ctf", (rb"\r\n1\t1,0000\t0,0000", rb"\r\n1\tnan\t0,0000")))


def test_a_grid_of_billions_announced_for_few_points_is_not_made(rewritten):
    path = rewritten(
        "ebsd/Test_European_1.ctf",
        (rb"XCells\t40", rb"XCells\t4000000"),
        (rb"YCells\t5", rb"YCells\t4000000"),
        (rb"\r\n1\t0,5000\t0,0000\t", rb"\r\n1\t900000,5\t0,0000\t"),
    )
    with pytest.raises(TooLargeError):
        read(path)


def test_points_off_any_grid_are_refused(microscopy, tmp_path):
    lines = (microscopy / "ebsd/Test_European_1.ctf").read_text("latin-1").splitlines()
    rng = np.random.default_rng(0)
    for at in range(15, len(lines) - 1):
        parts = lines[at].split("\t")
        parts[1:3] = [f"{value:.4f}".replace(".", ",") for value in rng.random(2) * 20]
        lines[at] = "\t".join(parts)
    (tmp_path / "a.ctf").write_text("\r\n".join(lines) + "\r\n", "latin-1")
    with pytest.raises(UnsupportedFormatError, match="grid"):
        read(tmp_path / "a.ctf")


# ------------------------------------------------------------------------------------------------------------------ ang


def test_columns_of_an_ang_file_have_their_names(microscopy):
    [image] = read(microscopy / "ebsd/DC06_2uniax.ang")
    assert [c.label for c in image.channels[4:8]] == ["image_quality", "confidence_index", "sem_signal", "fit"]
    assert channel(image, "euler1")[0, 0] == pytest.approx(6.25471)
    assert channel(image, "euler3")[100, 50] == np.float32(5.92129)
    assert channel(image, "image_quality")[0, 1] == np.float32(141490.5)
    assert image.facts["working_distance"] == {"value": 14.0, "unit": "mm", "source": "file", "tag": "WorkingDistance"}
    assert image.facts["operator"]["value"] == "Administrator"
    assert "sample" not in image.facts


def test_places_without_a_point_are_nan_on_the_grid_of_the_header(microscopy):
    [image] = read(microscopy / "ebsd-3d/S00.ANG")
    assert image.shape == (8, 1, 160, 140)
    assert image.spacing_um == {"z": None, "y": 0.1, "x": 0.1}
    angles = channel(image, "euler1")
    assert int(np.isfinite(angles).sum()) == 1400
    assert angles[0, 4] == np.float32(4.63734)
    assert np.isnan(angles[0, 1])
    assert angles[156, 136] == np.float32(4.41603)
    assert image.facts["points_measured"]["value"] == 1400
    assert image.facts["points_of_grid"]["value"] == 22400
    assert image.facts["measured_step_x"] == {"value": 0.4, "unit": "um", "source": "derived"}


def test_a_section_that_lacks_its_end_is_refused(microscopy, tmp_path):
    lines = (microscopy / "ebsd-3d/S00.ANG").read_bytes().splitlines(keepends=True)
    (tmp_path / "a.ang").write_bytes(b"".join(lines[:-10]))
    with pytest.raises(TruncatedFileError, match="1390 of 1400"):
        read(tmp_path / "a.ang")


def test_a_hexagonal_grid_is_refused_by_name(rewritten):
    with pytest.raises(UnsupportedFormatError, match="hexagonal"):
        read(rewritten("ebsd/DC06_2uniax.ang", (rb"GRID: SqrGrid", rb"GRID: HexGrid")))


def test_a_hexagonal_grid_that_is_not_called_so_is_seen(microscopy, tmp_path):
    lines = (microscopy / "ebsd/DC06_2uniax.ang").read_text("latin-1").splitlines()
    head = [line for line in lines if line.startswith("#") and not re.match("# (GRID|.STEP|N)", line)]
    points = [
        f"1.0 1.0 1.0 {x + (y % 2) / 2:.5f} {y * 0.866:.5f} 100 0.5 0 1 0.5" for y in range(20) for x in range(20)
    ]
    (tmp_path / "a.ang").write_text("\n".join(head + points) + "\n", "latin-1")
    with pytest.raises(UnsupportedFormatError, match="hexagonal"):
        read(tmp_path / "a.ang")


def test_names_and_units_of_columns_in_the_header_count(rewritten):
    names = b"phi1, PHI, phi2, x, y, IQ, CI, Phase index, SEM, Fit, PRIAS Bottom Strip, a, b, c"
    units = b"radians, radians, radians, nm, nm, , , , , degrees, , , , "
    header = b"# COLUMN_COUNT: 14\n# COLUMN_HEADERS: " + names + b"\n# COLUMN_UNITS: " + units + b"\n# GRID: SqrGrid"
    [image] = read(rewritten("ebsd/DC06_2uniax.ang", (rb"# GRID: SqrGrid", header)))
    assert "prias_bottom_strip" in [c.label for c in image.channels]
    assert image.channels[0].label == "phase"
    assert image.spacing_um == {"z": None, "y": 0.001, "x": 0.001}


def test_another_format_under_the_name_of_a_map_is_refused(microscopy, tmp_path):
    shutil.copyfile(microscopy / "ebsd/twins.ctf", tmp_path / "a.ang")
    with pytest.raises(ContentMismatchError):
        read(tmp_path / "a.ang")


# ----------------------------------------------------------------------------------------------------------------- hdf5


@pytest.fixture
def edax(microscopy, tmp_path):
    return shutil.copyfile(microscopy / "ebsd/EdaxAngOnly.h5", tmp_path / "a.h5")


def test_an_edax_map_is_read_row_by_row(edax):
    [image] = read(edax)
    with h5py.File(edax, locking=False) as root:
        stored = root["Scan_1/EBSD/Data/Phi1"][:].reshape(151, 186)
    whole = channel(image, "euler1")
    assert np.array_equal(whole, stored)
    assert np.array_equal(image.array[1, 0, 10:20, 30:40], stored[10:20, 30:40])
    assert image.facts["working_distance"]["value"] == 14.011181
    assert image.facts["specimen_tilt"] == {"value": -70.0, "unit": "deg", "source": "file", "tag": "Sample Tilt"}
    assert image.facts["phases"]["value"] == "1 Nickel"
    assert "sample" not in image.facts


def test_points_that_were_not_measured_are_nan(edax):
    with h5py.File(edax, "r+") as root:
        data = root["Scan_1/EBSD/Data"]
        data["X Position"][5:9] = data["Y Position"][5:9] = -1111111.0
    [image] = read(edax)
    assert np.isnan(image.array[0, 0, 0, 5:9]).all()
    assert int(np.isnan(image.array[1]).sum()) == 4
    assert image.facts["points_measured"]["value"] == 186 * 151 - 4


def test_points_in_another_order_go_to_their_places(edax, microscopy):
    with h5py.File(edax, "r+") as root:
        data = root["Scan_1/EBSD/Data"]
        for column in data.values():
            column[...] = column[...][::-1]
    [image], [real] = read(edax), read(microscopy / "ebsd/EdaxAngOnly.h5")
    assert np.array_equal(image.array[...], real.array[...])


def test_a_hexagonal_map_in_hdf5_is_refused_by_name(edax):
    with h5py.File(edax, "r+") as root:
        header = root["Scan_1/EBSD/Header"]
        del header["Grid Type"]
        header["Grid Type"] = np.array([b"HexGrid"])
    with pytest.raises(UnsupportedFormatError, match="hexagonal"):
        read(edax)


def test_a_column_of_too_few_points_is_refused(edax):
    with h5py.File(edax, "r+") as root:
        data = root["Scan_1/EBSD/Data"]
        short = data["IQ"][:-7]
        del data["IQ"]
        data["IQ"] = short
    with pytest.raises(TruncatedFileError, match="IQ"):
        read(edax)


def test_oxford_maps_have_three_angles_in_one_column(edax, tmp_path):
    path = tmp_path / "b.h5oina"
    with h5py.File(edax, locking=False) as real, h5py.File(path, "w") as root:
        data = real["Scan_1/EBSD/Data"]
        to = root.create_group("1/EBSD/Data")
        to["Euler"] = np.stack([data[name][:] for name in ("Phi1", "Phi", "Phi2")], axis=1)
        to["Phase"], to["X"], to["Y"] = data["Phase"][:], data["X Position"][:], data["Y Position"][:]
        to["Mean Angular Deviation"] = np.full(28086, np.deg2rad(0.5), "f4")
        to["Mean Angular Deviation"].attrs["Unit"] = "rad"
        header = root.create_group("1/EBSD/Header")
        header["X Cells"], header["Y Cells"] = np.array([186]), np.array([151])
        header["X Step"], header["Y Step"] = np.array([1.5]), np.array([1.5])
        header["Beam Voltage"] = np.array([20.0])
    [image], [real_image] = read(path), read(edax)
    assert [c.label for c in image.channels] == ["phase", "euler1", "euler2", "euler3", "mad"]
    assert np.array_equal(image.array[:4], real_image.array[:4])
    assert image.array[4, 0, 0, 0] == pytest.approx(0.5)
    assert image.facts["accelerating_voltage"]["value"] == 20


def test_a_map_that_links_out_of_its_file_is_refused(edax):
    with h5py.File(edax, "r+") as root:
        root["Scan_1/EBSD/Data/out"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(UnsafePathError):
        read(edax)


@pytest.mark.parametrize("file", FILES[:3] + SECTIONS[:1])
def test_cut_maps_are_refused_or_whole(microscopy, tmp_path, file):
    content = (microscopy / file).read_bytes()
    [whole] = read(microscopy / file)
    path = tmp_path / file.rsplit("/", 1)[-1]
    for cut in np.linspace(1, len(content) - 1, 20).astype(int):
        path.write_bytes(content[:cut])
        try:
            [image] = read(path, limits=Limits(max_samples=1 << 24))
        except ReaderError:
            continue
        assert np.array_equal(image.array, whole.array, equal_nan=True), f"cut at {cut}"
