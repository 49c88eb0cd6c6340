"""JEOL Analysis Station: a project with the files it names."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest

from apps.imaging.readers import MetadataError, ReaderError, TruncatedFileError, UnsupportedFormatError, read
from tests.readers import expected

PTS = "View000_0000006.pts"


@pytest.fixture
def folder(shared_data):
    return shared_data / "microscopy" / "eds-jeol"


@pytest.fixture
def parts(folder):
    return {path.name: path for path in folder.rglob("View*")}


@pytest.fixture
def changed(parts, tmp_path):
    """The parts with one of them rewritten."""

    def change(name, rewrite):
        path = tmp_path / name
        path.write_bytes(rewrite((parts[name]).read_bytes()))
        return parts | {name: path}

    return change


@pytest.fixture
def entry(shared_data):
    [found] = [e for e in expected.entries(shared_data / "microscopy") if e.file.endswith(".ASW")]
    return found


def test_pictures_and_maps_are_channels_of_one_image(folder, parts, entry):
    image, cube = read(folder / "rawdata.ASW", beside=parts)
    assert expected.wrong_values([image, cube], entry) == []
    assert image.axes == ("c", "z", "y", "x")
    assert image.dtype == np.uint8
    listed = {a["name"]: a for a in entry.arrays if len(a["shape"]) == 2}
    assert [c.label for c in image.channels] == list(listed)
    for number, wanted in enumerate(listed.values()):
        assert expected.digest(image.array[number, 0]) == wanted["sha256"], wanted["name"]
    assert image.facts["acquired_at"]["value"] == "2017-04-07T18:08:05"
    assert image.facts["instrument"]["value"] == "JEM-2100F(UHR)"
    assert image.modality == "stem"
    assert len(image.side_cars) == 6


def test_the_events_are_counted_into_the_expected_cube(folder, parts, entry):
    _, cube = read(folder / "rawdata.ASW", beside=parts)
    [wanted] = [a for a in entry.arrays if len(a["shape"]) == 3]
    assert cube.axes == ("e", "z", "y", "x")
    assert cube.shape == (4096, 1, 512, 512)
    assert cube.dtype == np.uint8
    digest = expected.hashlib.sha256()
    total = 0
    for row in range(0, 512, 32):
        block = np.ascontiguousarray(np.moveaxis(cube.array[:, 0, row : row + 32], 0, -1))
        digest.update(block)
        total += int(block.sum(dtype="u8"))
    assert total == wanted["sum"]
    assert digest.hexdigest() == wanted["sha256"]
    [energy] = cube.signal
    assert energy.unit == "keV"
    assert energy.step == pytest.approx(0.00999866)
    assert cube.facts["frames"]["value"] == 14
    assert cube.spacing_um["x"] == 0.00869140625


def test_a_project_alone_is_refused_and_names_its_files(folder):
    with pytest.raises(UnsupportedFormatError, match=r"View000_0000000\.img"):
        read(folder / "rawdata.ASW")


def test_files_that_came_are_read_without_those_that_did_not(folder, parts):
    few = {name: path for name, path in parts.items() if name.endswith(("0.img", "1.map"))}
    [image] = read(folder / "rawdata.ASW", beside=few)
    assert [c.label for c in image.channels] == ["IMG1", "C K"]


def test_a_path_in_the_project_is_not_followed(folder, parts, tmp_path):
    content = (folder / "rawdata.ASW").read_bytes()
    shutil.copytree(folder / "Sample", tmp_path / "Sample", copy_function=shutil.copyfile)
    (tmp_path / "a.asw").write_bytes(content)
    with pytest.raises(UnsupportedFormatError):
        read(tmp_path / "a.asw")  # the files lie where it says, and did not come with it


def test_a_cut_part_is_refused(folder, changed):
    for name in ("View000_0000000.img", "View000_0000003.map", PTS):
        for share in (0.0001, 0.1, 0.5, 0.99):
            with pytest.raises(ReaderError):
                read(folder / "rawdata.ASW", beside=changed(name, lambda data, s=share: data[: int(len(data) * s)]))


def test_a_header_with_a_name_of_no_length_is_refused(folder, changed):
    def rewrite(data):
        at = struct.unpack_from("<I", data, 44)[0] + 12
        return data[: at + 1] + struct.pack("<i", -3) + data[at + 5 :]

    with pytest.raises(MetadataError, match="bytes long"):
        read(folder / "rawdata.ASW", beside=changed("View000_0000000.img", rewrite))


def test_a_picture_of_another_size_than_its_samples_is_refused(folder, changed):
    def rewrite(data):
        tree = struct.unpack_from("<I", data, 44)[0]
        at = data.index(b"Size\0", data.index(b"Image\0", tree)) + 5 + 8  # behind the name, its type and its length
        assert struct.unpack_from("<2i", data, at) == (512, 512)
        return data[:at] + struct.pack("<2i", 4096, 4096) + data[at + 8 :]

    with pytest.raises(TruncatedFileError, match="4096 x 4096"):
        read(folder / "rawdata.ASW", beside=changed("View000_0000000.img", rewrite))


@pytest.mark.parametrize("field", [b"9999x51", b"0000512", b"512x-12", b"512x512x"])
def test_a_field_beyond_the_raster_is_refused(folder, changed, field):
    beside = changed(PTS, lambda data: data.replace(b"512x512\0", field.ljust(8, b"\0")))
    with pytest.raises(MetadataError, match="columns and rows"):
        read(folder / "rawdata.ASW", beside=beside)
