"""What the pages show, read through the caller's eyes; every function makes a fixed number of queries."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Count, OuterRef, Prefetch, Q, QuerySet, Subquery

from apps.catalog.models import MaterialProperty, Specimen, SpecimenEvent, State
from apps.imaging.models import Acquisition, Image
from apps.jobs.models import ACTIVE, Job, JobLogLine
from apps.projects import access
from apps.projects.models import Membership, Project, User
from apps.provenance import selectors as provenance
from apps.results.models import Property, Table
from apps.spatial.models import Frame, Transform
from apps.spatial.selectors import list_rois
from apps.web.present import sentences

TREE_LIMIT = 2000
IMAGE_LIMIT = 200
LOG_LIMIT = 400
REGION_LIMIT = 50
SWITCH_LIMIT = 40


def _thumbnail() -> Subquery:
    newest = Image.objects.filter(specimen=OuterRef("pk"), kind=Image.Kind.INTENSITY).order_by("-created_at")
    return Subquery(newest.values("pk")[:1])


def projects_of(user: User) -> list[Project]:
    """Projects the caller may see, newest first, each with ``role`` (None for who sees all) and ``specimen_count``."""
    rows = access.visible(Project.objects.all(), user).annotate(
        specimen_count=Count("specimens", distinct=True),
        role=Subquery(Membership.objects.filter(project=OuterRef("pk"), user=user).values("role")[:1]),
    )
    return list(rows[:50])


def switchable(user: User) -> list[Project]:
    """Projects for the switcher of the frame, by name."""
    return list(access.visible(Project.objects.only("id", "name"), user).order_by("name")[:SWITCH_LIMIT])


def recent_specimens(user: User, *, project: Project | None = None, limit: int = 6) -> list[Specimen]:
    """Newest specimens with ``thumbnail``, the id of an image of each, and ``image_count``."""
    rows = access.visible(Specimen.objects.select_related("project", "material"), user)
    rows = rows.filter(project=project) if project else rows
    return list(rows.annotate(thumbnail=_thumbnail(), image_count=Count("images"))[:limit])


def recent_jobs(user: User, *, project: Project | None = None, limit: int = 8) -> list[Job]:
    """Jobs that wait or run, then the newest others."""
    rows = access.visible(Job.objects.select_related("project", "created_by"), user)
    rows = rows.filter(project=project) if project else rows
    active = list(rows.filter(status__in=ACTIVE)[:limit])
    return active + list(rows.exclude(status__in=ACTIVE)[: limit - len(active)])


def recent_numbers(user: User, *, project: Project | None = None, limit: int = 8) -> list[Property]:
    """Newest numbers, each with ``is_stale``."""
    rows = access.visible(Property.objects.select_related("job", "image__specimen", "project"), user)
    rows = rows.filter(project=project) if project else rows
    return marked(rows[:limit])


def marked(rows: Iterable[Any]) -> list[Any]:
    """Put ``is_stale`` on every row."""
    found = list(rows)
    stale = provenance.is_stale([row.pk for row in found])
    for row in found:
        row.is_stale = row.pk in stale
    return found


def members(project: Project) -> list[Membership]:
    """Members with their accounts."""
    return list(project.memberships.select_related("user"))


def tree_rows(specimen: Specimen) -> list[Specimen]:
    """Specimens of the project that the tree is made from."""
    rows = Specimen.objects.filter(project_id=specimen.project_id).only("id", "name", "parent_id", "project_id")
    return list(rows.order_by("name")[:TREE_LIMIT])


def states_of(specimen: Specimen) -> list[State]:
    """States in order, each with the event that opened it (``opened_by``) and the acquisitions made in it."""
    acquisitions = Acquisition.objects.select_related("instrument", "operator", "ingest_job").order_by("created_at")
    events = SpecimenEvent.objects.select_related("child", "created_by")
    rows = specimen.states.prefetch_related(
        Prefetch("opened_by", queryset=events), Prefetch("acquisitions", queryset=acquisitions)
    )
    return list(rows.order_by("number"))


def images_of(specimen: Specimen) -> list[Image]:
    """The current version of every image of a specimen."""
    rows = specimen.images.filter(superseded_by__isnull=True).select_related(
        "acquisition", "state", "job", "calibration"
    )
    return marked(rows[:IMAGE_LIMIT])


def numbers_of(specimen: Specimen) -> list[Property]:
    """Numbers computed from images of a specimen."""
    return marked(Property.objects.filter(image__specimen=specimen).select_related("job", "image")[:100])


def specimen(user: User, pk: uuid.UUID) -> Specimen:
    """One specimen with what its page needs."""
    return access.get_visible(
        Specimen.objects.select_related("project", "material", "parent", "current_state"), user, pk
    )


def image(user: User, pk: uuid.UUID) -> Image:
    """One image with what its page needs."""
    related = ("project", "specimen", "state", "store", "job", "frame", "calibrated_frame", "calibration", "supersedes")
    acquisition = ("acquisition__instrument", "acquisition__operator", "acquisition__created_by")
    return access.get_visible(Image.objects.select_related(*related, *acquisition, "superseded_by"), user, pk)


def frame_of(row: Image) -> Frame | None:
    """The frame in which the lengths of an image are points; None where it has no scale."""
    return row.calibrated_frame or row.frame


def regions_of(user: User, *, specimen: Specimen | None = None, frame: Frame | None = None) -> dict[str, Any]:
    """Current regions in the frames of a specimen, or in one frame, the newest first: ``regions``, ``regions_more``."""
    rows = list_rois(user).filter(superseded_by__isnull=True).defer("geometry")
    rows = rows.filter(frame=frame) if frame is not None else rows.filter(frame__specimen=specimen)
    found = marked(rows[: REGION_LIMIT + 1])
    return {"regions": found[:REGION_LIMIT], "regions_more": len(found) > REGION_LIMIT}


def transforms_of(user: User, frames: Iterable[uuid.UUID]) -> list[Transform]:
    """Transforms that begin or end in one of the frames, those that count first."""
    ids = list(frames)
    rows = Transform.objects.filter(Q(source__in=ids) | Q(target__in=ids)).select_related("source", "target")
    return marked(access.visible(rows, user).order_by("status", "-created_at")[:REGION_LIMIT])


def drawable(user: User, pk: uuid.UUID) -> Image:
    """One image with its store alone."""
    return access.get_visible(Image.objects.select_related("store"), user, pk)


def derived_from(row: Image) -> dict[str, list[Any]]:
    """What was computed from an image: images, numbers and tables of the jobs that took it as input."""
    wanted = str(row.pk)
    jobs = Job.objects.filter(
        Q(inputs__image=wanted) | Q(inputs__labels=wanted), project_id=row.project_id, status=Job.Status.SUCCEEDED
    ).values("pk")
    return {
        "images": marked(Image.objects.filter(job__in=jobs).select_related("job")[:50]),
        "numbers": marked(Property.objects.filter(job__in=jobs).select_related("job", "image")[:50]),
        "tables": marked(Table.objects.filter(job__in=jobs).select_related("job")[:50]),
    }


def job(user: User, pk: uuid.UUID) -> Job:
    """One job with what its page needs."""
    related = ("project", "created_by", "retry_of", "rerun_of", "cancel_requested_by")
    return access.get_visible(Job.objects.select_related(*related), user, pk)


def log_of(row: Job) -> list[JobLogLine]:
    """The last lines of a job's log, oldest first."""
    return list(row.log_lines.order_by("-id")[:LOG_LIMIT])[::-1]


