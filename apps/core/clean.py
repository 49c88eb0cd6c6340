"""Values as they come from outside, checked before they reach a row.

Each function returns the clean value, or says what is wrong with it.

Services call these, so that the REST surface, the admin and commands refuse the same things in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import IntegrityError

from apps.core.errors import CorrError, InvalidValueError
from apps.core.quote import shown
from apps.core.units import parse_unit

NAME_LENGTH: Final = 200
TEXT_LENGTH: Final = 20_000
_MAX_ENTRIES: Final = 200
_KEY_LENGTH: Final = 100
_VALUE_LENGTH: Final = 2_000
_QUANTITY_KEYS: Final = frozenset({"value", "unit", "u"})


def clean_text(value: object, *, field: str, max_length: int = NAME_LENGTH, required: bool = False) -> str:
    """Return text without white space around it.

    Raises
    ------
    InvalidValueError
        No string, too long, empty though required, or with characters that a database cannot hold.
    """
    if not isinstance(value, str):
        raise InvalidValueError(f"{shown(value)} is no text", field=field)
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidValueError("the text holds a NUL character or half a surrogate pair", field=field)
    text = value.strip()
    if required and not text:
        raise InvalidValueError("a text must be given here, and not only white space", field=field)
    if len(text) > max_length:
        raise InvalidValueError(f"the text has {len(text)} characters; at most {max_length} fit", field=field)
    return text


def clean_number(
    value: object, *, field: str, at_least: float | None = None, above: float | None = None, limit: float = 1e300
) -> float:
    """Return a finite number within its bounds; booleans and numerals in strings are no numbers.

    Raises
    ------
    InvalidValueError
        No number, not finite, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"{shown(value)} is not a number", field=field)
    if not -limit <= value <= limit:  # false for NaN too
        raise InvalidValueError(f"{shown(value)} is not a finite number of at most {limit:g}", field=field)
    if at_least is not None and value < at_least:
        raise InvalidValueError(f"{value!r} is below {at_least:g}", field=field)
    if above is not None and value <= above:
        raise InvalidValueError(f"{value!r} must be above {above:g}", field=field)
    return float(value)


def clean_object(value: object, *, field: str) -> dict[str, Any]:
    """Return a JSON object whose keys are short, distinct, non-empty texts.

    Raises
    ------
    InvalidValueError
        Not an object, too many entries, or a key that cannot stand.
    """
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"must be an object, not {type(value).__name__}", field=field)
    if len(value) > _MAX_ENTRIES:
        raise InvalidValueError(f"{len(value)} entries; at most {_MAX_ENTRIES} fit", field=field)
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = clean_text(key, field=field, max_length=_KEY_LENGTH, required=True)
        if name in result:
            raise InvalidValueError(f"the name {shown(name)} stands twice", field=field)
        result[name] = item
    return result


def clean_quantities(value: object, *, field: str) -> dict[str, dict[str, Any]]:
    """Return conditions or settings: name -> {value, unit, u}.

    A number has a UCUM unit (``1`` for a pure number) and may have a standard uncertainty ``u`` in that unit; a text
    has neither.

    Raises
    ------
    InvalidValueError
        Anything else; the field of the refusal leads to the entry, e.g. ``conditions.temperature.unit``.
    """
    return {name: _quantity(item, f"{field}.{name}") for name, item in clean_object(value, field=field).items()}


def _quantity(item: object, field: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidValueError(
            f"{shown(item)} must be an object {{value, unit}}, e.g. {{'value': 22, 'unit': 'Cel'}}", field=field
        )
    unknown = sorted(str(key) for key in item if key not in _QUANTITY_KEYS)
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: value, unit, u", field=field)
    if "value" not in item:
        raise InvalidValueError("value is missing", field=f"{field}.value")
    value = item["value"]
    if isinstance(value, str):
        if item.get("unit") not in (None, "") or item.get("u") is not None:
            raise InvalidValueError("a text has no unit and no uncertainty; give a number", field=f"{field}.value")
        return {"value": clean_text(value, field=f"{field}.value", max_length=_VALUE_LENGTH, required=True)}
    number = clean_number(value, field=f"{field}.value")
    if item.get("unit") is None:
        raise InvalidValueError("a number needs its UCUM unit; a pure number has the unit 1", field=f"{field}.unit")
    result: dict[str, Any] = {"value": number, "unit": parse_unit(item["unit"], field=f"{field}.unit").code}
    if item.get("u") is not None:
        result["u"] = clean_number(item["u"], field=f"{field}.u", at_least=0.0)
    return result


def clean_tags(value: object, *, field: str = "tags") -> list[str]:
    """Return tags: short texts, each once, in the order given.

    Raises
    ------
    InvalidValueError
        Not a list, too many, or a tag that cannot stand.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise InvalidValueError(f"must be a list of texts, not {type(value).__name__}", field=field)
    if len(value) > _MAX_ENTRIES:
        raise InvalidValueError(f"{len(value)} tags; at most {_MAX_ENTRIES} fit", field=field)
    return list(dict.fromkeys(clean_text(tag, field=field, max_length=_KEY_LENGTH, required=True) for tag in value))


def clean_key_values(value: object, *, field: str = "key_values") -> dict[str, Any]:
    """Return key -> text, number, boolean or null.

    Raises
    ------
    InvalidValueError
        Not an object, or a value of another kind.
    """
    return {key: _plain_value(item, f"{field}.{key}") for key, item in clean_object(value, field=field).items()}


def _plain_value(item: object, field: str) -> str | float | int | bool | None:
    if item is None or isinstance(item, bool):
        return item
    if isinstance(item, str):
        return clean_text(item, field=field, max_length=_VALUE_LENGTH)
    if isinstance(item, int | float):
        clean_number(item, field=field)
        return item
    raise InvalidValueError(f"must be a text, a number, true, false or null, not {type(item).__name__}", field=field)


def clean_texts(value: object, *, field: str) -> dict[str, str]:
    """Return name -> text, e.g. scheme -> external id.

    Raises
    ------
    InvalidValueError
        Not an object, or a value that is no text.
    """
    return {
        key: clean_text(item, field=f"{field}.{key}", max_length=NAME_LENGTH, required=True)
        for key, item in clean_object(value, field=field).items()
    }


def clean_ranges(value: object, *, field: str) -> dict[str, list[float]]:
    """Return setting -> [low, high] with low <= high.

    Raises
    ------
    InvalidValueError
        Not an object of pairs of finite numbers in order.
    """
    result = {}
    for key, item in clean_object(value, field=field).items():
        where = f"{field}.{key}"
        if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
            raise InvalidValueError(f"{shown(item)} is not a pair [low, high]", field=where)
        low, high = (clean_number(bound, field=where) for bound in item)
        if low > high:
            raise InvalidValueError(f"{shown(item)}: low is above high", field=where)
        result[key] = [low, high]
    return result


@contextmanager
def constraint_refuses(*signs: str, error: CorrError) -> Iterator[None]:
    """Turn the violation of one constraint into a refusal: of two callers at once, the database lets one through.

    Parameters
    ----------
    signs : str
        What the database's message names: the constraint (PostgreSQL), ``table.column`` (SQLite).
    error : CorrError
        Raised in the place of IntegrityError where the message holds one of ``signs``.
    """
    try:
        yield
    except IntegrityError as violation:
        if any(sign in str(violation) for sign in signs):
            raise error from violation
        raise
