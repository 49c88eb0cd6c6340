"""What can be read about frames, mounts, transforms, regions, and events with the transform they made."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery

from apps.catalog.models import SpecimenEvent
from apps.catalog.selectors import list_events as list_catalog_events
from apps.projects import access
from apps.spatial.models import Frame, Mount, Roi, Transform


def list_frames(user: access.Caller) -> QuerySet[Frame]:
    """Frames with what their images fill."""
    return access.visible(Frame.objects.select_related("extent", "mount"), user)


def list_mounts(user: access.Caller) -> QuerySet[Mount]:
    """Mounts of the specimens the caller may see."""
    return access.visible(Mount.objects.all(), user)


def list_transforms(user: access.Caller) -> QuerySet[Transform]:
    """Transforms with landmarks, states and decisions."""
    rows = Transform.objects.select_related("superseded_by").prefetch_related(
        "landmarks", "valid_states", "decisions", "overrides"
    )
    return access.visible(rows, user)


def list_rois(user: access.Caller) -> QuerySet[Roi]:
    """Regions, those that were superseded too."""
    return access.visible(Roi.objects.select_related("superseded_by", "frame"), user)


def list_events(user: access.Caller) -> QuerySet[SpecimenEvent]:
    """Events, each with the id of the first transform of its piece as ``transform_id`` (null without one)."""
    first = Transform.objects.filter(
        method__in=(Transform.Method.GEOMETRY, Transform.Method.LANDMARKS),
        source__kind=Frame.Kind.STATE,
        source__specimen=OuterRef("child"),
        target__specimen=OuterRef("specimen"),
    ).order_by("created_at")
    return list_catalog_events(user).annotate(transform_id=Subquery(first.values("pk")[:1]))
