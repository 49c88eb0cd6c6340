"""Random documents over few names, so that statements meet."""

from __future__ import annotations

from hypothesis import strategies as st

from apps.provenance.constraints.model import MARKER, PROV, SHAPES, Bundle, Document, Name, Record, Time

EX = "http://example.org/"
TIMES = ("2012-11-16T16:05:00", "2012-11-16T17:05:00Z", "2012-11-16T18:05:00+01:00")
_ENTITIES, _ACTIVITIES, _AGENTS = ("e1", "e2", "e3"), ("a1", "a2"), ("ag1", "ag2", "e1")
_EVENTS = {"generation": ("g1", "g2"), "usage": ("u1", "u2")}
_POOLS = {
    **dict.fromkeys(("activity", "starter", "ender", "informed", "informant"), _ACTIVITIES),
    **dict.fromkeys(("agent", "delegate", "responsible"), _AGENTS),
    **_EVENTS,
    "influencee": (*_ENTITIES, *_ACTIVITIES),
    "influencer": (*_ENTITIES, *_AGENTS),
}
_IDS = {
    "wasGeneratedBy": ("g1", "g2"),
    "wasInvalidatedBy": ("i1", "i2"),
    "used": ("u1", "u2"),
    "wasStartedBy": ("s1", "s2"),
    "wasEndedBy": ("n1", "n2"),
}
EMPTY = ((Name(PROV + "type", "prov:type"), Name(PROV + "EmptyCollection", "prov:EmptyCollection")),)


def named(local: str) -> Name:
    return Name(EX + local, f"ex:{local}")


# Events and what orders them are drawn more often than what few rules speak of.
_OFTEN = ("wasStartedBy", "wasStartedBy", "wasEndedBy", "wasGeneratedBy", "wasGeneratedBy", "wasInvalidatedBy")
_KINDS = (*sorted(SHAPES), *_OFTEN, "wasDerivedFrom", "activity", "wasAttributedTo")
_BOTH_ENTITIES = frozenset({"specializationOf", "mentionOf", "wasDerivedFrom"})


@st.composite
def statements(draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from(_KINDS))
    shape = SHAPES[kind]
    arguments = []
    for parameter in shape.parameters:
        pool = _POOLS.get(parameter.name, _ENTITIES)
        some = st.sampled_from(TIMES).map(Time) if parameter.is_time else st.sampled_from(pool).map(named)
        arguments.append(draw(some if parameter.required else st.one_of(some, st.sampled_from([None, MARKER]))))
    if kind in _BOTH_ENTITIES and arguments[0] == arguments[1] and draw(st.integers(0, 9)):
        arguments[1] = named("e1" if arguments[0] != named("e1") else "e2")
    if kind == "wasDerivedFrom" and not isinstance(arguments[2], Name) and draw(st.integers(0, 9)):
        arguments[3:] = [None, None]
    identifier = None
    if shape.is_element:
        pool = {"entity": _ENTITIES, "activity": _ACTIVITIES, "agent": _AGENTS}[kind]
        identifier = named(draw(st.sampled_from(pool)))
    elif shape.has_identifier:
        known = st.sampled_from(_IDS.get(kind, ("r1", "r2", "r3", "r4", "r5", "g1", "e1"))).map(named)
        identifier = draw(st.one_of(st.none(), st.none(), known))
    attributes = EMPTY if kind == "entity" and draw(st.integers(0, 9)) == 0 else ()
    return Record(kind, identifier, tuple(arguments), attributes)


def documents(most: int = 8) -> st.SearchStrategy[Document]:
    return st.lists(statements(), min_size=1, max_size=most).map(lambda found: Document(Bundle(None, tuple(found))))
