"""Variants of vendors' headers that no real file here shows: missing, contradictory, localised."""

from __future__ import annotations

import math

import pytest

from tests.readers.sem_files import FEI, fei, fei_with, fibics, orion, said, value, zeiss

ABSENT = {"y": None, "x": None}


def same(length):
    return pytest.approx({"y": length, "x": length}, rel=1e-9)


# --------------------------------------------------------------------------------------------------------------- ZEISS
def test_zeiss_scale_follows_the_stored_width():
    for width, factor in ((512, 2.0), (1024, 1.0), (2048, 0.5), (3072, 1 / 3)):
        assert said({34118: zeiss({})}, width).spacing_um == same(5.824988e-3 * factor)


def test_zeiss_without_nameless_numbers_scales_the_rounded_text():
    found = said({34118: zeiss({"AP_PIXEL_SIZE": "Pixel Size = 5.825 nm"}, scale=None)}, 2048)
    assert found.spacing_um == same(5.825e-3 / 2)
    assert found.spacing_source.startswith("AP_PIXEL_SIZE")


@pytest.mark.parametrize("key", ["AP_IMAGE_PIXEL_SIZE", "AP_PIXEL_SIZE"])
def test_zeiss_image_pixel_size_holds_for_the_stored_frame(key):
    found = said({34118: zeiss({key: "Image Pixel Size = 2.912 nm"}, scale=None)}, 2048)
    assert found.spacing_um == same(2.912e-3)


def test_zeiss_lengths_that_agree_give_the_precise_one():
    found = said({34118: zeiss({"AP_IMAGE_PIXEL_SIZE": "Image Pixel Size = 2.912 nm"})}, 2048)
    assert found.spacing_um == same(5.824988e-3 / 2)


@pytest.mark.parametrize(("width_um", "wanted"), [("5.963", 2.912e-3), ("11.93", 5.824988e-3)])
def test_zeiss_lengths_that_disagree_are_decided_by_the_field(width_um, wanted):
    entries = {"AP_IMAGE_PIXEL_SIZE": "Image Pixel Size = 2.912 nm", "AP_WIDTH": f"Width = {width_um} µm"}
    scale = f"{2 * 5.824988e-9:.9e}"
    assert said({34118: zeiss(entries, scale)}, 2048).spacing_um == same(wanted)


def test_zeiss_lengths_that_disagree_without_a_judge_are_withheld_with_the_reason():
    found = said({34118: zeiss({"AP_IMAGE_PIXEL_SIZE": "Image Pixel Size = 9 nm"})}, 2048)
    assert found.spacing_um == ABSENT
    assert "AP_IMAGE_PIXEL_SIZE 0.009" in found.withheld


def test_zeiss_frame_that_was_cut_or_resampled_has_no_scale():
    found = said({34118: zeiss({"DP_IMAGE_STORE": "Store resolution = 2048 * 1536"})}, 1024)
    assert found.spacing_um == ABSENT
    assert "2048 columns and 1024 are stored" in found.withheld


def test_zeiss_rows_beyond_the_stored_resolution_are_a_data_bar():
    found = said({34118: zeiss({"DP_IMAGE_STORE": "Store resolution = 1024 * 768"})}, 1024, 800)
    assert found.specimen_area == (0, 768, 0, 1024)
    assert said({34118: zeiss({})}, 1024, 768).specimen_area is None


