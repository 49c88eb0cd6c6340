"""Ids to values: what a plugin is given instead of rows, and what decides whether a result can be reused."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rfc8785
from django.db.models import Model
from pydantic import ValidationError

from analyses import registry
from analyses.runner import open_transform
from analyses.sdk.contract import Params, PhaseValue, PluginSpec, Port
from analyses.sdk.values import SPATIAL_AXES, Channel, ImageValue, PropertyValue
from apps.catalog.models import Material, MaterialProperty
from apps.core.errors import InvalidValueError, NotFoundError, UncalibratedError
from apps.imaging.models import Image
from apps.imaging.selectors import describe_image
from apps.projects import access
from apps.projects.models import Project, User
from apps.results.models import Property
from apps.spatial.models import Transform

INPUT_MODELS: dict[str, type[Model]] = {
    "image": Image,
    "labels": Image,
    "property": Property,
    "transform": Transform,
}


@dataclass(frozen=True)
class Resolved:
    """A submission with every id looked up and checked."""

    spec: PluginSpec
    params: dict[str, Any]
    inputs: dict[str, Any]
    rows: dict[str, list[Model]]
    described: dict[str, Any]
    materials: list[MaterialProperty] = field(default_factory=list)

    @property
    def all_rows(self) -> list[tuple[str, Model]]:
        """Port and row of every input."""
        return [(port, row) for port, rows in self.rows.items() for row in rows]


def get_spec(name: str) -> PluginSpec:
    """Return a plugin by name; InvalidValueError names what there is."""
    try:
        return registry.get(name)
    except LookupError as error:
        raise InvalidValueError(str(error), field="plugin") from error


def check_params(spec: PluginSpec, params: Mapping[str, Any]) -> Params:
    """Validate parameters with the plugin's model; one message a field."""
    try:
        return spec.params.model_validate(dict(params))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        fields = {".".join(["params", *(str(part) for part in item["loc"])]): [str(item["msg"])] for item in problems}
        refusal = InvalidValueError(
            "; ".join(f"{name}: {messages[0]}" for name, messages in fields.items()), details={"plugin": spec.name}
        )
        refusal.field_errors = fields
        raise refusal from error


def _as_ids(port: Port, given: Any) -> list[uuid.UUID]:
    values = given if isinstance(given, list) else [given]
    if isinstance(given, list) and not port.many:
        raise InvalidValueError(f"port {port.name!r} takes one id, not a list", field=f"inputs.{port.name}")
    if not values:
        raise InvalidValueError(f"port {port.name!r} takes at least one id", field=f"inputs.{port.name}")
    try:
        return [uuid.UUID(str(value)) for value in values]
    except ValueError as error:
        raise InvalidValueError(f"port {port.name!r}: {error}", field=f"inputs.{port.name}") from error


def _spatial_dims(image: Image) -> int:
    return sum(size > 1 for axis, size in zip(image.axes, image.shape, strict=True) if axis in SPATIAL_AXES)


def _check_image(port: Port, image: Image) -> None:
    where = f"inputs.{port.name}"
    if (port.type == "labels") != (image.kind == Image.Kind.LABELS):
        wanted = "labels" if port.type == "labels" else "an intensity image"
        raise InvalidValueError(f"port {port.name!r} takes {wanted}; image {image.pk} holds {image.kind}", field=where)
    if port.dims is not None and _spatial_dims(image) not in port.dims:
        raise InvalidValueError(
            f"port {port.name!r} takes images of {' or '.join(map(str, port.dims))} dimensions; "
            f"image {image.pk} has {_spatial_dims(image)}",
            field=where,
        )
    if port.calibrated and not image.calibrated:
        raise UncalibratedError(
            f"image {image.pk} has no scale and port {port.name!r} needs one; set it with "
            f"POST /api/v1/images/{image.pk}/calibrate/ {{spacing_um, spacing_u_um, reason}}",
            field=where,
        )


