"""Bruker and Gatan files through the optional library: what it gets wrong is put right, where it lacks is said."""

from __future__ import annotations

import importlib.util
import shutil
import struct

import pytest

from apps.imaging.readers import (
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
    read,
    rosetta,
)
from apps.imaging.readers.forked import Forked
from apps.imaging.readers.rosetta_facts import unslashed
from tests.readers import expected

BRUKER = ["P45_the_default_job.bcf", "bcf_v2_50x50px.bcf", "L2083_0.bcf"]
GATAN = ["test_STEM_image.dm3", "EELS_SI.dm4", "dmTest_float32_nonSquare_diffPixelSize.dm4"]
installed = pytest.mark.skipif(
    importlib.util.find_spec("rsciio") is None, reason="rsciio: not installed; it comes with the extra vendor"
)


@installed
@pytest.mark.parametrize("name", [f"eds-bruker/{file}" for file in BRUKER] + [f"dm/{file}" for file in GATAN])
def test_all_expected_values_and_samples_come_out(microscopy, name):
    [entry] = [e for e in expected.entries(microscopy) if e.file == name]
    images = expected.load(microscopy, entry)
    assert expected.wrong_values(images, entry) == []
    assert expected.missing_arrays(images, entry) == []


@installed
def test_images_of_the_map_grid_are_channels_and_the_map_is_a_spectrum_image(microscopy):
    image, cube = read(microscopy / "eds-bruker/P45_the_default_job.bcf")
    assert image.axes == ("c", "z", "y", "x")
    assert [c.label for c in image.channels] == ["BSE", "SE"]
    assert cube.axes == ("e", "z", "y", "x")
    assert cube.kind == "spectrum"
    assert cube.modality == "eds"
    [energy] = cube.signal
    assert (energy.name, energy.size, energy.step, energy.unit) == ("energy", 2048, 0.010001, "keV")
    assert energy.offset == pytest.approx(-0.472397)


@installed
def test_stage_voltage_and_date_are_of_the_vendors_header(microscopy):
    _, cube = read(microscopy / "eds-bruker/P45_the_default_job.bcf")
    assert cube.facts["stage_x"] == {"value": 62409.2, "unit": "um", "source": "file", "tag": "Stage.X"}
    assert cube.facts["stage_rotation"]["value"] == 329.49719
    assert cube.facts["stage_tilt"]["value"] == 0.5
    assert cube.facts["accelerating_voltage"]["value"] == 20
    assert cube.facts["acquired_at"]["value"] == "2016-04-01T18:05:10"
    assert cube.facts["elevation_angle"]["value"] == 35


@installed
def test_images_and_map_of_one_file_have_steps_of_their_own(microscopy):
    small, overview, cube = read(microscopy / "eds-bruker/bcf_v2_50x50px.bcf")
    for image in (small, overview):
        assert (image.spacing_um["y"], image.spacing_um["x"]) == pytest.approx((0.01180808099, 0.01273058731))
    assert cube.spacing_um["y"] == cube.spacing_um["x"] == pytest.approx(0.01180808099)
    assert overview.shape == (1, 825, 1100)
    assert not any(name.startswith("stage_") for name in cube.facts)  # a state without figures is no stage


@installed
def test_a_working_distance_of_minus_one_is_absent(microscopy):
    image, _ = read(microscopy / "eds-bruker/L2083_0.bcf")
    assert "working_distance" not in image.facts
    assert image.facts["accelerating_voltage"]["value"] == 200


@installed
def test_the_axis_of_energy_is_found_by_its_unit(microscopy):
    [image] = read(microscopy / "dm/EELS_SI.dm4")  # the library says that energy is the place, y and x the signal
    assert image.axes == ("e", "z", "y", "x")
    assert image.shape == (2048, 1, 2, 2)
    [energy] = image.signal
    assert (energy.name, energy.offset, energy.step, energy.unit) == ("energy_loss", 300.0, 1.0, "eV")
    assert image.facts["acquired_at"]["value"] == "2019-05-14T20:50:13"


@installed
def test_each_axis_has_its_own_unit(microscopy):
    [image] = read(microscopy / "dm/dmTest_float32_nonSquare_diffPixelSize.dm4")
    assert image.spacing_um == {"z": None, "y": 0.0002, "x": 0.001}


