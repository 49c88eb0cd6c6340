"""The one place where errors become HTTP: RFC 9457 problem documents."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response

from apps.core.errors import CorrError

logger = logging.getLogger(__name__)
PROBLEM_TYPE = "application/problem+json"
_MAX_QUOTED = 1000
_TITLES = {
    400: "The request cannot be carried out",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    413: "Too large",
    415: "Unsupported media type",
    429: "Too many requests",
    503: "Try again later",
}


def problem(
    status_code: int,
    *,
    code: str,
    detail: str,
    title: str = "",
    errors: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document (RFC 9457) as a response."""
    body = {
        "type": f"urn:corrspace:problem:{code}",
        "title": title or _TITLES.get(status_code, "Error"),
        "status": status_code,
        "detail": _shortened(detail, 2 * _MAX_QUOTED),
        "code": code,
        "errors": {
            name: [_shortened(message, 2 * _MAX_QUOTED) for message in found] for name, found in (errors or {}).items()
        },
    }
    if details:
        body["details"] = dict(details)
    return Response(body, status=status_code, headers=dict(headers or {}), content_type=PROBLEM_TYPE)


def _flatten(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """Turn DRF's nested error detail into field path -> messages."""
    if isinstance(detail, Mapping):
        flat: dict[str, list[str]] = {}
        for key, value in detail.items():
            path = prefix if prefix and key == "non_field_errors" else f"{prefix}.{key}" if prefix else str(key)
            for name, messages in _flatten(value, path).items():
                flat.setdefault(name, []).extend(messages)
        return flat
    if isinstance(detail, list | tuple):
        flat = {}
        for position, item in enumerate(detail):
            nested = isinstance(item, Mapping | list | tuple)
            for name, messages in _flatten(item, f"{prefix}.{position}" if nested and prefix else prefix).items():
                flat.setdefault(name, []).extend(messages)
        return flat
    return {prefix[:_MAX_QUOTED] or "non_field_errors": [_shortened(str(detail))]}


def _shortened(message: str, length: int = _MAX_QUOTED) -> str:
    """Cut what a message quotes of a request that may be long."""
    return message if len(message) <= length else f"{message[:length]} ..."


def _from_drf(error: exceptions.APIException, headers: Mapping[str, str]) -> Response:
    if isinstance(error, exceptions.ValidationError):
        errors = _flatten(error.detail)
        detail = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in errors.items())
        return problem(400, code="invalid", detail=detail, errors=errors)
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else "error"
    return problem(error.status_code, code=code, detail=str(error.detail), headers=headers)


def _from_database(error: OperationalError) -> Response:
    logger.warning("database refused: %s", error)
    return problem(
        503,
        code="database_busy",
        detail="The database is busy or restarting; nothing was changed. Try again.",
        headers={"Retry-After": "2"},
    )


def problem_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the problem document of an error; None lets a bug be a bug (500)."""
    if isinstance(error, CorrError):
        headers = {"Retry-After": "2"} if error.status == status.HTTP_503_SERVICE_UNAVAILABLE else {}
        return problem(
            error.status,
            code=error.code,
            title=error.title,
            detail=error.message,
            errors=error.errors,
            details=error.details,
            headers=headers,
        )
    if isinstance(error, Http404):
        return problem(404, code="not_found", detail="There is no such thing, or you may not know of it.")
    if isinstance(error, RequestDataTooBig):
        return problem(
            413, code="too_large", detail=f"a body may have {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes here"
        )
    if isinstance(error, PermissionDenied):
        return problem(403, code="permission_denied", detail=str(error) or "You may not do this.")
    if isinstance(error, OperationalError):
        return _from_database(error)
    if isinstance(error, exceptions.APIException):
        headers = {}
        if scheme := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = str(scheme)
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait))
        return _from_drf(error, headers)
    return None
