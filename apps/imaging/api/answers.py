"""Answers that are bytes or pictures: entity tags and caching."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from rest_framework.request import Request

from apps.core.api.negotiation import AnyNegotiation

__all__ = ["CACHE_CONTROL", "AnyNegotiation", "matches", "not_modified"]

# Bytes under an image's address never change, but who may see them can: private, and only for the caller's own cache.
CACHE_CONTROL = "private, max-age=31536000, immutable"


def matches(request: Request, etag: str) -> bool:
    """True if the caller has these bytes already; weak comparison, RFC 9110 section 13.1.2."""
    header = request.headers.get("If-None-Match")
    if header is None:
        return False
    tags = [tag.removeprefix("W/") for tag in parse_etags(header)]
    return "*" in tags or etag in tags


def not_modified(etag: str) -> HttpResponse:
    """304: the caller's copy is as good."""
    return HttpResponseNotModified(headers={"ETag": etag, "Cache-Control": CACHE_CONTROL})
