"""What waits for a person: images, jobs and uploads, results to look at, transforms to judge, regions to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from apps.imaging.models import Acquisition, Image
from apps.jobs.models import ACTIVE, Job
from apps.projects import access
from apps.projects.models import User
from apps.provenance import selectors as provenance
from apps.results.models import Property, Release, Review
from apps.spatial.models import Roi, Transform, TransformDecision

SHOWN = 5
_RECENT = 200


@dataclass(frozen=True)
class Waiting:
    """One kind of thing that waits: its first rows, and how many there are."""

    kind: str
    title: str
    words: str
    rows: Sequence[Any]
    count: int


def _kind(kind: str, title: str, words: str, rows: QuerySet[Any]) -> Waiting:
    first = list(rows[: SHOWN + 1])
    count = len(first) if len(first) <= SHOWN else rows.count()
    return Waiting(kind, title, words, first[:SHOWN], count)


def _contributes(rows: QuerySet[Any], user: User) -> QuerySet[Any]:
    """Leave the rows of projects in which the account may do something about them."""
    return rows.filter(project__in=access.project_ids(user, access.Action.CONTRIBUTE))


def _without_scale(user: User) -> Waiting:
    rows = Image.objects.filter(calibrated=False, superseded_by__isnull=True, acquisition__isnull=False)
    rows = rows.select_related("specimen", "project")
    words = "No file states the distance of their samples. Type it with its uncertainty, or leave them without."
    return _kind("images", "Images without scale", words, _contributes(rows, user))


def _to_judge(user: User) -> Waiting:
    """Candidates that nobody has judged; one whose place another took has been, a start of a registration never is."""
    replaced = TransformDecision.objects.filter(transform=OuterRef("pk"), status=TransformDecision.Status.CANDIDATE)
    rows = Transform.objects.filter(~Exists(replaced), status=Transform.Status.CANDIDATE, superseded_by__isnull=True)
    rows = rows.filter(facts__start__isnull=True)
    rows = rows.select_related("source", "target", "project", "created_by")
    words = "Nothing is mapped along a candidate. Look at its residuals and its error, then accept or withdraw it."
    return _kind("transforms", "Transforms to be judged", words, _contributes(rows, user))


def _to_find(user: User) -> Waiting:
    """Regions that were sent to an instrument, and of which nobody has said where they were found."""
    rows = Roi.objects.filter(status=Roi.Status.TARGETED, superseded_by__isnull=True).defer("geometry")
    rows = rows.select_related("frame__specimen", "project", "target_instrument")
    words = "They were sent to an instrument. Enter where they were found: it tells whether the stated errors are true."
    return _kind("regions", "Regions not yet found", words, _contributes(rows, user))


def _failed(user: User) -> Waiting:
    again = Job.objects.filter(retry_of=OuterRef("pk"))
    rows = Job.objects.filter(created_by=user, status__in=(Job.Status.FAILED, Job.Status.ERRORED))
    rows = rows.filter(~Exists(again)).select_related("project")
    return _kind("jobs", "Jobs of yours that failed", "", _contributes(rows, user))


def _not_ingested(user: User) -> Waiting:
    rows = Acquisition.objects.filter(ingest_job__isnull=True, files__isnull=False, created_by=user)
    rows = rows.select_related("specimen", "project").distinct()
    return _kind("acquisitions", "Files that wait to be confirmed", "", _contributes(rows, user))


def _to_review(user: User) -> Waiting:
    """Numbers that nobody has reviewed, in projects that the account manages; not its own, which it may not review."""
    rows = Property.objects.filter(~Exists(Review.objects.filter(property=OuterRef("pk"))))
    rows = rows.filter(project__in=access.project_ids(user, access.Action.MANAGE)).exclude(job__created_by=user)
    rows = rows.select_related("job__created_by", "image__specimen", "project").order_by("-created_at")
    newest = list(rows[:_RECENT])
    marked = provenance.is_stale([row.pk for row in newest])
    fresh = [row for row in newest if row.pk not in marked]
    words = "Others had them computed, so you may review them; a number is released only after an approving review."
    return Waiting("numbers", "Numbers that nobody has reviewed", words, fresh[:SHOWN], len(fresh))


def _to_release(user: User) -> Waiting:
    """Approved numbers that nobody has released, in projects that the account manages."""
    verdict = Review.objects.filter(property=OuterRef("pk")).order_by("-created_at").values("verdict")[:1]
    released = Release.objects.filter(property=OuterRef("pk"), withdrawal__isnull=True)
    rows = Property.objects.annotate(verdict=verdict).filter(~Exists(released), verdict=Review.Verdict.APPROVED)
    rows = rows.filter(project__in=access.project_ids(user, access.Action.MANAGE))
    rows = rows.select_related("job", "image__specimen", "project")
    return _kind("numbers", "Approved numbers to release", "", rows)


def _stale(user: User) -> Waiting:
    newest = Property.objects.filter(job__created_by=user).select_related("job", "image__specimen", "project")
    rows = list(_contributes(newest, user)[:_RECENT])
    marked = provenance.is_stale([row.pk for row in rows])
    stale = [row for row in rows if row.pk in marked]
    words = "Something that they rest on was withdrawn or superseded. Run the analysis again, or leave them marked."
    return Waiting("numbers", "Numbers of yours that are stale", words, stale[:SHOWN], len(stale))


def for_account(user: User) -> list[Waiting]:
    """Return what waits, by kind; kinds of which nothing waits are left out."""
    kinds = (
        _not_ingested(user),
        _without_scale(user),
        _failed(user),
        _stale(user),
        _to_judge(user),
        _to_find(user),
        _to_review(user),
        _to_release(user),
    )
    return [kind for kind in kinds if kind.count]


def anything_runs(user: User) -> bool:
    """True while a job that the account sees waits or runs."""
    return access.visible(Job.objects.filter(status__in=ACTIVE), user).exists()
