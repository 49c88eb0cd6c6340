"""The demo study: a published X-ray volume of fibres goes from file to conductivity, every step a real job.

Each step finds what an earlier run made and goes on from there: equal requests give the same job, so that a second run
makes no second study and a broken-off one is completed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.analysis.services import submit
from apps.catalog.models import Material, Specimen
from apps.catalog.services import create_material, create_specimen
from apps.imaging.models import Acquisition, Image
from apps.imaging.selectors import status_of
from apps.imaging.services import create_acquisition, receive_files, start_ingest
from apps.jobs.models import FINISHED, Job
from apps.projects.models import Membership, Project, Role, User
from apps.projects.services import create_project, set_member
from apps.results.models import Property

PROJECT = "Fibre composite"
SPECIMEN = "Published fibre volume"
FILE = "fibers_150x150x150.tif"
SPACING_UM = 1.0
SPACING_U_UM = 0.05
UNIT = "W/(m.K)"
QUANTITY = "thermal_conductivity"
_POLL_SECONDS = 0.25
_PIECE = 1 << 20
Say = Callable[[str], None]


class StudyError(Exception):
    """The study cannot go on; the message says which job and why."""


@dataclass(frozen=True)
class Phase:
    """A material with its one value and where that value stands."""

    name: str
    description: str
    value: float
    u: float
    source: str


# 0.025 cal/(cm s K) = 10.46 W/(m K); the uncertainty is that of the rounding to two digits, 0.0005 / sqrt(3).
FIBRE = Phase(
    "Carbon fibre (T300)",
    "Example of a carbon fibre; what the published fibres are made of is not stated. The value holds along the fibre "
    "and is taken for every direction here, which overestimates conduction across it.",
    10.46,
    0.12,
    "Toray Carbon Fibers America, T300 data sheet CFA-001: 0.025 cal/(cm s K), along the fibre; u from its rounding",
)
# Seventeen formulations lay between 0.13 and 0.32 W/(m K): centre, and half the range over sqrt(3).
MATRIX = Phase(
    "Epoxy resin",
    "Example of a matrix; what the published matrix is made of is not stated.",
    0.225,
    0.055,
    "Range of 17 epoxy formulations, 0.13 to 0.32 W/(m K): Polymers 2025, 17(19), 2596, doi:10.3390/polym17192596",
)


@dataclass(frozen=True)
class People:
    """The accounts of the study: who works, who only looks, who audits, who keeps the materials."""

    worker: User
    viewer: User
    auditor: User
    admin: User


@dataclass
class Study:
    """What the study made."""

    project: Project
    specimen: Specimen
    numbers: dict[str, Property] = field(default_factory=dict)
    new_jobs: int = 0


def run_study(people: People, file: Path, say: Say, *, alive: Callable[[], None]) -> Study:
    """Make or complete the study.

    Parameters
    ----------
    people : People
    file : Path
        The published TIFF.
    say : callable
        Takes a line of progress.
    alive : callable
        Asked while waiting; raises if the processes that do the work are gone.

    Raises
    ------
    StudyError
        A job ended without success.
    """
    study = make_project(people, say)
    image = _ingested(study, people, file, say, alive)
    analyse = _analyses(study, people, say, alive)
    threshold = analyse("segmentation.threshold", {"method": "otsu"}, {"image": image})
    labels = str(threshold.outputs["labels"]["id"])
    analyse("segmentation.measure", {}, {"labels": labels, "image": image})
    phases = {"0": {"material": _material(people, MATRIX)}, "1": {"material": _material(people, FIBRE)}}
    for plugin in ("bulk.bounds", "bulk.conductivity"):
        analyse(plugin, {"phases": phases, "unit": UNIT}, {"labels": labels, "image": image})
    analyse("bulk.rve", {"phases": phases, "unit": UNIT}, {"labels": labels})
    return study


def make_project(people: People, say: Say) -> Study:
    """Find or make project, members and specimen."""
    project = Project.objects.filter(name=PROJECT, memberships__user=people.worker).order_by("created_at").first()
    if project is None:
        say(f"project {PROJECT!r}")
        project = create_project(
            actor=people.worker,
            name=PROJECT,
            description="From an X-ray volume of a fibre composite to its conductivity, with the way there on record.",
            licence="MIT",
        )
    for user, role in ((people.viewer, Role.VIEWER), (people.auditor, Role.AUDITOR)):
        if not Membership.objects.filter(project=project, user=user).exists():
            set_member(actor=people.worker, project=project, username=user.get_username(), role=role)
    specimen = Specimen.objects.filter(project=project, name=SPECIMEN).first()
    if specimen is None:
        specimen = create_specimen(
            actor=people.worker,
            project=project,
            name=SPECIMEN,
            description="The example volume of fibres that comes with the package qim3d 1.5.3. Fibres, matrix, "
            "instrument, settings, date and sample distance are not stated with it.",
            tags=["composite", "fibres", "demo"],
            key_values={"origin": "example of the Python package qim3d 1.5.3", "licence": "MIT"},
        )
    return Study(project, specimen)


def _material(people: People, phase: Phase) -> str:
    row = Material.objects.filter(name=phase.name).first()
    if row is None:
        value = {"quantity": QUANTITY, "value": phase.value, "u": phase.u, "unit": UNIT, "source": phase.source}
        row = create_material(actor=people.admin, name=phase.name, description=phase.description, properties=[value])
    return str(row.pk)


def _ingested(study: Study, people: People, file: Path, say: Say, alive: Callable[[], None]) -> str:
    """Receive the file, ingest it with the assumed spacing, return the id of its image."""
    acquisition = Acquisition.objects.filter(specimen=study.specimen).select_related("ingest_job").first()
    if acquisition is None:
        acquisition = create_acquisition(
            actor=people.worker, project=study.project, specimen=study.specimen, modality="xrm"
        )
    if not acquisition.files.exists():
        say(f"receiving {FILE}")
        with file.open("rb") as stream:
            pieces = iter(lambda: stream.read(_PIECE), b"")
            receive_files(actor=people.worker, acquisition=acquisition, files=[(FILE, "image/tiff", pieces)])
    if status_of(acquisition) in ("empty", "failed"):
        spacing = dict.fromkeys(("x", "y", "z"), SPACING_UM)
        say(f"spacing {SPACING_UM} um, u = {SPACING_U_UM} um: assumed, typed by hand; the file states none to trust")
        start_ingest(
            actor=people.worker,
            acquisition=acquisition,
            overrides={"spacing_um": spacing, "spacing_u_um": SPACING_U_UM},
        )
        study.new_jobs += 1
    acquisition.refresh_from_db()
    if acquisition.ingest_job is None:
        raise StudyError("the ingest was not taken")
    wait_for(acquisition.ingest_job, say, alive)
    image = Image.objects.filter(acquisition=acquisition, kind=Image.Kind.INTENSITY).order_by("created_at").first()
    if image is None:
        raise StudyError("the ingest gave no image")
    return str(image.pk)


def _analyses(
    study: Study, people: People, say: Say, alive: Callable[[], None]
) -> Callable[[str, Mapping[str, Any], Mapping[str, Any]], Job]:
    """Return the function that asks for one analysis, waits for it, and keeps its numbers."""

    def run(plugin: str, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> Job:
        job, new = submit(actor=people.worker, project=study.project, plugin=plugin, params=params, inputs=inputs)
        study.new_jobs += new
        wait_for(job, say, alive)
        rows = Property.objects.filter(job=job).select_related("job", "image")
        study.numbers |= {f"{plugin}.{row.name}": row for row in rows}
        return job

    return run


def wait_for(job: Job, say: Say, alive: Callable[[], None]) -> None:
    """Wait until a job has ended, telling its progress.

    Raises
    ------
    StudyError
        It ended without success.
    """
    name, told = job.plugin or job.kind, ""
    while True:
        job.refresh_from_db()
        if job.status in FINISHED:
            break
        line = f"{name}: {job.status} {100 * job.progress:3.0f} % {job.progress_text}".rstrip()
        if line != told:
            say(line)
            told = line
        alive()
        time.sleep(_POLL_SECONDS)
    if job.status != Job.Status.SUCCEEDED:
        raise StudyError(f"{name} {job.status}: {job.exit_code} {job.message}".strip())
    if not told:
        say(f"{name}: there already")
        return
    spent = (job.finished_at - job.created_at).total_seconds() if job.finished_at else 0.0
    say(f"{name}: done after {spent:.1f} s")
