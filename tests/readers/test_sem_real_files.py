"""All that ``expected.json`` lists of the real SEM files, and each trap of the README by its name."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from apps.imaging.readers import read
from tests.readers.sem_files import value
from tests.readers.test_real_files import assert_samples

FILES = [
    "sem-zeiss/test_tiff_Zeiss_SEM_512pix.tif",
    "sem-zeiss/orion-zeiss_dataZeroed.tif",
    "sem-fei/FEI-Helios-Ebeam-16bits.tif",
    "sem-fei/FEI-Helios-navcam.tif",
    "sem-fei/quanta_image.tif",
    "sem-tescan/tescan-pfib_dataZeroed.tif",
    "sem-jeol/2020-08-31/image000.tif",
    "sem-jeol/2020-09-16/Standard_BSE_100x_800.bmp",
    "fib-sem/SEM_Image-SliceImage-001.tif",
]
FACTS = {
    "kV": ("accelerating_voltage", "kV", 1.0),
    "wd_mm": ("working_distance", "mm", 1.0),
    "tilt_deg": ("stage_tilt", "deg", 1.0),
    "rotation_deg": ("stage_rotation", "deg", 1.0),
    "rotation_rad": ("stage_rotation", "deg", 180 / math.pi),
    "tilt_rad": ("stage_tilt", "deg", 180 / math.pi),
}


def load(folder, name):
    (expected,) = [item for item in json.loads((folder / "expected.json").read_text()) if item["file"] == name]
    path = folder / name
    (image,) = read(path, beside={p.name: p for p in path.parent.iterdir() if p != path})
    return image, expected


@pytest.mark.parametrize("name", FILES)
def test_every_value_listed_is_reported_in_its_unit_with_its_tag(microscopy, name):
    image, expected = load(microscopy, name)
    for key, wanted in expected["expect"].items():
        if key in FACTS:
            fact, unit, factor = FACTS[key]
            if wanted is None:
                assert fact not in image.facts
                continue
            assert image.facts[fact]["value"] == pytest.approx(wanted * factor, rel=1e-12)
            assert image.facts[fact]["unit"] == unit
            assert image.facts[fact]["tag"]
        elif key.startswith("stage_"):
            factor = {"stage_mm": 1e3, "stage_m": 1e6}[key]
            found = [image.facts[f"stage_{axis}"] for axis in "xyz"]
            assert [f["value"] for f in found] == pytest.approx([number * factor for number in wanted], rel=1e-12)
            assert {f["unit"] for f in found} == {"um"}
            assert all(f["raw"].endswith(key.removeprefix("stage_")) for f in found)
        elif key == "pixel_m":
            lengths = [None, None] if wanted is None else pytest.approx([length * 1e6 for length in wanted], rel=1e-9)
            assert [image.spacing_um[axis] for axis in "yx"] == lengths
        elif key == "date":
            assert value(image, "acquired_at") == wanted
        elif key == "instrument":
            assert value(image, "instrument") == wanted


@pytest.mark.parametrize("name", FILES)
def test_samples_are_bit_by_bit_those_listed(microscopy, name):
    image, expected = load(microscopy, name)
    if expected["arrays"]:
        assert_samples(image, expected)
    else:
        assert image.shape == (1, 640, 800)


@pytest.mark.parametrize("name", FILES)
def test_headers_and_facts_fit_into_json_whole(microscopy, name):
    image, _ = load(microscopy, name)
    header = json.loads(json.dumps(image.header, allow_nan=False))
    assert header["vendor"]
    json.dumps({key: dict(entry) for key, entry in image.facts.items()}, allow_nan=False)
    assert {entry["source"] for entry in image.facts.values()} <= {"file", "derived"}
    assert image.spacing_um["z"] is None
    assert image.handedness == "unknown"


@pytest.mark.parametrize(
    ("name", "modality", "detector"),
    [
        (FILES[0], "sem", "InLens"), (FILES[1], "other", "ETDetector"), (FILES[2], "sem", "ETD"),
        (FILES[3], "light", "Nav-Cam"), (FILES[4], "sem", "LFD"), (FILES[5], "sem", "E-T"), (FILES[6], "sem", "SEI"),
        (FILES[7], "sem", "COMPO"), (FILES[8], "fib_sem", "ETD"),
    ],
)  # fmt: skip
def test_modality_and_detector(microscopy, name, modality, detector):
    image, _ = load(microscopy, name)
    assert image.modality == modality
    assert {channel.detector for channel in image.channels} == {detector}


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_lacks_is_absent(microscopy, name):
    image, _ = load(microscopy, name)
    lacking = {
        FILES[0]: ("beam_current", "dwell_time", "scan_rotation", "tilt_correction", "image_shift_x", "sample"),
        FILES[1]: ("tilt_correction", "operator", "software"),
        FILES[2]: ("magnification", "specimen_tilt", "sample"),
        FILES[3]: ("accelerating_voltage", "beam_current", "dwell_time", "working_distance", "image_shift_x", "mode"),
        FILES[4]: ("beam_current", "magnification"),
        FILES[5]: ("field_width", "specimen_tilt", "comment"),
        FILES[6]: ("pressure", "dwell_time", "field_width", "tilt_correction"),
        FILES[7]: ("pressure", "dwell_time", "field_width"),
        FILES[8]: ("magnification", "specimen_tilt", "comment"),
    }[name]
    assert [fact for fact in lacking if fact in image.facts] == []


# ---------------------------------------------------------------------------------------------------------------- traps
def test_trap_zeiss_pixel_size_holds_for_1024_columns(microscopy):
    image, _ = load(microscopy, FILES[0])
    assert image.header["vendor"]["entries"]["AP_PIXEL_SIZE"] == {"label": "Pixel Size", "value": "5.825 nm"}
    assert image.shape[-1] == 512
    assert image.spacing_um["x"] == pytest.approx(2 * 5.824988e-3, rel=1e-12)
    assert image.spacing_um["x"] * 512 == pytest.approx(value(image, "field_width"), rel=1e-3)


def test_trap_fei_data_bar_rows_are_stored_and_marked(microscopy):
    for name, rows, columns in ((FILES[2], 442, 512), (FILES[3], 512, 768), (FILES[4], 884, 1024)):
        image, expected = load(microscopy, name)
        assert list(image.shape[1:]) == expected["arrays"][0]["shape"]
        assert image.specimen_area == (0, rows, 0, columns)


def test_trap_fei_stage_is_in_metres_and_angles_in_radians(microscopy):
    image, _ = load(microscopy, FILES[2])
    assert image.facts["stage_x"]["raw"] == "2.576e-005 m"
    assert image.facts["stage_rotation"]["raw"] == "-2.3611 rad"
    assert value(image, "stage_x") == 25.76
    assert value(image, "stage_rotation") == pytest.approx(-135.281, abs=1e-3)


def test_trap_nav_cam_field_width_is_a_hint_and_no_scale(microscopy):
    image, _ = load(microscopy, FILES[3])
    assert not image.calibrated
    assert image.spacing_source is None
    assert value(image, "field_width") == 202732.0
    assert "hint" in value(image, "spacing_withheld")
    assert image.facts["spacing_withheld"]["source"] == "derived"


def test_trap_tescan_date_of_the_image_wins_over_the_tiff_date(microscopy):
    image, _ = load(microscopy, FILES[5])
    assert value(image, "acquired_at") == "2025-12-03T17:19:26"
    assert value(image, "file_created_at") == "2025-12-03T12:20:37"


def test_trap_tescan_tag_is_binary_blocks_before_its_text(microscopy):
    image, _ = load(microscopy, FILES[5])
    assert set(image.header["vendor"]["sections"]) == {"MAIN", "SEM"}
    assert image.header["vendor"]["sections"]["SEM"]["HV"] == "15000.0"


def test_trap_tescan_strip_of_298_rows_is_the_data_bar(microscopy):
    image, _ = load(microscopy, FILES[5])
    assert image.shape == (1, 1578, 1280)
    assert image.specimen_area == (0, 1578 - 298, 0, 1280)


def test_tescan_tag_and_side_car_say_the_same(microscopy):
    path = microscopy / FILES[5]
    alone = read(path)[0]
    beside = load(microscopy, FILES[5])[0]
    assert alone.side_cars == ()
    assert beside.side_cars == ("tescan-pfib_dataZeroed.hdr",)
    assert alone.facts == beside.facts
    assert beside.header["vendor"]["side_car"]["MAIN"] == beside.header["vendor"]["sections"]["MAIN"]


def test_trap_jeol_full_size_is_not_the_stored_width(microscopy):
    image, _ = load(microscopy, FILES[7])
    assert image.header["vendor"]["values"]["CM_FULL_SIZE"] == "1280 960"
    assert image.shape[-1] == 800
    assert image.spacing_um["x"] == pytest.approx(100 / 106 * 1280 / 800, rel=1e-12)
    assert image.specimen_area == (0, 600, 0, 800)


def test_trap_jeol_micron_bar_is_a_whole_number_of_samples(microscopy):
    image, _ = load(microscopy, FILES[6])
    assert image.spacing_um["x"] == pytest.approx(100 / 101, rel=1e-12)
    assert image.spacing_u_um == pytest.approx({axis: 100 / 101 / 101 / math.sqrt(3) for axis in "yx"})
    assert image.specimen_area == (0, 960, 0, 1280)
    assert image.side_cars == ("image000.txt",)


def test_two_images_of_one_jeol_instrument_agree_within_their_uncertainty(microscopy):
    """Field width times magnification is a constant of the instrument."""
    one, two = load(microscopy, FILES[6])[0], load(microscopy, FILES[7])[0]
    screen = [i.spacing_um["x"] * i.shape[-1] * value(i, "magnification") for i in (one, two)]
    relative = [i.spacing_u_um["x"] / i.spacing_um["x"] for i in (one, two)]
    assert abs(screen[0] / screen[1] - 1) < 2 * math.hypot(*relative)


def test_trap_jeol_without_its_side_car_has_no_length(microscopy):
    for name in (FILES[6], FILES[7]):
        (image,) = read(microscopy / name)
        assert not image.calibrated
        assert image.modality == ""
        assert image.spacing_source is None


def test_trap_orion_scale_stands_in_xml_and_differs_by_axis(microscopy):
    image, _ = load(microscopy, FILES[1])
    assert image.axes == ("c", "z", "y", "x")
    assert [channel.label for channel in image.channels][3] == "ETDetector alpha"
    assert image.spacing_um["y"] > image.spacing_um["x"]
    assert image.specimen_area == (0, 1024, 0, 1024)
    assert value(image, "acquired_at") == "2025-01-01T13:00:00"


def test_a_slice_knows_the_thickness_from_the_project_beside_it(microscopy):
    image, _ = load(microscopy, FILES[8])
    assert image.facts["slice_thickness"]["value"] == pytest.approx(0.1)
    assert image.side_cars == ("EMProject.emxml",)
    (alone,) = read(microscopy / FILES[8])
    assert "slice_thickness" not in alone.facts
    assert (alone.modality, alone.side_cars) == ("fib_sem", ())
    (renamed,) = read(microscopy / FILES[8], name="a.tif")
    assert renamed.modality == "sem"


def test_the_bitmap_of_the_real_bmp_is_the_right_way_up(microscopy):
    image, _ = load(microscopy, FILES[7])
    content = (microscopy / FILES[7]).read_bytes()
    last = np.frombuffer(content[-800:], np.uint8)
    assert np.array_equal(image.array[0, 0], last)
