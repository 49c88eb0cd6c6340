"""PROV statements as plain frozen values.

An argument that was left out is ``None``, the marker ``-`` is :data:`MARKER`: a statement keeps which of the two was
written.  What each statement may say is one table, :data:`SHAPES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

PROV: Final = "http://www.w3.org/ns/prov#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"
BLANK: Final = "_:"
"""Names that begin so are known within their document alone: variables, not constants."""


class Name(NamedTuple):
    """A qualified name: the URI that it stands for, and how it was written."""

    uri: str
    text: str


class Literal(NamedTuple):
    """A value of an attribute that is no name; ``datatype`` is a URI, both others empty where not stated."""

    text: str
    datatype: str = ""
    language: str = ""


class Time(NamedTuple):
    """An ``xsd:dateTime`` as it was written."""

    text: str


class Marker(Enum):
    """The placeholder of PROV-N, as a type of its own."""

    PLACEHOLDER = "-"


MARKER: Final = Marker.PLACEHOLDER
Argument = Name | Time | Marker | None
Value = Name | Literal


class Parameter(NamedTuple):
    """One place of a statement.

    ``name`` is that of PROV-JSON, without ``prov:``.  ``required`` says that PROV-N has no ``-`` there.
    """

    name: str
    required: bool = False
    is_time: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The places of one kind of statement; of elements, these are the ones behind the identifier."""

    parameters: tuple[Parameter, ...]
    is_element: bool = False
    has_identifier: bool = True
    has_attributes: bool = True
    least: int = 1
    """Arguments that PROV-N has to write."""


def _shape(words: str, *, least: int = 1, bare: bool = False) -> Shape:
    parameters = []
    for word in words.split():
        name = word.rstrip("!@")
        parameters.append(Parameter(name, word.endswith("!"), word.endswith("@")))
    return Shape(tuple(parameters), least=least, has_identifier=not bare, has_attributes=not bare)


# A `!` behind a name is a place that cannot be `-`, a `@` a time.  The grammar forbids `-` for the responsible agent,
# the working group's own cases have it (unification-delegation-s3, valid): it stands for some agent there.
SHAPES: Final[Mapping[str, Shape]] = {
    "entity": Shape((), is_element=True, least=0),
    "activity": Shape((Parameter("startTime", is_time=True), Parameter("endTime", is_time=True)), True, least=0),
    "agent": Shape((), is_element=True, least=0),
    "used": _shape("activity! entity time@"),
    "wasGeneratedBy": _shape("entity! activity time@"),
    "wasInvalidatedBy": _shape("entity! activity time@"),
    "wasStartedBy": _shape("activity! trigger starter time@"),
    "wasEndedBy": _shape("activity! trigger ender time@"),
    "wasInformedBy": _shape("informed! informant!", least=2),
    "wasDerivedFrom": _shape("generatedEntity! usedEntity! activity generation usage", least=2),
    "wasAttributedTo": _shape("entity! agent!", least=2),
    "wasAssociatedWith": _shape("activity! agent plan"),
    "actedOnBehalfOf": _shape("delegate! responsible activity", least=2),
    "wasInfluencedBy": _shape("influencee! influencer!", least=2),
    "specializationOf": _shape("specificEntity! generalEntity!", least=2, bare=True),
    "alternateOf": _shape("alternate1! alternate2!", least=2, bare=True),
    "hadMember": _shape("collection! entity!", least=2, bare=True),
    "mentionOf": _shape("specificEntity! generalEntity! bundle!", least=3, bare=True),
}


class Record(NamedTuple):
    """One statement.

    ``kind`` is a key of :data:`SHAPES`, or the written name of an extension, which no rule speaks of.  ``arguments``
    are as many as the shape has parameters.  ``line`` is 0 where the form has no lines.
    """

    kind: str
    identifier: Name | None
    arguments: tuple[Argument, ...] = ()
    attributes: tuple[tuple[Name, Value], ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Bundle:
    """A set of statements; the document's own has no identifier."""

    identifier: Name | None
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The statements of the top level, and bundles."""

    top: Bundle
    bundles: tuple[Bundle, ...] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @property
    def instances(self) -> tuple[Bundle, ...]:
        """All that is judged by itself: the top level, then each bundle."""
        return (self.top, *self.bundles)
