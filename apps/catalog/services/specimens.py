"""Specimens: made with their first state, described anew, never deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from apps.catalog import selectors
from apps.catalog.models import Material, Specimen, State
from apps.core.clean import (
    TEXT_LENGTH,
    clean_key_values,
    clean_tags,
    clean_text,
    clean_texts,
    constraint_refuses,
)
from apps.core.errors import ConflictError, CorrError, InvalidValueError
from apps.projects import access
from apps.projects.models import Project, User
from apps.provenance import record

FIRST_STATE: Final = "as received"
_CLEANERS: Final[dict[str, Callable[[Any], Any]]] = {
    "name": lambda value: clean_text(value, field="name", required=True),
    "description": lambda value: clean_text(value, field="description", max_length=TEXT_LENGTH),
    "tags": clean_tags,
    "key_values": clean_key_values,
    "external_ids": lambda value: clean_texts(value, field="external_ids"),
}


def create_specimen(
    *,
    actor: User,
    project: Project,
    name: str,
    description: str = "",
    material: Material | None = None,
    parent: Specimen | None = None,
    external_ids: Mapping[str, str] | None = None,
    tags: Sequence[str] = (),
    key_values: Mapping[str, Any] | None = None,
) -> Specimen:
    """Make a specimen and its state 0, "as received".

    Parameters
    ----------
    actor : User
        A contributor of the project.
    project : Project
        Where it belongs.
    name : str
        Unique in the project.
    description : str
        Free words.
    material : Material, optional
        What it is made of.
    parent : Specimen, optional
        The piece it was taken from, of the same project.
    external_ids : mapping, optional
        Scheme -> id: ``igsn``, ``notebook``, ``customer``.
    tags, key_values : optional
        Labels, and facts without a field of their own.

    Returns
    -------
    Specimen
        The new row, ``current_state`` set.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the project, or may not contribute.
    InvalidValueError
        A value cannot be taken; the parent is of another project or the tree would become too deep.
    ConflictError
        The project has a specimen of this name.
    """
    access.require(actor, access.Action.CONTRIBUTE, project)
    words = {
        "name": name,
        "description": description,
        "tags": tags,
        "key_values": key_values or {},
        "external_ids": external_ids or {},
    }
    specimen = Specimen(project=project, material=material, parent=parent, created_by=actor, **clean_words(words))
    with (
        name_refused(specimen.name),
        record.act("create_specimen", actor=actor, project=project.pk) as act,
    ):
        return add_specimen(act, specimen)


def add_specimen(act: record.Act, specimen: Specimen) -> Specimen:
    """Write a checked specimen with its first state inside an act that is open, and record both.

    The caller has checked permission and cleaned the texts.

    Raises
    ------
    InvalidValueError
        The parent is of another project, or the tree would become too deep.
    ConflictError
        The project has a specimen of this name.
    """
    parent = specimen.parent
    if parent is not None:
        _check_parent(specimen, parent)
    if Specimen.objects.filter(project_id=specimen.project_id, name=specimen.name).exists():
        raise name_taken(specimen.name)
    specimen.save(force_insert=True)
    state = State.objects.create(specimen=specimen, number=0, label=FIRST_STATE)
    specimen.current_state = state
    specimen.save(update_fields=["current_state"])
    act.created(specimen, erasable=erasable_words(specimen))
    act.created(state, attributes={"corr:number": 0})
    act.specialization(state, specimen)
    if specimen.material is not None:
        act.used(specimen.material, role="material")
    if parent is not None:
        act.used(parent, role="parent")
        act.derived(specimen, parent, role="part")
    return specimen


def _check_parent(specimen: Specimen, parent: Specimen) -> None:
    if parent.project_id != specimen.project_id:
        raise InvalidValueError(f"the specimen {parent.pk} belongs to another project", field="parent")
    if len(selectors.ancestor_ids(parent)) + 1 >= selectors.MAX_DEPTH:
        raise InvalidValueError(f"a tree of specimens is at most {selectors.MAX_DEPTH} deep", field="parent")


def update_specimen(*, actor: User, specimen: Specimen, **changes: Any) -> Specimen:
    """Change what is said of a specimen: name, description, tags, key_values, external_ids.

    The former words stay in the record beside the new ones; material, parent and state are no words and do not change
    here.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the specimen, or may not contribute.
    InvalidValueError
        A field that does not change, or a value that cannot be taken.
    ConflictError
        The project has another specimen of the new name.
    """
    access.require(actor, access.Action.CONTRIBUTE, specimen)
    for name in changes:
        if name not in _CLEANERS:
            raise InvalidValueError(f"{name} does not change; what changes: {', '.join(_CLEANERS)}", field=name)
    words = clean_words(changes)
    if not words:
        return specimen
    with (
        name_refused(words.get("name", "")),
        record.act("update_specimen", actor=actor, project=specimen.project_id) as act,
    ):
        locked = Specimen.objects.select_for_update().get(pk=specimen.pk)
        changed = {name: value for name, value in words.items() if value != getattr(locked, name)}
        for name, value in changed.items():
            setattr(locked, name, value)
        if "name" in changed and Specimen.objects.filter(project_id=locked.project_id, name=locked.name).exists():
            raise name_taken(locked.name)
        locked.save(update_fields=list(changed))
        fields = sorted(changed)
        act.changed(
            locked, before={"fields": fields}, after={"fields": fields}, erasable=erasable_words(locked, fields)
        )
    return locked


def clean_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the describing fields of a specimen, each checked; InvalidValueError names the field at fault."""
    return {name: _CLEANERS[name](value) for name, value in words.items()}


def erasable_words(specimen: Specimen, fields: Sequence[str] = tuple(_CLEANERS)) -> dict[str, str]:
    """Return the describing fields that say something, as texts that can be erased: people's names stand in them."""
    said = {name: getattr(specimen, name) for name in fields}
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        for name, value in said.items()
        if value
    }


def name_taken(name: str) -> ConflictError:
    """Return the refusal of a second specimen of one name."""
    return ConflictError(f"the project has a specimen {name!r} already", field="name")


def name_refused(name: str, error: CorrError | None = None) -> Any:
    """Return the context in which the database's refusal of a second specimen of one name reads as ours."""
    return constraint_refuses(
        "specimen_name_once", "catalog_specimen.project_id, catalog_specimen.name", error=error or name_taken(name)
    )
