"""MRC: the values of real files, stacks and volumes, both byte orders, and headers that lie."""

from __future__ import annotations

import json
import struct

import mrcfile
import numpy as np
import pytest
from mrcfile.dtypes import get_ext_header_dtype

from apps.imaging.readers import (
    ContentMismatchError,
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
    detect,
    read,
)
from tests.readers.vendor_files import digest, outcome, samples_sum

MAP = "mrc/EMD-3197.map"
SCAN = "mrc/HAADFscan.mrc"


@pytest.mark.parametrize("name", [MAP, SCAN])
def test_samples_and_lengths_of_real_files(microscopy, name):
    (stated,) = [item for item in json.loads((microscopy / "expected.json").read_text()) if item["file"] == name]
    (image,) = read(microscopy / name)
    data, (listed,) = image.array[...], stated["arrays"]
    assert [n for n in data.shape if n > 1] == listed["shape"]
    assert data.dtype.name == listed["dtype"]
    assert samples_sum(data) == pytest.approx(listed["sum"], rel=1e-12)
    assert digest(data) == listed["sha256"]
    lengths = dict(zip("xyz", stated["expect"]["voxel_A"], strict=True))
    for axis, length in lengths.items():
        assert image.spacing_um[axis] == (pytest.approx(length * 1e-4) if length else None)
    assert image.calibrated


def test_a_voxel_of_zero_is_unknown(microscopy):
    (image,) = read(microscopy / SCAN)
    assert image.spacing_um["z"] is None
    assert image.spacing_um["x"] == pytest.approx(0.0056791313)


def test_the_fei_header_gives_what_its_masks_mark_as_filled_in(microscopy):
    (image,) = read(microscopy / SCAN)
    facts = {name: (entry["value"], entry["unit"]) for name, entry in image.facts.items()}
    assert image.modality == "stem"
    assert facts["instrument"] == ("Spectra", None)
    assert facts["accelerating_voltage"] == (300.0, "kV")
    assert facts["detector"] == ("HAADF", None)
    assert facts["stage_x"] == (pytest.approx(23.8563), "um")
    assert facts["stage_tilt"] == (pytest.approx(0.008116119), "deg")
    assert image.facts["stage_x"]["raw"] == "2.385629999999997e-05 m"
    assert "magnification" not in facts  # zero, and not marked
    assert "exposure_time" not in facts
    assert image.facts["accelerating_voltage"]["raw"] == "300000.0 V"


# ------------------------------------------------------------------------------------------------- files written here
def header(
    shape, mode=2, *, order="<", cell=None, intervals=None, group=0, version=20140, extended=b"", kind=b"", **more
):
    """The 1024 bytes of a header for ``shape`` (sections, rows, columns)."""
    values = np.zeros((), mrcfile.dtypes.HEADER_DTYPE.newbyteorder(order))
    values["nz"], values["ny"], values["nx"] = shape
    values["mz"], values["my"], values["mx"] = intervals or shape
    values["mode"], values["ispg"], values["nversion"] = mode, group, version
    values["cella"] = cell or (0, 0, 0)
    values["cellb"] = (90, 90, 90)
    values["mapc"], values["mapr"], values["maps"] = 1, 2, 3
    values["nsymbt"], values["exttyp"] = len(extended), kind
    values["map"] = b"MAP "
    values["machst"] = (0x44, 0x44, 0, 0) if order == "<" else (0x11, 0x11, 0, 0)
    for name, value in more.items():
        values[name] = value
    return values.tobytes() + extended


def made(path, data, mode, order="<", **more):
    path.write_bytes(
        header(data.shape, mode, order=order, **more) + data.astype(data.dtype.newbyteorder(order)).tobytes()
    )
    (image,) = read(path)
    return image


def samples(shape, dtype="u2"):
    return (np.random.default_rng(0).random(shape) * 100).astype(dtype)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("mode", "dtype", "kept"), [(0, "i1", "i1"), (1, "i2", "i2"), (2, "f4", "f4"), (6, "u2", "u2"), (12, "f2", "f4")]
)
def test_types_and_byte_orders(tmp_path, mode, dtype, kept, order):
    data = samples((3, 4, 5), dtype)
    image = made(tmp_path / "a.mrc", data, mode, order, group=1)
    assert (image.axes, image.dtype) == (("z", "y", "x"), np.dtype(kept))
    assert np.array_equal(image.array[...], data.astype(kept))
    assert np.array_equal(image.array[1:, 2, 1:4], data[1:, 2, 1:4].astype(kept))


