"""What can be read about specimens, materials, instruments and calibrations."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from django.db.models import Prefetch, QuerySet

from apps.catalog.models import Calibration, Instrument, Material, MaterialProperty, Specimen, SpecimenEvent, State
from apps.projects import access
from apps.projects.selectors import visible_project_ids
from apps.provenance import graph
from apps.provenance import selectors as ledger
from apps.provenance.relations import WALKED, Kind, Relation
from apps.provenance.rows import NodeRow

# What was decided stays true whatever was withdrawn: by whom, when and why a transform was accepted, or used where it
# does not hold.
DECISIONS: Final = ("corr:TransformDecision", "corr:TransformOverride")
# a revision corrects what it revises: it does not fall with it, unless it also used it or was derived from it
RESTS_ON: Final = tuple(relation.value for relation in WALKED if relation is not Relation.WAS_REVISION_OF)
MAX_DEPTH: Final = 64
MAX_TREE: Final = 10_000


def list_specimens(user: access.Caller) -> QuerySet[Specimen]:
    """Specimens the caller may see."""
    return access.visible(Specimen.objects.all(), user)


def list_states(specimen: Specimen) -> QuerySet[State]:
    """States of a specimen with the event that opened each."""
    return specimen.states.select_related("opened_by")


def list_events(user: access.Caller) -> QuerySet[SpecimenEvent]:
    """Events of the specimens the caller may see."""
    return access.visible(SpecimenEvent.objects.select_related("specimen", "opens"), user)


def list_materials(user: access.Caller) -> QuerySet[Material]:
    """Materials with their values, those that were superseded too."""
    values = Prefetch("properties", MaterialProperty.objects.select_related("superseded_by"))
    return access.visible(Material.objects.prefetch_related(values), user)


def list_instruments(user: access.Caller) -> QuerySet[Instrument]:
    """Instruments."""
    return access.visible(Instrument.objects.all(), user)


def list_calibrations(user: access.Caller) -> QuerySet[Calibration]:
    """Calibrations, those that were withdrawn or superseded too."""
    return access.visible(Calibration.objects.select_related("superseded_by"), user)


def calibrations_for(instrument_id: uuid.UUID, date: dt.date | None) -> list[Calibration]:
    """Return the calibrations of an instrument that come into question for what it measured on a date.

    Of versions that supersede each other one comes into question: the last that was measured on or before the date,
    withdrawn ones left out; where all were measured later, the first.  A successor dated before its predecessor
    corrects that one's date and takes its place.  Without a date, the last version.

    Returns
    -------
    list of Calibration
        One of each chain of versions, by the date of measurement.
    """
    rows = list(Calibration.objects.select_related("instrument", "superseded_by").filter(instrument_id=instrument_id))
    chains: dict[uuid.UUID, list[Calibration]] = defaultdict(list)
    roots: dict[uuid.UUID, uuid.UUID] = {}
    for row in sorted(rows, key=lambda row: row.version):
        root = roots.get(row.supersedes_id, row.pk) if row.supersedes_id else row.pk
        roots[row.pk] = root
        if row.status == Calibration.Status.ACTIVE:
            chains[root].append(row)
    found = [_in_force(chain, date) for chain in chains.values()]
    return sorted(found, key=lambda row: (row.measured_at, str(row.pk)))


def _in_force(chain: list[Calibration], date: dt.date | None) -> Calibration:
    """The version of a chain, oldest first and never empty, that a date falls to."""
    if date is None:
        return chain[-1]
    begun = [row for row in chain if row.measured_at <= date]
    return begun[-1] if begun else min(chain, key=lambda row: row.measured_at)


def current_state(specimen: Specimen) -> State:
    """Return the state a specimen is in; every specimen has one from its making on."""
    state = specimen.current_state
    if state is None:
        raise State.DoesNotExist(f"specimen {specimen.pk} has no state")
    return state


def ancestor_ids(specimen: Specimen) -> list[uuid.UUID]:
    """Return the ids from the parent up to the root; the tree is at most MAX_DEPTH deep."""
    found: list[uuid.UUID] = []
    parent = specimen.parent_id
    while parent is not None and parent not in found:
        found.append(parent)
        parent = Specimen.objects.filter(pk=parent).values_list("parent_id", flat=True).first()
    return found


def height(specimen: Specimen) -> int:
    """Return the number of levels from a specimen down to its lowest descendant, itself included."""
    levels, ids = 0, [specimen.pk]
    while ids:
        levels += 1
        ids = list(Specimen.objects.filter(parent__in=ids).values_list("pk", flat=True))
    return levels


def specimen_tree(specimen: Specimen) -> dict[str, Any]:
    """Return a specimen with everything taken from it, nested, and the way up to its root.

    Returns
    -------
    dict
        ``id``, ``name``, ``parent``, ``material``, ``current_state``, ``children`` (the same, nested, by name),
        ``ancestors`` (id and name, root first) and ``truncated`` (more than MAX_TREE descendants; the deepest levels
        are left out).
    """
    above = ancestor_ids(specimen)
    names = dict(Specimen.objects.filter(pk__in=above).values_list("pk", "name"))
    below, truncated = _descendants(specimen)
    children: dict[uuid.UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in reversed(below):  # deepest first, so that a branch is whole when its parent takes it
        children[row["parent_id"]].append(_branch(row, children))
    top = _branch(
        {
            "pk": specimen.pk,
            "name": specimen.name,
            "parent_id": specimen.parent_id,
            "material_id": specimen.material_id,
            "current_state_id": specimen.current_state_id,
        },
        children,
    )
    way_up = [{"id": pk, "name": names[pk]} for pk in reversed(above) if pk in names]
    return top | {"ancestors": way_up, "truncated": truncated}


def _descendants(specimen: Specimen) -> tuple[list[dict[str, Any]], bool]:
    found: list[dict[str, Any]] = []
    ids = [specimen.pk]
    while ids:
        rows = Specimen.objects.filter(parent__in=ids).order_by("name")
        level: list[Any] = list(
            rows.values("pk", "name", "parent_id", "material_id", "current_state_id")[: MAX_TREE + 1]
        )
        if len(found) + len(level) > MAX_TREE:
            return found, True
        found += level
        ids = [row["pk"] for row in level]
    return found, False


def _branch(row: dict[str, Any], children: dict[uuid.UUID, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "id": row["pk"],
        "name": row["name"],
        "parent": row["parent_id"],
        "material": row["material_id"],
        "current_state": row["current_state_id"],
        "children": children.get(row["pk"], [])[::-1],
    }


def visible_things(ids: Iterable[uuid.UUID], user: access.Caller) -> list[dict[str, Any]]:
    """Return ``{type, id}`` of those recorded things that the caller may see; of the others not even the number.

    Things of no project are site-wide and seen by every account.  A version that a change made of a thing is told as
    the thing.
    """
    mine = visible_project_ids(user)
    given = list(ids)
    things = ledger.things_of(given)
    return [
        {"type": node.type, "id": node.id}
        for node in ledger.load_nodes(things.get(one, one) for one in given)
        if node.project is None or node.project in mine
    ]


def entities_among(ids: Sequence[uuid.UUID], cause: uuid.UUID, except_types: Collection[str]) -> list[NodeRow]:
    """Return the things among nodes that rest on a cause which fall with it: no acts, no people, no decisions."""
    return [
        node
        for node in ledger.load_nodes(ids)
        if node.kind == Kind.ENTITY and node.id != cause and node.type not in except_types
    ]


def would_go_stale(cause: uuid.UUID, user: access.Caller, *, limit: int) -> list[dict[str, Any]]:
    """Return ``{type, id}`` of what would be marked if a thing were withdrawn, as far as the caller may see it.

    The walk is that of the withdrawal itself, cut off after ``limit`` nodes.
    """
    found = graph.descendants([cause], limit=limit, relations=RESTS_ON)
    return visible_things([node.id for node in entities_among(found, cause, DECISIONS)], user)
