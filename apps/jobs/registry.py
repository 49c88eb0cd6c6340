"""Kinds of jobs: what a layer above gives to the kernel so that its work is run, published and recorded.

The kernel knows leases, processes, staging and endings; a handler knows what the work means.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from django.core.exceptions import ImproperlyConfigured

from apps.core.models import Store
from apps.jobs.models import Job
from apps.provenance.record import Act


class JobFailure(Exception):  # noqa: N818 - a declared ending, not an error
    """A declared, expected failure: ends the job ``failed`` with a code, a message for a person and facts.

    Raised by ``prepare`` (what was asked for cannot be done) or ``publish`` (what came out may not be published).
    """

    def __init__(self, code: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = dict(facts or {})


@dataclass(frozen=True)
class ChildPlan:
    """What the child process is to do.

    Attributes
    ----------
    target : str
        ``"package.module:function"``, importable without Django; called as ``function(request, ctx)``.
    request : mapping
        Its first argument, JSON only: values and absolute paths, no ids to look up.
    memory_bytes, seconds : int, float, optional
        Limits of the process; the installation's defaults where None, and never above them.
    stores : int, optional
        The most stores it may leave in staging; None: as many as it likes.
    threads : int
        Threads its libraries may use.
    """

    target: str
    request: Mapping[str, Any]
    memory_bytes: int | None = None
    seconds: float | None = None
    stores: int | None = None
    threads: int = 1


@dataclass(frozen=True)
class StagedStore:
    """One verified store of a finished child; ``store`` is its row, ready within the publishing transaction.

    ``path`` is the final path; ``digest`` and ``manifest`` were computed by the parent from the bytes on disk.
    """

    name: str
    path: Path
    digest: str
    manifest: str
    size_bytes: int
    file_count: int
    store: Store


@dataclass(frozen=True)
class ChildResult:
    """What a finished child left: its value, its stores by name, and what was measured about it."""

    value: Mapping[str, Any]
    stores: Mapping[str, StagedStore] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class JobHandler(Protocol):
    """One kind of job."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        """Resolve ids to values and paths; outside of any transaction, may be called once an attempt.

        Raises :class:`JobFailure` or a ``CorrError`` where the work cannot be done; both end the job ``failed``.
        """
        ...

    def publish(self, job: Job, result: ChildResult, act: Act) -> dict[str, Any]:
        """Write rows and provenance inside the final, fenced transaction; return ``{port: {"type": ..., "id": ...}}``.

        May run again from the start if the database asked for a retry: no effect outside of the transaction.
        """
        ...


@runtime_checkable
class RetryAware(Protocol):
    """A handler that has a row to point at the new job when one is retried."""

    def retried(self, old: Job, new: Job, act: Act) -> None:
        """Move what follows the old job to the new one, in the transaction that makes it."""
        ...


@runtime_checkable
class EndAware(Protocol):
    """A handler that has something to record when a job ends without a result."""

    def ended(self, job: Job, act: Act) -> None:
        """Add to the act of a job that failed, erred or was cancelled, e.g. what it had used."""
        ...


_HANDLERS: dict[str, JobHandler] = {}


def register_kind(kind: str, handler: JobHandler) -> None:
    """Say who handles jobs of a kind; called from ``AppConfig.ready``.  A kind has one handler."""
    if _HANDLERS.get(kind, handler) is not handler:
        raise ImproperlyConfigured(f"two handlers for jobs of kind {kind!r}")
    _HANDLERS[kind] = handler


def unregister_kind(kind: str) -> None:
    """Take a kind back (for tests and plugins that are taken out)."""
    _HANDLERS.pop(kind, None)


def handler_of(kind: str) -> JobHandler:
    """The handler of a kind; LookupError names the kinds there are."""
    try:
        return _HANDLERS[kind]
    except KeyError:
        raise LookupError(f"no handler for jobs of kind {kind!r}; there are: {', '.join(sorted(_HANDLERS))}") from None


def kinds() -> tuple[str, ...]:
    """Registered kinds."""
    return tuple(sorted(_HANDLERS))


@dataclass(frozen=True)
class Claim:
    """One attempt of one worker at one job: the fence of everything it writes."""

    job_id: uuid.UUID
    attempt: int
    worker: str
