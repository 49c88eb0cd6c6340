"""The job page, its live part, and its two buttons."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.jobs import services
from apps.jobs.models import ACTIVE, Job
from apps.projects import access
from apps.projects.models import User
from apps.web import selectors
from apps.web.views.base import account, button, page


def _named(ports: dict[str, Any], things: dict[str, tuple[str, str, str]]) -> list[tuple[str, list[Any]]]:
    """Return port -> what is known of each thing: (kind, name, id), or the bare entry where nothing is."""
    rows = []
    for port, given in ports.items():
        entries = given if isinstance(given, list) else [given]
        ids = [str(entry.get("id", "")) if isinstance(entry, dict) else str(entry) for entry in entries]
        rows.append((port, [things.get(pk, ("", pk, "")) for pk in ids]))
    return rows


def _live(row: Job, user: User) -> dict[str, Any]:
    may = access.allowed(user, access.Action.CONTRIBUTE, row)
    return {
        "job": row,
        "active": row.status in ACTIVE,
        "percent": round(100 * row.progress),
        "log": selectors.log_of(row),
        "can_cancel": may and row.status in ACTIVE and not row.cancel_requested,
        "can_retry": may and row.status in (Job.Status.FAILED, Job.Status.ERRORED),
    }


@page
def job(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One job: progress and log while it runs, what it was given, what it gave."""
    user = account(request)
    row = selectors.job(user, pk)
    ids = [pk for _, things in _named({**row.inputs}, {}) for _, pk, _ in things]
    ids += [pk for _, things in _named({**row.outputs}, {}) for _, pk, _ in things]
    things = selectors.things(user, ids)
    context = _live(row, user) | {
        "inputs": _named(row.inputs, things),
        "outputs": _named(row.outputs, things),
        "materials": selectors.material_values(row.params),
        "attempts": list(row.attempts.all()),
    }
    return render(request, "web/job.html", context)


@page
def live(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The part of the job page that is asked for every second; the whole page is loaded anew when the job has ended."""
    user = account(request)
    row = selectors.job(user, pk)
    response = render(request, "web/parts/job_live.html", _live(row, user))
    if row.status not in ACTIVE:
        response["HX-Refresh"] = "true"
    return response


@button("job")
def cancel(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Ask a job to stop."""
    user = account(request)
    services.request_cancel(actor=user, job=selectors.job(user, pk))
    return "The job was asked to stop.", pk


@button("job")
def retry(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Ask again for what a failed job was asked for."""
    user = account(request)
    job, new = services.retry_job(actor=user, job=selectors.job(user, pk))
    return ("This is the new job." if new else "The same was asked for again already; this is that job."), job.pk
