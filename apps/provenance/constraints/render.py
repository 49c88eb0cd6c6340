"""Statements as PROV-N text, as they are shown in a report."""

from __future__ import annotations

from apps.provenance.constraints.model import SHAPES, Argument, Literal, Marker, Name, Record, Value

_LONGEST_VALUE = 120


def _argument(value: Argument) -> str:
    if value is None or isinstance(value, Marker):
        return "-"
    return value.text


def _quoted(literal: Literal) -> str:
    text = literal.text if len(literal.text) <= _LONGEST_VALUE else literal.text[:_LONGEST_VALUE] + "..."
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    if literal.language:
        return f'"{escaped}"@{literal.language}'
    if literal.datatype:
        return f'"{escaped}" %% {_short(literal.datatype)}'
    return f'"{escaped}"'


def _short(datatype: str) -> str:
    local = datatype.rpartition("#")[2]
    return f"xsd:{local}" if datatype.startswith("http://www.w3.org/2001/XMLSchema#") else f"<{datatype}>"


def _value(value: Value) -> str:
    return f"'{value.text}'" if isinstance(value, Name) else _quoted(value)


def _written(record: Record) -> list[str]:
    """The arguments up to the last one that was written."""
    arguments = list(record.arguments)
    least = SHAPES[record.kind].least if record.kind in SHAPES else 0
    while len(arguments) > least and arguments[-1] is None:
        arguments.pop()
    return [_argument(argument) for argument in arguments]


def to_provn(record: Record) -> str:
    """Return a statement as PROV-N; long values are cut, ``-`` stands for what was left out before the last argument.

    Parameters
    ----------
    record : Record
        Of any kind.
    """
    words = _written(record)
    shape = SHAPES.get(record.kind)
    head = ""
    if record.identifier is not None and not record.identifier.uri.startswith("_:"):
        if shape is not None and shape.is_element:
            words.insert(0, record.identifier.text)
        else:
            head = f"{record.identifier.text}; "
    if record.attributes:
        words.append("[" + ", ".join(f"{name.text}={_value(value)}" for name, value in record.attributes) + "]")
    return f"{record.kind}({head}{', '.join(words)})"
