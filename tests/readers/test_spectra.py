"""Point spectra: EMSA/MAS text and EDAX SPC."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from apps.imaging.readers import (
    ContentMismatchError,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
    read,
)
from tests.readers import expected

FILES = [
    "msa/example1.msa",
    "msa/ISO_22029_2022_compliance.msa",
    "eds-edax/leo_edax_test.msa",
    "eds-edax/leo_edax_test.spc",
]


@pytest.mark.parametrize("name", FILES)
def test_all_expected_values_and_samples_come_out(microscopy, name):
    [entry] = [e for e in expected.entries(microscopy) if e.file == name]
    [image] = images = expected.load(microscopy, entry)
    assert expected.wrong_values(images, entry) == []
    assert expected.missing_arrays(images, entry) == []
    assert image.kind == "spectrum"
    assert image.axes == ("e", "z", "y", "x")
    assert image.shape[1:] == (1, 1, 1)
    assert image.spacing_um == {"z": None, "y": None, "x": None}


def test_the_two_forms_of_one_spectrum_agree(microscopy):
    [text], [binary] = (read(microscopy / f"eds-edax/leo_edax_test.{ending}") for ending in ("msa", "spc"))
    assert np.array_equal(text.array[...], binary.array[...])
    assert text.signal == binary.signal
    assert text.signal[0].unit == "keV"
    assert text.signal[0].step == 0.005
    for name in ("accelerating_voltage", "live_time", "elevation_angle", "azimuth_angle"):
        assert text.facts[name]["value"] == binary.facts[name]["value"], name
    assert text.facts["acquired_at"]["value"] == "2022-08-29T10:14:00"
    assert binary.facts["acquired_at"]["value"] == "2022-08-29T10:14:08"
    assert "real_time" not in text.facts  # 0.0 in the file


def test_the_points_count_and_not_the_number_announced_for_them(microscopy):
    [new] = read(microscopy / "msa/ISO_22029_2022_compliance.msa")
    [old] = read(microscopy / "msa/example1.msa")
    assert new.shape == old.shape == (21, 1, 1, 1)
    assert old.facts["points_stated"]["value"] == 20
    assert "points_stated" not in new.facts


def test_the_form_of_1991_is_read(microscopy):
    [image] = read(microscopy / "msa/example1.msa")
    [axis] = image.signal
    assert (axis.name, axis.offset, axis.step, axis.unit) == ("energy_loss", 520.13, 3.1, "eV")
    assert image.name == "NIO EELS OK SHELL"
    assert image.facts["dwell_time"]["value"] == 100_000
    assert image.facts["beam_current"]["value"] == 12.345
    assert image.facts["dwell_time"]["raw"] == "100. ms"


def test_points_off_the_axis_of_the_header_are_said(microscopy, rewritten):
    [image] = read(microscopy / "msa/example1.msa")
    assert image.facts["axis_deviation"]["value"] == pytest.approx(1.63)
    with pytest.raises(UnsupportedFormatError, match="even axis"):
        read(rewritten("msa/example1.msa", (rb"XPERCHAN[^\n]*", rb"XPERCHAN : 7.0")))


def test_counts_without_positions_are_read(rewritten, microscopy):
    content = (microscopy / "msa/example1.msa").read_text()
    data = content.split("Spectral Data Starts Here")[1]
    lines = [line.split(",")[1] for line in data.splitlines() if line[:1].isdigit()]
    path = rewritten("msa/example1.msa", (rb"#DATATYPE[^\n]*", rb"#DATATYPE : Y"))
    text = path.read_text().split("Spectral Data Starts Here")[0]
    path.write_text(f"{text}Spectral Data Starts Here\n{', '.join(lines[:15])}\n{' '.join(lines[15:])}\n#ENDOFDATA\n")
    [image], [real] = read(path), read(microscopy / "msa/example1.msa")
    assert np.array_equal(image.array, real.array)


@pytest.mark.parametrize("date", [b"", b"31-FEB-1991", b"yesterday"])
def test_a_date_that_is_none_is_absent(rewritten, date):
    [image] = read(rewritten("msa/example1.msa", (rb"#DATE[^\n]*", b"#DATE : " + date)))
    assert "acquired_at" not in image.facts


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ((rb"#ENDOFDATA", rb"#OTHER"), TruncatedFileError, "ENDOFDATA"),
        ((rb"#NPOINTS[^\n]*", rb"#NPOINTS : 30"), TruncatedFileError, "announces 30"),
        ((rb"526.32, 3932.0", rb"526.32, what"), MetadataError, "not numbers"),
        ((rb"526.32, 3932.0", rb"526.32"), MetadataError, "without both"),
        ((rb"526.32, 3932.0", rb"526.32, nan"), MetadataError, "not finite"),
        ((rb"#ENDOFDATA", rb"#ENDOFDATA :\n#FORMAT : EMSA/MAS\n#X"), UnsupportedFormatError, "several spectra"),
    ],
)
def test_a_broken_spectrum_is_refused_with_the_reason(rewritten, change, error, says):
    with pytest.raises(error, match=says):
        read(rewritten("msa/example1.msa", change))


def test_a_text_without_end_is_not_read_into_memory(tmp_path):
    with (tmp_path / "a.msa").open("wb") as stream:
        stream.write(b"#FORMAT : EMSA/MAS Spectral Data File\n")
        stream.truncate(100 << 20)
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.msa")


@pytest.mark.parametrize("file", FILES)
def test_cut_spectra_are_refused_or_whole(microscopy, tmp_path, file):
    content = (microscopy / file).read_bytes()
    [whole] = read(microscopy / file)
    path = tmp_path / file.rsplit("/", 1)[-1]
    for cut in np.linspace(1, len(content) - 1, 20).astype(int):
        path.write_bytes(content[:cut])
        try:
            [image] = read(path)
        except ReaderError:
            continue
        assert np.array_equal(image.array, whole.array), f"cut at {cut}"


@pytest.mark.parametrize(
    ("offset", "form", "value"), [(32, "<h", -5), (32, "<h", 0), (28, "<i", -1), (28, "<i", 1 << 30)]
)
def test_an_spc_header_out_of_its_bounds_is_no_spectrum(microscopy, tmp_path, offset, form, value):
    content = bytearray((microscopy / "eds-edax/leo_edax_test.spc").read_bytes())
    struct.pack_into(form, content, offset, value)
    (tmp_path / "a.spc").write_bytes(content)
    with pytest.raises(ContentMismatchError, match="EDAX SPC"):
        read(tmp_path / "a.spc")


def test_an_spc_without_a_width_of_its_channels_is_refused(microscopy, tmp_path):
    content = bytearray((microscopy / "eds-edax/leo_edax_test.spc").read_bytes())
    struct.pack_into("<i", content, 384, 0)
    (tmp_path / "a.spc").write_bytes(content)
    with pytest.raises(MetadataError, match="channels of 0"):
        read(tmp_path / "a.spc")


def test_spectra_of_another_program_with_the_same_ending_are_refused(tmp_path):
    (tmp_path / "infrared.spc").write_bytes(b"\x00\x4b" + bytes(600))
    with pytest.raises(ContentMismatchError):
        read(tmp_path / "infrared.spc")