@pytest.mark.parametrize("scale", ["0", "-5e-9", "nan", "inf", "1e400", "1e-30", "5,0,0", "wide", "1_0", ""])
def test_zeiss_scale_that_is_none_is_absent(scale):
    assert said({34118: zeiss({}, scale)}).spacing_um == ABSENT


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_zeiss_quantities_come_with_their_units(end):
    entries = {
        "AP_ACTUALKV": "EHT = 800 V", "AP_IPROBE": "I Probe = 250 pA", "AP_WD": "WD = 950 µm", "AP_MAG": "Mag = 75 X",
        "AP_STAGE_AT_X": "Stage at X = -1,5 mm", "AP_STAGE_AT_T": "Stage at T = 0.1 rad",
        "DP_DWELL_TIME": "Dwell Time = 100 ns", "AP_BEAMSHIFT_X": "Beam Shift X = 19.0 %",
        "DP_TILT_CORRECTION": "Tilt Corrn. = On", "AP_SYSTEM_VAC": "System Vacuum = 1.00e-006 Torr",
        "AP_DATE": "Date :3 Mar 2021", "AP_TIME": "Time :14:05:09", "SV_SAMPLE_ID": "Sample ID = A-7",
    }  # fmt: skip
    found = said({34118: zeiss(entries, end=end)})
    wanted = {
        "accelerating_voltage": 0.8, "beam_current": 0.25, "working_distance": 0.95, "magnification": 75.0,
        "stage_x": -1500.0, "stage_tilt": math.degrees(0.1), "dwell_time": 0.1, "tilt_correction": True,
        "acquired_at": "2021-03-03T14:05:09", "sample": "A-7",
    }  # fmt: skip
    assert {name: value(found, name) for name in wanted} == wanted
    assert value(found, "pressure") == pytest.approx(133.322368e-6)
    assert "image_shift_x" not in found.facts
    assert found.facts["stage_x"]["raw"] == "-1,5 mm"


def test_zeiss_scan_rotation_that_is_off_is_zero_whatever_angle_it_keeps():
    kept = {"AP_SCANROTATION": "Scan Rotation = 45.0 °"}
    assert value(said({34118: zeiss(kept | {"DP_SCAN_ROT": "Scan Rotation = Off"})}), "scan_rotation") == 0.0
    assert value(said({34118: zeiss(kept | {"DP_SCAN_ROT": "Scan Rotation = On"})}), "scan_rotation") == 45.0
    assert "scan_rotation" not in said({34118: zeiss({})}).facts


def test_zeiss_text_in_utf_8_and_in_the_code_page_is_the_same():
    text = zeiss({"AP_WIDTH": "Width = 5.965 µm"})
    for data in (text, text.decode("cp1252").encode()):
        assert value(said({34118: data}), "field_width") == 5.965


def test_a_voltage_or_distance_of_zero_is_what_the_program_does_not_know():
    found = said({34118: zeiss({"AP_ACTUALKV": "EHT = 0.00 kV", "AP_WD": "WD = 0 mm", "AP_MAG": "Mag = 0 X"})})
    assert not {"accelerating_voltage", "working_distance", "magnification"} & set(found.facts)


# ----------------------------------------------------------------------------------------------------------------- FEI
def fei_said(data, **kwargs):
    return said({34682: data}, 16, 12, **kwargs)


def test_fei_ions_are_described_by_their_own_section():
    sections = {
        "Beam": {"HV": "30000", "Beam": "IBeam", "Scan": "IScan"},
        "IBeam": {"HV": "30000", "BeamCurrent": "9e-011", "HFW": "3.2e-005"},
        "IScan": {"PixelWidth": "2e-006", "PixelHeight": "2e-006"},
    }
    found = fei_said(fei_with(**sections))
    assert found.modality == "fib_sem"
    assert found.spacing_um == same(2.0)
    assert value(found, "accelerating_voltage") == 30.0
    assert value(found, "beam_current") == pytest.approx(0.09)


def test_fei_without_scan_takes_the_scanned_field_over_columns_and_rows():
    sections = {name: values for name, values in FEI.items() if name != "Scan"}
    found = fei_said(fei(sections))
    assert found.spacing_um == same(1.0)
    assert found.spacing_source == "field width over columns"


def test_fei_without_the_section_of_its_beam_keeps_what_is_left():
    found = fei_said(fei({"Scan": FEI["Scan"], "Stage": FEI["Stage"]}))
    assert found.spacing_um == same(1.0)
    assert value(found, "stage_y") == -2000.0
    assert "accelerating_voltage" not in found.facts


def test_fei_frame_that_was_cut_or_resampled_has_no_scale():
    found = fei_said(fei_with(Image={"ResolutionX": "32", "ResolutionY": "24"}))
    assert found.spacing_um == ABSENT
    assert "32 columns and 16 are stored" in found.withheld


def test_fei_data_bar_follows_its_height_where_the_resolution_is_missing():
    found = fei_said(fei_with(Image={"ResolutionX": "", "ResolutionY": ""}, PrivateFei={"DatabarHeight": "2"}))
    assert found.specimen_area == (0, 10, 0, 16)


