"""What can be read of plugins and of work done outside."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, QuerySet

from analyses import registry
from analyses.sdk.contract import PluginSpec, Port
from apps.analysis.models import MethodStatus
from apps.imaging.models import Image, OutsideActivity
from apps.jobs.models import ACTIVE, Job
from apps.projects import access
from apps.provenance import graph
from apps.provenance.registry import registration_of
from apps.results.models import Table


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "type": port.type,
        "description": port.description,
        "required": port.required,
        "many": port.many,
        "calibrated": port.calibrated,
        "dims": list(port.dims) if port.dims else None,
    }


def describe_plugin(spec: PluginSpec, statuses: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a caller must know to submit a run of a plugin; ``statuses`` of its version, newest first."""
    return {
        "name": spec.name,
        "version": spec.version,
        "title": spec.title,
        "summary": spec.summary,
        "status": statuses[0]["status"] if statuses else MethodStatus.Status.DRAFT.value,
        "statuses": statuses,
        "inputs": [_port(port) for port in spec.inputs],
        "outputs": [_port(port) for port in spec.outputs],
        "params": spec.params.model_json_schema(),
        "exit_codes": [{"code": c.code, "name": c.name, "message": c.message} for c in spec.exit_codes],
        "references": list(spec.references),
    }


def list_plugins(user: access.Caller | None = None) -> list[dict[str, Any]]:
    """Describe every plugin there is; ``user`` sees which runs show a validation, as far as they see the run."""
    return _described(registry.all_specs(), user)


def get_plugin(name: str, user: access.Caller | None = None) -> dict[str, Any] | None:
    """Describe one plugin; None where there is none of that name."""
    try:
        return _described([registry.get(name)], user)[0]
    except LookupError:
        return None


def _described(specs: Iterable[PluginSpec], user: access.Caller | None) -> list[dict[str, Any]]:
    specs = list(specs)
    rows = list(MethodStatus.objects.filter(plugin__in=[spec.name for spec in specs]))
    jobs = Job.objects.filter(pk__in=[row.job_id for row in rows if row.job_id])
    seen = set(access.visible(jobs, user).values_list("pk", flat=True)) if user is not None and rows else set()
    by_version: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_version.setdefault((row.plugin, row.version), []).append(_status(row, seen))
    return [describe_plugin(spec, by_version.get((spec.name, spec.version), [])) for spec in specs]


def _status(row: MethodStatus, seen: set[uuid.UUID]) -> dict[str, Any]:
    return {
        "id": row.pk,
        "status": row.status,
        "version": row.version,
        "reason": row.reason,
        "validated_by": row.validated_by,
        "validated_on": row.validated_on,
        "text": row.text,
        "document": row.document,
        "job": row.job_id if row.job_id in seen else None,
        "set_by": row.set_by_id,
        "created_at": row.created_at,
    }


def method_status(plugin: str, version: str, *, at: dt.datetime | None = None) -> MethodStatus | None:
    """The status row in force of one version of a plugin, now or at a time; None: a draft."""
    rows = MethodStatus.objects.filter(plugin=plugin, version=version)
    return (rows.filter(created_at__lte=at) if at is not None else rows).order_by("-created_at", "-id").first()


def list_outside_activities(user: access.Caller) -> QuerySet[OutsideActivity]:
    """Outside activities the caller may see, with job, files and what was read from them."""
    current = Image.objects.filter(superseded_by__isnull=True).only("id", "job_id").order_by("created_at", "id")
    return access.visible(
        OutsideActivity.objects.select_related("job", "operator").prefetch_related(
            "files",
            "received",
            Prefetch("job__images", queryset=current, to_attr="current_images"),
            Prefetch("tables", queryset=Table.objects.only("id", "outside_activity_id").order_by("created_at", "id")),
        ),
        user,
    )


def outside_status(row: OutsideActivity) -> str:
    """``queued``, ``running``, ``ready`` or ``failed``: how far the reading of the files is."""
    if row.job is None or row.job.status == Job.Status.SUCCEEDED:
        return "ready"
    return str(row.job.status) if row.job.status in ACTIVE else "failed"


def outside_images(row: OutsideActivity) -> list[uuid.UUID]:
    """Ids of the current images that came of outside work: read by its own job, or with its acquisition."""
    found = [image.pk for image in getattr(row.job, "current_images", ())] if row.job else []
    received = [file.pk for file in row.received.all()]
    if received:
        images = graph.Filters(types=[registration_of(Image).type], relations=["hadPrimarySource"], depth=1)
        read = graph.descendants(received, limit=1000, filters=images)
        rows = Image.objects.filter(pk__in=read, acquisition__isnull=False).order_by("created_at", "id")
        found += list(rows.values_list("pk", flat=True))
    return found
