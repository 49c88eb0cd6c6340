"""The home page: what waits for me, what runs, what is new."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.web import selectors, waiting
from apps.web.views.base import account, page


@page
def home(request: HttpRequest) -> HttpResponse:
    """What waits for me, running jobs, recent specimens and numbers, my projects."""
    user = account(request)
    context = {
        "here": "home",
        "waiting": waiting.for_account(user),
        "projects": selectors.projects_of(user),
        "specimens": selectors.recent_specimens(user),
        "jobs": selectors.recent_jobs(user),
        "active": waiting.anything_runs(user),
        "numbers": selectors.recent_numbers(user),
    }
    return render(request, "web/home.html", context)


@page
def running(request: HttpRequest) -> HttpResponse:
    """The list of jobs, asked for anew while one of them runs."""
    user = account(request)
    context = {"jobs": selectors.recent_jobs(user), "active": waiting.anything_runs(user)}
    return render(request, "web/parts/jobs_live.html", context)
