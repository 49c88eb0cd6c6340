"""MetaImage and NRRD: real files, files of SimpleITK, detached samples, spacing rules, headers that lie."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib

import numpy as np
import pytest
import SimpleITK

from analyses.sdk.values import Channel
from apps.imaging.readers import (
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFormatError,
    read,
)
from tests.readers.vendor_files import digest, outcome, samples_sum

FILES = ["mha-nrrd/CT_2D_head_fixed.mha", "mha-nrrd/CT_2D_head_moving.mha", "mha-nrrd/BallBinary30x30x30.nrrd"]


def samples(shape, dtype="u2"):
    return (np.random.default_rng(0).random(shape) * 100).astype(dtype)


def only(path, **options):
    (image,) = read(path, **options)
    return image


@pytest.mark.parametrize("name", FILES)
def test_samples_of_real_files(microscopy, name):
    (stated,) = [item for item in json.loads((microscopy / "expected.json").read_text()) if item["file"] == name]
    image = only(microscopy / name)
    data, (listed,) = image.array[...], stated["arrays"]
    assert [n for n in data.shape if n > 1] == listed["shape"]
    assert (data.dtype.name, samples_sum(data)) == (listed["dtype"], listed["sum"])
    assert digest(data) == listed["sha256"]


@pytest.mark.parametrize("name", FILES[:2])
def test_element_spacing_is_in_millimetres(microscopy, name):
    image = only(microscopy / name)
    assert image.spacing_um == {"z": None, "y": 1000.0, "x": 1000.0}
    assert image.calibrated
    assert image.spacing_source == "MetaImage ElementSpacing"


def test_space_directions_without_space_units_are_a_bare_ratio(microscopy):
    image = only(microscopy / FILES[2])
    assert image.spacing_um == {"z": None, "y": None, "x": None}
    assert not image.calibrated
    assert image.facts["spacing_without_unit"]["value"] == [1.0, 1.0, 1.0]
    assert image.facts["space"]["value"] == "left-posterior-superior"
    assert image.facts["directions"]["value"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


# -------------------------------------------------------------------------------------------------- files of SimpleITK
@pytest.mark.parametrize("ending", ["mha", "nrrd"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_files_of_simpleitk(tmp_path, dtype, packed, ending):
    data = samples((4, 5, 6), dtype)
    picture = SimpleITK.GetImageFromArray(data)
    picture.SetSpacing((0.5, 0.25, 2.0))
    SimpleITK.WriteImage(picture, str(tmp_path / f"a.{ending}"), useCompression=packed)
    image = only(tmp_path / f"a.{ending}")
    assert (image.axes, image.dtype) == (("z", "y", "x"), np.dtype(dtype))
    assert np.array_equal(image.array[...], data)
    assert np.array_equal(image.array[1:3, 2, 3:5], data[1:3, 2, 3:5])
    if ending == "mha":
        assert image.spacing_um == {"z": 2000.0, "y": 250.0, "x": 500.0}
    else:
        assert image.spacing_um == {"z": None, "y": None, "x": None}
        assert image.facts["spacing_without_unit"]["value"] == [0.5, 0.25, 2.0]


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_colours_are_channels(tmp_path, ending):
    data = samples((4, 5, 6, 3), "u1")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(data, isVector=True), str(tmp_path / f"a.{ending}"))
    image = only(tmp_path / f"a.{ending}")
    assert (image.axes, image.shape) == (("c", "z", "y", "x"), (3, 4, 5, 6))
    assert np.array_equal(image.array[...], np.moveaxis(data, -1, 0))
    assert np.array_equal(image.array[1:, 2, :, 1:3], np.moveaxis(data, -1, 0)[1:, 2, :, 1:3])
    assert len(image.channels) == 3


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_a_mirrored_volume_is_left_handed(tmp_path, ending):
    picture = SimpleITK.GetImageFromArray(samples((4, 5, 6)))
    assert_handedness(tmp_path, picture, ending, (1, 0, 0, 0, 1, 0, 0, 0, -1), "left")
    assert_handedness(tmp_path, picture, ending, (0, 1, 0, 1, 0, 0, 0, 0, -1), "unknown")
    assert_handedness(tmp_path, picture, ending, (1, 0, 0, 0, 1, 0, 0, 0, 1), "unknown")


def assert_handedness(folder, picture, ending, direction, handedness):
    picture.SetDirection(direction)
    SimpleITK.WriteImage(picture, str(folder / f"a.{ending}"))
    assert only(folder / f"a.{ending}").handedness == handedness


def test_a_direction_off_the_axes_is_kept_as_a_fact(tmp_path):
    picture = SimpleITK.GetImageFromArray(samples((4, 5, 6)))
    picture.SetDirection((0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, 1))
    SimpleITK.WriteImage(picture, str(tmp_path / "a.nrrd"))
    image = only(tmp_path / "a.nrrd")
    assert image.facts["axis_aligned"] == {"value": False, "unit": None, "source": "derived"}
    assert np.allclose(image.facts["directions"]["value"], [[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])


# ----------------------------------------------------------------------------------------------------------- MetaImage
def metaimage(path, data=b"", **fields):
    head = {"ObjectType": "Image", "NDims": "2", "DimSize": "6 5", "ElementType": "MET_USHORT"} | fields
    head = {"ElementDataFile": "LOCAL"} | head
    last = head.pop("ElementDataFile")
    lines = [f"{key} = {value}" for key, value in head.items() if value is not None]
    path.write_bytes("\n".join([*lines, f"ElementDataFile = {last}\n"]).encode("latin-1") + data)
    return path


def test_detached_samples_are_looked_up_beside_by_name(tmp_path):
    data = samples((5, 6))
    (tmp_path / "stored-elsewhere").write_bytes(b"head" + data.tobytes())
    path = metaimage(tmp_path / "a.mhd", ElementDataFile="./a.raw", HeaderSize="4", ElementSpacing="0.1 0.2")
    image = only(path, beside={"a.raw": tmp_path / "stored-elsewhere"})
    assert np.array_equal(image.array[0], data)
    assert image.side_cars == ("a.raw",)
    assert image.spacing_um == {"z": None, "y": 200.0, "x": 100.0}
    path = metaimage(tmp_path / "b.mhd", ElementDataFile="a.raw", HeaderSize="-1")
    assert np.array_equal(only(path, beside={"a.raw": tmp_path / "stored-elsewhere"}).array[0], data)


def test_samples_that_were_not_sent_are_asked_for(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(60))
    with pytest.raises(MetadataError, match=r"in 'a\.raw'; send the two files together"):
        read(metaimage(tmp_path / "a.mhd", ElementDataFile="a.raw"))


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.raw", "C:\\a.raw", "a/../../a.raw"])
def test_samples_elsewhere_are_never_followed(tmp_path, name):
    (tmp_path / "a.raw").write_bytes(bytes(60))
    with pytest.raises(UnsafePathError):
        read(metaimage(tmp_path / "a.mhd", ElementDataFile=name), beside={"a.raw": tmp_path / "a.raw"})


@pytest.mark.parametrize("named", ["LIST\nz0.raw\nz1.raw\n", "z%d.raw 0 1 1", "z%01d.raw 0 1"])
def test_one_file_a_plane(tmp_path, named):
    data = samples((2, 5, 6))
    beside = {f"z{n}.raw": tmp_path / f"z{n}.raw" for n in range(2)}
    for number, path in enumerate(beside.values()):
        path.write_bytes(data[number].tobytes())
    image = only(metaimage(tmp_path / "a.mhd", NDims="3", DimSize="6 5 2", ElementDataFile=named), beside=beside)
    assert np.array_equal(image.array[...], data)
    assert np.array_equal(image.array[1, 2:4], data[1, 2:4])


def test_big_endian_and_text_samples(tmp_path):
    data = samples((5, 6))
    path = metaimage(tmp_path / "a.mha", data.astype(">u2").tobytes(), BinaryDataByteOrderMSB="True")
    assert np.array_equal(only(path).array[0], data)
    text = " ".join(str(value) for value in data.reshape(-1)).encode()
    assert np.array_equal(only(metaimage(tmp_path / "b.mha", text, BinaryData="False")).array[0], data)


def test_a_fourth_axis_is_time(tmp_path):
    data = samples((2, 3, 5, 6))
    image = only(metaimage(tmp_path / "a.mha", data.tobytes(), NDims="4", DimSize="6 5 3 2", ElementSpacing="1 1 1 60"))
    assert image.axes == ("t", "z", "y", "x")
    assert np.array_equal(image.array[1], data[1])
    assert image.spacing_um["z"] == 1000.0


def test_a_stated_unit_of_distance_goes_before_the_convention(tmp_path):
    data = samples((5, 6)).tobytes()
    assert only(metaimage(tmp_path / "a.mha", data, ElementSpacing="2 3", DistanceUnits="um")).spacing_um["x"] == 2.0
    assert only(metaimage(tmp_path / "b.mha", data, ElementSize="2 3")).spacing_um["y"] == 3000.0
    assert only(metaimage(tmp_path / "c.mha", data)).spacing_um == {"z": None, "y": None, "x": None}


@pytest.mark.parametrize("value", ["0 0", "-1 nan", "inf 1e300"])
def test_a_spacing_that_is_no_length_is_absent(tmp_path, value):
    image = only(metaimage(tmp_path / "a.mha", samples((5, 6)).tobytes(), ElementSpacing=value))
    assert image.spacing_um == {"z": None, "y": None, "x": None}


# ---------------------------------------------------------------------------------------------------------------- NRRD
def nrrd(path, data=b"", **fields):
    head = {"type": "uint16", "dimension": "2", "sizes": "6 5", "endian": "little", "encoding": "raw"}
    head |= {key.replace("_", " "): value for key, value in fields.items()}
    lines = [f"{key}: {value}" for key, value in head.items() if value is not None]
    path.write_bytes("\n".join(["NRRD0005", "# a comment", *lines, "key:=value", "", ""]).encode("latin-1") + data)
    return path


ENCODINGS = {
    "raw": bytes,
    "gzip": gzip.compress,
    "gz": gzip.compress,
    "bzip2": bz2.compress,
    "hex": lambda data: data.hex(" ", 7).encode(),
    "ascii": lambda data: "\n".join(str(n) for n in np.frombuffer(data, "<u2")).encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("detached", [False, True])
def test_encodings(tmp_path, encoding, detached):
    data = samples((5, 6))
    encoded = ENCODINGS[encoding](data.tobytes())
    if detached:
        (tmp_path / "b").write_bytes(b"P5\n6 5\n" + encoded)
        path = nrrd(tmp_path / "a.nhdr", encoding=encoding, data_file="a.dat", line_skip="2")
    else:
        path = nrrd(tmp_path / "a.nrrd", encoded, encoding=encoding)
    image = only(path, beside={"a.dat": tmp_path / "b"})
    assert np.array_equal(image.array[0], data)
    assert np.array_equal(image.array[0, 1:3, 2:5], data[1:3, 2:5])
    assert image.header["values"] == {"key": "value"}


def test_bytes_are_skipped_after_unpacking_and_minus_one_means_the_end(tmp_path):
    data = samples((5, 6))
    packed = gzip.compress(b"abc" + data.tobytes())
    assert np.array_equal(only(nrrd(tmp_path / "a.nrrd", packed, encoding="gzip", byte_skip="3")).array[0], data)
    (tmp_path / "b").write_bytes(b"any header" + data.tobytes())
    path = nrrd(tmp_path / "c.nhdr", data_file="b", byte_skip="-1")
    assert np.array_equal(only(path, beside={"b": tmp_path / "b"}).array[0], data)


def test_spacings_are_lengths_only_with_a_unit(tmp_path):
    data = samples((5, 6)).tobytes()
    bare = only(nrrd(tmp_path / "a.nrrd", data, spacings="0.5 2"))
    assert bare.spacing_um == {"z": None, "y": None, "x": None}
    assert bare.facts["spacing_without_unit"]["value"] == [0.5, 2.0]
    stated = only(nrrd(tmp_path / "b.nrrd", data, spacings="0.5 nan", units='"mm" "mm"'))
    assert stated.spacing_um == {"z": None, "y": None, "x": 500.0}


def test_directions_are_lengths_with_space_units(tmp_path):
    options = {"space_dimension": "2", "space_directions": "(0,3) (-2,0)", "space_units": '"um" "mm"'}
    image = only(nrrd(tmp_path / "a.nrrd", samples((5, 6)).tobytes(), **options))
    assert image.spacing_um == {"z": None, "y": 2.0, "x": 3000.0}
    assert image.facts["directions"]["value"] == [[0, 1], [-1, 0]]
    tilted = options | {"space_directions": "(3,3) (-2,0)"}
    assert only(nrrd(tmp_path / "b.nrrd", samples((5, 6)).tobytes(), **tilted)).spacing_um["x"] is None


def test_an_axis_without_direction_holds_values_and_one_of_kind_time_is_t(tmp_path):
    data = samples((2, 3, 5, 6))
    vectors = {"dimension": "4", "sizes": "6 5 3 2", "space": "RAS", "space_directions": "none (1,0,0) (0,1,0) (0,0,1)"}
    image = only(nrrd(tmp_path / "a.nrrd", data.tobytes(), **vectors))
    assert (image.axes, image.shape) == (("c", "z", "y", "x"), (6, 2, 3, 5))
    assert np.array_equal(image.array[...], np.moveaxis(data, -1, 0))
    timed = {"dimension": "4", "sizes": "6 5 3 2", "kinds": "time domain domain domain"}
    image = only(nrrd(tmp_path / "b.nrrd", data.tobytes(), **timed))
    assert image.axes == ("t", "z", "y", "x")
    assert np.array_equal(image.array[...], np.moveaxis(data, -1, 0))


def test_an_axis_that_is_not_explained_is_said_to_be_assumed(tmp_path):
    image = only(nrrd(tmp_path / "a.nrrd", samples((2, 3, 5, 6)).tobytes(), dimension="4", sizes="6 5 3 2"))
    assert image.axes == ("t", "z", "y", "x")
    assert image.facts["slowest_axis"] == {"value": "t", "unit": None, "source": "derived"}


def test_colours_have_their_names(tmp_path):
    data = samples((5, 6, 3), "u1")
    options = {"type": "uchar", "dimension": "3", "sizes": "3 6 5", "kinds": "RGB-color domain domain", "endian": None}
    image = only(nrrd(tmp_path / "a.nrrd", data.tobytes(), **options))
    assert image.channels == (Channel("red"), Channel("green"), Channel("blue"))
    assert np.array_equal(image.array[:, 0], np.moveaxis(data, -1, 0))


def test_a_left_handed_space_is_left_handed_and_an_unnamed_one_unknown(tmp_path):
    data = samples((2, 5, 6)).tobytes()
    options = {"dimension": "3", "sizes": "6 5 2", "space_directions": "(1,0,0) (0,1,0) (0,0,1)"}
    assert only(nrrd(tmp_path / "a.nrrd", data, space="LAS", **options)).handedness == "left"
    assert only(nrrd(tmp_path / "b.nrrd", data, space="RAS", **options)).handedness == "unknown"
    flipped = options | {"space_directions": "(1,0,0) (0,1,0) (0,0,-1)"}
    assert only(nrrd(tmp_path / "c.nrrd", data, space="RAS", **flipped)).handedness == "left"
    assert only(nrrd(tmp_path / "d.nrrd", data, space_dimension="3", **flipped)).handedness == "unknown"


# -------------------------------------------------------------------------------------------------------- hostile files
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"DimSize": "6 -5"}, MetadataError),
        ({"DimSize": "6 five"}, MetadataError),
        ({"DimSize": "6"}, MetadataError),
        ({"DimSize": "60 50"}, TruncatedFileError),
        ({"DimSize": "6000000 5000000"}, TooLargeError),
        ({"ElementType": "MET_STRING"}, UnsupportedFormatError),
        ({"ElementType": None}, MetadataError),
        ({"ObjectType": "Tube"}, UnsupportedFormatError),
        ({"ElementNumberOfChannels": "0"}, MetadataError),
        ({"TransformMatrix": "1 0 0"}, MetadataError),
        ({"HeaderSize": "-2"}, MetadataError),
        ({"ElementDataFile": "LIST\n"}, MetadataError),
        ({"ElementDataFile": "z%d.raw 1 -99"}, MetadataError),
        ({"ElementDataFile": "z%s.raw 1 2"}, MetadataError),
        ({"ElementDataFile": "z%d.raw 1 1000000000 1"}, MetadataError),
    ],
)
def test_metaimage_headers_that_lie(tmp_path, fields, error):
    with pytest.raises(error):
        read(metaimage(tmp_path / "a.mha", samples((5, 6)).tobytes(), **fields))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"sizes": "6 0"}, MetadataError),
        ({"sizes": "6"}, MetadataError),
        ({"sizes": "60 50"}, TruncatedFileError),
        ({"sizes": "6000000 5000000"}, TooLargeError),
        ({"type": "block"}, UnsupportedFormatError),
        ({"type": None}, MetadataError),
        ({"endian": None}, MetadataError),
        ({"encoding": "lzma"}, UnsupportedFormatError),
        ({"kinds": "domain"}, MetadataError),
        ({"spacings": "1"}, MetadataError),
        ({"space_directions": "(1,0)"}, MetadataError),
        ({"space_directions": "(1,0) (1,0,0)"}, MetadataError),
        ({"byte_skip": "-5"}, MetadataError),
        ({"line_skip": "100"}, MetadataError),
        ({"kinds": "vector vector"}, UnsupportedFormatError),
    ],
)
def test_nrrd_headers_that_lie(tmp_path, fields, error):
    with pytest.raises(error):
        read(nrrd(tmp_path / "a.nrrd", samples((5, 6)).tobytes(), **fields))


def test_packed_samples_that_end_early_are_called_truncated(tmp_path):
    packed = zlib.compress(samples((500, 600)).tobytes())
    path = metaimage(tmp_path / "a.mha", packed[:-2000], DimSize="600 500", CompressedData="True")
    with pytest.raises(TruncatedFileError, match="unpacks to"):
        only(path).array[...]


def test_packed_samples_that_do_not_decode_are_refused(tmp_path):
    packed = bytearray(gzip.compress(samples((500, 600)).tobytes()))
    packed[200:220] = b"\xff" * 20
    with pytest.raises(ReaderError):
        only(nrrd(tmp_path / "a.nrrd", bytes(packed), sizes="600 500", encoding="gzip")).array[...]


def test_a_bomb_is_refused_on_its_header(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", gzip.compress(bytes(1000)), sizes="60000 50000", encoding="gzip")
    with pytest.raises(TooLargeError):
        read(path)


def test_more_bytes_than_announced_are_not_unpacked(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", gzip.compress(samples((5, 6)).tobytes() + bytes(50 << 20)), encoding="gzip")
    assert np.array_equal(only(path).array[0], samples((5, 6)))


@pytest.mark.parametrize("name", FILES[1:])
def test_cut_files_are_refused(microscopy, tmp_path, name):
    whole, target = (microscopy / name).read_bytes(), tmp_path / name.rpartition("/")[2]
    for cut in np.linspace(1, len(whole) - 1, 20).astype(int):
        target.write_bytes(whole[:cut])
        assert isinstance(outcome(target), ReaderError), f"cut at {cut}"


@pytest.mark.parametrize("bits", [0xFF, 0x01])
@pytest.mark.parametrize("name", FILES[1:])
def test_flipped_header_bytes_give_an_image_or_a_reason(microscopy, tmp_path, name, bits):
    whole, target = bytearray((microscopy / name).read_bytes()), tmp_path / name.rpartition("/")[2]
    for at in range(450):
        whole[at] ^= bits
        target.write_bytes(whole)
        outcome(target)
        whole[at] ^= bits


def test_limits_hold(microscopy):
    for name in FILES:
        with pytest.raises(TooLargeError, match="samples"):
            read(microscopy / name, limits=Limits(max_samples=100))
