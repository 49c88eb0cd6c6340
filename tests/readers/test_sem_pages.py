"""Whole SEM files: byte orders, pages as channels, fields as images, and damage."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from apps.imaging.readers import Limits, TooLargeError, read
from tests.readers.sem_files import JEOL, fei_with, fibics, only, outcome, samples, tescan, value, write, zeiss


def fei_page(detector, **sections):
    return {34682: fei_with(Detectors={"Name": detector, "Mode": detector}, **sections)}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_both_byte_orders_and_bigtiff(tmp_path, order, big):
    path = tmp_path / "a.tif"
    array = samples(seed=3)
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as writer:
        data = zeiss({"AP_WD": "WD = 4 mm"})
        writer.write(array, metadata=None, extratags=[(34118, 1, len(data), data, True)])
    image = only(path)
    assert image.spacing_um["x"] == pytest.approx(5.824988e-3 * 64)
    assert value(image, "working_distance") == 4.0
    assert np.array_equal(image.array[0], array)


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16), "compression": "zlib"}])
def test_pages_of_one_field_are_channels_with_the_names_of_their_detectors(tmp_path, options):
    image = only(write(tmp_path / "session.tif", [fei_page("ETD"), fei_page("BSED"), fei_page("TLD")], **options))
    assert (image.name, image.axes, image.shape) == ("session", ("c", "z", "y", "x"), (3, 1, 12, 16))
    assert [(c.label, c.detector) for c in image.channels] == [(d, d) for d in ("ETD", "BSED", "TLD")]
    assert all(np.array_equal(image.array[n, 0], samples(seed=n)) for n in range(3))
    assert np.array_equal(image.array[1:3, 0, 3:7, 2:9], [samples(seed=n)[3:7, 2:9] for n in (1, 2)])
    assert value(image, "detector") == "ETD, BSED, TLD"
    assert [page["page"] for page in image.header["pages"]] == [1, 2]


def test_what_differs_between_the_pages_is_no_fact_of_the_image(tmp_path):
    other = {"User": {"Time": "05:09:00 PM"}, "EBeam": {"HV": "2000"}, "Scan": {"Dwelltime": "1e-006"}}
    image = only(write(tmp_path / "a.tif", [fei_page("ETD"), fei_page("BSED", **other)]))
    assert not {"accelerating_voltage", "dwell_time", "mode"} & set(image.facts)
    assert value(image, "acquired_at") == "2016-06-13T17:06:40"
    assert value(image, "working_distance") == 4.0
    assert image.header["pages"][0]["vendor"]["sections"]["EBeam"]["HV"] == "2000"


def test_pages_without_a_header_belong_to_the_field_of_the_first(tmp_path):
    image = only(write(tmp_path / "a.tif", [{34118: zeiss({"DP_DETECTOR_CHANNEL": "Signal A = SE2"})}, {}]))
    assert image.shape == (2, 1, 12, 16)
    assert [c.label for c in image.channels] == ["SE2", "channel 1"]


def test_a_page_of_another_size_without_a_header_has_no_scale(tmp_path):
    one, two = read(write(tmp_path / "a.tif", [fei_page("ETD"), {}], arrays=[samples(), samples((6, 8))]))
    assert one.calibrated
    assert (two.shape, two.calibrated, two.specimen_area) == ((1, 6, 8), False, None)
    assert "stage_x" not in two.facts


@pytest.mark.parametrize(
    ("moved", "images"),
    [({"StageX": "0.0010001"}, 1), ({"StageX": "0.00102"}, 2), ({"StageR": "1.0005"}, 1), ({"StageT": "0.6"}, 2)],
)
def test_fields_apart_are_images_of_their_own(tmp_path, moved, images):
    """The field is 16 um wide; a stage that stood still reads the same to a hundredth of it."""
    found = read(write(tmp_path / "a.tif", [fei_page("ETD"), fei_page("BSED", Stage=moved)]))
    assert len(found) == images
    assert len({image.name for image in found}) == images


def test_fields_at_another_scale_are_images_of_their_own(tmp_path):
    one, two = read(write(tmp_path / "a.tif", [fei_page("ETD"), fei_page("ETD", Scan={"PixelWidth": "2e-006"})]))
    assert (one.spacing_um["x"], two.spacing_um["x"]) == (1.0, 2.0)
    assert one.spacing_um["y"] == two.spacing_um["y"] == 1.0


def test_pages_of_one_detector_are_planes(tmp_path):
    image = only(write(tmp_path / "a.tif", [fei_page("ETD")] * 4))
    assert (image.axes, image.shape) == (("z", "y", "x"), (4, 12, 16))
    assert image.facts["page_axis"] == {"value": "z", "unit": None, "source": "derived"}
    assert image.spacing_um["z"] is None
    assert not image.calibrated


def test_detectors_in_turn_are_channels_of_planes(tmp_path):
    image = only(write(tmp_path / "a.tif", [fei_page(d) for d in ("ETD", "BSED") * 3]))
    assert image.shape == (2, 3, 12, 16)
    assert np.array_equal(image.array[1, 2], samples(seed=5))


def test_colours_of_an_export_are_channels_of_its_detector(tmp_path):
    array = samples((12, 16, 3))
    image = only(write(tmp_path / "a.tif", [fei_page("ETD")], arrays=[array], photometric="rgb"))
    assert [c.label for c in image.channels] == ["ETD red", "ETD green", "ETD blue"]
    assert np.array_equal(image.array[:, 0], np.moveaxis(array, -1, 0))


def test_sizes_apart_are_images_of_their_own(tmp_path):
    pages = [fei_page("ETD"), fei_page("ETD", Image={"ResolutionX": "8", "ResolutionY": "6"})]
    one, two = read(write(tmp_path / "a.tif", pages, arrays=[samples(), samples((6, 8))]))
    assert (one.shape, two.shape) == ((1, 12, 16), (1, 6, 8))


def test_a_jeol_side_car_describes_a_tiff_and_its_pages(tmp_path):
    (tmp_path / "a.txt").write_text(JEOL)
    write(tmp_path / "a.tif", [{}, {}], arrays=[samples((1024, 1280)), samples((1024, 1280), 1)])
    image = only(tmp_path / "a.tif", beside={"a.txt": tmp_path / "a.txt"})
    assert image.spacing_um["x"] == pytest.approx(100 / 101)
    assert image.spacing_u_um["x"] > 0
    assert image.shape[-2:] == (1024, 1280)


def test_the_scale_that_imagej_wrote_goes_before_a_vendor_s_older_one(tmp_path):
    """Fiji keeps no vendor's tags; a side-car beside a file that it wrote is of another frame."""
    (tmp_path / "a.txt").write_text(JEOL)
    array = samples((1024, 1280))
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    image = only(tmp_path / "a.tif", beside={"a.txt": tmp_path / "a.txt"})
    assert image.spacing_um["x"] == 0.25


