"""Calibrations: dated, versioned, written once; withdrawing one tells what rests on it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.utils import timezone

from apps.catalog.models import Calibration, Instrument
from apps.catalog.services.staleness import DECISIONS, mark_stale
from apps.core.clean import TEXT_LENGTH, clean_number, clean_ranges, clean_text, constraint_refuses
from apps.core.errors import ConflictError, CorrError, InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

_AXES: Final = "xyz"


def create_calibration(
    *,
    actor: User,
    instrument: Instrument,
    factor: float,
    u_factor: float,
    standard: str,
    measured_at: dt.date,
    axes: str = _AXES,
    certificate: str = "",
    traceability: str = "",
    valid_range: Mapping[str, Sequence[float]] | None = None,
    due_at: dt.date | None = None,
    as_found: float | None = None,
    as_left: float | None = None,
    supersedes: Calibration | None = None,
) -> Calibration:
    """Record a measurement of an instrument's scale: true length = ``factor`` x nominal length.

    Parameters
    ----------
    actor : User
        Staff.
    instrument : Instrument
        Whose scale was measured.
    factor, u_factor : float
        Factor (1) and its standard uncertainty.
    standard : str
        The reference artefact.
    measured_at, due_at : date
        When it was measured, and when it is to be measured again.
    axes : str
        Axes it holds for: any of x, y, z, each once.
    certificate, traceability : str
        Of the standard.
    valid_range : mapping, optional
        Setting -> [low, high], e.g. ``{"magnification": [500, 2000]}``; a setting not named does not matter.
    as_found, as_left : float, optional
        Factor before and after an adjustment.
    supersedes : Calibration, optional
        The earlier version, of the same instrument; the version number goes on from it.

    Raises
    ------
    PermissionRefusedError
        The actor is not staff.
    InvalidValueError
        A value cannot be taken.
    ConflictError
        The earlier version has been superseded already.
    """
    access.require_staff(actor)
    if due_at is not None and due_at < measured_at:
        raise InvalidValueError(f"{due_at} is before {measured_at}, when it was measured", field="due_at")
    calibration = Calibration(
        instrument=instrument,
        axes=_clean_axes(axes),
        factor=clean_number(factor, field="factor", above=0.0),
        u_factor=clean_number(u_factor, field="u_factor", at_least=0.0),
        standard=clean_text(standard, field="standard", required=True),
        certificate=clean_text(certificate, field="certificate"),
        traceability=clean_text(traceability, field="traceability", max_length=500),
        valid_range=clean_ranges(valid_range or {}, field="valid_range"),
        measured_at=measured_at,
        due_at=due_at,
        as_found=None if as_found is None else clean_number(as_found, field="as_found", above=0.0),
        as_left=None if as_left is None else clean_number(as_left, field="as_left", above=0.0),
        supersedes=supersedes,
        version=supersedes.version + 1 if supersedes else 1,
        created_by=actor,
    )
    taken = ConflictError("that version has been superseded already; name its successor", field="supersedes")
    with (
        constraint_refuses("supersedes_id", error=taken),
        record.act("create_calibration", actor=actor, project=None) as act,
    ):
        if supersedes is not None:
            _check_superseded(calibration, supersedes, taken)
        calibration.save(force_insert=True)
        _say(act, calibration)
    return calibration


def _clean_axes(axes: object) -> str:
    if not isinstance(axes, str) or not axes or set(axes) - set(_AXES) or len(set(axes)) != len(axes):
        raise InvalidValueError(f"{shown(axes)} must be some of x, y, z, each once, e.g. 'xy'", field="axes")
    return "".join(sorted(axes))


def _check_superseded(calibration: Calibration, former: Calibration, taken: CorrError) -> None:
    if former.instrument_id != calibration.instrument_id:
        raise InvalidValueError("a calibration supersedes one of the same instrument", field="supersedes")
    if Calibration.objects.filter(supersedes=former).exists():
        raise taken


def _say(act: record.Act, calibration: Calibration) -> None:
    value: dict[str, Any] = {
        "factor": calibration.factor,
        "u_factor": calibration.u_factor,
        "axes": calibration.axes,
        "standard": calibration.standard,
        "certificate": calibration.certificate,
        "measured_at": calibration.measured_at,
        "due_at": calibration.due_at,
    }
    said = {key: item for key, item in value.items() if item not in (None, "")}
    act.used(calibration.instrument, role="instrument")
    act.created(
        calibration,
        attributes={f"corr:{key}": item for key, item in said.items()} | {"corr:version": calibration.version},
    )
    act.asserted(calibration, "calibration", said)
    if calibration.traceability:
        source = act.entity("corr:Source", erasable={"citation": calibration.traceability}, generated=False)
        act.derived(calibration, source, relation="primary_source")
    if calibration.supersedes is not None:
        act.derived(calibration, calibration.supersedes, relation="revision")


def withdraw_calibration(*, actor: User, calibration: Calibration, reason: str) -> list[uuid.UUID]:
    """Withdraw a calibration; it stays readable, and everything that rests on it becomes stale.

    Returns
    -------
    list of UUID
        Ids of what went stale, in all projects; narrow them before anybody sees them.

    Raises
    ------
    PermissionRefusedError
        The actor is not staff.
    InvalidValueError
        No reason.
    ConflictError
        It is withdrawn already.
    """
    access.require_staff(actor)
    reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    with record.act("withdraw_calibration", actor=actor, project=None, reason=reason) as act:
        withdrawn = Calibration.objects.filter(pk=calibration.pk, status=Calibration.Status.ACTIVE).update(
            status=Calibration.Status.WITHDRAWN, withdrawn_at=timezone.now(), withdrawn_reason=reason
        )
        if withdrawn != 1:
            raise ConflictError("the calibration is withdrawn already")
        act.used(calibration)
        act.invalidated(calibration, reason=reason)
        stale = mark_stale(act, cause=calibration.pk, reason=reason, except_types=DECISIONS)
    calibration.refresh_from_db()
    return stale