def test_fei_decimal_commas_are_read():
    found = fei_said(fei_with(Scan={"PixelWidth": "1,5e-006", "PixelHeight": "1,5E-06"}))
    assert found.spacing_um == same(1.5)


@pytest.mark.parametrize(
    ("date", "time", "created", "wanted"),
    [
        ("03/04/2020", "01:40:03 PM", "", "2020-03-04T13:40:03"),
        ("03/04/2020", "01:40:03 PM", "03.04.2020 13:40:03", "2020-04-03T13:40:03"),
        ("03/04/2020", "12:00:03 AM", "04.03.2020 00:00:03", "2020-03-04T00:00:03"),
        ("18/08/2020", "13:40:03", "", "2020-08-18T13:40:03"),
        ("18.08.2020", "13:40:03", "", "2020-08-18T13:40:03"),
        ("", "", "18.08.2020 13:40:03", "2020-08-18T13:40:03"),
        ("08/18/2020", "", "", None),
        ("99/99/2020", "13:40:03", "", None),
    ],
)
def test_fei_dates(date, time, created, wanted):
    found = fei_said(fei_with(User={"Date": date, "Time": time}, PrivateFei={"TimeOfCreation": created}))
    assert found.facts.get("acquired_at", {}).get("value") == wanted


def test_fei_older_tag_is_read_like_the_newer():
    assert said({34680: fei_with()}, 16, 12).spacing_um == same(1.0)
    both = said({34680: fei_with(), 34682: b"\0"}, 16, 12)
    assert both.spacing_um == same(1.0)


def test_fei_older_versions_name_a_section_in_capitals():
    sections = {name: values for name, values in FEI.items() if name != "System"}
    found = fei_said(fei(sections | {"SYSTEM": {"SystemType": "Nova NanoSEM"}}))
    assert value(found, "instrument") == "Nova NanoSEM"


def test_fei_xml_alone_describes_the_frame():
    xml = (
        '<?xml version="1.0"?><Metadata xmlns:nil="http://schemas.fei.com/Metadata/v1/2013/07"><Instrument>'
        "<InstrumentClass>Apreo 2</InstrumentClass></Instrument><Acquisition>"
        "<AcquisitionDatetime>2022-01-02T03:04:05</AcquisitionDatetime></Acquisition><Optics>"
        "<AccelerationVoltage>2000</AccelerationVoltage></Optics><StageSettings><StagePosition><X>0.001</X>"
        "<Rotation>3.141592653589793</Rotation></StagePosition></StageSettings><BinaryResult><PixelSize>"
        '<X unit="m" unitPrefixPower="1">5E-09</X><Y unit="m" unitPrefixPower="1">6E-09</Y></PixelSize>'
        "</BinaryResult></Metadata>"
    )
    found = said({34683: xml.encode()}, 16, 12)
    assert found.spacing_um == pytest.approx({"x": 0.005, "y": 0.006})
    assert value(found, "instrument") == "Apreo 2"
    assert value(found, "stage_rotation") == pytest.approx(180)
    assert value(found, "acquired_at") == "2022-01-02T03:04:05"


# -------------------------------------------------------------------------------------------------------------- Fibics
STEPS = "<Ux>0.005</Ux><Uy>0</Uy><Vx>0</Vx><Vy>-0.006</Vy>"


def test_fibics_steps_are_vectors_of_one_sample():
    found = said({51023: fibics(STEPS)}, 16, 12)
    assert found.spacing_um == pytest.approx({"x": 0.005, "y": 0.006})


def test_fibics_steps_of_a_rotated_scan_keep_their_length():
    c, s = 0.005 * math.cos(0.5), 0.005 * math.sin(0.5)
    scan = f"<Ux>{c!r}</Ux><Uy>{s!r}</Uy><Vx>{s!r}</Vx><Vy>{-c!r}</Vy><ScanRot units='deg'>28.6</ScanRot>"
    found = said({51023: fibics(scan)}, 16, 12)
    assert found.spacing_um == same(0.005)
    assert value(found, "scan_rotation") == 28.6


