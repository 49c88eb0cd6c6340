"""What the form of an analysis offers: images for its inputs, labels and materials for its phases."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from analyses.sdk.omezarr import StoreError
from apps.catalog.models import Material
from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import Image
from apps.projects import access
from apps.projects.models import User
from apps.web.present import slices

MAX_LABELS = 24
_OFFERED = 50
Port = dict[str, Any]


def main_port(plugin: dict[str, Any]) -> Port | None:
    """The first input that takes an image: what the analysis is run from."""
    return next((port for port in plugin["inputs"] if port["type"] in ("image", "labels") and port["required"]), None)


def why_not(plugin: dict[str, Any], image: Image) -> str:
    """Why an analysis does not take an image; empty where it does."""
    port = main_port(plugin)
    if port is None:
        return "it takes no image"
    labels = image.kind == Image.Kind.LABELS
    if (port["type"] == "labels") != labels:
        return "it takes labels; segment the image first" if not labels else "it takes grey values, not labels"
    if not labels and image.kind != Image.Kind.INTENSITY:
        return f"it takes grey values, not a {image.get_kind_display()} image"
    dims = sum(size > 1 for axis, size in zip(image.axes, image.shape, strict=True) if axis in ("x", "y", "z"))
    if port["dims"] is not None and dims not in port["dims"]:
        return f"it takes {' or '.join(map(str, port['dims']))} dimensions; the image has {dims}"
    if port["calibrated"] and not image.calibrated:
        return "it needs a scale, and the image has none"
    return ""


def images_for(port: Port, image: Image, user: User) -> tuple[list[tuple[str, str]], str]:
    """Return images of the same specimen for a further input, and the one that the labels were made from."""
    kind = Image.Kind.LABELS if port["type"] == "labels" else Image.Kind.INTENSITY
    rows = access.visible(Image.objects.filter(specimen_id=image.specimen_id, kind=kind), user)
    rows = rows.filter(superseded_by__isnull=True).exclude(pk=image.pk).order_by("-created_at")
    options = [(str(pk), name) for pk, name in rows.values_list("pk", "name")[:_OFFERED]]
    source = str((image.job.inputs if image.job else {}).get("image", ""))
    return options, source if source in dict(options) else ""


def labels_of(image: Image) -> list[int]:
    """Labels of a label image, ascending: those on its coarsest level, and those that its thresholds made."""
    if image.kind != Image.Kind.LABELS:
        return []
    found: set[int] = set()
    thresholds = (image.facts or {}).get("thresholds")
    stated = thresholds.get("value") if isinstance(thresholds, dict) else thresholds
    if isinstance(stated, list):
        found |= set(range(len(stated) + 1))
    if image.store.state == Store.State.READY:
        with suppress(StoreError, OSError):  # the job will say what is wrong with the store
            found |= set(slices.labels_in(storage.path(image.store.key)))
    return sorted(found)[:MAX_LABELS]


def materials() -> list[tuple[str, str]]:
    """All materials with the values they have."""
    rows = Material.objects.prefetch_related("properties").order_by("name")
    return [(str(row.pk), _titled(row)) for row in rows]


def _titled(row: Material) -> str:
    values = [f"{value.quantity.replace('_', ' ')} {value.value:g} {value.unit}" for value in row.properties.all()]
    return f"{row.name} ({'; '.join(values[:3])})" if values else f"{row.name} (no values)"
