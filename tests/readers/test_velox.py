"""Velox: images and EDS cubes of real files, and what a hostile HDF5 file may not do."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

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
from tests.readers import expected

FILES = ("fei_emd_image.emd", "fei_emd_si.emd", "fei_SI_SuperX-HAADF_10frames_10x50.emd")
IMAGE, CUBE, SUPERX = FILES


@pytest.fixture
def folder(shared_data):
    return shared_data / "microscopy" / "eds-velox"


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of a real file that a test may change."""

    def copy(name):
        return shutil.copyfile(folder / name, tmp_path / "a.emd")

    return copy


def the_one(group):
    return group[next(iter(group))]


def change_header(item, change):
    """Rewrite the JSON header of a dataset's first frame."""
    column = item["Metadata"][:, 0]
    header = json.loads(column.tobytes().split(b"\0")[0])
    change(header)
    text = json.dumps(header).encode()
    column[:] = 0
    column[: len(text)] = np.frombuffer(text, "u1")
    item["Metadata"][:, 0] = column


@pytest.mark.parametrize("name", FILES)
def test_all_expected_values_and_samples_come_out(shared_data, name):
    [entry] = [e for e in expected.entries(shared_data / "microscopy") if e.file == f"eds-velox/{name}"]
    images = expected.load(shared_data / "microscopy", entry)
    assert expected.wrong_values(images, entry) == []
    assert expected.missing_arrays(images, entry) == []


def test_facts_are_in_the_units_of_the_vocabulary_and_keep_what_the_file_says(folder):
    [image] = read(folder / IMAGE)
    facts = image.facts
    assert facts["stage_y"] == {
        "value": 143.70586066,
        "unit": "um",
        "source": "file",
        "tag": "Stage.Position.y",
        "raw": "0.00014370586065999999 m",
    }
    assert facts["accelerating_voltage"]["value"] == 200
    assert facts["accelerating_voltage"]["raw"] == "200000 V"
    assert facts["stage_tilt"]["value"] == pytest.approx(0.006344)
    assert facts["stage_tilt"]["unit"] == "deg"
    assert facts["acquired_at"]["value"] == "2017-03-06T09:56:41Z"
    assert facts["detector"]["value"] == image.name == "HAADF"
    assert image.modality == "stem"
    assert facts["dwell_time"]["value"] == pytest.approx(20)
    assert facts["dwell_time"]["unit"] == "us"


def test_a_current_of_zero_is_absent(folder):
    _, cube = read(folder / SUPERX)
    assert "beam_current" not in cube.facts


def test_the_field_is_the_scan_area_and_not_the_raster_of_the_settings(folder):
    _, cube = read(folder / SUPERX)  # the raster says 128 x 128
    assert cube.axes == ("e", "z", "y", "x")
    assert cube.shape == (4096, 1, 50, 10)
    assert cube.kind == "spectrum"
    assert cube.modality == "eds"
    [energy] = cube.signal
    assert (energy.name, energy.size, energy.offset, energy.step, energy.unit) == ("energy", 4096, -1.0, 0.005, "keV")


def test_events_after_the_last_frame_belong_to_no_pixel(folder):
    _, cube = read(folder / SUPERX)
    with h5py.File(folder / SUPERX, locking=False) as root:
        stream = the_one(root["Data/SpectrumStream"])["Data"][:]
    assert int((stream != 65535).sum()) == 764077
    assert int(cube.array[...].sum()) == 764005
    assert cube.facts["frames"]["value"] == 10


def test_all_frames_of_an_image_are_kept_as_times(folder):
    image, _ = read(folder / SUPERX)
    assert image.axes == ("t", "z", "y", "x")
    assert image.shape == (10, 1, 50, 10)
    assert image.facts["frame_interval"]["value"] == pytest.approx(0.768)
    sums = [19657297, 19620335, 19573151, 19578450, 19571869, 19565513, 19568953, 19554850, 19511785, 19551647]
    assert image.array[...].sum(axis=(1, 2, 3), dtype="u8").tolist() == sums


def test_a_part_of_the_cube_is_that_part_of_the_whole(folder):
    _, cube = read(folder / SUPERX)
    whole = cube.array[...]
    assert np.array_equal(cube.array[190:260, 0, 7:31, 3:8], whole[190:260, 0, 7:31, 3:8])
    assert np.array_equal(cube.array[200], whole[200])
    assert cube.array[5:5].shape == (0, 1, 50, 10)


def test_counts_of_several_detectors_are_added(copied, folder):
    path = copied(CUBE)
    with h5py.File(path, "r+") as root:
        streams = root["Data/SpectrumStream"]
        root.copy(the_one(streams), streams, name="second")
    _, once = read(folder / CUBE)
    _, twice = read(path)
    assert np.array_equal(twice.array[...], 2 * once.array[...])


