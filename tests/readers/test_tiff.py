"""What the TIFF reader reports for files made here: axes, samples, lengths, limits."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import tifffile

from analyses.sdk.values import Channel, LazyArray
from apps.imaging.readers import (
    Limits,
    MetadataError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
    read,
)

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]
LAYOUTS = {
    "plain": {},
    "tiled": {"tile": (32, 48)},
    "strips, deflate": {"rowsperstrip": 7, "compression": "zlib"},
    "tiles, lzw, predictor": {"tile": (16, 16), "compression": "lzw", "predictor": True},
    "packbits": {"compression": "packbits"},
    "zstd": {"compression": "zstd", "rowsperstrip": 100},
}


def samples(shape, dtype="u2", seed=0):
    return (np.random.default_rng(seed).random(shape) * 120).astype(dtype)


def only(path, **kwargs):
    (image,) = read(path, **kwargs)
    return image


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_types_layouts_and_byte_orders(tmp_path, dtype, order, layout):
    array = samples((3, 70, 90), dtype)
    options = dict(LAYOUTS[layout])
    if dtype in ("f4", "f8"):
        options.pop("predictor", None)
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order, photometric="minisblack", metadata=None, **options)
    image = only(tmp_path / "a.tif")
    assert isinstance(image.array, LazyArray)
    assert (image.axes, image.shape, image.dtype) == (("z", "y", "x"), array.shape, np.dtype(dtype).newbyteorder("<"))
    assert np.array_equal(image.array[...], array)
    assert np.array_equal(image.array[1:3, 5:64, 17:81], array[1:3, 5:64, 17:81])
    assert np.array_equal(image.array[2], array[2])
    assert np.array_equal(image.array[-1, 3], array[-1, 3])


def test_bigtiff(tmp_path):
    array = samples((2, 30, 40))
    tifffile.imwrite(tmp_path / "a.btf", array, bigtiff=True, tile=(16, 16), photometric="minisblack")
    assert np.array_equal(only(tmp_path / "a.btf").array[...], array)


@pytest.mark.parametrize(("dtype", "kept"), [(bool, "u1"), ("f2", "<f4")])
def test_types_a_store_does_not_hold_are_widened(tmp_path, dtype, kept):
    array = samples((20, 30), "f4") > 60 if dtype is bool else samples((20, 30), dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    image = only(tmp_path / "a.tif")
    assert image.dtype == np.dtype(kept)
    assert np.array_equal(image.array[0], array.astype(kept))


def test_complex_samples_are_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples((4, 5), "c8"), photometric="minisblack")
    with pytest.raises(UnsupportedFormatError, match="complex64"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}])
@pytest.mark.parametrize(("count", "last"), [(3, "blue"), (4, "alpha")])
def test_colours_are_channels(tmp_path, planar, options, count, last):
    array = samples((40, 50, count), "u1")
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    extra = {"extrasamples": ["unassalpha"]} if count == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, **options, **extra)
    image = only(tmp_path / "a.tif")
    assert image.axes == ("c", "z", "y", "x")
    assert image.channels[0] == Channel("red")
    assert image.channels[-1] == Channel(last)
    assert np.array_equal(image.array[:, 0], np.moveaxis(array, -1, 0))
    assert np.array_equal(image.array[1:3, :, 10:30, 20:50], np.moveaxis(array, -1, 0)[1:3, None, 10:30, 20:50])


def test_a_mosaic_is_read_by_tiles(tmp_path, monkeypatch):
    array = samples((300, 400))
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(64, 64), compression="zlib", metadata=None)
    image = only(tmp_path / "a.tif")
    reads = []
    source = image.array._source
    original = source.read
    monkeypatch.setattr(source, "read", lambda offset, count: reads.append(offset) or original(offset, count))
    assert np.array_equal(image.array[0, 70:120, 130:190], array[70:120, 130:190])
    assert len(reads) == 1
    assert image.array.chunks == (1, 64, 64)


def test_pages_of_different_shape_are_images_of_their_own(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(samples((20, 30)), metadata=None)
        writer.write(samples((25, 30), "u1"), metadata=None)
    one, two = read(tmp_path / "a.tif")
    assert {one.shape, two.shape} == {(1, 20, 30), (1, 25, 30)}
    assert one.name != two.name


def test_reduced_copies_are_left_out(tmp_path):
    array = samples((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(array, metadata=None, subifds=1)
        writer.write(array[::2, ::2], subfiletype=1, metadata=None)
        writer.write(array[::4, ::4], subfiletype=1, metadata=None)
    assert np.array_equal(only(tmp_path / "a.tif").array[0], array)


# ------------------------------------------------------------------------------------------------------------- ImageJ
@pytest.mark.parametrize("single", [False, True])
def test_an_imagej_hyperstack(tmp_path, single):
    array = samples((2, 3, 4, 20, 30))
    options = {} if single else {"compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "TZCYX", "finterval": 2.5}, **options)
    image = only(tmp_path / "a.tif")
    assert image.axes == ("t", "c", "z", "y", "x")
    assert np.array_equal(image.array[...], array.transpose(0, 2, 1, 3, 4))
    assert np.array_equal(image.array[1, 2:4, 0:2, 3:9], array.transpose(0, 2, 1, 3, 4)[1, 2:4, 0:2, 3:9])
    assert len(image.channels) == 4
    assert image.facts["frame_interval"] == {"value": 2.5, "unit": "s", "source": "file"}


def test_an_imagej_stack_with_one_directory_for_all_planes(tmp_path):
    """ImageJ writes stacks above 4 GB with a single image file directory."""
    array = samples((5, 20, 30))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"}, contiguous=True)
    content = bytearray(path.read_bytes())
    order = "<" if content[:2] == b"II" else ">"
    first = struct.unpack_from(f"{order}I", content, 4)[0]
    count = struct.unpack_from(f"{order}H", content, first)[0]
    struct.pack_into(f"{order}I", content, first + 2 + 12 * count, 0)
    path.write_bytes(content)
    image = only(path)
    assert np.array_equal(image.array[...], array)
    with tifffile.TiffFile(path) as tiff:
        end = tiff.series[0].dataoffset + array.nbytes
    path.write_bytes(content[: end - 1])
    with pytest.raises(TruncatedFileError, match="5 planes and holds"):
        read(path)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("micron", 1), ("um", 1), ("\\u00B5m", 1), ("\u00b5m", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4),
        ("pixel", None), ("inch", None), ("", None), ("furlong", None),
    ],
)  # fmt: skip
def test_imagej_lengths_need_a_unit_of_length(tmp_path, unit, um):
    metadata = {"axes": "ZYX", "unit": unit.encode("latin-1").decode("latin-1"), "spacing": 3.0}
    path = tmp_path / "a.tif"
    description = "ImageJ=1.54f\nimages=2\nslices=2\nspacing=3.0\n" + (f"unit={unit}\n" if unit else "")
    tifffile.imwrite(
        path,
        samples((2, 8, 9)),
        metadata=None,
        description=description.encode("latin-1"),
        resolution=(4, 2),
        resolutionunit=1,
        photometric="minisblack",
        byteorder=">",
    )
    assert metadata["axes"] == "ZYX"
    image = only(path)
    expected = {"z": 3.0, "y": 0.5, "x": 0.25}
    if um is None:
        assert image.spacing_um == {"z": None, "y": None, "x": None}
        assert image.spacing_source is None
    else:
        assert image.spacing_um == pytest.approx({axis: value * um for axis, value in expected.items()})
        assert "ImageJ" in image.spacing_source


@pytest.mark.parametrize("spacing", ["0", "-2.0", "nan", "inf", "wide"])
def test_an_imagej_axis_without_a_usable_length_stays_unknown(tmp_path, spacing):
    description = f"ImageJ=1.54f\nimages=2\nslices=2\nspacing={spacing}\nunit=um\n"
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples((2, 8, 9)),
        metadata=None,
        description=description,
        resolution=(4, 2),
        photometric="minisblack",
    )
    image = only(tmp_path / "a.tif")
    assert image.spacing_um == {"z": None, "y": 0.5, "x": 0.25}
    assert not image.calibrated


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_resolution_tags_alone_are_no_calibration(tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", samples((8, 9)), resolution=(300, 300), resolutionunit=unit, metadata=None)
    assert only(tmp_path / "a.tif").spacing_um == {"z": None, "y": None, "x": None}


# ----------------------------------------------------------------------------------------------------------------- OME
def test_ome_tiff_has_axes_channels_and_lengths(tmp_path):
    array = samples((2, 3, 4, 20, 30))
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.1,
        "PhysicalSizeZ": 2.0,
        "PhysicalSizeZUnit": "mm",
        "Channel": {"Name": ["DAPI", "GFP", "BF"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata=metadata, compression="zlib", photometric="minisblack")
    image = only(tmp_path / "a.ome.tif")
    assert image.axes == ("t", "c", "z", "y", "x")
    assert [c.label for c in image.channels] == ["DAPI", "GFP", "BF"]
    assert image.spacing_um == pytest.approx({"x": 0.065, "y": 0.1, "z": 2000.0})
    assert image.spacing_source == "OME PhysicalSize"
    assert np.array_equal(image.array[...], array)
    assert "PhysicalSizeX" in image.header["ome_xml"]


@pytest.mark.parametrize(
    ("value", "unit"), [("0", "nm"), ("-1", "nm"), ("nan", "nm"), ("INF", "nm"), ("5", "pixel"), ("x", "nm")]
)
def test_ome_lengths_that_are_none(value, unit):
    from apps.imaging.readers.tiff_spacing import ome_spacing

    found = ome_spacing(
        {"PhysicalSizeX": value, "PhysicalSizeXUnit": unit, "PhysicalSizeY": "2", "PhysicalSizeYUnit": "\u212b"}
    )
    assert found == {"x": None, "y": pytest.approx(2e-4), "z": None}


def test_several_ome_images_are_several_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(samples((20, 30)), metadata={"Name": "overview", "PhysicalSizeX": 2.0})
        writer.write(samples((3, 40, 50)), metadata={"Name": "detail", "axes": "ZYX"}, photometric="minisblack")
    one, two = read(tmp_path / "a.ome.tif")
    assert (one.name, one.shape, one.spacing_um["x"]) == ("overview", (1, 20, 30), 2.0)
    assert (two.name, two.shape, two.spacing_um["x"]) == ("detail", (3, 40, 50), None)


def ome_file(tmp_path, xml):
    tifffile.imwrite(tmp_path / "a.ome.tif", samples((8, 9)), metadata=None, description=xml.encode())
    return tmp_path / "a.ome.tif"


def test_xml_entities_are_refused(tmp_path):
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">&b;</OME>'
    )
    with pytest.raises(MetadataError, match="XML"):
        read(ome_file(tmp_path, bomb))


def test_planes_in_other_files_are_not_opened(tmp_path):
    tifffile.imwrite(tmp_path / "secret.tif", samples((8, 9)))
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<Image ID="Image:0">'
        '<Pixels ID="P" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="8" SizeZ="2" SizeC="1" SizeT="1">'
        '<TiffData IFD="0" PlaneCount="1" FirstZ="0"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData IFD="0" PlaneCount="1" FirstZ="1"><UUID FileName="secret.tif">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    path = ome_file(tmp_path, xml)
    with pytest.raises(UnsupportedFormatError, match="other files"):
        read(path)


def test_a_renamed_ome_file_is_still_one_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", samples((2, 8, 9)), metadata={"axes": "ZYX"}, photometric="minisblack")
    content = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "renamed.tif").write_bytes(content)
    assert only(tmp_path / "renamed.tif").shape == (2, 8, 9)


# ------------------------------------------------------------------------------------------------------ header, limits
def test_the_header_is_whole_and_fits_into_json(tmp_path):
    extra = [(65000, "B", 4, b"\0\x01\xff\x02", True), (65001, "d", 2, (float("nan"), 1.5), True)]
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples((8, 9)),
        description="line one\nunit=",
        metadata=None,
        extratags=extra,
        datetime="2024:02:03 04:05:06",
        software="acquire 3",
    )
    image = only(tmp_path / "a.tif")
    header = json.loads(json.dumps(image.header, allow_nan=False))
    assert header["tags"]["270 ImageDescription"] == "line one\nunit="
    assert header["tags"]["65000 65000"] == {"base64": "AAH/Ag=="}
    assert header["tags"]["65001 65001"] == ["nan", 1.5]
    assert image.facts["file_created_at"] == {"value": "2024-02-03T04:05:06", "unit": None, "source": "file"}
    assert image.facts["software"]["value"] == "acquire 3"
    assert image.handedness == "unknown"
    assert image.specimen_area is None


def test_the_name_it_was_sent_under_is_the_name(tmp_path):
    tifffile.imwrite(tmp_path / "4f3a", samples((8, 9)), metadata=None)
    assert only(tmp_path / "4f3a", name="polished 12.tif").name == "polished 12"


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(max_samples=1000), "samples"),
        (Limits(max_pages=3), "pages"),
        (Limits(max_header_bytes=100), "header"),
        (Limits(max_ratio=3, ratio_floor_bytes=10), "decoded"),
        (Limits(max_segment_bytes=100), "pieces"),
    ],
)
def test_limits_are_checked_on_the_header(tmp_path, limits, what, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 50, 60), "u2"), compression="zlib", photometric="minisblack")
    monkeypatch.setattr(tifffile, "TiffFile", None)  # nothing may be decoded before the limits are checked
    with pytest.raises(TooLargeError, match=what):
        read(tmp_path / "a.tif", limits=limits)


def test_a_decompression_bomb_is_refused(tmp_path):
    plane = np.zeros((20_000, 20_000), "u1")
    tifffile.imwrite(tmp_path / "a.tif", plane, compression="zlib", metadata=None, rowsperstrip=20_000)
    assert (tmp_path / "a.tif").stat().st_size < 1 << 20
    with pytest.raises(TooLargeError, match="announces") as caught:
        read(tmp_path / "a.tif")
    assert caught.value.details["decoded_bytes"] == 400_000_000


def test_a_header_that_announces_terabytes_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples((8, 9)), metadata=None, byteorder="<")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    first = struct.unpack_from("<I", content, 4)[0]
    for entry in range(struct.unpack_from("<H", content, first)[0]):
        at = first + 2 + 12 * entry
        if struct.unpack_from("<H", content, at)[0] in (256, 257, 278):
            struct.pack_into("<HII", content, at + 2, 4, 1, 1 << 30)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.tif")


def test_a_loop_of_directories_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples((8, 9)), metadata=None, byteorder="<")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    first = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, first)[0]
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(MetadataError, match="loop"):
        read(tmp_path / "a.tif")


def test_missing_tiles_are_not_made_up(tmp_path):
    def tiles():
        yield np.ones((16, 16), "u1")
        yield None

    tifffile.imwrite(
        tmp_path / "a.tif", tiles(), shape=(16, 32), dtype="u1", tile=(16, 16), compression="zlib", metadata=None
    )
    with pytest.raises(UnsupportedFormatError, match="leaves out"):
        read(tmp_path / "a.tif")


def test_a_file_without_a_page_is_truncated(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0\0\0\0\0")
    with pytest.raises(TruncatedFileError, match="no page"):
        read(tmp_path / "a.tif")