def _check_transform(port: Port, transform: Transform) -> None:
    where = f"inputs.{port.name}"
    if transform.status == Transform.Status.WITHDRAWN:
        raise InvalidValueError(f"transform {transform.pk} has been withdrawn", field=where)
    if transform.matrix is None:
        raise InvalidValueError(
            f"port {port.name!r} takes a matrix; transform {transform.pk} is a displacement field", field=where
        )


def _resolve_port(port: Port, given: Any, actor: User, project: Project) -> list[Model]:
    model = INPUT_MODELS.get(port.type)
    where = f"inputs.{port.name}"
    if model is None:
        raise InvalidValueError(f"port {port.name!r} takes a {port.type}, which cannot be given by id yet", field=where)
    rows: list[Model] = []
    for pk in _as_ids(port, given):
        queryset = model._default_manager.select_related("store") if model is Image else model._default_manager.all()
        row = access.get_visible(queryset, actor, pk, field=where)
        if access.project_id_of(row) != project.pk:
            raise InvalidValueError(f"{pk} belongs to another project than the job", field=where)
        if isinstance(row, Image):
            _check_image(port, row)
        if isinstance(row, Transform):
            _check_transform(port, row)
        rows.append(row)
    return rows


def resolve_inputs(
    spec: PluginSpec, inputs: Mapping[str, Any], actor: User, project: Project
) -> tuple[dict[str, list[Model]], dict[str, Any]]:
    """Look up every input; returns rows by port and the inputs as checked ids (a list where the port takes many)."""
    ports = {port.name: port for port in spec.inputs}
    for name in inputs:
        if name not in ports:
            raise InvalidValueError(
                f"{spec.name} has no input {name!r}; inputs are {', '.join(ports)}", field=f"inputs.{name}"
            )
    rows: dict[str, list[Model]] = {}
    ids: dict[str, Any] = {}
    for name, port in ports.items():
        if inputs.get(name) is None:
            if port.required:
                raise InvalidValueError(f"{spec.name} needs the input {name!r} ({port.type})", field=f"inputs.{name}")
            continue
        rows[name] = _resolve_port(port, inputs[name], actor, project)
        found = [str(row.pk) for row in rows[name]]
        ids[name] = found if port.many else found[0]
    return rows, ids


def _material_value(pk: str, quantity: str, unit: str, where: str) -> MaterialProperty:
    try:
        material = Material.objects.filter(pk=uuid.UUID(pk)).first()
    except ValueError as error:
        raise InvalidValueError(f"{pk!r} is not an id", field=where) from error
    if material is None:
        raise NotFoundError(f"there is no material {pk}", field=where)
    value = (
        MaterialProperty.objects.filter(material=material, quantity=quantity, superseded_by__isnull=True)
        .order_by("-created_at")
        .first()
    )
    if value is None:
        raise InvalidValueError(f"material {material.name!r} has no value of {quantity}", field=where)
    if value.unit != unit:
        raise InvalidValueError(
            f"{quantity} of {material.name!r} is in {value.unit}, the parameters are in {unit}", field=where
        )
    return value


def resolve_materials(spec: PluginSpec, params: Params) -> tuple[dict[str, Any], list[MaterialProperty]]:
    """Put the values of materials into the phases; returns the parameters as JSON and the value rows taken."""
    plain = params.model_dump(mode="json")
    taken: list[MaterialProperty] = []
    phases = getattr(params, "phases", None)
    if spec.material_quantity is None or not isinstance(phases, Mapping):
        return plain, taken
    for name, phase in phases.items():
        if not isinstance(phase, PhaseValue) or phase.material is None:
            continue
        where = f"params.phases.{name}"
        if phase.k is not None:
            raise InvalidValueError("give either `k` or `material`, not both", field=where)
        row = _material_value(phase.material, spec.material_quantity(params), plain["unit"], f"{where}.material")
        taken.append(row)
        plain["phases"][name] |= {
            "k": row.value,
            "u": row.u,
            "source": row.source or None,
            "material_property": str(row.pk),
        }
    return plain, taken


