"""Fields of forms, as the pages draw them: what is asked, in which unit, what was typed, what was wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.core.errors import CorrError, InvalidValueError


@dataclass(frozen=True)
class Field:
    """One field; ``kind`` is text, number, whole, choice, area, check, date or password."""

    name: str
    label: str
    kind: str = "text"
    value: Any = ""
    help: str = ""
    unit: str = ""
    required: bool = False
    options: Sequence[tuple[str, str]] = ()
    error: str = ""
    wide: bool = False
    autocomplete: str = "off"

    @property
    def id(self) -> str:
        """The id of the input."""
        return "f-" + "".join(letter if letter.isalnum() else "-" for letter in self.name)


def filled(fields: Iterable[Field], given: Mapping[str, Any], errors: Mapping[str, Any] | None = None) -> list[Field]:
    """Return fields with what was typed and what was wrong; a field that was not sent keeps its value."""
    said = errors or {}
    return [
        replace(
            field,
            value=given.get(field.name, field.value) if field.kind != "check" else bool(given.get(field.name)),
            error=_text(said.get(field.name, "")),
        )
        for field in fields
    ]


def errors_of(error: CorrError, known: Iterable[str], *, prefixes: Sequence[str] = ()) -> tuple[dict[str, str], str]:
    """Return the messages of a refusal by field of a form, and what belongs to none of its fields."""
    names, placed, rest = set(known), {}, []
    for name, message in error.errors.items():
        short = name
        for prefix in prefixes:
            short = short.removeprefix(prefix)
        if short in names:
            placed[short] = _text(message)
        else:
            rest.append(f"{short}: {_text(message)}" if short != "non_field_errors" else _text(message))
    return placed, " ".join(rest) if rest or placed else error.message


def _text(message: Any) -> str:
    return message if isinstance(message, str) else " ".join(str(part) for part in message)


def number(given: Mapping[str, Any], name: str, label: str) -> float | None:
    """Return a number that was typed, None where nothing was; the decimal sign may be a comma."""
    text = str(given.get(name, "")).strip()
    if not text:
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError as error:
        raise InvalidValueError(f"{label} is {text[:40]!r}; give a number", field=name) from error
