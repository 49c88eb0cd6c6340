"""What a complete derivation answers, and whether this one does."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.analysis.models import MethodStatus
from apps.audit.calibrations import doubts
from apps.audit.derivation import Graph, join_words
from apps.catalog.models import State
from apps.imaging.models import Acquisition, Image, SourceFile
from apps.imaging.selectors import acquired_of
from apps.jobs.models import Job
from apps.results.models import Property


@dataclass(frozen=True)
class Check:
    """One question a complete derivation answers."""

    question: str
    satisfied: bool
    note: str = ""


def check_completeness(graph: Graph, target: uuid.UUID) -> list[Check]:
    """Ask what a complete derivation answers: raw files, state, people, instruments, scale, materials, software."""
    rows = [label.row for label in graph.labels.values()]
    acquisitions = [row for row in rows if isinstance(row, Acquisition)]
    images = [row for row in rows if isinstance(row, Image)]
    jobs = [row for row in rows if isinstance(row, Job) and row.status == Job.Status.SUCCEEDED]
    target_row = graph.row(target)
    free = isinstance(target_row, Property) and target_row.scale_exponent == 0 and not target_row.depends_on_anisotropy
    needs_scale = not free
    checks = [
        Check("It reaches the raw files.", any(isinstance(row, SourceFile) for row in rows)),
        Check("It reaches a specimen in a state.", any(isinstance(row, State) for row in rows)),
        Check(
            "The operator of every acquisition is stated.",
            bool(acquisitions) and all(row.operator_id or row.operator_name for row in acquisitions),
        ),
        Check(
            "The instrument of every acquisition is stated.",
            bool(acquisitions) and all(row.instrument_id for row in acquisitions),
        ),
        Check(
            "The time of every acquisition is stated.",
            bool(acquisitions) and all(acquired_of(row)["value"] for row in acquisitions),
        ),
        Check("Every job recorded its software environment.", bool(jobs) and all(row.environment for row in jobs)),
        Check("Nothing of it is hidden from you.", not any(node.hidden for node in graph.nodes.values())),
        _phase_check(jobs),
        _method_check(graph, jobs),
    ]
    if (gaps := graph.reconstruction_gaps()) is not None:
        lacking = join_words((image.name for image, _ in gaps), "")
        checks.append(Check("The reconstruction of every volume is recorded.", not gaps, lacking))
    if needs_scale:
        checks.append(_scale_check(images))
        if (against := doubts(images)) is not None:
            question = "Every calibration held by its dates and its range, and stands."
            checks.append(Check(question, not against, "; ".join(against)))
    return checks


def _scale_check(images: list[Image]) -> Check:
    entries = [entry for image in images for entry in (image.spacing or {}).values() if entry]
    typed = any(entry["source"] == "user" for entry in entries)
    return Check(
        "The scale comes from the file or a calibration, not from a hand.",
        bool(entries) and not typed,
        "the spacing was typed by hand" if typed else "" if entries else "there is no scale",
    )


def _method_check(graph: Graph, jobs: list[Job]) -> Check:
    """Every analysis ran with a method that was validated then."""
    analyses = {job.pk: job for job in jobs if job.plugin}
    validated = {
        edge.subject
        for edge in graph.edges
        if isinstance(row := graph.row(edge.object), MethodStatus) and row.status == MethodStatus.Status.VALIDATED
    }
    drafts = sorted({f"{job.plugin} {job.plugin_version}" for pk, job in analyses.items() if pk not in validated})
    note = f"not validated: {join_words(drafts)}" if drafts else ""
    return Check("Every method was validated when it ran.", not drafts, note)


def _phase_check(jobs: list[Job]) -> Check:
    unsourced = sorted(
        {
            f"phase {name} of {job.plugin}"
            for job in jobs
            for name, phase in _phases(job).items()
            if isinstance(phase, Mapping) and not phase.get("source") and not phase.get("material_property")
        }
    )
    note = f"without source: {join_words(unsourced)}" if unsourced else ""
    return Check("Every material value names its source.", not unsourced, note)


def _phases(job: Job) -> Mapping[str, Any]:
    phases = job.params.get("phases")
    return phases if isinstance(phases, Mapping) else {}
