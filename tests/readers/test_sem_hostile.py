"""The pieces that the vendors' parsers are made of, and headers that are damaged or meant to do harm."""

from __future__ import annotations

import pytest

from apps.imaging.readers import MetadataError, ReaderError, TooLargeError
from apps.imaging.readers.dialects import TAGS, describe
from apps.imaging.readers.sem_quantities import MAX_LINES, Facts, ini, moment, number, sample_distance, split_quantity
from apps.imaging.readers.vendor import MAX_HEADER_BYTES, Frame, decoded, xml_values
from tests.readers.sem_files import TESCAN_MAIN as MAIN
from tests.readers.sem_files import TESCAN_SEM as SEM
from tests.readers.sem_files import fei_with, fibics, orion, said, tescan, zeiss

ABSENT = {"y": None, "x": None}


def same(length):
    return pytest.approx({"y": length, "x": length}, rel=1e-9)


STEPS = "<Ux>0.005</Ux><Uy>0</Uy><Vx>0</Vx><Vy>-0.006</Vy>"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,5", 1.5), ("-2.", -2.0), ("+.5", 0.5), (" 7 ", 7.0), ("1e-3", 1e-3), ("\u22121", -1.0), ("1,234.5", None),
        ("1.2.3", None), ("nan", None), ("inf", None), ("1e999", None), ("1e9999", None), ("0x10", None), ("", None),
        ("1" * 50, None), ("\u0661", None), (None, None), (5, None),
    ],
)  # fmt: skip
def test_numbers_are_plain_and_finite(text, wanted):
    assert number(text) == wanted


def test_a_quantity_is_a_number_and_a_unit():
    assert [str(part) for part in split_quantity("=  500.0 V")] == ["500.0", "V"]
    assert [str(part) for part in split_quantity("50.00 K X")] == ["50.00", "K X"]
    assert sample_distance("1.5 \u00c5") == pytest.approx(1.5e-4)
    assert sample_distance("3 furlongs") is None
    assert sample_distance("3 nm", "m") is None


def test_of_each_name_the_first_usable_value_stays():
    facts = Facts()
    facts.quantity("stage_x", "1e400 mm", "one")
    facts.quantity("stage_x", "2 mm", "two")
    facts.quantity("stage_x", "3 mm", "three")
    assert facts.found["stage_x"] == {"value": 2000.0, "unit": "um", "source": "file", "tag": "two", "raw": "2 mm"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2020-08-31T15:32:31.25Z", "2020-08-31T15:32:31.250000Z"),
        ("2020-08-31 15:32:31 +02:00", "2020-08-31T15:32:31+02:00"),
        ("31. Dez 2020 1:02:03", "2020-12-31T01:02:03"),
        ("3 Okt 2020 1:02:03", "2020-10-03T01:02:03"),
        ("2020-02-30 10:00:00", None),
        ("2020-02-03 25:00:00", None),
        ("2020-02-03 13:00:00 PM", None),
        ("2020-02-03", None),
        ("0001-02-03 10:00:00", None),
        ("now", None),
    ],
)
def test_moments(text, wanted):
    assert moment(text) == wanted


def test_text_is_decoded_by_mark_then_utf_8_then_code_page():
    assert decoded("µ".encode("utf-16")) == "µ"
    assert decoded(b"\xef\xbb\xbf\xc2\xb5") == decoded(b"\xc2\xb5") == decoded(b"\xb5\0rest") == "µ"
    assert decoded(b"\x81\xb5") == "\x81µ"


def test_lines_of_a_table_are_bounded():
    found = ini("\n".join(f"key{number}=1" for number in range(2 * MAX_LINES)))
    assert len(found[""]) <= MAX_LINES


# ------------------------------------------------------------------------------------------------------------- hostile
BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        (51023, b'<?xml version="1.0"?>' + BOMB.encode() + b"<Fibics>&b;</Fibics>"),
        (65000, BOMB.encode() + b"<ImageTags>&b;</ImageTags>"),
        (34683, BOMB.encode() + b"<Metadata>&b;</Metadata>"),
        (65000, b'<!DOCTYPE x SYSTEM "a.dtd"><ImageTags></ImageTags>'),
    ],
)
def test_xml_entities_and_document_types_are_refused(tag, data):
    with pytest.raises(MetadataError, match="entities or a document type"):
        describe(Frame("a.tif", 16, 12, {tag: data}))


@pytest.mark.parametrize("tag", [51023, 65000])
def test_xml_that_is_cut_off_is_refused_with_the_tag(tag):
    data = {51023: fibics(STEPS), 65000: orion({"ScalingX": ("1", "nm")})}[tag]
    with pytest.raises(MetadataError, match=f"tag {tag} is no well-formed XML"):
        describe(Frame("a.tif", 16, 12, {tag: data[:-5]}))


def test_xml_that_is_deeper_than_any_header_is_refused():
    deep = b"<Fibics>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Fibics>"
    with pytest.raises(MetadataError):
        describe(Frame("a.tif", 16, 12, {51023: deep}))
    with pytest.raises(MetadataError, match="elements"):
        xml_values(b"<a>" + b"<b/>" * 60_000 + b"</a>", "it")


def test_a_header_larger_than_any_is_refused():
    with pytest.raises(TooLargeError, match="of header"):
        describe(Frame("a.tif", 16, 12, {34118: b"0" * (MAX_HEADER_BYTES + 1)}))


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\xff\xfe", b"=", b"[", b"]\n[]\n=\n", b"\r" * 100, b"<", b"AP_WD", b"\xff" * 99]
)
def test_headers_of_nothing_end_in_a_description_or_a_reason(tag, data):
    try:
        found = describe(Frame("a.tif", 16, 12, {tag: data}))
    except ReaderError:
        return
    assert found is None or dict(found.spacing_um) in (ABSENT, {})


def test_every_header_cut_anywhere_ends_in_a_description_or_a_reason():
    whole = {
        34118: zeiss({"AP_WIDTH": "Width = 5.965 µm", "DP_IMAGE_STORE": "Store resolution = 16 * 12"}),
        34682: fei_with(),
        51023: fibics(STEPS),
        65000: orion({"ScalingX": ("1", "nm")}),
        50431: tescan(MAIN, SEM),
    }
    for tag, data in whole.items():
        for end in range(len(data)):
            try:
                found = describe(Frame("a.tif", 16, 12, {tag: data[:end]}))
            except ReaderError:
                continue
            assert found is None or all(length is None or length > 0 for length in found.spacing_um.values())


def test_a_tescan_chain_with_absurd_lengths_is_not_followed():
    for length in (0, 1, 0xFFFFFFFF):
        data = length.to_bytes(4, "little") + b"\2\0" + MAIN.encode()
        assert said({50431: data}, 16, 12).spacing_um == same(0.002)
