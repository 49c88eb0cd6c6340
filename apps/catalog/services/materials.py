"""Materials and their values: site-wide, written by staff."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from apps.catalog.models import Material, MaterialProperty
from apps.core.clean import TEXT_LENGTH, clean_number, clean_text, constraint_refuses
from apps.core.errors import ConflictError, CorrError, InvalidValueError
from apps.core.quote import shown
from apps.core.units import check_quantity_unit
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

_QUANTITY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SOURCE_LENGTH: Final = 500


def create_material(
    *,
    actor: User,
    name: str,
    description: str = "",
    composition: str = "",
    properties: Iterable[Mapping[str, Any]] = (),
) -> Material:
    """Make a material with its values.

    Parameters
    ----------
    actor : User
        Staff.
    name : str
        Unique on this site.
    description, composition : str
        Free words.
    properties : iterable of mapping, optional
        Each as the keywords of :func:`add_material_property`: quantity, value, unit, u, source.

    Raises
    ------
    PermissionRefusedError
        The actor is not staff.
    InvalidValueError
        A value cannot be taken; the field leads to it, e.g. ``properties.0.unit``.
    ConflictError
        There is a material of this name.
    """
    access.require_staff(actor)
    material = Material(
        name=clean_text(name, field="name", required=True),
        description=clean_text(description, field="description", max_length=TEXT_LENGTH),
        composition=clean_text(composition, field="composition"),
        created_by=actor,
    )
    rows = [_checked_property(material, item, f"properties.{index}.") for index, item in enumerate(properties)]
    taken = ConflictError(f"there is a material {material.name!r} already", field="name")
    with (
        constraint_refuses("catalog_material_name", "catalog_material.name", error=taken),
        record.act("create_material", actor=actor, project=None) as act,
    ):
        if Material.objects.filter(name=material.name).exists():
            raise taken
        material.save(force_insert=True)
        words = {"name": material.name, "description": material.description, "composition": material.composition}
        act.created(material, erasable={key: text for key, text in words.items() if text})
        for row in rows:
            _write_property(act, row)
    return material


def add_material_property(
    *,
    actor: User,
    material: Material,
    quantity: str,
    value: float,
    unit: str,
    u: float | None = None,
    source: str = "",
    supersedes: MaterialProperty | None = None,
) -> MaterialProperty:
    """Add a value to a material, or put it in the place of an earlier one, which stays readable.

    Parameters
    ----------
    actor : User
        Staff.
    material : Material
        The material.
    quantity : str
        E.g. ``thermal_conductivity``; the unit of a known quantity must measure it.
    value, u : float
        Number and its standard uncertainty, both in ``unit``; no uncertainty means not stated.
    unit : str
        UCUM code.
    source : str
        Where the number is from; a bare number is taken and counts as unsourced.
    supersedes : MaterialProperty, optional
        The value of the same material and quantity that this one corrects.

    Raises
    ------
    PermissionRefusedError
        The actor is not staff.
    InvalidValueError
        A value cannot be taken.
    ConflictError
        The earlier value has been superseded already.
    """
    access.require_staff(actor)
    item = {"quantity": quantity, "value": value, "unit": unit, "u": u, "source": source}
    row = _checked_property(material, item)
    row.supersedes = supersedes
    taken = ConflictError("that value has been superseded already; name its successor", field="supersedes")
    with (
        constraint_refuses("supersedes_id", error=taken),
        record.act("add_material_property", actor=actor, project=None) as act,
    ):
        if supersedes is not None:
            _check_superseded(row, supersedes, taken)
        _write_property(act, row)
    return row


def _checked_property(material: Material, item: Mapping[str, Any], path: str = "") -> MaterialProperty:
    try:
        quantity = clean_text(item.get("quantity", ""), field="quantity", required=True)
        if not _QUANTITY.fullmatch(quantity):
            raise InvalidValueError(
                f"{shown(quantity)} is no name of a quantity; write e.g. thermal_conductivity", field="quantity"
            )
        u = item.get("u")
        return MaterialProperty(
            material=material,
            quantity=quantity,
            value=clean_number(item.get("value"), field="value"),
            u=None if u is None else clean_number(u, field="u", at_least=0.0),
            unit=check_quantity_unit(quantity, item.get("unit")).code,
            source=clean_text(item.get("source", ""), field="source", max_length=_SOURCE_LENGTH),
        )
    except InvalidValueError as error:
        raise InvalidValueError(error.message, field=f"{path}{error.field}") from error


def _check_superseded(row: MaterialProperty, former: MaterialProperty, taken: CorrError) -> None:
    if former.material_id != row.material_id or former.quantity != row.quantity:
        raise InvalidValueError("a value supersedes one of the same material and quantity", field="supersedes")
    if MaterialProperty.objects.filter(supersedes=former).exists():
        raise taken


def _write_property(act: record.Act, row: MaterialProperty) -> None:
    row.save(force_insert=True)
    value = {"corr:quantity": row.quantity, "corr:value": row.value, "corr:unit": row.unit, "corr:u": row.u}
    act.created(row, attributes={key: item for key, item in value.items() if item is not None})
    act.member(row.material, row)
    act.asserted(row, row.quantity, {"value": row.value, "unit": row.unit, "u": row.u, "sourced": bool(row.source)})
    if row.source:
        source = act.entity("corr:Source", erasable={"citation": row.source}, generated=False)
        act.derived(row, source, relation="primary_source")
    if row.supersedes is not None:
        act.derived(row, row.supersedes, relation="revision")
