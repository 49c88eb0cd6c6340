"""What TESCAN's tag and side-car and JEOL's text file say of an image: variants that no real file here shows."""

from __future__ import annotations

import pytest

from apps.imaging.readers.dialects import describe
from apps.imaging.readers.vendor import Frame
from tests.readers.sem_files import JEOL, said, tescan, value
from tests.readers.sem_files import TESCAN_MAIN as MAIN
from tests.readers.sem_files import TESCAN_SEM as SEM

ABSENT = {"y": None, "x": None}


def same(length):
    return pytest.approx({"y": length, "x": length}, rel=1e-9)


def test_tescan_blocks_name_their_sections():
    found = said({50431: tescan(MAIN, SEM)}, 16, 12)
    assert set(found.header["sections"]) == {"MAIN", "SEM"}
    assert (found.spacing_um, found.specimen_area) == (same(0.002), (0, 10, 0, 16))
    assert (value(found, "stage_x"), value(found, "stage_tilt"), value(found, "beam_current")) == (10000.0, -5.0, 0.1)
    assert (value(found, "tilt_correction"), value(found, "tilt_correction_angle")) == (True, 52.0)


def test_tescan_text_without_a_chain_of_blocks_is_read():
    data = b"\x07\x00garbage" + MAIN.encode() + b"\0\0" + SEM.replace("\n", "\r\n").encode()
    found = said({50431: data}, 16, 12)
    assert found.spacing_um == same(0.002)
    assert value(found, "accelerating_voltage") == 20.0


def test_tescan_decimal_commas_are_read():
    assert said({50431: tescan(MAIN.replace("2e-9", "0,000000002"))}, 16, 12).spacing_um == same(0.002)


@pytest.mark.parametrize("name", ["a.hdr", "A.HDR", "a-tif.hdr", "a.tif.hdr"])
def test_tescan_side_car_alone_describes_the_image(tmp_path, name):
    (tmp_path / "x").write_text(f"[MAIN]\n{MAIN}\n[SEM]\n{SEM}")
    found = said({}, 16, 12, beside={name: tmp_path / "x"})
    assert (found.dialect, found.side_cars, found.spacing_um) == ("TESCAN", (name,), same(0.002))


def test_an_hdr_of_another_program_is_not_tescan_s(tmp_path):
    (tmp_path / "a.hdr").write_text("ENVI\nsamples = 16\nlines = 12\n")
    assert describe(Frame("a.tif", 16, 12, {}, {"a.hdr": tmp_path / "a.hdr"})) is None


def test_tescan_ions_are_told_by_their_section(tmp_path):
    (tmp_path / "a.hdr").write_text(f"[MAIN]\n{MAIN}\n[FIB]\n{SEM}")
    found = said({}, 16, 12, beside={"a.hdr": tmp_path / "a.hdr"})
    assert (found.modality, value(found, "accelerating_voltage")) == ("fib_sem", 20.0)


# ---------------------------------------------------------------------------------------------------------------- JEOL
def jeol_said(tmp_path, text, width=1280, height=1024, encoding="utf-8"):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    return said({}, width, height, beside={"a.txt": tmp_path / "a.txt"})


@pytest.mark.parametrize(("width", "rows"), [(640, 480), (800, 600), (1280, 960), (2560, 1920)])
def test_jeol_bar_counts_in_the_full_frame_whatever_is_stored(tmp_path, width, rows):
    found = jeol_said(tmp_path, JEOL, width, rows * 16 // 15)
    assert found.spacing_um == same(100 / 101 * 1280 / width)
    assert found.specimen_area == (0, rows, 0, width)


@pytest.mark.parametrize(("marker", "um"), [("1mm", 1e3), ("10\u00b5m", 10), ("10 um", 10), ("100nm", 0.1)])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_jeol_markers_have_units(tmp_path, marker, um, encoding):
    found = jeol_said(tmp_path, JEOL.replace("100um", marker), encoding=encoding)
    assert found.spacing_um == same(um / 101)


@pytest.mark.parametrize(("key", "what"), [("MICRON_BAR 101", "MICRON_BAR 0"), ("100um", "100"), ("100um", "-1um")])
def test_jeol_bar_or_marker_that_is_none_gives_no_scale(tmp_path, key, what):
    found = jeol_said(tmp_path, JEOL.replace(key, what))
    assert found.spacing_um == ABSENT
    assert found.spacing_u_um == {}


def test_jeol_without_its_full_size_has_a_scale_only_at_1280_columns(tmp_path):
    text = JEOL.replace("$CM_FULL_SIZE 1280 960\r\n", "")
    assert jeol_said(tmp_path, text).spacing_um == same(100 / 101)
    found = jeol_said(tmp_path, text, 800, 640)
    assert found.spacing_um == ABSENT
    assert "unknown" in found.withheld


def test_jeol_frame_that_was_cut_has_no_scale(tmp_path):
    assert jeol_said(tmp_path, JEOL, 1280, 500).spacing_um == ABSENT


def test_jeol_stage_has_five_values_in_their_order(tmp_path):
    found = jeol_said(tmp_path, JEOL)
    names = ("stage_x", "stage_y", "stage_z", "stage_rotation", "stage_tilt")
    assert [value(found, name) for name in names] == [30652.5, -2613.5, 10546.5, 12.5, -3.0]


def test_a_text_file_that_is_none_of_jeol_s_is_left_alone(tmp_path):
    (tmp_path / "a.txt").write_text("notes\n$CM_MAG is dear this year\n")
    assert describe(Frame("a.tif", 16, 12, {}, {"a.txt": tmp_path / "a.txt"})) is None


def test_the_side_car_in_the_same_folder_goes_before_another_of_its_name(tmp_path):
    (tmp_path / "one").write_text(JEOL)
    (tmp_path / "two").write_text(JEOL.replace("100um", "10um"))
    beside = {"x/a.txt": tmp_path / "one", "y/a.txt": tmp_path / "two"}
    found = describe(Frame("x/a.tif", 1280, 1024, {}, beside))
    assert found is not None
    assert (found.side_cars, found.spacing_um) == (("x/a.txt",), same(100 / 101))


def test_side_cars_are_read_only_if_they_are_small_regular_files(tmp_path):
    (tmp_path / "b.txt").write_text(JEOL)
    (tmp_path / "a.txt").symlink_to(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_text(JEOL + " " * (5 << 20))
    for path in (tmp_path / "a.txt", tmp_path / "c.txt", tmp_path, tmp_path / "none"):
        assert describe(Frame("a.tif", 1280, 1024, {}, {"a.txt": path})) is None
