"""Importing: say what was measured, send its files, confirm the facts, watch the ingest; and the acquisition's page."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework.exceptions import UnsupportedMediaType

from apps.catalog.models import Instrument, Specimen
from apps.core.errors import CorrError, NotFoundError, PermissionRefusedError
from apps.imaging import services
from apps.imaging.api.upload import receive_multipart
from apps.imaging.models import Acquisition, Image, Modality
from apps.imaging.selectors import status_of
from apps.jobs.models import ACTIVE, Job
from apps.projects import access
from apps.projects.models import User
from apps.web import acquisitions, selectors
from apps.web.present.facts import fact_rows
from apps.web.present.fields import Field, errors_of, filled, number
from apps.web.present.previews import preview_of
from apps.web.views.base import account, button, form, page, taken, translated

_SALT = "corr.upload"
_TICKET_SECONDS = 86_400
AXES = ("x", "y", "z")


# -------------------------------------------------------------------------------------------------- what was measured


def _describing(specimen: Specimen) -> tuple[Field, ...]:
    instruments = [(str(pk), name) for pk, name in Instrument.objects.order_by("name").values_list("pk", "name")]
    states = [(str(row.pk), str(row)) for row in specimen.states.order_by("-number")]
    members = [(str(m.user_id), m.user.get_username()) for m in selectors.members(specimen.project)]
    now = str(specimen.current_state_id or "")
    return (
        Field("modality", "What it is", "choice", options=tuple(Modality.choices), required=True, value="sem"),
        Field("state", "State of the specimen", "choice", options=states, value=now, required=True),
        Field(
            "instrument",
            "Instrument",
            "choice",
            options=(("", "not stated"), *instruments),
            help="Staff add instruments in the administration.",
        ),
        Field(
            "operator",
            "Operator",
            "choice",
            options=(("", "not stated, or not here"), *members),
            help="Who stood at the instrument. It is not taken to be you.",
        ),
        Field("operator_name", "Operator without account", help="Only where the one above is empty."),
        Field(
            "acquired_at",
            "Time of the measurement",
            help="Local time as the instrument shows it, e.g. 2024-06-01T09:30:00. Leave it empty if the file says it.",
        ),
    )


@form
def start(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """First step: what was measured, of what, with what, by whom."""
    user = account(request)
    specimen = selectors.specimen(user, pk)
    fields = _describing(specimen)
    context: dict[str, Any] = {"specimen": specimen, "project": specimen.project, "fields": fields, "step": 1}
    if request.method == "GET":
        return render(request, "web/import.html", context)
    access.require(user, access.Action.CONTRIBUTE, specimen)
    given = {field.name: request.POST.get(field.name, "").strip() for field in fields}
    try:
        made = services.create_acquisition(
            actor=user,
            project=specimen.project,
            specimen=specimen,
            modality=given["modality"],
            state=_of(specimen.states.all(), given["state"]),
            instrument=_of(Instrument.objects.all(), given["instrument"]),
            operator=_of(User.objects.filter(memberships__project=specimen.project_id), given["operator"]),
            operator_name=given["operator_name"],
            acquired_at=given["acquired_at"],
        )
    except CorrError as error:
        errors, problem = errors_of(error, given)
        context |= {"fields": filled(fields, given, errors), "problem": "" if errors else problem}
        return render(request, "web/import.html", context, status=400)
    return redirect("acquisition", made.pk)


def _of(queryset: Any, text: str) -> Any:
    """Return the row that a choice names; None where nothing was chosen or the choice is none of them."""
    try:
        return queryset.filter(pk=uuid.UUID(text)).first() if text else None
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------------------- the page


@page
def acquisition(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One acquisition: its files, what they say of themselves, its images, what was done with it."""
    user = account(request)
    return _show(request, acquisitions.one(user, pk))


def _show(request: HttpRequest, row: Acquisition, status: int = 200, **more: Any) -> HttpResponse:
    user = account(request)
    state = status_of(row)
    files = acquisitions.files_of(row)
    images = acquisitions.images_of(row)
    may = access.allowed(user, access.Action.CONTRIBUTE, row)
    open_for_files = may and state in ("empty", "failed")
    context: dict[str, Any] = {
        "acquisition": row,
        "state": state,
        "files": files,
        "images": images,
        "stage": acquisitions.stage_words(images),
        "uncalibrated": [image for image in images if not image.calibrated],
        "acquired": acquisitions.acquired(row),
        "facts": fact_rows(row.facts),
        "headers": sorted(row.header.items()) if row.header else [],
        "history": acquisitions.history(row),
        "may_contribute": may,
        "open_for_files": open_for_files,
        "upload_url": _upload_address(request, row) if open_for_files else "",
        "confirm_fields": _confirming() if open_for_files and files else (),
        **_looked(acquisitions.preview_job(row) if open_for_files and files else None),
        "step": _step(state, bool(files)),
        "active": row.ingest_job is not None and row.ingest_job.status in ACTIVE,
        "job": row.ingest_job,
    }
    return render(request, "web/acquisition.html", context | more, status=status)


def _looked(job: Job | None) -> dict[str, Any]:
    """Return what is known of the files before they are taken."""
    if job is None:
        return {"look": None, "looking": False, "preview": None}
    return {"look": job, "looking": job.status in ACTIVE, "preview": preview_of(job.facts)}


def _step(state: str, has_files: bool) -> int:
    if state in ("empty", "failed"):
        return 3 if has_files else 2
    return 5 if state == "ready" else 4


