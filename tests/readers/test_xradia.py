"""Xradia: a real scan of projections, and copies of it whose streams say something else."""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import olefile
import pytest

from apps.imaging.readers import (
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
    read,
)
from tests.readers.vendor_files import digest, outcome, samples_sum

SCAN = "txrm/txrm_test_chip_tomo.txrm"


@pytest.fixture
def scan(shared_data):
    path = shared_data / "microscopy" / SCAN
    if not path.is_file():
        pytest.skip(f"shared data: {path} does not exist")
    return path


@pytest.fixture
def stated(shared_data):
    listed = json.loads((shared_data / "microscopy" / "expected.json").read_text())
    (found,) = [item for item in listed if item["file"] == SCAN]
    return found


def changed(scan, target, **streams):
    """A copy of the scan with other contents in some streams of ``ImageInfo``, of the lengths they have."""
    shutil.copyfile(scan, target)
    target.chmod(0o644)
    with olefile.OleFileIO(str(target), write_mode=True) as ole:
        for name, value in streams.items():
            key = f"ImageInfo/{name}" if "_" not in name else name.replace("_", "/")
            ole.write_stream(key, value)
    return target


def whole(value):
    return struct.pack("<i", value)


def reals(*values):
    return struct.pack(f"<{len(values)}f", *values)


def only(path, **options):
    (image,) = read(path, **options)
    return image


# -------------------------------------------------------------------------------------------------------- the real scan
def test_samples_are_those_expected(scan, stated):
    (listed,) = stated["arrays"]
    data = only(scan).array[...][:, 0]
    assert (list(data.shape), data.dtype.name) == (listed["shape"], listed["dtype"])
    assert samples_sum(data) == listed["sum"]
    assert digest(data) == listed["sha256"]


def test_projections_are_frames_and_never_planes_of_a_volume(scan):
    image = only(scan)
    assert (image.axes, image.shape) == (("t", "z", "y", "x"), (7, 1, 256, 256))
    assert image.kind == "intensity"
    assert image.spacing_um["z"] is None
    assert image.facts["mode"]["value"] == "projections"
    assert "projections" in image.name
    assert image.modality == "nano_xrm"


def test_every_value_of_the_scan_is_reported(scan, stated):
    image, wanted = only(scan), stated["expect"]
    facts = {name: entry["value"] for name, entry in image.facts.items()}
    assert image.spacing_um["x"] == image.spacing_um["y"] == wanted["pixel_um"]
    assert facts["photon_energy"] == pytest.approx(wanted["energy_eV"] / 1000, rel=1e-15)
    assert image.facts["photon_energy"]["unit"] == "keV"
    assert facts["acquired_at"] == "2015-11-09T18:19:21"
    assert image.facts["acquired_at"]["raw"] == wanted["date"].removesuffix(" (m/d/y)")
    assert facts["angles"][0] == facts["stage_rotation"] == wanted["angles0"]
    assert [facts[f"stage_{axis}"] for axis in "xyz"] == wanted["stage_um_first"]
    assert facts["exposure_time"] == 5.0
    assert facts["binning"] == "8x8"
    assert "operator" not in facts
    assert "sample" not in facts


def test_positions_and_dates_are_kept_for_each_projection(scan):
    facts = only(scan).facts
    assert [len(facts[name]["value"]) for name in ("angles", "stage_x_by_image", "acquired_at_by_image")] == [7, 7, 7]
    assert facts["acquired_at_by_image"]["value"][-1] == "2015-11-09T18:20:12"
    assert facts["angles"]["unit"] == "deg"


def test_ten_slots_of_energy_an_image_are_one_energy(scan):
    facts = only(scan).facts
    assert facts["photon_energy"]["raw"] == "9200.0166015625 eV"
    assert "photon_energies" not in facts


def test_units_of_axes_are_in_latin_1(scan):
    assert only(scan).facts["stage_x"]["raw"] == "1019.4400024414062 µm"


