"""Decisions about transforms: the pointer "accepted", withdrawal, and use where a transform does not hold."""

from __future__ import annotations

import uuid
from typing import Any, Final

from apps.catalog.models import State
from apps.catalog.services import DECISIONS, mark_stale
from apps.core.clean import TEXT_LENGTH, clean_text, constraint_refuses
from apps.core.errors import ConflictError, InvalidValueError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.models import Frame, Transform, TransformDecision, TransformOverride
from apps.spatial.validity import concern, state_lines

REASON_LENGTH: Final = 500


class OtherAcceptedError(ConflictError):
    """Another transform between the same frames is accepted; ``other`` is the one in the way."""

    code = "other_accepted"

    def __init__(self, message: str, *, other: Transform | None, **details: Any) -> None:
        super().__init__(message, **details)
        self.other = other


def accept_transform(
    *,
    actor: User,
    transform: Transform,
    reason: str = "",
    no_residual_reason: str = "",
    replaces: Transform | None = None,
) -> TransformDecision:
    """Accept a candidate: from now on places are mapped along it.

    Between two frames one transform is accepted, whichever way round it was written.  To put another in its place, name
    the one that stands: who did not see it does not replace it.  The attempt is recorded all the same.

    Parameters
    ----------
    actor : User
        A contributor of the project.
    transform : Transform
        A candidate.
    reason : str
        Why it is believed; where nothing else is said, also why that is so without a residual.
    no_residual_reason : str
        Why there is no residual, where there is none.
    replaces : Transform, optional
        The accepted transform between the same frames whose place it takes; that becomes a candidate again.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the transform, or may not contribute.
    InvalidValueError
        It has no residual, and no reason for that is given.
    ConflictError
        It is not a candidate.
    OtherAcceptedError
        Another transform between its frames is accepted, and is not the one to be replaced.
    """
    access.require(actor, access.Action.CONTRIBUTE, transform)
    reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH)
    excuse = clean_text(no_residual_reason, field="no_residual_reason", max_length=REASON_LENGTH)
    try:
        return _accept(actor, transform, reason, excuse, replaces)
    except OtherAcceptedError as error:
        _record_refusal(actor, transform, error.other, reason)
        raise


def _accept(
    actor: User, transform: Transform, reason: str, excuse: str, replaces: Transform | None
) -> TransformDecision:
    lost = ConflictError("another transform between these frames was accepted at the same instant; look again")
    with (
        constraint_refuses("transform_accepted_once_a_pair", error=lost),
        record.act("accept_transform", actor=actor, project=transform.project_id, reason=reason or None) as act,
    ):
        # the frames are locked before any transform between them: two acceptances queue here, on PostgreSQL too
        list(Frame.objects.select_for_update().filter(pk__in=[transform.source_id, transform.target_id]).order_by("pk"))
        locked = Transform.objects.select_for_update().get(pk=transform.pk)
        if locked.status != Transform.Status.CANDIDATE:
            raise ConflictError(f"the transform is {locked.status}; only a candidate is accepted")
        standing = accepted_between(locked, lock=True)
        if (standing and standing.pk) != (replaces and replaces.pk):
            raise _in_the_way(standing, replaces)
        if locked.residual_um is None:
            locked.no_residual_reason = excuse or locked.no_residual_reason or reason[:REASON_LENGTH]
            if not locked.no_residual_reason:
                raise InvalidValueError(
                    "the transform has no residual; say why it is accepted without one", field="no_residual_reason"
                )
        if standing is not None and standing.calibration_id is not None:
            raise ConflictError(
                "the factor of a calibration stands between these frames; nothing typed takes its place.  Take the "
                "calibration off the image with POST images/{id}/apply-calibration/ {calibration: null, reason}",
                details={"calibration": str(standing.calibration_id)},
            )
        if standing is not None:
            _decide(act, standing, TransformDecision.Status.CANDIDATE, reason, actor, other=locked)
        return _decide(act, locked, TransformDecision.Status.ACCEPTED, reason, actor, other=standing)


def accepted_between(transform: Transform, *, lock: bool = False) -> Transform | None:
    """Return the accepted transform between the frames of another, whichever way round it was written."""
    ends = [transform.source_id, transform.target_id]
    rows = Transform.objects.select_for_update() if lock else Transform.objects.all()
    return rows.filter(source__in=ends, target__in=ends, status=Transform.Status.ACCEPTED).first()