def test_images_of_one_grid_are_channels_and_another_grid_is_an_image_of_its_own(copied):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        images = root["Data/Image"]
        first = the_one(images)
        root.copy(first, images, name="second")
        change_header(images["second"], lambda h: h["BinaryResult"].update(Detector="BF"))
        root.copy(first, images, name="third")
        del images["third/Data"]
        images["third/Data"] = first["Data"][:256, :256]
    joined, other = read(path)
    assert joined.axes == ("c", "z", "y", "x")
    assert [c.label for c in joined.channels] == ["HAADF", "BF"]
    assert [c.detector for c in joined.channels] == ["HAADF", "BF"]
    assert np.array_equal(joined.array[0], joined.array[1])
    assert other.shape == (1, 256, 256)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda h: h["BinaryResult"].update(PixelUnitX="1/m", PixelUnitY="1/m"), (None, None)),
        (lambda h: h["BinaryResult"]["PixelSize"].update(width="0"), (5.302414837991601e-3, None)),
        (lambda h: h["BinaryResult"]["PixelSize"].update(width="nan", height="-1"), (None, None)),
        (lambda h: h["BinaryResult"].pop("PixelSize"), (None, None)),
    ],
)
def test_a_pixel_size_that_is_no_length_is_absent(copied, change, kept):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        change_header(the_one(root["Data/Image"]), change)
    [image] = read(path)
    assert (image.spacing_um["y"], image.spacing_um["x"]) == pytest.approx(kept)
    assert not image.calibrated


def test_a_transformed_image_is_left_out_by_name(copied):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        data = item["Data"][:].astype("c8")
        del item["Data"]
        item["Data"] = data
    with pytest.raises(UnsupportedFormatError, match="HAADF of type complex64"):
        read(path)


# ------------------------------------------------------------------------------------------------------ hostile content


def test_a_link_to_another_file_is_refused_and_not_opened(copied, tmp_path):
    path = copied(IMAGE)
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["Data"] = np.zeros((4, 4), "u2")
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        del item["Data"]
        item["Data"] = h5py.ExternalLink("secret.h5", "/Data")
    with pytest.raises(UnsafePathError, match="links to another file"):
        read(path)


def test_samples_in_another_file_are_refused(copied, tmp_path):
    path = copied(IMAGE)
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        del item["Data"]
        item.create_dataset("Data", (4, 8), "u2", external=[(str(tmp_path / "secret.bin"), 0, 64)])
    with pytest.raises(UnsafePathError, match="in other files"):
        read(path)


def test_a_virtual_dataset_is_refused(copied, tmp_path):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        del item["Data"]
        layout = h5py.VirtualLayout((4, 4), "u2")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "Data", (4, 4))
        item.create_virtual_dataset("Data", layout)
    with pytest.raises(UnsafePathError, match="in other files"):
        read(path)


def test_links_in_a_circle_are_walked_once(copied):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        root["Data/Image/again"] = root["Data"]
        root["Data/Loop"] = h5py.SoftLink("/Data/Loop")
    [image] = read(path)
    assert image.shape == (1, 512, 512)


def test_a_shape_far_beyond_the_file_is_refused_before_it_is_read(copied):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        del item["Data"]
        item.create_dataset("Data", (1 << 16, 1 << 16, 1), "u2", chunks=(64, 64, 1))
    with pytest.raises(TooLargeError):
        read(path)


def test_a_chunk_that_unpacks_to_too_much_is_refused(copied):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        del item["Data"]
        item.create_dataset("Data", data=np.zeros((4096, 4096), "u2"), chunks=(4096, 4096), compression="gzip")
    with pytest.raises(TooLargeError):
        read(path, limits=Limits(ratio_floor_bytes=1 << 20, max_ratio=20))


def test_a_dataset_without_samples_is_not_filled_in(copied):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        del item["Data"]
        item.create_dataset("Data", (512, 512, 1), "u2", chunks=(512, 512, 1))
    with pytest.raises(TruncatedFileError, match="no samples"):
        read(path)


@pytest.mark.parametrize("junk", [b"{", b"[" * 20000, b"\xff\xfe", b'{"BinaryResult": 5, "Stage": [1], "Scan": "x"}'])
def test_a_header_of_rubbish_costs_facts_and_not_the_image(copied, junk):
    path = copied(IMAGE)
    with h5py.File(path, "r+") as root:
        item = the_one(root["Data/Image"])
        item["Metadata"][:, 0] = np.frombuffer(junk.ljust(60000, b"\0"), "u1")
    [image] = read(path)
    assert image.spacing_um == {"z": None, "y": None, "x": None}
    assert "stage_x" not in image.facts
    assert image.array[0, 0, 0] > 0


def test_an_event_beyond_the_channels_is_refused(copied):
    path = copied(CUBE)
    with h5py.File(path, "r+") as root:
        the_one(root["Data/SpectrumStream"])["Data"][1, 0] = 5000
    _, cube = read(path)
    with pytest.raises(MetadataError, match="channel 5000 of 4096"):
        cube.array[0]


@pytest.mark.parametrize("area", [{"left": "0.9", "right": "0.1"}, {"left": "0", "right": "7"}])
def test_a_scan_area_outside_its_frame_is_refused(copied, area):
    path = copied(CUBE)
    with h5py.File(path, "r+") as root:
        change_header(the_one(root["Data/SpectrumStream"]), lambda h: h["Scan"]["ScanArea"].update(area))
    with pytest.raises(MetadataError, match="scan area"):
        read(path)


def test_a_cut_file_is_called_truncated(copied):
    path = copied(IMAGE)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(TruncatedFileError):
        read(path)


def test_hdf5_of_another_kind_has_no_reader(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as root:
        root["x"] = [1, 2, 3]
    with pytest.raises(UnsupportedFormatError):
        read(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(ReaderError) as refused:
        read(tmp_path / "b.h5")
    assert not isinstance(refused.value, UnsupportedFormatError)