@installed
def test_gatan_stage_is_in_micrometres(microscopy):
    [image] = read(microscopy / "dm/test_STEM_image.dm3")
    assert image.facts["stage_x"]["value"] == -461.276
    assert image.facts["stage_tilt"]["value"] == pytest.approx(24.95048)
    assert image.facts["accelerating_voltage"] == {
        "value": 200.0,
        "unit": "kV",
        "source": "file",
        "tag": "Microscope Info.Voltage",
        "raw": "200000.0 V",
    }
    assert image.facts["acquired_at"]["value"] == "2016-08-08T16:26:37"
    assert image.modality == "stem"
    assert image.facts["instrument"]["value"] == "FEI Titan"
    assert "operator" not in image.facts


@pytest.mark.parametrize(
    ("date", "clock", "found"),
    [
        ("14/05/2019", None, "2019-05-14"),
        ("5/14/2019", None, "2019-05-14"),
        ("8/8/2016", None, "2016-08-08"),
        ("5/4/2019", None, None),
        ("5/4/2019", 1.31988e17, "2019-04-05"),  # the clock of the system: 4 April 2019
        ("2019-04-05", None, "2019-04-05"),
        ("99/99/2019", None, None),
    ],
)
def test_a_date_whose_order_is_not_known_is_not_guessed(date, clock, found):
    assert unslashed(date, clock) == found


@pytest.mark.parametrize("name", ["eds-bruker/P45_the_default_job.bcf", "dm/test_STEM_image.dm3"])
def test_without_the_library_the_file_is_refused_by_name(microscopy, monkeypatch, name):
    monkeypatch.setattr(rosetta, "installed", lambda: False)
    with pytest.raises(UnsupportedFormatError, match=r"pip install corrspace\[vendor\]"):
        read(microscopy / name)


def test_the_library_is_used_in_one_place(repo_root):
    sources = [p for top in ("apps", "analyses", "corr_project") for p in (repo_root / top).rglob("*.py")]
    naming = {p.name for p in sources if "rsciio" in p.read_text()}
    assert naming == {"rosetta.py", "rosetta_child.py"}


@installed
def test_a_cut_container_is_refused_before_it_is_decoded(microscopy, tmp_path):
    content = (microscopy / "eds-bruker/P45_the_default_job.bcf").read_bytes()
    for cut in (300, 5000, 156_368, 400_000, len(content) - 1):
        (tmp_path / "a.bcf").write_bytes(content[:cut])
        with pytest.raises(TruncatedFileError):
            read(tmp_path / "a.bcf")


@installed
@pytest.mark.parametrize("ending", ["import os; os.kill(os.getpid(), 11)", "raise SystemExit(1)", "while True: pass"])
def test_a_library_that_dies_or_hangs_ends_in_a_refusal(microscopy, tmp_path, monkeypatch, request, ending):
    child = tmp_path / "child.py"
    child.write_text(f"def main(*_):\n    {ending}\n")
    forked = Forked(child)
    request.addfinalizer(forked.end)
    monkeypatch.setattr(rosetta, "_CHILD", forked)
    monkeypatch.setattr(rosetta, "_SECONDS", 2)
    with pytest.raises(MetadataError, match=r"cannot be decoded|not decoded within"):
        read(microscopy / "eds-bruker/P45_the_default_job.bcf")


@installed
@pytest.mark.parametrize("file", GATAN[::2])
def test_cut_gatan_files_are_refused(microscopy, tmp_path, file):
    content = (microscopy / "dm" / file).read_bytes()
    path = tmp_path / file
    for cut in (20, 1000, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(ReaderError):
            read(path)


@installed
def test_a_cube_beyond_the_limits_is_described_and_not_decoded(microscopy):
    with pytest.raises(TooLargeError):
        read(microscopy / "eds-bruker/P45_the_default_job.bcf", limits=Limits(max_samples=100_000))
    with pytest.raises(TooLargeError):
        read(microscopy / "eds-bruker/P45_the_default_job.bcf", limits=Limits(ratio_floor_bytes=1 << 20, max_ratio=3))


@installed
def test_the_file_that_is_decoded_is_left_as_it_is(microscopy, tmp_path):
    path = shutil.copyfile(microscopy / "dm/test_STEM_image.dm3", tmp_path / "a.dm3")
    before = path.read_bytes()
    [image] = read(path)
    path.unlink()
    assert int(image.array[...].sum()) == 150998555
    assert struct.unpack(">I", before[:4]) == (3,)
    assert list(tmp_path.iterdir()) == []