def test_bytes_of_imod_without_its_flag_are_unsigned(tmp_path):
    data = np.full((1, 4, 5), 200, "u1")
    extra = bytearray(84)
    struct.pack_into("<ii", extra, 40, 1146047817, 0)
    image = made(tmp_path / "a.mrc", data, 0, extra2=np.void(bytes(extra)))
    assert image.dtype == np.dtype("u1")
    assert image.array[0, 0, 0] == 200


def test_sections_of_space_group_0_are_images_and_no_volume(tmp_path):
    data = samples((6, 4, 5))
    image = made(tmp_path / "a.mrc", data, 6, cell=(50, 40, 60), intervals=(1, 4, 5))
    assert (image.axes, image.shape) == (("t", "z", "y", "x"), (6, 1, 4, 5))
    assert np.array_equal(image.array[:, 0], data)
    assert image.spacing_um == {"z": None, "y": pytest.approx(1e-3), "x": pytest.approx(1e-3)}
    assert image.facts["sections_are"]["value"] == "images"


def test_sections_of_space_group_1_are_planes_of_a_volume(tmp_path):
    image = made(tmp_path / "a.mrc", samples((6, 4, 5)), 6, cell=(50, 40, 120), group=1)
    assert (image.axes, image.shape) == (("z", "y", "x"), (6, 4, 5))
    assert image.spacing_um["z"] == pytest.approx(2e-3)


def test_several_volumes_follow_each_other(tmp_path):
    data = samples((6, 4, 5))
    image = made(tmp_path / "a.mrc", data, 6, intervals=(3, 4, 5), group=401)
    assert (image.axes, image.shape) == (("t", "z", "y", "x"), (2, 3, 4, 5))
    assert np.array_equal(image.array[1], data[3:])


def test_an_old_header_with_as_many_intervals_as_sections_is_a_volume(tmp_path):
    assert made(tmp_path / "a.mrc", samples((6, 4, 5)), 6, version=0).axes == ("z", "y", "x")
    assert made(tmp_path / "b.mrc", samples((6, 4, 5)), 6, version=0, kind=b"SERI").axes == ("t", "z", "y", "x")


def test_volumes_that_do_not_divide_the_sections_are_refused(tmp_path):
    with pytest.raises(MetadataError, match="must divide"):
        made(tmp_path / "a.mrc", samples((6, 4, 5)), 6, intervals=(4, 4, 5), group=401)


def test_columns_may_run_along_another_axis(tmp_path):
    data = samples((6, 4, 5))
    image = made(tmp_path / "a.mrc", data, 6, group=1, mapc=3, mapr=2, maps=1, cell=(12, 40, 50), intervals=(5, 4, 6))
    assert image.shape == (5, 4, 6)
    assert np.array_equal(image.array[...], data.transpose(2, 1, 0))
    assert image.spacing_um == {"z": pytest.approx(1e-3), "y": pytest.approx(1e-3), "x": pytest.approx(2e-4)}


def test_a_tilt_series_keeps_the_angle_of_each_image(tmp_path):
    dtype = get_ext_header_dtype(b"FEI1", "<")
    blocks = np.zeros(3, dtype)
    blocks["Metadata size"], blocks["Bitmask 1"], blocks["Alpha tilt"] = dtype.itemsize, 1 << 7, (-60, 0, 60)
    image = made(tmp_path / "a.mrc", samples((3, 4, 5)), 6, extended=blocks.tobytes(), kind=b"FEI1")
    assert image.axes[0] == "t"
    assert image.facts["angles"]["value"] == [-60.0, 0.0, 60.0]


def test_the_pixel_size_of_the_fei_header_stands_in_for_an_empty_cell(tmp_path):
    dtype = get_ext_header_dtype(b"FEI1", "<")
    blocks = np.zeros(1, dtype)
    blocks["Metadata size"], blocks["Bitmask 1"] = dtype.itemsize, 3 << 14
    blocks["Pixel size X"], blocks["Pixel size Y"] = 2e-9, 3e-9
    image = made(tmp_path / "a.mrc", samples((1, 4, 5)), 6, extended=blocks.tobytes(), kind=b"FEI1")
    assert image.spacing_um == {"z": None, "y": pytest.approx(3e-3), "x": pytest.approx(2e-3)}
    assert image.spacing_source == "FEI pixel size"


