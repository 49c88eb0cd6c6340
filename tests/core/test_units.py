"""UCUM codes: what is taken, what is refused with which hint, what converts to what."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidValueError
from apps.core.units import check_quantity_unit, convert, known_quantities, length_um, parse_unit


@pytest.mark.parametrize(
    ("code", "factor", "dimension"),
    [
        ("um", 1e-6, (1, 0, 0, 0, 0, 0, 0)),
        ("W/(m.K)", 1.0, (1, 1, -3, 0, -1, 0, 0)),
        ("W.m-1.K-1", 1.0, (1, 1, -3, 0, -1, 0, 0)),
        ("g/cm3", 1e3, (-3, 1, 0, 0, 0, 0, 0)),
        ("mol/L", 1e3, (-3, 0, 0, 0, 0, 1, 0)),
        ("S/m", 1.0, (-3, -1, 3, 2, 0, 0, 0)),
        ("m2/s", 1.0, (2, 0, -1, 0, 0, 0, 0)),
        ("kV", 1e3, (2, 1, -3, -1, 0, 0, 0)),
        ("/m", 1.0, (-1, 0, 0, 0, 0, 0, 0)),
        ("10*-6/K", 1e-6, (0, 0, 0, 0, -1, 0, 0)),
        ("%", 0.01, (0,) * 7),
        ("1", 1.0, (0,) * 7),
        ("{fibres}/mm3", 1e9, (-3, 0, 0, 0, 0, 0, 0)),
        ("deg", math.pi / 180, (0,) * 7),
        ("mPa", 1e-3, (-1, 1, -2, 0, 0, 0, 0)),
        ("[ppm]", 1e-6, (0,) * 7),
    ],
)
def test_code_has_factor_and_dimension(code, factor, dimension):
    unit = parse_unit(code)
    assert unit.factor == pytest.approx(factor, rel=1e-12)
    assert unit.dimension == dimension


@pytest.mark.parametrize(
    ("slip", "meant"), [("µm", "um"), ("μm", "um"), ("degC", "Cel"), ("°C", "Cel"), ("M", "mol/L"), ("Ω", "Ohm")]
)
def test_a_usual_slip_is_answered_with_the_code_that_was_meant(slip, meant):
    with pytest.raises(InvalidValueError, match=f"UCUM writes it '{meant}'") as refused:
        parse_unit(slip, field="conditions.t.unit")
    assert refused.value.field == "conditions.t.unit"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "foo",
        "m/",
        "(m",
        "m)",
        "m 2",
        "0",
        "m0",
        "10*9999",
        3,
        None,
        "Cel/min",
        "2m",
        "[",
        "{a",
        "..",
        "m²",
        "m\x00",
        "x" * 33,
        "Ym120",
        "ym-120/ym120",
        "m١",
        "١",
        True,
        ["um"],
        "(" * 32,
    ],
)
def test_what_is_no_code_is_refused(code):
    with pytest.raises(InvalidValueError):
        parse_unit(code)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text):
    try:
        unit = parse_unit(text)
    except InvalidValueError:
        return
    assert unit.code == text
    assert 0 < unit.factor < math.inf


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (22, "Cel", "K", 295.15),
        (300, "K", "Cel", 26.85),
        (1, "nm", "um", 1e-3),
        (24, "h", "min", 1440),
        (1, "g/cm3", "kg/m3", 1000),
        (7.2, "[pH]", "[pH]", 7.2),
    ],
)
def test_conversion(value, source, target, expected):
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("source", "target"), [("m", "s"), ("[pH]", "1"), ("1", "[pH]"), ("kV", "A")])
def test_what_measures_different_things_does_not_convert(source, target):
    with pytest.raises(InvalidValueError, match="different things"):
        convert(1.0, source, target)


@given(st.floats(min_value=1e-6, max_value=1e6), st.sampled_from(["nm", "um", "mm", "cm", "m", "Ao"]))
def test_lengths_come_back(value, unit):
    assert convert(length_um(value, unit), "um", unit) == pytest.approx(value, rel=1e-12)


def test_a_length_has_a_unit_of_length():
    with pytest.raises(InvalidValueError, match="no unit of length") as refused:
        length_um(1.0, "kV", field="spacing.unit")
    assert refused.value.field == "spacing.unit"


def test_the_unit_of_a_known_quantity_must_measure_it():
    assert check_quantity_unit("thermal_conductivity", "mW/(cm.K)").code == "mW/(cm.K)"
    assert check_quantity_unit("shininess", "kV").code == "kV"
    with pytest.raises(InvalidValueError, match=r"W/\(m.K\)"):
        check_quantity_unit("thermal_conductivity", "W/mK")  # watt a millikelvin
    with pytest.raises(InvalidValueError):
        check_quantity_unit("porosity", "[pH]")


def test_every_known_quantity_has_a_unit_that_fits_it():
    for quantity, code in known_quantities().items():
        assert check_quantity_unit(quantity, code).code == code
