"""What is done to a specimen: each event ends one state of it and opens the next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.catalog import selectors
from apps.catalog.models import Specimen, SpecimenEvent, State
from apps.catalog.services.specimens import add_specimen, clean_words, name_refused
from apps.core.clean import TEXT_LENGTH, clean_quantities, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

CHILD_KINDS: Final = (SpecimenEvent.Kind.CUT, SpecimenEvent.Kind.LIFT_OUT)
GEOMETRY_KINDS: Final = (*CHILD_KINDS, SpecimenEvent.Kind.MILL)


@dataclass(frozen=True)
class ChildSpec:
    """A piece that an event makes: its name, unique in the project, and free words."""

    name: str
    description: str = ""


def record_event(
    *,
    actor: User,
    specimen: Specimen,
    kind: str,
    occurred_at: dt.datetime,
    conditions: Mapping[str, Any] | None = None,
    performed_by: str = "",
    geometry: Mapping[str, Any] | None = None,
    note: str = "",
    child: Specimen | ChildSpec | None = None,
) -> SpecimenEvent:
    """Record what was done to a specimen; opens its next state and moves ``current_state`` there.

    Parameters
    ----------
    actor : User
        Who records it, a contributor; not by that the one who did it.
    specimen : Specimen
        What it was done to.
    kind : str
        A kind of :class:`SpecimenEvent`.
    occurred_at : datetime
        Claimed time, with zone.
    conditions : mapping, optional
        Name -> {value, unit, u}, e.g. ``{"temperature": {"value": 22, "unit": "Cel"}}``.
    performed_by : str
        Name of the person who did it; empty means not stated.
    geometry : mapping, optional
        Of a cut, a lift-out or a milling step, checked by the caller (``apps.spatial``), um.
    note : str
        Free words.
    child : Specimen or ChildSpec, optional
        Of a cut or lift-out: the piece that came off, to be made, or known already and without another origin.

    Returns
    -------
    SpecimenEvent
        With ``opens`` and, where there is one, ``child``.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the specimen, or may not contribute.
    InvalidValueError
        A value cannot be taken, or does not go with the kind.
    ConflictError
        The child has another origin, or its name is taken.
    """
    access.require(actor, access.Action.CONTRIBUTE, specimen)
    event = SpecimenEvent(
        specimen=specimen,
        kind=_clean_kind(kind, child=child, geometry=geometry),
        occurred_at=_clean_time(occurred_at),
        performed_by=clean_text(performed_by, field="performed_by"),
        conditions=clean_quantities(conditions or {}, field="conditions"),
        geometry=dict(geometry) if geometry is not None else None,
        note=clean_text(note, field="note", max_length=TEXT_LENGTH),
        created_by=actor,
    )
    taken = child.name if isinstance(child, ChildSpec) else ""
    with (
        name_refused(taken, ConflictError(f"the project has a specimen {taken!r} already", field="child")),
        record.act(
            "record_event",
            actor=actor,
            project=specimen.project_id,
            activity=event,
            started_at=event.occurred_at,
            attributes={"corr:kind": str(event.kind), "corr:recordedBy": actor.pk},
        ) as act,
    ):
        locked = Specimen.objects.select_for_update().get(pk=specimen.pk)
        former = selectors.current_state(locked)
        event.opens = _open_state(act, locked, former, label=event.get_kind_display())
        event.child = _child(act, locked, former, child, actor=actor)
        event.save(force_insert=True)
        _say(act, event)
    specimen.current_state = event.opens
    return event


def _clean_kind(kind: str, *, child: object, geometry: object) -> str:
    if kind not in SpecimenEvent.Kind.values:
        raise InvalidValueError(f"{kind!r} is no kind; kinds: {', '.join(SpecimenEvent.Kind.values)}", field="kind")
    if child is not None and kind not in CHILD_KINDS:
        raise InvalidValueError(f"{kind} makes no piece; a child comes from {' or '.join(CHILD_KINDS)}", field="child")
    if geometry is not None and kind not in GEOMETRY_KINDS:
        raise InvalidValueError(f"{kind} has no geometry; {', '.join(GEOMETRY_KINDS)} have", field="geometry")
    return kind


def _clean_time(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        raise InvalidValueError(
            f"{value.isoformat()} has no zone; write e.g. 2024-05-01T12:00:00Z", field="occurred_at"
        )
    return value


def _open_state(act: record.Act, specimen: Specimen, former: State, *, label: str) -> State:
    state = State.objects.create(specimen=specimen, number=former.number + 1, label=label)
    specimen.current_state = state
    specimen.save(update_fields=["current_state"])
    act.used(former, role="before")
    act.created(state, attributes={"corr:number": state.number}, role="after")
    act.specialization(state, specimen)
    act.derived(state, former)
    return state


def _child(
    act: record.Act, specimen: Specimen, former: State, child: Specimen | ChildSpec | None, *, actor: User
) -> Specimen | None:
    if child is None:
        return None
    if isinstance(child, ChildSpec):
        try:
            words = clean_words({"name": child.name, "description": child.description})
        except InvalidValueError as error:
            raise InvalidValueError(error.message, field=f"child.{error.field}") from error
        made = Specimen(
            project=specimen.project, material=specimen.material, parent=specimen, created_by=actor, **words
        )
        add_specimen(act, made)
    else:
        made = _adopt(act, specimen, child)
    act.derived(made, former)
    return made


def _adopt(act: record.Act, specimen: Specimen, child: Specimen) -> Specimen:
    """Make a known specimen the child of this one."""
    made = Specimen.objects.select_for_update().get(pk=child.pk)
    if made.project_id != specimen.project_id:
        raise InvalidValueError(f"the specimen {child.pk} belongs to another project", field="child")
    ancestors = selectors.ancestor_ids(specimen)
    if made.pk == specimen.pk or made.pk in ancestors:
        raise InvalidValueError("a specimen is no piece of itself or of what was taken from it", field="child")
    if made.made_by_events.exists() or made.parent_id not in (None, specimen.pk):
        raise ConflictError(f"{made.name!r} has another origin already", field="child")
    if made.parent_id is None:
        if len(ancestors) + 1 + selectors.height(made) > selectors.MAX_DEPTH:
            raise InvalidValueError(f"a tree of specimens is at most {selectors.MAX_DEPTH} deep", field="child")
        made.parent = specimen
        made.save(update_fields=["parent"])
        act.changed(made, before={"parent": None}, after={"parent": specimen.pk})
        act.derived(made, specimen, role="part")
    return made


def _say(act: record.Act, event: SpecimenEvent) -> None:
    if event.performed_by:
        act.associated(record.person_agent(event.performed_by), role="performer")
    words = {"occurred_at": event.occurred_at, "conditions": event.conditions, "geometry": event.geometry}
    act.asserted(event, "event", {name: value for name, value in words.items() if value})
    texts = {"performed_by": event.performed_by, "note": event.note}
    act.created(event, erasable={name: text for name, text in texts.items() if text})