@pytest.mark.parametrize("value", [0.0, -5.0, float("nan"), float("inf")])
def test_a_cell_that_is_no_length_leaves_the_axis_uncalibrated(tmp_path, value):
    image = made(tmp_path / "a.mrc", samples((1, 4, 5)), 6, cell=(value, 40, 0))
    assert image.spacing_um == {"z": None, "y": pytest.approx(1e-3), "x": None}
    assert not image.calibrated


def test_a_cell_without_right_angles_is_no_grid(tmp_path):
    image = made(tmp_path / "a.mrc", samples((2, 4, 5)), 6, cell=(50, 40, 20), group=1, cellb=(90, 90, 120))
    assert image.spacing_um == {"z": None, "y": None, "x": None}
    assert image.facts["cell_angles"]["value"] == [90.0, 90.0, 120.0]


def test_an_old_file_without_its_mark_is_known_by_its_exact_size(tmp_path):
    content = header((2, 4, 5), 6, map=b"\0\0\0\0", machst=(0, 0, 0, 0), group=1) + samples((2, 4, 5)).tobytes()
    (tmp_path / "a.mrc").write_bytes(content)
    (image,) = read(tmp_path / "a.mrc")
    assert np.array_equal(image.array[...], samples((2, 4, 5)))
    assert image.facts["byte_order"] == {"value": "little", "unit": None, "source": "derived"}
    (tmp_path / "b.mrc").write_bytes(content + b"\0")
    with pytest.raises(ContentMismatchError):
        detect(tmp_path / "b.mrc")


# -------------------------------------------------------------------------------------------------------- hostile files
@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (3, UnsupportedFormatError),
        (4, UnsupportedFormatError),
        (101, UnsupportedFormatError),
        (7, MetadataError),
        (-1, MetadataError),
    ],
)
def test_modes_that_are_not_read_are_named(tmp_path, mode, error):
    (tmp_path / "a.mrc").write_bytes(header((1, 4, 5), mode) + bytes(400))
    with pytest.raises(error, match=f"mode {mode}"):
        read(tmp_path / "a.mrc")


@pytest.mark.parametrize("shape", [(0, 4, 5), (1, -4, 5), (1, 4, 0)])
def test_sizes_below_one_are_refused(tmp_path, shape):
    (tmp_path / "a.mrc").write_bytes(header(shape, 6) + bytes(400))
    with pytest.raises(MetadataError, match="at least 1"):
        read(tmp_path / "a.mrc")


def test_a_header_that_announces_more_than_the_file_holds_is_refused_unread(tmp_path):
    (tmp_path / "a.mrc").write_bytes(header((1, 400, 500), 2) + bytes(400))
    with pytest.raises(TruncatedFileError, match="need"):
        read(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").write_bytes(header((30_000, 30_000, 30_000), 2) + bytes(400))
    with pytest.raises(TooLargeError):
        read(tmp_path / "b.mrc")


@pytest.mark.parametrize("length", [-1, 1 << 30])
def test_an_extended_header_that_does_not_fit_is_refused(tmp_path, length):
    (tmp_path / "a.mrc").write_bytes(header((1, 4, 5), 6, nsymbt=length) + bytes(400))
    with pytest.raises(TruncatedFileError, match="extended header"):
        read(tmp_path / "a.mrc")


def test_cut_files_are_refused(microscopy, tmp_path):
    whole = (microscopy / MAP).read_bytes()
    for cut in np.linspace(1, len(whole) - 1, 20).astype(int):
        (tmp_path / "a.mrc").write_bytes(whole[:cut])
        assert isinstance(outcome(tmp_path / "a.mrc"), ReaderError), f"cut at {cut}"


@pytest.mark.parametrize("bits", [0xFF, 0x01])
def test_flipped_header_bytes_give_an_image_or_a_reason(microscopy, tmp_path, bits):
    whole = bytearray((microscopy / MAP).read_bytes())
    for at in range(1100):
        whole[at] ^= bits
        (tmp_path / "a.mrc").write_bytes(whole)
        outcome(tmp_path / "a.mrc")
        whole[at] ^= bits


def test_limits_hold(microscopy):
    with pytest.raises(TooLargeError, match="samples"):
        read(microscopy / MAP, limits=Limits(max_samples=100))