@page
def live(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The part of the page that is asked for while the ingest runs; the whole page is loaded anew when it has ended."""
    row = acquisitions.one(account(request), pk)
    job = row.ingest_job
    if request.GET.get("of") == "preview":
        job = acquisitions.preview_job(row)
    active = job is not None and job.status in ACTIVE
    context = {"acquisition": row, "job": job, "active": active, "of": request.GET.get("of", "")}
    answer = render(request, "web/parts/ingest_live.html", context)
    if not active:
        answer["HX-Refresh"] = "true"
    return answer


# --------------------------------------------------------------------------------------------------------------- files


def _mark(request: HttpRequest, row_id: uuid.UUID) -> str:
    session = request.session.session_key or ""
    return hashlib.sha256(f"{session} {row_id}".encode()).hexdigest()


def _upload_address(request: HttpRequest, row: Acquisition) -> str:
    ticket = signing.dumps(_mark(request, row.pk), salt=_SALT)
    return f"{reverse('acquisition-files', args=[row.pk])}?ticket={ticket}"


def _ticket_fits(request: HttpRequest, pk: uuid.UUID) -> bool:
    """True for a form that this session was given for this acquisition within a day."""
    if getattr(request, "_dont_enforce_csrf_checks", False):  # as Django's own check asks
        return True
    try:
        return bool(
            signing.loads(request.GET.get("ticket", ""), salt=_SALT, max_age=_TICKET_SECONDS) == _mark(request, pk)
        )
    except signing.BadSignature:
        return False


@csrf_exempt  # that check would read the body before the caller is known; the ticket in the address stands in its place
@require_POST
@login_required
def upload(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Receive files.  The attack: a form on another site sends a body in a member's name; it has no ticket."""
    return translated(_upload, request, pk)  # type: ignore[return-value]


def _upload(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    user = account(request)
    row = acquisitions.one(user, pk)
    access.require(user, access.Action.CONTRIBUTE, row)
    if not _ticket_fits(request, pk):
        raise PermissionRefusedError("this form was open for too long, or comes from elsewhere; load the page anew")
    for_script = "application/json" in request.headers.get("Accept", "")
    try:
        with services.open_receipt(actor=user, acquisition=row) as receipt:
            receive_multipart(request, receipt)
            rows = receipt.commit()
    except (NotFoundError, PermissionRefusedError):
        raise
    except (CorrError, UnsupportedMediaType) as error:
        said = error.message if isinstance(error, CorrError) else str(error.detail)
        if for_script:
            return JsonResponse({"detail": said}, status=400)
        messages.error(request, said)
        return redirect("acquisition", pk)
    services.start_preview(actor=user, acquisition=row)
    messages.success(request, f"{len(rows)} file{'s' if len(rows) != 1 else ''} received. Confirm the facts next.")
    return JsonResponse({"count": len(rows)}) if for_script else redirect("acquisition", pk)


# ---------------------------------------------------------------------------------------------------------- confirming


@button("acquisition")
def look(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Look into the files anew."""
    user = account(request)
    services.start_preview(actor=user, acquisition=acquisitions.one(user, pk))
    return "The files are being looked into.", pk


def _confirming() -> tuple[Field, ...]:
    once = "Leave all three empty to take what the file states. An image without any stays uncalibrated."
    return (
        Field("x", "Distance along x", "number", unit="µm", help=once),
        Field("y", "Distance along y", "number", unit="µm"),
        Field("z", "Distance along z", "number", unit="µm", help="Of volumes only."),
        Field("u", "Standard uncertainty", "number", unit="µm", help="Of the distances typed: a scale needs one."),
        Field(
            "handedness",
            "Handedness",
            "choice",
            options=(("", "as the file states, else unknown"), *Image.Handedness.choices),
            help="Whether the axes x, y, z make a right hand in the specimen. Only a comparison with the piece tells.",
        ),
        Field("name", "Name of the image", help="Else its name in the file."),
    )


@taken
def ingest(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Take the confirmed facts and queue the ingest."""
    user = account(request)
    row = acquisitions.one(user, pk)
    access.require(user, access.Action.CONTRIBUTE, row)
    given = {field.name: request.POST.get(field.name, "").strip() for field in _confirming()}
    try:
        services.start_ingest(actor=user, acquisition=row, overrides=_overrides(given))
    except (NotFoundError, PermissionRefusedError):
        raise
    except CorrError as error:
        prefixes = ("overrides.", "spacing_um.", "spacing_u_um.")
        errors, problem = errors_of(_renamed(error), given, prefixes=prefixes)
        fields = filled(_confirming(), given, errors)
        return _show(request, row, 400, confirm_fields=fields, problem="" if errors else problem, errors=errors)
    messages.success(request, "The ingest was queued.")
    return redirect("acquisition", pk)


def _renamed(error: CorrError) -> CorrError:
    """Put what is said of the uncertainty, or of the spacing as a whole, to a field that the form has."""
    if error.field in ("overrides.spacing_u_um", "spacing_u_um"):
        error.field = "u"
    elif error.field in ("overrides.spacing_um", "spacing_um"):
        error.field = "x"
    return error


def _overrides(given: dict[str, str]) -> dict[str, Any]:
    labels = {"x": "the distance along x", "y": "the distance along y", "z": "the distance along z"}
    typed = {axis: number(given, axis, labels[axis]) for axis in AXES}
    spacing = {axis: value for axis, value in typed.items() if value is not None}
    found: dict[str, Any] = {}
    if spacing:
        found["spacing_um"] = spacing
    uncertainty = number(given, "u", "the standard uncertainty")
    if uncertainty is not None:
        found["spacing_u_um"] = uncertainty
    for name in ("handedness", "name"):
        if given[name]:
            found[name] = given[name]
    return found