def _describe_transform(row: Transform) -> dict[str, Any]:
    """All that a map is to a plugin; its landmarks and its story stay behind."""
    names = ("kind", "covariance", "degrees_of_freedom", "residual_um", "no_residual_reason")
    ends = {"id": str(row.pk), "source": str(row.source_id), "target": str(row.target_id)}
    numbers = row.matrix or []
    matrix = [numbers[first : first + 4] for first in range(0, 16, 4)]
    return {name: getattr(row, name) for name in names} | ends | {"matrix": matrix}


def describe_value(port: Port, row: Model) -> dict[str, Any]:
    """Return the JSON form of one input for the child."""
    if isinstance(row, Image):
        return {"type": port.type, "value": describe_image(row)}
    if isinstance(row, Property):
        names = ("name", "value", "unit", "error", "scale_exponent", "depends_on_anisotropy", "facts")
        return {"type": "property", "value": {name: getattr(row, name) for name in names}}
    if isinstance(row, Transform):
        return {"type": "transform", "value": _describe_transform(row)}
    raise TypeError(f"{type(row).__name__} is no input of a plugin")


def describe_inputs(spec: PluginSpec, rows: Mapping[str, list[Model]]) -> dict[str, Any]:
    """Return all inputs as the child takes them."""
    described: dict[str, Any] = {}
    for port in spec.inputs:
        if port.name in rows:
            values = [describe_value(port, row) for row in rows[port.name]]
            described[port.name] = values if port.many else values[0]
    return described


def resolve(
    *, actor: User, project: Project, plugin: str, params: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Resolved:
    """Check a submission and look up all it names; raises a CorrError naming field and value."""
    spec = get_spec(plugin)
    checked = check_params(spec, params)
    plain, materials = resolve_materials(spec, checked)
    rows, ids = resolve_inputs(spec, inputs, actor, project)
    return Resolved(spec, plain, ids, rows, describe_inputs(spec, rows), materials)


def _key_form(described: Any) -> Any:
    """What of an input decides the result: its identity, bytes and scale; not where its bytes lie."""
    if isinstance(described, list):
        return [_key_form(item) for item in described]
    value = {name: item for name, item in described["value"].items() if name not in ("path", "name")}
    return {"type": described["type"], "value": value}


def content_key(resolved: Resolved, project: Project, seed: int) -> str:
    """Return sha256 of all that decides the result (RFC 8785 canonical JSON): equal keys, equal outputs."""
    decides: dict[str, Any] = {
        "project": str(project.pk),
        "plugin": resolved.spec.name,
        "version": resolved.spec.version,
        "params": resolved.params,
        "inputs": {port: _key_form(item) for port, item in resolved.described.items()},
        "seed": seed,
    }
    return hashlib.sha256(rfc8785.dumps(decides)).hexdigest()


@dataclass(frozen=True)
class _Shape:
    """A stand-in for an array in a cost estimate: it can be measured, never read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> Any:
        raise TypeError("a cost estimate does not read samples")


def as_values(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as values whose samples cannot be read: what a cost estimate may look at."""

    def value_of(item: Mapping[str, Any]) -> Any:
        value = item["value"]
        if item["type"] == "property":
            return PropertyValue(**value)
        if item["type"] == "transform":
            return open_transform(value)
        keys = ("id", "kind", "spacing_um", "spacing_u_um", "frame", "handedness", "digest", "name", "facts")
        return ImageValue(
            array=_Shape(tuple(value["shape"]), np.dtype(value["dtype"])),
            axes=tuple(value["axes"]),
            channels=tuple(Channel(**channel) for channel in value["channels"]),
            **{key: value[key] for key in keys},
        )

    return {
        port: [value_of(entry) for entry in item] if isinstance(item, list) else value_of(item)
        for port, item in described.items()
    }