def _in_the_way(standing: Transform | None, replaces: Transform | None) -> OtherAcceptedError:
    if standing is None:
        return OtherAcceptedError(
            "the transform to be replaced is not accepted any more; look again, and accept without replacing",
            field="replaces",
            other=replaces,
        )
    decision = standing.decisions.filter(status=TransformDecision.Status.ACCEPTED).first()
    when = f" on {decision.created_at:%Y-%m-%d %H:%M} UTC" if decision else ""
    by = f" by {decision.decided_by}" if decision else ""
    return OtherAcceptedError(
        f"transform {standing.pk} between the same frames was accepted{by}{when}; to put this one in its place, say "
        f"replaces: {standing.pk}",
        field="replaces",
        details={"accepted": str(standing.pk)},
        other=standing,
    )


def _record_refusal(actor: User, transform: Transform, other: Transform | None, reason: str) -> None:
    """Keep the attempt: two people disagreed about one place, and the record says so."""
    with record.act(
        "accept_transform_refused", actor=actor, project=transform.project_id, reason=reason or None
    ) as act:
        decision = TransformDecision.objects.create(
            transform=transform,
            status=TransformDecision.Status.REFUSED,
            other=other,
            reason=reason,
            decided_by=actor,
        )
        _say(act, decision, transform)


def override_transform(*, actor: User, transform: Transform, state: State, reason: str) -> TransformOverride:
    """Allow a transform to be used in a state for which it does not hold, and say why.

    Paths along it still warn, with the reason; what is recorded along it is not refused any more.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the transform, or may not contribute.
    InvalidValueError
        No reason; a state of another project, or one for which the transform holds.
    ConflictError
        The transform is not accepted, or is overridden for that state already.
    """
    access.require(actor, access.Action.CONTRIBUTE, transform)
    reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    if state.specimen.project_id != transform.project_id:
        raise InvalidValueError(f"the state {state.pk} belongs to another project", field="state")
    if transform.status != Transform.Status.ACCEPTED:
        raise ConflictError(f"the transform is {transform.status}; only an accepted one is used at all")
    lines = state_lines([state.specimen_id])
    named = frozenset(transform.valid_states.values_list("pk", flat=True))
    if not concern(lines[state.pk], lines).excluded_by(named):
        raise InvalidValueError(
            f"the transform holds for state {state.number}: nothing is to be overridden", field="state"
        )
    taken = ConflictError("the transform is overridden for that state already", field="state")
    with (
        constraint_refuses("transform_override_once_a_state", "transform_id", error=taken),
        record.act("override_transform", actor=actor, project=transform.project_id, reason=reason) as act,
    ):
        override = TransformOverride.objects.create(transform=transform, state=state, reason=reason, decided_by=actor)
        act.used(transform)
        act.used(state, role="state")
        act.created(override, erasable={"reason": reason})
        act.asserted(override, "use", {"transform": str(transform.pk), "state": str(state.pk)})
    return override


def withdraw_transform(*, actor: User, transform: Transform, reason: str) -> list[uuid.UUID]:
    """Withdraw a transform; it stays readable, and everything that rests on it becomes stale.

    Returns
    -------
    list of UUID
        Ids of what went stale; narrow them before anybody sees them.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the transform, or may not contribute.
    InvalidValueError
        No reason.
    ConflictError
        It is withdrawn already, or it is the factor of a calibration.
    """
    access.require(actor, access.Action.CONTRIBUTE, transform)
    reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    with record.act("withdraw_transform", actor=actor, project=transform.project_id, reason=reason) as act:
        locked = Transform.objects.select_for_update().get(pk=transform.pk)
        if locked.status == Transform.Status.WITHDRAWN:
            raise ConflictError("the transform is withdrawn already")
        if locked.calibration_id is not None:
            raise ConflictError(
                "the transform is the factor of a calibration and stands with it; withdraw the calibration, or take it "
                "off the image with POST images/{id}/apply-calibration/ {calibration: null, reason}",
                details={"calibration": str(locked.calibration_id)},
            )
        stale = mark_stale(act, cause=locked.pk, reason=reason, except_types=DECISIONS)
        _decide(act, locked, TransformDecision.Status.WITHDRAWN, reason, actor)
        act.invalidated(locked, reason=reason)
    return stale


def _decide(
    act: record.Act, transform: Transform, status: str, reason: str, actor: User, *, other: Transform | None = None
) -> TransformDecision:
    transform.status = status
    transform.save(update_fields=["status", "no_residual_reason"])
    decision = TransformDecision.objects.create(
        transform=transform, status=status, reason=reason, decided_by=actor, other=other
    )
    _say(act, decision, transform)
    return decision


def _say(act: record.Act, decision: TransformDecision, transform: Transform) -> None:
    act.used(transform)
    attributes = {"corr:status": str(decision.status)}
    if decision.other_id is not None:
        attributes["corr:other"] = str(decision.other_id)
    act.created(decision, attributes=attributes, erasable={"reason": decision.reason} if decision.reason else None)
