"""Errors that a caller can act on: each names what was wrong and what would be right.

``CorrError`` is for the user of the call (4xx); ``RetryLaterError`` asks for patience (503).  Anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CorrError(Exception):
    """Base of all refusals.

    Parameters
    ----------
    message : str
        What was refused and why, for a person.
    field : str, optional
        The request field at fault; puts the message under ``errors[field]`` too.
    details : mapping, optional
        Facts for a program, JSON only.
    """

    status = 400
    code = "invalid"
    title = "The request cannot be carried out"

    def __init__(self, message: str, *, field: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = dict(details or {})
        self.field_errors: dict[str, list[str]] = {}

    @property
    def errors(self) -> dict[str, list[str]]:
        """Field -> messages, empty where no field is at fault."""
        return self.field_errors or ({self.field: [self.message]} if self.field else {})


class InvalidValueError(CorrError, ValueError):
    """A field has a value that cannot be taken."""

    code = "invalid_value"
    title = "A value cannot be taken"


class NotFoundError(CorrError, LookupError):
    """There is no such thing, or the caller may not know of it."""

    status = 404
    code = "not_found"
    title = "Not found"


class PermissionRefusedError(CorrError, PermissionError):
    """The thing is visible to the caller, the action is not allowed."""

    status = 403
    code = "permission_denied"
    title = "Not allowed"


class ConflictError(CorrError):
    """The state of the thing does not permit the action."""

    status = 409
    code = "conflict"
    title = "The present state does not permit this"


class UncalibratedError(ConflictError):
    """The image has no scale and the action needs one."""

    code = "uncalibrated"
    title = "The image has no scale"


class TooLargeError(CorrError):
    """The upload or the request is larger than the limit."""

    status = 413
    code = "too_large"
    title = "Too large"


class RetryLaterError(CorrError):
    """Nothing is wrong with the request; the server cannot take it now."""

    status = 503
    code = "retry_later"
    title = "Try again later"
