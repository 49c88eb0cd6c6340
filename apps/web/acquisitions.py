"""What the page of an acquisition shows, read through the caller's eyes."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.imaging import selectors as imaging
from apps.imaging.models import Acquisition, Image, SourceFile
from apps.imaging.placement import stage_of
from apps.jobs.models import Job
from apps.projects import access
from apps.projects.models import User
from apps.web.selectors import marked


@dataclass(frozen=True)
class Happening:
    """A line of the history."""

    at: dt.datetime
    text: str
    job: uuid.UUID | None = None


def one(user: User, pk: uuid.UUID) -> Acquisition:
    """One acquisition with what its page needs."""
    related = ("project", "specimen", "state", "instrument", "operator", "ingest_job", "created_by", "series")
    return access.get_visible(Acquisition.objects.select_related(*related), user, pk)


def files_of(row: Acquisition) -> list[SourceFile]:
    """Its files in the order in which they came."""
    return list(row.files.select_related("uploaded_by"))


def images_of(row: Acquisition) -> list[Image]:
    """The current version of each of its images that no analysis made."""
    rows = row.images.filter(superseded_by__isnull=True, acquisition=row).exclude(kind=Image.Kind.LABELS)
    return marked(rows.select_related("store").defer("store__manifest").order_by("created_at", "id")[:200])


def stage_words(images: Sequence[Image]) -> list[str]:
    """What its images say of their places on the stage, each reason once with the images it is of."""
    found: dict[str, list[str]] = {}
    for image in images:
        placed = stage_of(image)
        if placed is not None:
            found.setdefault(placed["reason"], []).append(image.name)
    if len(found) < 2:
        return list(found)
    return [f"{', '.join(names)}: {reason}" for reason, names in found.items()]


def preview_job(row: Acquisition) -> Job | None:
    """The last look into the files, where it was of all files that are there now."""
    job = Job.objects.filter(project=row.project_id, kind="preview", inputs__acquisition=str(row.pk)).first()
    if job is None:
        return None
    there = {str(pk) for pk in row.files.values_list("pk", flat=True)}
    return job if set(job.inputs.get("files", ())) == there else None


def acquired(row: Acquisition) -> dict[str, Any]:
    """When it was made: as typed, else as its files say."""
    return imaging.acquired_of(row)


def history(row: Acquisition) -> list[Happening]:
    """What was done with it, oldest first."""
    found = [Happening(row.created_at, f"Described by {row.created_by.get_username()}")]
    found += [
        Happening(file.created_at, f"File sent by {file.uploaded_by.get_username()}: {file.name}")
        for file in row.files.select_related("uploaded_by")
    ]
    for move in row.moves.select_related("moved_by", "from_state__specimen", "to_state__specimen"):
        where = f"from {move.from_state.specimen.name} to {move.to_state.specimen.name}"
        found.append(Happening(move.created_at, f"Moved {where} by {move.moved_by.get_username()}: {move.reason}"))
    if row.ingest_job is not None:
        job = row.ingest_job
        found.append(Happening(job.created_at, f"Ingest {job.get_status_display()}", job.pk))
    return sorted(found, key=lambda item: item.at)