def test_a_region_is_read_without_the_rest(scan):
    image = only(scan)
    data = image.array[...]
    assert np.array_equal(image.array[2:4, :, 10:20, 30:90], data[2:4, :, 10:20, 30:90])
    assert np.array_equal(image.array[-1, 0, 5], data[-1, 0, 5])
    assert image.array[3:3].shape == (0, 1, 256, 256)


# ------------------------------------------------------------------------------------- copies that say something else
def test_a_single_image(scan, tmp_path):
    image = only(changed(scan, tmp_path / "a.xrm", NoOfImages=whole(1), ImagesTaken=whole(1)))
    assert (image.axes, image.shape) == (("z", "y", "x"), (1, 256, 256))
    assert image.facts["mode"]["value"] == "image"
    assert image.facts["photon_energy"]["value"] == pytest.approx(9.2000166)
    assert image.facts["stage_rotation"]["value"] == -45.018001556396484


def test_a_reconstruction_is_a_volume_with_the_pixel_size_along_z(scan, tmp_path):
    image = only(changed(scan, tmp_path / "a.txm", Angles=reals(*[0.0] * 7)))
    assert (image.axes, image.shape) == (("z", "y", "x"), (7, 256, 256))
    assert image.spacing_um["z"] == image.spacing_um["x"] == 0.15578947961330414
    assert image.facts["mode"]["value"] == "reconstruction"
    assert "angles" not in image.facts


def test_projections_called_txm_stay_projections(scan, tmp_path):
    assert only(changed(scan, tmp_path / "a.txm")).axes == ("t", "z", "y", "x")


def test_images_at_one_angle_are_a_series_and_no_volume(scan, tmp_path):
    energies = np.zeros(61, "<f4")
    energies[::10] = 9000 + np.arange(7)
    path = changed(scan, tmp_path / "a.txrm", Angles=reals(*[3.0] * 7), Energy=energies.tobytes())
    image = only(path)
    assert image.axes == ("t", "z", "y", "x")
    assert image.facts["mode"]["value"] == "series"
    assert image.facts["photon_energies"]["value"] == pytest.approx([9 + n / 1000 for n in range(7)])


def test_samples_of_another_type(scan, tmp_path):
    path = changed(scan, tmp_path / "a.txrm", ImageHeight=whole(128), DataType=whole(10))
    image = only(path)
    assert (image.shape, image.dtype) == ((7, 1, 128, 256), np.dtype("f4"))
    raw = only(scan).array[0, 0].tobytes()
    assert image.array[0, 0].tobytes() == raw


def test_a_mosaic_stored_in_one_image_has_the_size_of_all_its_tiles(scan, tmp_path):
    sizes = {"ImageHeight": whole(128), "ImageWidth": whole(64), "MosiacRows": whole(2), "MosiacColumns": whole(4)}
    image = only(changed(scan, tmp_path / "a.xrm", NoOfImages=whole(1), ImagesTaken=whole(1), **sizes))
    assert image.shape == (1, 256, 256)
    assert np.array_equal(image.array[0], only(scan).array[0, 0])


def test_a_scan_that_was_stopped_has_the_images_that_were_taken(scan, tmp_path):
    image = only(changed(scan, tmp_path / "a.txrm", ImagesTaken=whole(3)))
    assert image.shape == (3, 1, 256, 256)
    assert len(image.facts["angles"]["value"]) == 3


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_pixel_size_that_is_no_length_is_absent(scan, tmp_path, value):
    image = only(changed(scan, tmp_path / "a.txrm", PixelSize=reals(value)))
    assert image.spacing_um == {"z": None, "y": None, "x": None}
    assert not image.calibrated


