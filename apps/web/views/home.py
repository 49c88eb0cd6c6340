"""Home and project pages."""

from __future__ import annotations

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.web import selectors
from apps.web.views.base import account, page

_PER_PAGE = 60


@page
def home(request: HttpRequest) -> HttpResponse:
    """My projects, recent specimens, jobs and numbers."""
    user = account(request)
    context = {
        "projects": selectors.projects_of(user),
        "specimens": selectors.recent_specimens(user),
        "jobs": selectors.recent_jobs(user),
        "numbers": selectors.recent_numbers(user),
    }
    return render(request, "web/home.html", context)


@page
def project(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One project: specimens, members, jobs, numbers."""
    user = account(request)
    row = selectors.project(user, pk)
    specimens = Paginator(selectors.project_specimens(row), _PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": row,
        "specimens": specimens,
        "members": selectors.members(row),
        "jobs": selectors.recent_jobs(user, project=row),
        "numbers": selectors.recent_numbers(user, project=row, limit=12),
    }
    return render(request, "web/project.html", context)
