"""PROV-JSON (W3C member submission of 2013) into :mod:`model` values.

The form has no ``-``: an argument is there, or it was left out.  A name that begins with ``_:`` is known in
its document alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from apps.provenance.constraints.errors import DocumentError, DocumentTooLargeError
from apps.provenance.constraints.garbage import no_cycles
from apps.provenance.constraints.limits import DEFAULT, Limits
from apps.provenance.constraints.model import (
    PROV,
    SHAPES,
    XSD,
    Argument,
    Bundle,
    Document,
    Literal,
    Name,
    Record,
    Shape,
    Time,
    Value,
)
from apps.provenance.constraints.names import Namespaces
from apps.provenance.constraints.scanner import TIME

_PLACES: Final = {
    kind: {f"prov:{parameter.name}": place for place, parameter in enumerate(shape.parameters)}
    for kind, shape in SHAPES.items()
}
# PROV-JSON sorts these among the statements; PROV-Dictionary is no part of the recommendation.
_DICTIONARY: Final = ("hadDictionaryMember", "derivedByInsertionFrom", "derivedByRemovalFrom")
_UNJUDGED: Final = frozenset({*_DICTIONARY, *(f"prov:{name}" for name in _DICTIONARY)})
_NAMES: Final = frozenset({XSD + "QName", PROV + "QUALIFIED_NAME", PROV + "QualifiedName"})
_NUMBERS: Final = {bool: XSD + "boolean", int: XSD + "int", float: XSD + "double"}
_NOTHING: Final[Mapping[str, Any]] = {}


def read_provjson(text: str | bytes, limits: Limits = DEFAULT) -> Document:
    """Return the document that a PROV-JSON text describes.

    Parameters
    ----------
    text : str or bytes
        UTF-8, one JSON object.
    limits : Limits
        How much is read.

    Raises
    ------
    DocumentError
        Not JSON, or not PROV-JSON; the message names the key.
    DocumentTooLargeError
        Larger than the limits, or nested deeper than JSON is read.
    """
    limits.check_bytes(len(text))
    with no_cycles():
        tree = _object(_tree(text), "the document")
        return _Reader(limits).document(tree)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that stands twice would hide a statement."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DocumentError(f"the key {key[:200]!r} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> float:
    raise DocumentError(f"{name} is no number that JSON knows")


def _tree(text: str | bytes) -> Any:
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise DocumentTooLargeError("the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise DocumentError(f"no JSON: {error.msg}", line=error.lineno, column=error.colno) from error
    except DocumentError:
        raise
    except ValueError as error:  # bytes that are no UTF-8, a number of thousands of digits
        raise DocumentError(f"no JSON: {error}") from error


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DocumentError(f"{what} must be an object, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, check_circular=False) if not isinstance(value, dict | list) else ""
    return text[:100] or f"a{'n object' if isinstance(value, dict) else ' list'}"


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._names = Namespaces()
        self._count = 0

    # --------------------------------------------------------------------------------------------- document and bundles

    def document(self, tree: dict[str, Any]) -> Document:
        self._declare(tree)
        above = self._names
        top = Bundle(None, self._records(tree, "bundle"))
        bundles = []
        for key, content in _object(tree.get("bundle", _NOTHING), "'bundle'").items():
            content = _object(content, f"bundle {key[:200]!r}")
            self._names = Namespaces(above)
            self._declare(content)
            bundles.append(Bundle(self._name(key, "bundle"), self._records(content, "")))
        return Document(top, tuple(bundles), dict(above.uris))

    def _declare(self, tree: Mapping[str, Any]) -> None:
        for prefix, uri in _object(tree.get("prefix", _NOTHING), "'prefix'").items():
            if not isinstance(uri, str) or len(uri) > self._limits.name:
                raise DocumentError(f"the prefix {prefix[:200]!r} must stand for an IRI, not {_shown(uri)}")
            self._names.declare("" if prefix == "default" else prefix, uri)

    def _records(self, tree: Mapping[str, Any], bundle_key: str) -> tuple[Record, ...]:
        found: list[Record] = []
        for kind, statements in tree.items():
            if kind in ("prefix", bundle_key):
                continue
            shape = SHAPES.get(kind)
            if shape is None and kind not in _UNJUDGED:
                raise DocumentError(f"PROV has no statement {kind[:200]!r}; it has {', '.join(SHAPES)}")
            for key, contents in _object(statements, f"{kind!r}").items():
                for content in contents if isinstance(contents, list) else (contents,):
                    content = _object(content, f"{kind} {key[:200]!r}")
                    if shape is not None:
                        found += self._statements(kind, shape, key, content)
            self._limits.check_records(self._count + len(found))
        self._count += len(found)
        return tuple(found)

    # ------------------------------------------------------------------------------------------------------- statements

    def _statements(self, kind: str, shape: Shape, key: str, content: Mapping[str, Any]) -> list[Record]:
        """One statement; a membership of several entities is one for each."""
        members = content.get("prov:entity")
        if kind == "hadMember" and type(members) is list:
            self._limits.check_records(len(members))
            return [self._record(kind, shape, key, {**content, "prov:entity": member}) for member in members]
        return [self._record(kind, shape, key, content)]

    def _record(self, kind: str, shape: Shape, key: str, content: Mapping[str, Any]) -> Record:
        identifier: Name | None
        if shape.is_element or (shape.has_identifier and not key.startswith("_:")):
            identifier = self._name(key, kind)
        else:
            # A blank identifier may be spoken of elsewhere; statements without identifiers have no use for one.
            identifier = Name(key, key) if shape.has_identifier else None
        places = _PLACES[kind]
        arguments: list[Argument] = [None] * len(shape.parameters)
        attributes: list[tuple[Name, Value]] = []
        for word, value in content.items():
            place = places.get(word)
            if place is None:
                name = self._name(word, f"{kind} {key[:200]!r}")
                attributes += [(name, said) for said in self._values(value, kind, key, word)]
            else:
                arguments[place] = self._argument(value, shape.parameters[place].is_time, kind, key, word)
        if len(attributes) > self._limits.attributes:
            raise DocumentTooLargeError(f"{kind} {key[:200]!r} has more than {self._limits.attributes} attributes")
        return Record(kind, identifier, tuple(arguments), tuple(attributes))

    def _argument(self, value: Any, is_time: bool, kind: str, key: str, word: str) -> Argument:
        if type(value) is dict and "$" in value:
            value = value["$"]
        if type(value) is not str:
            what = "time" if is_time else "name"
            raise DocumentError(f"{kind} {key[:200]!r}: {word} must be one {what}, not {_shown(value)}")
        if not is_time:
            return self._name(value, kind)
        if TIME.fullmatch(value) is None:
            raise DocumentError(f"{kind} {key[:200]!r}: {word} is {value[:60]!r}, not a time as 2012-11-16T16:05:00Z")
        return Time(value)

    # ----------------------------------------------------------------------------------------------------------- values

    def _values(self, value: Any, kind: str, key: str, word: str) -> Iterator[Value]:
        for said in value if type(value) is list else (value,):
            read = self._value(said)
            if read is None:
                raise DocumentError(
                    f"{kind} {key[:200]!r}: {word[:200]} must be a text, a number, true, false or "
                    f'{{"$": ..., "type": ...}}, not {_shown(said)}'
                )
            yield read

    def _value(self, said: Any) -> Value | None:
        if type(said) is str:
            return Literal(said)
        if type(said) is dict:
            return self._typed(said)
        datatype = _NUMBERS.get(type(said))
        return None if datatype is None else Literal(json.dumps(said), datatype)

    def _typed(self, said: Mapping[str, Any]) -> Value | None:
        text, datatype, language = said.get("$"), said.get("type", ""), said.get("lang", "")
        if isinstance(text, bool | int | float):
            text = json.dumps(text)
        if not (isinstance(text, str) and isinstance(datatype, str) and isinstance(language, str)):
            return None
        uri = self._name(datatype, "type").uri if datatype else ""
        return self._name(text, "value") if uri in _NAMES else Literal(text, uri, language)

    def _name(self, written: str, where: str) -> Name:
        if len(written) > self._limits.name:
            raise DocumentTooLargeError(f"{where}: a name may have {self._limits.name} characters")
        try:
            return self._names.name(written)
        except DocumentError as error:
            raise DocumentError(f"{where}: {error}") from error