def test_what_is_empty_in_the_file_is_no_fact(scan, tmp_path):
    path = changed(
        scan, tmp_path / "a.txrm", Energy=bytes(244), ExpTimes=bytes(28), Date=bytes(280), HorizontalBin=bytes(4)
    )
    facts = only(path).facts
    assert not {"photon_energy", "exposure_time", "acquired_at", "binning"} & set(facts)


def test_a_year_of_four_figures_and_a_day_that_is_none(scan, tmp_path):
    dates = b"".join(date.ljust(40, b"\0") for date in [b"02/28/2019 08:00:01.250", b"02/31/19 08:00:02"] + [b""] * 5)
    facts = only(changed(scan, tmp_path / "a.txrm", Date=dates)).facts
    assert facts["acquired_at"]["value"] == "2019-02-28T08:00:01.250000"
    assert "acquired_at_by_image" not in facts


def test_an_ole_file_of_another_program_is_refused(scan, tmp_path):
    content = scan.read_bytes().replace("ImageWidth".encode("utf-16-le"), "OtherWidth".encode("utf-16-le"))
    (tmp_path / "a.txrm").write_bytes(content)
    with pytest.raises(UnsupportedFormatError, match="without images of an Xradia"):
        read(tmp_path / "a.txrm")


# -------------------------------------------------------------------------------------------------------- hostile files
@pytest.mark.parametrize(
    ("streams", "error"),
    [
        ({"ImageWidth": whole(0)}, MetadataError),
        ({"ImageHeight": whole(-4)}, MetadataError),
        ({"ImageWidth": whole(512)}, TruncatedFileError),
        ({"ImageWidth": whole(1 << 19), "ImageHeight": whole(1 << 19)}, TruncatedFileError),
        ({"ImagesTaken": whole(8)}, TruncatedFileError),
        ({"ImagesTaken": whole(1 << 30)}, TooLargeError),
        ({"ImagesTaken": whole(0)}, MetadataError),
        ({"DataType": whole(12)}, UnsupportedFormatError),
        ({"DataType": whole(-1)}, UnsupportedFormatError),
        ({"MosiacRows": whole(-1), "MosiacColumns": whole(-1), "ImageHeight": whole(128)}, TruncatedFileError),
    ],
)
def test_streams_that_lie(scan, tmp_path, streams, error):
    with pytest.raises(error):
        read(changed(scan, tmp_path / "a.txrm", **streams))


@pytest.mark.parametrize(("offset", "value"), [(44, 1 << 30), (64, 1 << 30), (72, 1 << 30), (44, 0xFFFFFFFF)])
def test_tables_longer_than_the_file_are_refused_before_they_are_allocated(scan, tmp_path, offset, value):
    content = bytearray(scan.read_bytes())
    struct.pack_into("<I", content, offset, value)
    (tmp_path / "a.txrm").write_bytes(content)
    with pytest.raises(TruncatedFileError, match="tables"):
        read(tmp_path / "a.txrm")


def test_cut_files_are_refused(scan, tmp_path):
    content = scan.read_bytes()
    for cut in np.linspace(1, len(content) - 20_000, 20).astype(int):
        (tmp_path / "a.txrm").write_bytes(content[:cut])
        assert isinstance(outcome(tmp_path / "a.txrm"), ReaderError), f"cut at {cut}"


def test_flipped_bytes_give_an_image_or_a_reason(scan, tmp_path):
    content = bytearray(scan.read_bytes())
    directory = 512 * (1 + struct.unpack_from("<I", content, 48)[0])
    for at in [*range(0, 600, 11), *range(directory, directory + 2000, 41)]:
        content[at] ^= 0xFF
        (tmp_path / "a.txrm").write_bytes(content)
        outcome(tmp_path / "a.txrm")
        content[at] ^= 0xFF


def test_limits_hold(scan):
    with pytest.raises(TooLargeError, match="samples"):
        read(scan, limits=Limits(max_samples=100))
    with pytest.raises(TooLargeError, match="images"):
        read(scan, limits=Limits(max_pages=3))
