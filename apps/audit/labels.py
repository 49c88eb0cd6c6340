"""What a person calls the things of a lineage: one short label and a few facts for every registered model."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, QuerySet
from django.urls import NoReverseMatch, reverse

from apps.analysis.models import MethodStatus
from apps.catalog.models import Calibration, Material, MaterialProperty, SpecimenEvent, State
from apps.imaging.models import Acquisition, Attachment, Image, OutsideActivity, SourceFile
from apps.jobs.models import Job
from apps.provenance import registry
from apps.provenance.rows import NodeRow
from apps.results.models import Property, Release, Review, Table
from apps.spatial.models import Found, Mount, Roi, Transform, TransformOverride


@dataclass(frozen=True)
class Label:
    """How a node is shown: a title, its row where there is one, and where its page is."""

    title: str
    row: Model | None = None
    url: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def _size(image: Image) -> str:
    return " x ".join(str(size) for size in image.shape)


def _transform(row: Transform) -> str:
    return f"{row.kind} transform from {row.source.name} to {row.target.name}"


_TITLES: dict[type[Model], Callable[[Any], str]] = {
    Acquisition: lambda row: f"{row.get_modality_display()} acquisition of {row.specimen.name}",
    Attachment: lambda row: f"attachment {row.name}",
    Calibration: lambda row: f"calibration v{row.version} of {row.instrument.name}",
    Found: lambda row: f"where {row.roi.name} was found",
    Image: lambda row: f"{row.name} ({row.kind}, {_size(row)} {row.dtype})",
    Job: lambda row: f"{row.plugin or row.kind} job",
    Material: lambda row: f"material {row.name}",
    MaterialProperty: lambda row: f"{row.quantity} of {row.material.name}: {row.value:g} {row.unit}",
    MethodStatus: lambda row: f"{row.plugin} {row.version} as a {row.get_status_display()} method",
    OutsideActivity: lambda row: f"{row.get_kind_display()} outside, with {row.software} {row.version}",
    Release: lambda row: "release",
    Review: lambda row: f"review: {row.get_verdict_display()}",
    Mount: lambda row: f"mount of {row.specimen.name} on {row.instrument.name}",
    Property: lambda row: f"{row.name} [{row.unit}]",
    Roi: lambda row: f"region {row.name}",
    SourceFile: lambda row: f"file {row.name}",
    SpecimenEvent: lambda row: f"{row.get_kind_display()} of {row.specimen.name}",
    State: lambda row: f"state {row.number} ({row.label}) of {row.specimen.name}",
    Table: lambda row: f"table {row.name} ({row.rows} rows)",
    Transform: lambda row: "scale of a calibration" if row.calibration_id else _transform(row),
    TransformOverride: lambda row: (
        f"leave to use the {_transform(row.transform)} in state {row.state.number} all the same"
    ),
}
_JOINS: dict[type[Model], tuple[str, ...]] = {
    Acquisition: ("specimen", "state", "instrument", "operator"),
    Calibration: ("instrument",),
    Found: ("roi",),
    Image: ("calibration__instrument", "calibration__superseded_by"),
    MaterialProperty: ("material",),
    Mount: ("specimen", "instrument"),
    OutsideActivity: ("operator", "created_by"),
    SpecimenEvent: ("specimen",),
    State: ("specimen",),
    Job: ("created_by",),
    Transform: ("source", "target"),
    TransformOverride: ("transform__source", "transform__target", "state"),
}
_PAGES: dict[str, str] = {
    "corr:Image": "image",
    "corr:Job": "job",
    "corr:Property": "property",
    "corr:Specimen": "specimen",
    "corr:Table": "table",
    "corr:Project": "project",
}


def page_url(type_name: str, pk: uuid.UUID) -> str | None:
    """Address of the web page of a thing; None where there is none."""
    name = _PAGES.get(type_name)
    if name is None:
        return None
    try:
        return reverse(name, args=[pk])
    except NoReverseMatch:
        return None


def api_url(type_name: str, pk: uuid.UUID) -> str | None:
    """Address of the REST detail of a thing; None where there is none."""
    entry = registry.registration_of_type(type_name)
    if entry is None or entry.url_name is None:
        return None
    return reverse(entry.url_name, args=[pk])


def _rows(model: type[Model], ids: Iterable[uuid.UUID]) -> QuerySet[Any]:
    rows = model._default_manager.filter(pk__in=list(ids))
    return rows.select_related(*_JOINS[model]) if model in _JOINS else rows


def _title(node: NodeRow, row: Model | None) -> str:
    if row is not None:
        make = _TITLES.get(type(row))
        return make(row) if make else str(row)
    name = node.texts.get("name") or node.attributes.get("corr:name")
    version = node.attributes.get("corr:version", "")
    if node.kind == "agent" and name:
        return f"{name} {version}".strip()
    if node.type == "prov:Plan" and node.attributes.get("corr:plugin"):
        return f"parameters of {node.attributes['corr:plugin']} {version}".strip()
    if node.kind == "activity":
        return str(node.attributes.get("corr:verb", "activity")).replace("_", " ").replace(".", ": ")
    return str(name or f"{node.type.split(':')[-1].lower()} {str(node.id)[:8]}")


def label_nodes(nodes: Iterable[NodeRow]) -> dict[uuid.UUID, Label]:
    """Label nodes; one statement a model, however many nodes."""
    nodes = list(nodes)
    by_model: dict[type[Model], list[uuid.UUID]] = defaultdict(list)
    for node in nodes:
        entry = registry.registration_of_type(node.type)
        if entry is not None:
            by_model[entry.model].append(node.id)
    rows: dict[uuid.UUID, Model] = {}
    for model, ids in by_model.items():
        rows |= {row.pk: row for row in _rows(model, ids)}
    return {
        node.id: Label(_title(node, rows.get(node.id)), rows.get(node.id), page_url(node.type, node.id))
        for node in nodes
    }
