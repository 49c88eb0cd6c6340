"""A result is reviewed by a second person and released by a manager; each decision is a row of its own."""

from __future__ import annotations

from typing import Any

from apps.core.clean import TEXT_LENGTH, clean_text
from apps.core.errors import ConflictError, InvalidValueError, PermissionRefusedError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.provenance import selectors as ledger
from apps.results.models import Property, Release, ReleaseWithdrawal, Review, Table
from apps.results.selectors import current_release, last_review

Result = Property | Table


def _about(row: Result) -> dict[str, Any]:
    return {"project_id": row.project_id, "property" if isinstance(row, Property) else "table": row}


def _lock(row: Result) -> None:
    """Let one decision about a result be made at a time."""
    type(row)._default_manager.select_for_update().get(pk=row.pk)


def asked_by(row: Result) -> User:
    """Who had a result made: who submitted its job, be it an analysis or the reading of outside work."""
    return row.job.created_by


def review_result(*, actor: User, row: Result, verdict: str, comment: str = "") -> Review:
    """Say what a second person found about a result.

    Parameters
    ----------
    actor : User
        A contributor who did not submit the job that gave it.
    verdict : str
        ``approved`` or ``rejected``; a later review counts more than an earlier one.
    comment : str
        Needed with a rejection.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the result, may not contribute, or had it made.
    InvalidValueError
        No such verdict, or a rejection without a comment.
    """
    access.require(actor, access.Action.CONTRIBUTE, row)
    if asked_by(row).pk == actor.pk:
        raise PermissionRefusedError("you submitted the job that gave this result; another person reviews it")
    if verdict not in Review.Verdict.values:
        raise InvalidValueError(f"{verdict!r} is not one of {', '.join(Review.Verdict.values)}", field="verdict")
    rejected = verdict == Review.Verdict.REJECTED
    words = clean_text(comment, field="comment", max_length=TEXT_LENGTH, required=rejected)
    with record.act("review_result", actor=actor, project=row.project_id) as act:
        _lock(row)
        review = Review.objects.create(verdict=verdict, comment=words, reviewed_by=actor, **_about(row))
        act.used(row, role="result")
        act.created(review, attributes={"corr:verdict": verdict}, erasable={"comment": words} if words else None)
        act.derived(review, row)
    return review


def release_result(*, actor: User, row: Result, comment: str = "") -> Release:
    """Give a result out for use.

    Parameters
    ----------
    actor : User
        A manager of the project.
    row : Property or Table
        Its last review must have approved it, since the last withdrawal of a release if there was one.
    comment : str
        To whom, or for what.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the result or does not manage the project.
    ConflictError
        It is stale, not approved, or released already.
    """
    access.require(actor, access.Action.MANAGE, row)
    words = clean_text(comment, field="comment", max_length=TEXT_LENGTH)
    with record.act("release_result", actor=actor, project=row.project_id) as act:
        _lock(row)
        review = _releasable(row)
        act.demand_fresh([row.pk], _stale)  # what it rests on may be withdrawn between this look and the commit
        release = Release.objects.create(review=review, comment=words, released_by=actor, **_about(row))
        act.used(row, role="result")
        act.used(review, role="review")
        act.created(release, erasable={"comment": words} if words else None)
        act.derived(release, row)
    return release


def _stale(reason: str | None) -> ConflictError:
    return ConflictError(f"it is stale: {reason or 'something it rests on was withdrawn'}")


def _releasable(row: Result) -> Review:
    released = current_release(row)
    if released is not None:
        raise ConflictError(f"it was released on {released.created_at:%Y-%m-%d} already")
    if marks := ledger.stale_marks([row.pk]):
        raise _stale(marks[0]["reason"])
    review = last_review(row)
    if review is None:
        raise ConflictError("nobody has reviewed it; a second person approves a result before it is released")
    if review.verdict != Review.Verdict.APPROVED:
        raise ConflictError(f"its last review rejected it: {review.comment}")
    if ReleaseWithdrawal.objects.filter(release__in=row.releases.all(), created_at__gte=review.created_at).exists():
        raise ConflictError("a release of it was withdrawn after its last review; it is to be reviewed anew")
    return review


def withdraw_release(*, actor: User, row: Result, reason: str) -> Release:
    """End the release of a result; what was said of it stays.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the result or does not manage the project.
    InvalidValueError
        No reason.
    ConflictError
        It is not released.
    """
    access.require(actor, access.Action.MANAGE, row)
    why = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    with record.act("withdraw_release", actor=actor, project=row.project_id, reason=why) as act:
        _lock(row)
        release = current_release(row)
        if release is None:
            raise ConflictError("it is not released; there is nothing to withdraw")
        ReleaseWithdrawal.objects.create(release=release, reason=why, withdrawn_by=actor)
        act.used(row, role="result")
        act.invalidated(release, reason=why)
    return release