def test_one_directory_for_several_planes_loses_none(tmp_path):
    (tmp_path / "a.txt").write_text(JEOL)
    array = samples((3, 12, 16))
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "ZYX", "truncate": True}, photometric="minisblack")
    image = only(tmp_path / "a.tif", beside={"a.txt": tmp_path / "a.txt"})
    assert np.array_equal(image.array[...], array)


def test_the_vendor_s_date_stands_beside_that_of_the_tiff(tmp_path):
    main = "Date=2024-05-06\nTime=07:08:09\nDevice=VEGA3\nPixelSizeX=2e-9\nSoftwareVersion=4\n"
    image = only(write(tmp_path / "a.tif", [{50431: tescan(main)}], datetime="2025:01:01 00:00:00"))
    assert value(image, "acquired_at") == "2024-05-06T07:08:09"
    assert value(image, "file_created_at") == "2025-01-01T00:00:00"
    assert (image.spacing_um["x"], image.spacing_um["y"]) == (pytest.approx(0.002), None)


def test_more_fields_than_images_are_allowed_is_refused(tmp_path):
    pages = [fei_page("ETD", Stage={"StageX": f"{number}e-3"}) for number in range(4)]
    write(tmp_path / "a.tif", pages)
    with pytest.raises(TooLargeError, match="more than 3 fields"):
        read(tmp_path / "a.tif", limits=Limits(max_images=3))


# -------------------------------------------------------------------------------------------------------------- damage
@pytest.fixture(params=["zeiss", "fei", "fibics", "tescan"])
def whole(request, tmp_path):
    pages = {
        "zeiss": [{34118: zeiss({"AP_WIDTH": "Width = 5.965 µm"})}],
        "fei": [fei_page("ETD"), fei_page("BSED")],
        "fibics": [{51023: fibics("<Ux>0.1</Ux><Uy>0</Uy>")}],
        "tescan": [{50431: tescan("PixelSizeX=2e-9\n", "HV=5\n")}],
    }[request.param]
    return write(tmp_path / "whole.tif", pages).read_bytes()


def test_a_cut_file_is_an_image_or_a_reason(whole, tmp_path):
    for cut in np.linspace(1, len(whole) - 1, 60).astype(int):
        (tmp_path / "cut.tif").write_bytes(whole[:cut])
        outcome(tmp_path / "cut.tif")


@pytest.mark.parametrize("bits", [0xFF, 0x01])
def test_a_file_with_a_flipped_byte_is_an_image_or_a_reason(whole, tmp_path, bits):
    for at in range(0, min(len(whole), 1500), 3):
        damaged = bytearray(whole)
        damaged[at] ^= bits
        (tmp_path / "flipped.tif").write_bytes(damaged)
        outcome(tmp_path / "flipped.tif")
