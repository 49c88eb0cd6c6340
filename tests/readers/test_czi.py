"""ZEISS CZI: the values of real files, mosaics, colours and planes of files written here, and hostile segments."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from pylibCZIrw import czi as native

from analyses.sdk.values import Channel
from apps.imaging.readers import (
    ContentMismatchError,
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
    read,
)
from apps.imaging.readers.czi_facts import CziMetadata, iso_moment
from apps.imaging.readers.czi_scan import scan_czi
from tests.readers.vendor_files import digest, outcome, place_of, samples_sum

SEM = "czi/Al2O3_SE_020_sp.czi"
MOSAIC = "czi/S3_1Pos_2Mosaic_T1_Z1_CH1.czi"
SERIES = "czi/CellDivision_T3_Z5_CH2_X240_Y170.czi"
ZERO_SCALE = "czi/FOV7_HV110_P0500510000.czi"
NO_SCALE = "czi/DAPI_GFP.czi"
FILES = [SEM, MOSAIC, SERIES, ZERO_SCALE, NO_SCALE]


def expected(folder, name):
    (found,) = [item for item in json.loads((folder / "expected.json").read_text()) if item["file"] == name]
    return found


# -------------------------------------------------------------------------------------------------------- real files
@pytest.mark.parametrize("name", FILES)
def test_every_plane_has_the_expected_samples(microscopy, name):
    images = read(microscopy / name)
    listed = expected(microscopy, name)["arrays"]
    assert listed
    for item in listed:
        scene, plane = place_of(item["name"])
        image = images[scene]
        key = tuple(plane.get(axis, slice(None)) for axis in image.axes)
        data = image.array[key]
        assert list(data.shape) == item["shape"]
        assert data.dtype.name == item["dtype"]
        assert samples_sum(data) == item["sum"]
        assert digest(data) == item["sha256"]


@pytest.mark.parametrize("name", FILES)
def test_lengths_dates_and_instruments_are_those_of_the_file(microscopy, name):
    stated = expected(microscopy, name)["expect"]
    for image in read(microscopy / name):
        axes = "zyx"[-len(stated["pixel_m"] or "yx") :]
        found = [image.spacing_um[axis] for axis in axes]
        wanted = [length * 1e6 for length in stated["pixel_m"]] if stated["pixel_m"] else [None] * len(axes)
        assert found == (pytest.approx(wanted) if stated["pixel_m"] else wanted)
        assert image.calibrated is (stated["pixel_m"] is not None)
        if "date" in stated:
            assert image.facts["acquired_at"]["raw"] == stated["date"]
            assert image.facts["instrument"]["value"] == stated["instrument"]
        else:
            assert "acquired_at" not in image.facts
            assert "instrument" not in image.facts


def test_an_sem_image_stored_as_czi_has_its_stage_in_custom_attributes(microscopy):
    (image,) = read(microscopy / SEM)
    assert image.modality == "sem"
    facts = {name: (entry["value"], entry["unit"], entry.get("raw")) for name, entry in image.facts.items()}
    assert facts["stage_x"] == (48471.0, "um", "48.471 mm")
    assert facts["stage_y"] == (49975.0, "um", "49.975 mm")
    assert facts["stage_z"] == (36978.0, "um", "36.978 mm")
    assert facts["stage_m"] == (5000.0, "um", "5.000 mm")
    assert facts["stage_rotation"] == (16.2, "deg", "16.2 °")
    assert facts["stage_tilt"] == (0.0, "deg", "0.0 °")
    assert facts["accelerating_voltage"] == (5.0, "kV", "5.00 kV")
    assert facts["magnification"] == (2000.0, "1", "2.00 K X")
    assert facts["pressure"] == (0.000162, "Pa", "1.62e-06 mbar")
    assert facts["acquired_at"][0] == "2021-11-22T11:31:22"
    assert facts["detector"][0] == "BSD4 A"
    assert image.facts["stage_x"]["tag"] == "StageCenterX"
    assert "working_distance" not in facts


def test_scale_entries_of_zero_mean_uncalibrated(microscopy):
    (image,) = read(microscopy / ZERO_SCALE)
    assert image.spacing_um == {"z": None, "y": None, "x": None}
    assert image.spacing_source is None


def test_a_file_without_any_scaling_is_uncalibrated(microscopy):
    (image,) = read(microscopy / NO_SCALE)
    assert image.spacing_um == {"z": None, "y": None, "x": None}
    assert image.channels == (Channel("DAPI"), Channel("GFP"))


def test_the_czi_and_the_ome_tiff_made_of_it_have_the_same_samples(microscopy):
    (czi,) = read(microscopy / ZERO_SCALE)
    (tiff,) = read(microscopy / ZERO_SCALE.replace(".czi", ".ome.tiff"))
    assert np.array_equal(czi.array[...], tiff.array[...])


def test_scenes_are_images_with_their_centre_and_contour_on_the_stage(microscopy):
    stated = expected(microscopy, MOSAIC)["expect"]
    images = read(microscopy / MOSAIC)
    assert len(images) == stated["scenes"]
    by_name = {image.facts["scene"]["value"]: image for image in images}
    for scene, centre in stated["scene_centers_um"].items():
        assert by_name[scene].facts["scene_center"]["value"] == centre
        assert by_name[scene].facts["scene_center"]["unit"] == "um"
        assert [by_name[scene].facts[f"stage_{axis}"]["value"] for axis in "xy"] == centre
    assert by_name["TR1"].facts["scene_contour_size"]["value"] == [389.12, 124.435]
    assert by_name["TR1"].facts["scene_contour"]["value"] == "Rectangle"
    assert "scene_contour_size" not in by_name["P1"].facts
    assert by_name["TR2"].facts["tiles"]["value"] == 17
    assert 0.2 < by_name["TR2"].facts["frame_without_tiles"]["value"] < 0.3
    assert "frame_without_tiles" not in by_name["TR1"].facts
    assert len({image.name for image in images}) == 3


def test_a_single_plane_has_no_distance_along_z(microscopy):
    assert all(image.spacing_um["z"] is None for image in read(microscopy / MOSAIC))
    (series,) = read(microscopy / SERIES)
    assert series.spacing_um["z"] == pytest.approx(0.32)


def test_a_series_has_times_channels_and_planes(microscopy):
    (image,) = read(microscopy / SERIES)
    assert (image.axes, image.shape) == (("t", "c", "z", "y", "x"), (3, 2, 5, 170, 240))
    assert image.channels == (Channel("LED555", "Axiocam 506"), Channel("LED470", "Axiocam 506"))
    assert image.facts["exposure_time"]["value"] == [0.1, 0.2]
    assert image.facts["objective"]["value"] == "Plan-Apochromat 50x/1.2"
    assert image.modality == "light"


def test_a_region_is_read_without_the_rest(microscopy):
    (image,) = read(microscopy / SERIES)
    whole = image.array[...]
    assert np.array_equal(image.array[1, :, 2:4, 20:150, 7:99], whole[1, :, 2:4, 20:150, 7:99])
    assert np.array_equal(image.array[-1, 1, 0, 3], whole[-1, 1, 0, 3])
    assert image.array[0:0].shape == (0, 2, 5, 170, 240)


# ------------------------------------------------------------------------------------------------- files written here
def write(path, planes, **metadata):
    """A CZI of ``planes``: (array y x sample, plane, location, scene)."""
    with native.create_czi(str(path)) as document:
        for data, plane, location, scene in planes:
            document.write(data=data, plane={"C": 0, "T": 0, "Z": 0} | plane, location=location, scene=scene)
        if metadata:
            document.write_metadata(**metadata)


def tile(height, width, samples=1, dtype="u1", seed=0):
    top = 250 if np.dtype(dtype).kind != "f" else 1
    return (np.random.default_rng(seed).random((height, width, samples)) * top).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_grey_samples_of_each_type(tmp_path, dtype):
    data = tile(30, 40, dtype=dtype)
    write(tmp_path / "a.czi", [(data, {}, (0, 0), 0)])
    (image,) = read(tmp_path / "a.czi")
    assert image.dtype == np.dtype(dtype)
    assert np.array_equal(image.array[0], data[..., 0])


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colours_stored_blue_first_are_channels_red_green_blue(tmp_path, dtype):
    data = tile(30, 40, 3, dtype)
    write(tmp_path / "a.czi", [(data, {}, (0, 0), 0)])
    (image,) = read(tmp_path / "a.czi")
    assert image.axes == ("c", "z", "y", "x")
    assert [channel.label.split()[-1] for channel in image.channels] == ["red", "green", "blue"]
    for number, sample in enumerate((2, 1, 0)):
        assert np.array_equal(image.array[number, 0], data[..., sample])
    assert np.array_equal(image.array[1:3, :, 5:9, 6:20], np.moveaxis(data[5:9, 6:20, 1::-1], -1, 0)[:, None])


def test_tiles_are_composed_and_gaps_are_stated(tmp_path):
    left, right = tile(20, 30), tile(20, 30, seed=1)
    write(tmp_path / "a.czi", [(left, {}, (-10, 5), 0), (right, {}, (40, 5), 0)])
    (image,) = read(tmp_path / "a.czi")
    assert image.shape == (1, 20, 80)
    assert np.array_equal(image.array[0, :, :30], left[..., 0])
    assert np.array_equal(image.array[0, :, 50:], right[..., 0])
    assert not image.array[0, :, 30:50].any()
    assert image.facts["frame_without_tiles"]["value"] == pytest.approx(0.25)


def test_planes_that_were_never_taken_are_counted(tmp_path):
    taken = [{"C": 0, "T": 0}, {"C": 1, "T": 0}, {"C": 0, "T": 1}]
    planes = [(tile(8, 9, seed=number), plane, (0, 0), 0) for number, plane in enumerate(taken)]
    write(tmp_path / "a.czi", planes)
    (image,) = read(tmp_path / "a.czi")
    assert image.shape == (2, 2, 1, 8, 9)
    assert np.array_equal(image.array[1, 0, 0], planes[2][0][..., 0])
    assert image.facts["planes_not_stored"]["value"] == 1


def test_channels_of_different_types_are_widened_to_one(tmp_path):
    small, large = tile(8, 9), tile(8, 9, dtype="u2", seed=1)
    write(tmp_path / "a.czi", [(small, {"C": 0}, (0, 0), 0), (large, {"C": 1}, (0, 0), 0)])
    (image,) = read(tmp_path / "a.czi")
    assert image.dtype == np.dtype("u2")
    assert np.array_equal(image.array[0, 0], small[..., 0])
    assert np.array_equal(image.array[1, 0], large[..., 0])


def test_a_channel_missing_in_one_scene_is_missing_there_only(tmp_path):
    write(
        tmp_path / "a.czi",
        [(tile(8, 9), {"C": 0}, (0, 0), 0), (tile(8, 9), {"C": 1}, (0, 0), 0), (tile(8, 9), {"C": 0}, (50, 0), 1)],
    )
    first, second = read(tmp_path / "a.czi")
    assert first.shape == (2, 1, 8, 9)
    assert second.shape == (1, 8, 9)


def test_a_scale_that_is_written_is_read(tmp_path):
    planes = [(tile(8, 9), {}, (0, 0), 0)]
    write(tmp_path / "a.czi", planes, scale_x=2e-7, scale_y=3e-7, channel_names={0: "SE"})
    (image,) = read(tmp_path / "a.czi")
    assert (image.spacing_um["y"], image.spacing_um["x"]) == (pytest.approx(0.3), pytest.approx(0.2))
    assert image.channels == (Channel("SE"),)


@pytest.mark.parametrize("value", ["0", "NaN", "-1E-7", "", "abc", "INF"])
def test_a_scale_entry_that_is_no_length_is_absent(value):
    items = f"<Distance Id='X'><Value>{value}</Value></Distance><Pixel Id='Y'><Value>1</Value></Pixel>"
    xml = f"<ImageDocument><Metadata><Scaling><Items>{items}</Items></Scaling></Metadata></ImageDocument>"
    assert CziMetadata(xml, "a.czi").spacing_um() == {"z": None, "y": None, "x": None}


def test_dates_keep_their_zone_and_year_one_is_no_date():
    assert iso_moment("2021-06-15T06:09:43.0304818Z") == "2021-06-15T06:09:43.0304818Z"
    assert iso_moment("2021-11-22T11:31:22") == "2021-11-22T11:31:22"
    assert iso_moment("2021-11-22T19:03:23.3+01:00") == "2021-11-22T19:03:23.3+01:00"
    assert iso_moment("0001-01-01T00:00:00") is None
    assert iso_moment("soon") is None


def test_a_scan_rotation_that_is_switched_off_is_none():
    def parameters(state):
        inner = f"<ScanRotation>30.0 °</ScanRotation><ScanRotationEnabled>{state}</ScanRotationEnabled>"
        xml = f"<ImageDocument><Metadata><X><Parameters>{inner}</Parameters></X></Metadata></ImageDocument>"
        return CziMetadata(xml, "a.czi").facts([0])["scan_rotation"]

    assert parameters("On")["value"] == 30.0
    assert parameters("Off")["value"] == 0.0
    assert parameters("Off")["raw"] == "30.0 °, switched off"


def test_reduced_copies_are_left_out(tmp_path):
    full, copy = tile(12, 16), tile(6, 8, seed=1)
    write(tmp_path / "a.czi", [(full, {}, (0, 0), 0), (copy, {}, (0, 0), 0)])
    content = bytearray((tmp_path / "a.czi").read_bytes())
    second = directory_of(tmp_path / "a.czi") + 32 + 128
    second += 32 + 20 * struct.unpack_from("<i", content, second + 28)[0]
    resize(content, second, {b"X": 16, b"Y": 12})  # said to show the frame of the first, in fewer samples
    (tmp_path / "b.czi").write_bytes(content)
    (image,) = read(tmp_path / "b.czi")
    assert np.array_equal(image.array[0], full[..., 0])
    assert image.header["reduced_copies"] == 1
    assert "tiles" not in image.facts


# -------------------------------------------------------------------------------------------------------- hostile files
def resize(content, entry, sizes, *, stored=False):
    """Write other sizes into a directory entry and into the sub-block it names, and into the stored sizes if asked."""
    position = struct.unpack_from("<q", content, entry + 6)[0]
    for base in (entry, position + 32 + 16):
        for number in range(struct.unpack_from("<i", content, base + 28)[0]):
            at = base + 32 + 20 * number
            size = sizes.get(bytes(content[at : at + 4]).rstrip(b"\0"))
            if size is not None:
                struct.pack_into("<i", content, at + 8, size)
                if stored:
                    struct.pack_into("<i", content, at + 16, size)


@pytest.fixture
def small(tmp_path):
    write(tmp_path / "a.czi", [(tile(12, 15), {}, (0, 0), 0)])
    return tmp_path / "a.czi"


def test_entities_in_the_metadata_are_refused(small):
    xml = "<!DOCTYPE a [<!ENTITY b 'c'>]><ImageDocument>&b;</ImageDocument>"
    with pytest.raises(MetadataError, match="not plain XML"):
        CziMetadata(xml, "a.czi")


def test_cut_files_are_refused(small, tmp_path):
    whole = small.read_bytes()
    for cut in np.linspace(1, len(whole) - 40, 20).astype(int):
        (tmp_path / "cut.czi").write_bytes(whole[:cut])
        assert isinstance(outcome(tmp_path / "cut.czi"), ReaderError), f"cut at {cut}"


def test_flipped_bytes_give_an_image_or_a_reason(small, tmp_path):
    whole = bytearray(small.read_bytes())
    for at in range(0, min(4096, len(whole)), 3):
        whole[at] ^= 0xFF
        (tmp_path / "flipped.czi").write_bytes(whole)
        outcome(tmp_path / "flipped.czi")
        whole[at] ^= 0xFF


def patched(path, target, offset, form, value):
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, value)
    target.write_bytes(content)
    return target


def directory_of(path):
    return struct.unpack_from("<q", path.read_bytes(), 32 + 52)[0]


@pytest.mark.parametrize("position", [-1, 1 << 62, 10, 3])
def test_a_directory_that_is_elsewhere_is_refused(small, tmp_path, position):
    with pytest.raises((TruncatedFileError, MetadataError)):
        read(patched(small, tmp_path / "b.czi", 32 + 52, "<q", position))


@pytest.mark.parametrize("count", [-1, 0, 2, 1 << 30])
def test_a_count_of_subblocks_that_does_not_fit_is_refused(small, tmp_path, count):
    with pytest.raises((MetadataError, TruncatedFileError)):
        read(patched(small, tmp_path / "b.czi", directory_of(small) + 32, "<i", count))


def test_a_tile_larger_than_its_bytes_is_refused_before_the_library_sees_it(small, tmp_path):
    entry = directory_of(small) + 32 + 128
    content = bytearray(small.read_bytes())
    resize(content, entry, {b"X": 100_000}, stored=True)
    (tmp_path / "b.czi").write_bytes(content)
    with pytest.raises(TruncatedFileError, match="a tile of 100000 x 12"):
        scan_czi(tmp_path / "b.czi", "b.czi", Limits())


def test_a_part_of_several_files_is_refused(small, tmp_path):
    with pytest.raises(UnsupportedFormatError, match="part 1 of several"):
        read(patched(small, tmp_path / "b.czi", 32 + 48, "<i", 1))


def test_limits_hold(small):
    with pytest.raises(TooLargeError, match="samples"):
        read(small, limits=Limits(max_samples=100))


def test_the_name_must_not_promise_another_format(small, tmp_path):
    with pytest.raises(ContentMismatchError, match="the content is CZI"):
        read(small, name="a.tif")


def test_a_subblock_that_counts_other_dimensions_than_the_directory_never_reaches_the_library(small, tmp_path):
    """The library takes the count of the sub-block itself, and ends the process on a large one."""
    at = small.read_bytes().index(b"ZISRAWSUBBLOCK") + 32 + 16 + 28
    with pytest.raises(MetadataError, match="contradicts the directory"):
        read(patched(small, tmp_path / "b.czi", at, "<I", 0xFF000004))