def test_fibics_keeps_the_whole_affine_as_facts_in_um():
    stage = '<Stage><X units="um">-21319.2368624182</X><Y units="mm">4.5</Y><Rot units="deg">12</Rot></Stage>'
    found = said({51023: fibics(STEPS, more=stage)}, 16, 12)
    names = ("affine_ux", "affine_uy", "affine_vx", "affine_vy", "stage_x", "stage_y", "stage_rotation")
    assert [value(found, name) for name in names] == [0.005, 0.0, 0.0, -0.006, -21319.2368624182, 4500.0, 12.0]
    assert {found.facts[name]["unit"] for name in names[:6]} == {"um"}
    assert found.facts["affine_vy"]["tag"] == "Scan/Vy"


def test_fibics_items_are_named_by_their_attribute():
    more = '<BeamInfo><item name="AccV">5000</item><item name="BeamI">1.5</item></BeamInfo>'
    found = said({51023: fibics("<Dwell units='ns'>10000</Dwell>", "<Detector>SE2</Detector><Beam>SEM</Beam>", more)})
    assert (value(found, "accelerating_voltage"), value(found, "beam_current")) == (5.0, 0.0015)
    assert (value(found, "dwell_time"), found.detector, found.modality) == (10.0, "SE2", "sem")


def test_fibics_without_steps_takes_the_field_over_its_samples():
    found = said({51023: fibics("<FOV_X units='um'>8</FOV_X><FOV_Y units='um'>3</FOV_Y>")}, 16, 12)
    assert found.spacing_um == pytest.approx({"x": 0.5, "y": 0.25})


@pytest.mark.parametrize("scan", [STEPS.replace("0.00", "0.00" * 30), "<Ux>nan</Ux><Uy>0</Uy>", "<Ux>0.1</Ux>", ""])
def test_fibics_steps_that_are_none_are_absent(scan):
    assert said({51023: fibics(scan)}, 16, 12).spacing_um["x"] is None


def test_fibics_frame_that_was_cut_or_resampled_has_no_scale():
    found = said({51023: fibics(STEPS)}, 32, 24)
    assert found.spacing_um == ABSENT
    assert "16 columns and 32 are stored" in found.withheld


# --------------------------------------------------------------------------------------------------------------- Orion
def test_orion_units_in_words_are_converted():
    values = {
        "ScalingX": ("0.5", "nm"), "ScalingY": ("5E-10", "m"), "AccelerationVoltage": ("30", "kV"),
        "StageX": ("1", "mm"), "Stage.YLocation": ("7", "\u03bcm"), "DwellTime": ("500", "ns"),
        "ScanRotate": ("90", "Degrees"), "ImageWidth": ("16", ""), "ImageHeight": ("10", ""),
    }  # fmt: skip
    found = said({65000: orion(values), 34118: b"0\r\n0\r\n0\r\n9E-10\r\n"}, 16, 12)
    assert (found.dialect, found.spacing_um) == ("ZEISS Orion", same(5e-4))
    names = ("accelerating_voltage", "stage_x", "stage_y", "dwell_time", "scan_rotation")
    assert [value(found, name) for name in names] == [30.0, 1000.0, 7.0, 0.5, 90.0]
    assert found.specimen_area == (0, 10, 0, 16)


@pytest.mark.parametrize("unit", ["", "Unitless", "px", "furlong"])
def test_orion_scale_without_a_length_is_absent(unit):
    assert said({65000: orion({"ScalingX": ("1", unit), "ScalingY": ("1", unit)})}).spacing_um == ABSENT


@pytest.mark.parametrize(
    ("stamp", "wanted"),
    [
        ("1/01/2025 1:00:00 PM", "2025-01-01T13:00:00"),
        ("13/02/2025 1:00:00 PM", "2025-02-13T13:00:00"),
        ("2/13/2025 12:00:00 AM", "2025-02-13T00:00:00"),
        ("2/03/2025 1:00:00 PM", None),
        ("2025-03-02 13:00:00", "2025-03-02T13:00:00"),
    ],
)
def test_orion_dates_that_can_be_read_two_ways_are_absent(stamp, wanted):
    found = said({65000: orion({"TimeStamp": (stamp, "")})})
    assert found.facts.get("acquired_at", {}).get("value") == wanted


def test_orion_in_the_code_page_without_a_declaration_is_read():
    data = orion({"StageX": ("5", "\u00b5m")}).decode().encode("cp1252")
    assert value(said({65000: data}), "stage_x") == 5.0
