"""Too many wrong passwords: who is counted, and what the next attempt is told.

django-axes counts failures by name and address together, so that nobody can lock another person out from elsewhere.
Every door counts: the log-in page, and the token call of the REST surface.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

STATUS = 429
_API = "/api/"


def client_address(request: HttpRequest) -> str:
    """Address of the caller, as the outermost trusted proxy saw it.

    The attack: ``X-Forwarded-For`` is text of the caller's own up to the first trusted proxy.  Only as many of its last
    entries are believed as ``CORR_PROXY_COUNT`` says there are proxies; none by default.
    """
    direct = str(request.META.get("REMOTE_ADDR") or "")
    count: int = settings.CORR_PROXY_COUNT
    if not count:
        return direct
    entries = [entry.strip() for entry in request.headers.get("X-Forwarded-For", "").split(",") if entry.strip()]
    return entries[-count] if len(entries) >= count else direct


def reason() -> str:
    """Why the log-in is refused, for a person."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    return (
        f"There were {settings.AXES_FAILURE_LIMIT} wrong passwords for this name from this address. "
        f"Log-in is locked for {minutes} minutes; attempts in between are not looked at."
    )


def refused(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """Return the answer to an attempt under lock: a problem document for programs, a page for people."""
    said = reason()
    seconds = str(int(settings.AXES_COOLOFF_TIME.total_seconds()))
    answer: HttpResponse
    if request.path.startswith(_API):
        body = {
            "type": "urn:corrspace:problem:locked_out",
            "title": "Too many requests",
            "status": STATUS,
            "detail": said,
            "code": "locked_out",
            "errors": {},
        }
        answer = JsonResponse(body, status=STATUS, content_type="application/problem+json")
    else:
        answer = render(request, "429.html", {"reason": said}, status=STATUS)
    answer["Retry-After"] = seconds
    return answer
