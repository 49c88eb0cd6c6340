"""A plugin's JSON schema as a form, and what was typed into the form as parameters.

What is left empty is left out, so that the plugin's own default holds; the plugin's model checks the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.errors import InvalidValueError
from apps.web.present.fields import Field
from apps.web.present.lengths import significant

PHASES = "phases"
_PHASE_PARTS = ("material", "k", "u", "source")
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class PhaseRow:
    """The fields of one phase: a material, or a value typed with its uncertainty and source."""

    label: str
    fields: tuple[Field, ...]


def _inner(schema: Schema) -> tuple[Schema, bool]:
    """Return what a property is where it is something, and whether it may be null."""
    if "anyOf" not in schema:
        return schema, False
    others = [part for part in schema["anyOf"] if part.get("type") != "null"]
    return {**others[0], "description": schema.get("description", "")}, True


def _limits(schema: Schema) -> str:
    low, high = (
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum", schema.get("exclusiveMaximum")),
    )
    if low is not None and high is not None:
        return f"From {_short(low)} to {_short(high)}."
    if low is not None:
        return f"At least {_short(low)}." if "minimum" in schema else f"More than {_short(low)}."
    return f"At most {_short(high)}." if high is not None else ""


def _short(value: Any) -> str:
    return significant(value, 6) if isinstance(value, float) else str(value)


def _count(schema: Schema) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    return f"{low or 0} to {high} of them." if high else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return _short(value)


def sentence(text: str) -> str:
    """Return a description as a sentence, without the marks of code."""
    text = text.replace("`", "")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".") if text else ""


def field_of(name: str, schema: Schema, required: bool) -> Field:
    """Return the field of one parameter."""
    inner, nullable = _inner(schema)
    words = sentence(schema.get("description", ""))
    title = name.replace("_", " ").capitalize()
    default = schema.get("default")
    must = (required or default is not None) and not nullable
    unit = str(inner.get("unit") or schema.get("unit") or "")
    kind = inner.get("type")
    if "enum" in inner:
        options = [(_short(value), _short(value).replace("_", " ")) for value in inner["enum"]]
        options = [("", "not set"), *options] if nullable else options
        return Field(name, title, "choice", _text(default), words, unit, must, options)
    if kind == "array" and "enum" in inner.get("items", {}):
        return Field(
            name, title, "checks", list(default or ()), words, unit, must, [(v, v) for v in inner["items"]["enum"]]
        )
    if kind in ("number", "integer"):
        field_kind = "number" if kind == "number" else "whole"
        return Field(name, title, field_kind, _text(default), f"{words} {_limits(inner)}".strip(), unit, must)
    if kind == "array":
        return Field(
            name, title, "text", _text(default), f"{words} Separated by commas. {_count(inner)}".strip(), unit, must
        )
    if kind == "boolean":
        return Field(name, title, "check", bool(default), words)
    if kind == "string":
        return Field(name, title, "text", _text(default), words, unit, must)
    return Field(
        name, title, "area", "" if default is None else json.dumps(default), f"{words} As JSON.", unit, must, wide=True
    )


def fields_of(schema: Schema) -> list[Field]:
    """Return the fields of all parameters but the phases."""
    required = set(schema.get("required", ()))
    return [
        field_of(name, part, name in required) for name, part in schema.get("properties", {}).items() if name != PHASES
    ]


def has_phases(schema: Schema) -> bool:
    """True where the plugin wants a property for each phase."""
    return PHASES in schema.get("properties", {})


def phase_rows(
    labels: Iterable[int], materials: Sequence[tuple[str, str]], given: Mapping[str, Any], errors: Mapping[str, str]
) -> list[PhaseRow]:
    """Return a row of fields for each label."""
    found = []
    for label in labels:
        start = f"{PHASES}.{label}."
        whole = errors.get(f"{PHASES}.{label}", "")
        fields = (
            Field(f"{start}material", "Material", "choice", options=(("", "type a value"), *materials)),
            Field(f"{start}k", "Value", "number"),
            Field(f"{start}u", "Standard uncertainty", "number"),
            Field(f"{start}source", "Source"),
        )
        shown = [
            _with(field, given, errors.get(field.name, "") or (whole if i == 0 else ""))
            for i, field in enumerate(fields)
        ]
        found.append(PhaseRow(str(label), tuple(shown)))
    return found


def _with(field: Field, given: Mapping[str, Any], error: str) -> Field:
    return Field(
        field.name, field.label, field.kind, given.get(field.name, field.value), options=field.options, error=error
    )


# ------------------------------------------------------------------------------------------------------ what was typed


def _scalar(text: str, kind: str, name: str) -> Any:
    try:
        return int(text) if kind == "integer" else float(text.replace(",", "."))
    except ValueError as error:
        wanted = "a whole number" if kind == "integer" else "a number"
        raise InvalidValueError(f"{text[:40]!r} is not {wanted}", field=f"params.{name}") from error


def value_of(name: str, schema: Schema, texts: Sequence[str]) -> Any:
    """Return the parameter that was typed; None where nothing was."""
    inner, _ = _inner(schema)
    kind = inner.get("type")
    if kind == "array" and "enum" in inner.get("items", {}):
        return list(texts)
    text = texts[-1].strip() if texts else ""
    if kind == "boolean":
        return bool(text)
    if not text:
        return None
    if kind in ("number", "integer"):
        return _scalar(text, kind, name)
    if kind == "array":
        each = inner.get("items", {}).get("type", "string")
        parts = [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]
        return [_scalar(part, each, name) for part in parts] if each in ("number", "integer") else parts
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidValueError(f"this is no JSON: {error}", field=f"params.{name}") from error


def params_of(schema: Schema, lists: Mapping[str, Sequence[str]], labels: Iterable[int]) -> dict[str, Any]:
    """Return the parameters of a form that was sent.

    Raises
    ------
    InvalidValueError
        A text is no number, naming the field; everything else is for the plugin's model to say.
    """
    found: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        value = _phases(lists, labels) if name == PHASES else value_of(name, part, lists.get(name, ()))
        if value is not None:
            found[name] = value
    return found


def _phases(lists: Mapping[str, Sequence[str]], labels: Iterable[int]) -> dict[str, Any]:
    phases: dict[str, Any] = {}
    for label in labels:
        entry: dict[str, Any] = {}
        for part in _PHASE_PARTS:
            name = f"{PHASES}.{label}.{part}"
            text = (lists.get(name) or ("",))[-1].strip()
            if text:
                entry[part] = _scalar(text, "number", name) if part in ("k", "u") else text
        if entry:
            phases[str(label)] = entry
    return phases
