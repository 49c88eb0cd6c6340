"""Values from outside: taken as they should be, or refused with the field at fault."""

from __future__ import annotations

import pytest

from apps.core import clean
from apps.core.errors import InvalidValueError


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", 3, None, "x" * 201])
def test_text_that_cannot_be_stored_is_refused(value):
    with pytest.raises(InvalidValueError) as refused:
        clean.clean_text(value, field="name")
    assert refused.value.field == "name"


def test_text_is_stripped_and_may_be_demanded():
    assert clean.clean_text("  a b ", field="name") == "a b"
    with pytest.raises(InvalidValueError):
        clean.clean_text(" \n", field="name", required=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "1", True, None, 10**400])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(InvalidValueError):
        clean.clean_number(value, field="factor")


def test_bounds_of_a_number():
    assert clean.clean_number(0, field="u", at_least=0.0) == 0.0
    with pytest.raises(InvalidValueError):
        clean.clean_number(0, field="factor", above=0.0)


def test_conditions_keep_value_unit_and_uncertainty():
    given = {"temperature": {"value": 22, "unit": "Cel", "u": 0.5}, "solution": {"value": "0.1 M NaCl"}}
    assert clean.clean_quantities(given, field="conditions") == {
        "temperature": {"value": 22.0, "unit": "Cel", "u": 0.5},
        "solution": {"value": "0.1 M NaCl"},
    }


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"value": 22, "unit": "degC"}, "conditions.t.unit"),
        ({"value": 22}, "conditions.t.unit"),
        ({"value": float("nan"), "unit": "K"}, "conditions.t.value"),
        ({"unit": "K"}, "conditions.t.value"),
        ({"value": True, "unit": "1"}, "conditions.t.value"),
        ({"value": "hot", "unit": "K"}, "conditions.t.value"),
        ({"value": 1, "unit": "K", "u": -1}, "conditions.t.u"),
        ({"value": 1, "unit": "K", "error": 1}, "conditions.t"),
        (22, "conditions.t"),
    ],
)
def test_a_wrong_condition_names_its_part(item, field):
    with pytest.raises(InvalidValueError) as refused:
        clean.clean_quantities({"t": item}, field="conditions")
    assert refused.value.field == field


def test_tags_stand_once():
    assert clean.clean_tags(["a", " a ", "b"]) == ["a", "b"]
    for wrong in ("ab", ["a", 1], [""], ["x"] * 300):
        with pytest.raises(InvalidValueError):
            clean.clean_tags(wrong)


def test_key_values_are_plain():
    assert clean.clean_key_values({"a": 1, "b": None, "c": "x", "d": True}) == {"a": 1, "b": None, "c": "x", "d": True}
    for wrong in ([1], {"a": [1]}, {"": 1}, {"a": {"b": 1}}, {"a": float("inf")}, {"a": 1, " a": 2}):
        with pytest.raises(InvalidValueError):
            clean.clean_key_values(wrong)


def test_ranges_are_ordered_pairs():
    assert clean.clean_ranges({"kv": [5, 30]}, field="valid_range") == {"kv": [5.0, 30.0]}
    for wrong in ({"kv": [30, 5]}, {"kv": 5}, {"kv": "ab"}, {"kv": [1, 2, 3]}, {"kv": [1, float("nan")]}):
        with pytest.raises(InvalidValueError):
            clean.clean_ranges(wrong, field="valid_range")
