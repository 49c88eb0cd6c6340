"""The first page of the admin, and the list beside its pages: counts of what the caller may see."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from apps.analysis.models import MethodStatus
from apps.catalog.models import Calibration, Instrument, Material, MaterialProperty, Specimen, SpecimenEvent, State
from apps.imaging.models import (
    Acquisition,
    AcquisitionMove,
    Attachment,
    Image,
    OutsideActivity,
    Series,
    SourceFile,
)
from apps.jobs.models import Job, JobAttempt, JobLogLine, ServiceBeat
from apps.projects.models import (
    ApiToken,
    Membership,
    Project,
    ProjectGroupPermission,
    ProjectUserPermission,
    User,
)
from apps.results.models import Property, Release, ReleaseWithdrawal, Review, Table
from apps.spatial.models import Frame, FrameExtent, Landmark, Mount, Roi, Transform, TransformDecision

# Title of the group, and its models with an icon each; what is registered and stands nowhere goes into the last group.
GROUPS: tuple[tuple[str, tuple[tuple[Any, str], ...]], ...] = (
    (
        "People and projects",
        (
            (User, "person"),
            (ApiToken, "key"),
            (Project, "folder"),
            (Membership, "group"),
            (ProjectUserPermission, "lock"),
            (ProjectGroupPermission, "lock"),
        ),
    ),
    (
        "Specimens",
        (
            (Specimen, "science"),
            (State, "timeline"),
            (SpecimenEvent, "construction"),
            (Material, "category"),
            (MaterialProperty, "straighten"),
        ),
    ),
    (
        "Instruments",
        ((Instrument, "biotech"), (Calibration, "rule"), (Mount, "table_restaurant")),
    ),
    (
        "Measurements",
        (
            (Acquisition, "photo_camera"),
            (AcquisitionMove, "drive_file_move"),
            (Series, "view_carousel"),
            (SourceFile, "draft"),
            (Image, "image"),
            (OutsideActivity, "open_in_new"),
            (Attachment, "attach_file"),
        ),
    ),
    (
        "Places",
        (
            (Frame, "grid_on"),
            (FrameExtent, "crop_free"),
            (Transform, "transform"),
            (TransformDecision, "gavel"),
            (Landmark, "location_on"),
            (Roi, "pentagon"),
        ),
    ),
    (
        "Work and results",
        (
            (Job, "settings"),
            (JobAttempt, "replay"),
            (JobLogLine, "notes"),
            (Property, "numbers"),
            (Table, "table"),
            (Review, "rate_review"),
            (Release, "verified"),
            (ReleaseWithdrawal, "undo"),
            (MethodStatus, "fact_check"),
            (ServiceBeat, "monitor_heart"),
        ),
    ),
)
_REST = "More"
_COUNTED = (User, Project, Specimen, Acquisition, Image, Job, Property, Calibration)


def styles(request: HttpRequest) -> str:
    """Return the address of the few rules of ours on the admin's pages."""
    return static("web/admin.css")


def _groups() -> list[tuple[str, list[tuple[Any, str]]]]:
    registry = admin.site._registry
    found = [(title, [(model, icon) for model, icon in rows if model in registry]) for title, rows in GROUPS]
    placed = {model for _, rows in found for model, _ in rows}
    rest = sorted((model for model in registry if model not in placed), key=lambda m: str(m._meta.verbose_name_plural))
    return [*found, (_REST, [(model, "circle") for model in rest])]


def _entry(model: Any, icon: str) -> dict[str, Any]:
    title = str(model._meta.verbose_name_plural)
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return {"title": title[:1].upper() + title[1:], "icon": icon, "link": address}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the list beside the admin's pages."""
    first = {"items": [{"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}]}
    groups = [
        {"title": title, "separator": True, "collapsible": True, "items": [_entry(model, icon) for model, icon in rows]}
        for title, rows in _groups()
        if rows
    ]
    return [first, *groups]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the counts of the first page: rows that the caller may see, and jobs by how they stand."""
    registry = admin.site._registry
    counts = [
        {**_entry(model, ""), "count": registry[model].get_queryset(request).count()}
        for model in _COUNTED
        if model in registry
    ]
    jobs = registry[Job].get_queryset(request)
    states = [
        {
            "title": status.label,
            "count": jobs.filter(status=status).count(),
            "link": f"{reverse('admin:jobs_job_changelist')}?status__exact={status.value}",
        }
        for status in Job.Status
    ]
    groups = [{"title": title, "rows": [_entry(model, icon) for model, icon in rows]} for title, rows in _groups()]
    return context | {"counts": counts, "job_states": states, "groups": [group for group in groups if group["rows"]]}