def _ids(entries: Iterable[Any]) -> list[uuid.UUID]:
    found = []
    for entry in entries:
        try:
            found.append(uuid.UUID(str(entry)))
        except ValueError:
            continue
    return found


def things(user: User, ids: Iterable[Any]) -> dict[str, tuple[str, str, str]]:
    """Id -> (kind, title, id) of images, numbers, tables and acquisitions the caller may see; in four queries."""
    wanted = _ids(ids)
    found: dict[str, tuple[str, str, str]] = {}
    for pk, name in access.visible(Image.objects.filter(pk__in=wanted), user).values_list("pk", "name"):
        found[str(pk)] = ("image", name, str(pk))
    for number in access.visible(Property.objects.filter(pk__in=wanted).select_related("job"), user):
        found[str(number.pk)] = ("number", sentences.meaning(number).title, str(number.pk))
    for table in access.visible(Table.objects.filter(pk__in=wanted).select_related("job"), user):
        found[str(table.pk)] = ("table", sentences.table_title(table.job.plugin, table.name), str(table.pk))
    for pk, name in access.visible(Acquisition.objects.filter(pk__in=wanted), user).values_list("pk", "specimen__name"):
        found[str(pk)] = ("acquisition", f"acquisition of {name}", str(pk))
    return found


def one_number(user: User, pk: uuid.UUID) -> Property:
    """One number with what its page needs."""
    related = ("project", "job__created_by", "image__specimen", "image__acquisition", "image__calibration__instrument")
    decided = ("reviews__reviewed_by", "releases__withdrawal", "releases__released_by")
    row = access.get_visible(Property.objects.select_related(*related).prefetch_related(*decided), user, pk)
    marked([row])
    return row


def siblings(row: Property) -> list[Property]:
    """The other numbers of the same segmentation, newest first: over its labels, and of the job that made them."""
    if row.image is None:
        same = Q(job=row.job_id)
    elif row.image.kind == Image.Kind.LABELS:
        same = Q(image=row.image_id) | (Q(job=row.image.job_id) if row.image.job_id else Q())
    else:
        same = Q(job=row.job_id) | Q(image__job=row.job_id)
    return marked(Property.objects.filter(same).exclude(pk=row.pk).select_related("job", "image").distinct()[:200])


def material_values(params: Mapping[str, Any]) -> dict[str, MaterialProperty]:
    """Values of materials that the phases of a job name, by id."""
    phases = params.get("phases")
    entries: Sequence[Any] = list(phases.values()) if isinstance(phases, Mapping) else []
    wanted = _ids(e["material_property"] for e in entries if isinstance(e, Mapping) and e.get("material_property"))
    rows = MaterialProperty.objects.filter(pk__in=wanted).select_related("material") if wanted else []
    return {str(row.pk): row for row in rows}


def one_table(user: User, pk: uuid.UUID) -> Table:
    """One table with what its page needs."""
    related = ("project", "job", "image__specimen", "image__calibration", "store")
    return access.get_visible(Table.objects.select_related(*related), user, pk)


def project(user: User, pk: uuid.UUID) -> Project:
    """One project."""
    return access.get_visible(Project.objects.select_related("created_by"), user, pk)


def project_jobs(row: Project) -> QuerySet[Job]:
    """Jobs of a project, newest first."""
    return Job.objects.filter(project=row).select_related("created_by")


def project_specimens(row: Project) -> QuerySet[Specimen]:
    """Specimens of a project by name, with thumbnails."""
    rows = row.specimens.select_related("project", "material", "parent")
    return rows.annotate(thumbnail=_thumbnail(), image_count=Count("images")).order_by("name")
