"""The first page of the admin, and the list beside its pages: counts of what the caller may see."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone

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
from apps.jobs import beats
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
from apps.spatial.models import (
    Found,
    Frame,
    FrameExtent,
    Landmark,
    Mount,
    Roi,
    Transform,
    TransformDecision,
    TransformOverride,
)

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
            (TransformOverride, "warning"),
            (Landmark, "location_on"),
            (Roi, "pentagon"),
            (Found, "where_to_vote"),
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
# Tables whose rows are counted; the others are only listed: some grow with every line that a job writes.
_COUNTED = frozenset(
    (
        User,
        Project,
        Specimen,
        Material,
        Instrument,
        Calibration,
        Acquisition,
        Image,
        Transform,
        Roi,
        Job,
        Property,
        Table,
    )
)
_TITLES: dict[Any, str] = {
    ApiToken: "API tokens",
    ProjectUserPermission: "Permissions of accounts",
    ProjectGroupPermission: "Permissions of groups",
    State: "States of specimens",
    AcquisitionMove: "Moves of acquisitions",
    FrameExtent: "Extents of frames",
    TransformDecision: "Decisions on transforms",
    TransformOverride: "Transforms used out of their state",
    Roi: "Regions of interest",
    Found: "Found positions",
    JobAttempt: "Attempts of jobs",
    JobLogLine: "Log lines",
    Property: "Numbers",
    ReleaseWithdrawal: "Withdrawn releases",
    MethodStatus: "Standing of methods",
    ServiceBeat: "Signs of life of services",
}
_FAILED_DAYS = 7


def styles(request: HttpRequest) -> str:
    """Return the address of the few rules of ours on the admin's pages."""
    return static("web/admin.css")


def favicon(request: HttpRequest) -> str:
    """Return the address of the picture in the browser's tab."""
    return static("web/icon.svg")


def _groups() -> list[tuple[str, list[tuple[Any, str]]]]:
    registry = admin.site._registry
    found = [(title, [(model, icon) for model, icon in rows if model in registry]) for title, rows in GROUPS]
    placed = {model for _, rows in found for model, _ in rows}
    rest = sorted((model for model in registry if model not in placed), key=lambda m: str(m._meta.verbose_name_plural))
    return [*found, (_REST, [(model, "circle") for model in rest])]


def _entry(model: Any, icon: str) -> dict[str, Any]:
    title = _TITLES.get(model) or str(model._meta.verbose_name_plural)
    return {"title": title[:1].upper() + title[1:], "icon": icon, "link": _address(model, "changelist")}


def _address(model: Any, page: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}")


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
    """Add what the first page shows: what wants a look, jobs by how they stand, and every table with its rows."""
    return context | {
        "attention": _attention(request),
        "job_states": _job_states(request),
        "parts": [(role, beats.is_alive(role)) for role in beats.ROLES],
        "groups": [
            {"title": title, "rows": [_row(request, model, icon) for model, icon in rows]}
            for title, rows in _groups()
            if rows
        ],
    }


def _row(request: HttpRequest, model: Any, icon: str) -> dict[str, Any]:
    """Return one table: its list, how many rows the caller sees, and where a row is added if the caller may."""
    known = admin.site._registry[model]
    return {
        **_entry(model, icon),
        "count": known.get_queryset(request).count() if model in _COUNTED else None,
        "add": _address(model, "add") if known.has_add_permission(request) else "",
    }


def _attention(request: HttpRequest) -> list[dict[str, Any]]:
    """Return what staff may have to do something about; kinds of which there is none are left out."""
    registry, now = admin.site._registry, timezone.now()
    jobs = registry[Job].get_queryset(request)
    failed = jobs.filter(status__in=(Job.Status.FAILED, Job.Status.ERRORED))
    since = now - dt.timedelta(days=_FAILED_DAYS)
    due = registry[Calibration].get_queryset(request).filter(status=Calibration.Status.ACTIVE, superseded_by=None)
    images = registry[Image].get_queryset(request).filter(calibrated=False, superseded_by=None)
    kinds = (
        (
            f"Jobs that failed in the last {_FAILED_DAYS} days",
            failed.filter(created_at__gte=since).count(),
            f"{_address(Job, 'changelist')}?status__exact={Job.Status.FAILED.value}",
        ),
        ("Calibrations that are overdue", due.filter(due_at__lt=now.date()).count(), reverse("calibrations")),
        (
            "Images without scale",
            images.filter(~Q(kind=Image.Kind.LABELS)).count(),
            f"{_address(Image, 'changelist')}?calibrated__exact=0",
        ),
    )
    return [{"title": title, "count": count, "link": link} for title, count, link in kinds if count]


def _job_states(request: HttpRequest) -> list[dict[str, Any]]:
    jobs = admin.site._registry[Job].get_queryset(request)
    return [
        {
            "title": status.label,
            "count": jobs.filter(status=status).count(),
            "link": f"{_address(Job, 'changelist')}?status__exact={status.value}",
        }
        for status in Job.Status
    ]
