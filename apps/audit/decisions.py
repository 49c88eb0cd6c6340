"""Who did, asserted and decided: outside work, moves, the standing of a method, reviews and releases, in words."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from apps.analysis.models import MethodStatus
from apps.imaging.models import Acquisition, Image, Modality, OutsideActivity
from apps.imaging.selectors import acquired_of
from apps.provenance.rows import EdgeRow
from apps.results.models import Release, Review

_DAY = "%Y-%m-%d"
# What these instruments leave is no volume yet: one is computed from projections, or from slices put upon each other.
_RECONSTRUCTED = (Modality.XRM, Modality.NANO_XRM, Modality.NEUTRON, Modality.FIB_SEM)


def person_words(row: Acquisition | OutsideActivity) -> str:
    """Name the operator; an uploader never stands in for one."""
    if row.operator is not None:
        return str(row.operator.get_username())
    return row.operator_name or "an operator not stated"


def acquisition_words(row: Acquisition) -> str:
    """Say what was measured, by whom, of what, on which instrument and when."""
    instrument = f"on {row.instrument.name}" if row.instrument else "on an instrument not stated"
    when = acquired_of(row)["value"] or "at a time not stated"
    return (
        f"{row.specimen.name} was measured by {person_words(row)} with {row.get_modality_display()} {instrument}, "
        f"in the state '{row.state.label}', {when}."
    )


def outside_words(row: OutsideActivity, inputs: str, parameters: str) -> str:
    """Say that work was done in another program, and by whose word we know; ``inputs``: the titles, or nothing."""
    what = row.get_kind_display().capitalize()
    when = row.performed_at or "at a time not stated"
    told = f", with {parameters}" if parameters else ""
    return (
        f"{what} with {row.software} {row.version} was performed outside, asserted by {row.created_by.get_username()} "
        f"({row.created_at:{_DAY}}): done by {person_words(row)}, {when}, on {inputs or 'nothing recorded'}{told}."
    )


def move_words(who: str, specimen: str, when: str, reason: str | None) -> str:
    """Say that an acquisition was put to another specimen or state."""
    why = f', because "{reason}"' if reason else ""
    return f"{who} moved the acquisition, with what was made from it, to {specimen} ({when}){why}."


def method_words(status: MethodStatus | None) -> str:
    """Say what a method was held to be when it ran; without a statement it is a draft."""
    if status is None or status.status == MethodStatus.Status.DRAFT:
        return "draft method"
    if status.status == MethodStatus.Status.RETIRED:
        return f"method retired on {status.created_at:{_DAY}}"
    report = f", {status.document}" if status.document else ""
    return f"method validated on {status.validated_on:{_DAY}} by {status.validated_by}{report}"


def review_words(row: Review) -> str:
    """Say who looked at a result and what they found."""
    said = f': "{row.comment}"' if row.comment else ""
    return f"It was reviewed by {row.reviewed_by.get_username()} ({row.created_at:{_DAY}}) and {row.verdict}{said}."


def release_words(row: Release) -> list[str]:
    """Say who released a result, and who withdrew the release and why."""
    said = f': "{row.comment}"' if row.comment else ""
    words = [f"It was released by {row.released_by.get_username()} ({row.created_at:{_DAY}}){said}."]
    end = getattr(row, "withdrawal", None)
    if end is not None:
        words.append(
            f"The release was withdrawn by {end.withdrawn_by.get_username()} ({end.created_at:{_DAY}}), "
            f'because "{end.reason}".'
        )
    return words


# -------------------------------------------------------------------------------------------------------- volumes


def _upstream(start: uuid.UUID, rests_on: Mapping[uuid.UUID, list[uuid.UUID]]) -> set[uuid.UUID]:
    found: set[uuid.UUID] = set()
    ahead = [start]
    while ahead:
        ahead = [other for node in ahead for other in rests_on.get(node, ()) if other not in found]
        found.update(ahead)
    return found - {start}


def _is_volume(image: Image) -> bool:
    return dict(zip(image.axes, image.shape, strict=True)).get("z", 1) > 1


def _is_projections(image: Image) -> bool:
    """Projections lie behind each other as slices do; the file says which they are."""
    said = [str((image.facts.get(name) or {}).get("value", "")) for name in ("mode", "content")]
    return any("projection" in text.lower() for text in said)


def reconstruction_gaps(rows: Mapping[uuid.UUID, Any], edges: Iterable[EdgeRow]) -> list[tuple[Image, str]] | None:
    """Find the volumes that came without their projections.

    Parameters
    ----------
    rows : mapping
        Id -> row of every visible node of a lineage.
    edges : iterable of EdgeRow
        Of the lineage.

    Returns
    -------
    list of (Image, str) or None
        Volume and sentence; None where the lineage begins with no volume that is computed from projections.
    """
    rests_on: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for edge in edges:
        rests_on[edge.subject].append(edge.object)
    asked, gaps = False, []
    for image in rows.values():
        if not isinstance(image, Image) or not _is_volume(image) or _is_projections(image):
            continue
        behind = [rows[pk] for pk in _upstream(image.pk, rests_on) if pk in rows]
        outside = [row for row in behind if isinstance(row, OutsideActivity)]
        if any(isinstance(row, Image) for row in behind) or not (outside or image.modality in _RECONSTRUCTED):
            continue
        asked = True
        if words := _gap(outside):
            gaps.append((image, f"No projections of {image.name} are recorded: {words}."))
    return gaps if asked else None


def _gap(outside: list[OutsideActivity]) -> str:
    known = [row for row in outside if row.kind == OutsideActivity.Kind.RECONSTRUCTION]
    if any(row.inputs for row in known):
        return ""
    return "reconstruction not recorded, only asserted" if known else "reconstruction not recorded"
