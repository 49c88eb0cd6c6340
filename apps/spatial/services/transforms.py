"""Transforms: immutable edges between frames, and the decisions that move the pointer "accepted"."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.catalog.models import State
from apps.catalog.services import mark_stale
from apps.core.clean import TEXT_LENGTH, clean_number, clean_text, constraint_refuses
from apps.core.errors import ConflictError, InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import LIMIT_UM, clean_covariance, clean_matrix, clean_point, residual_um
from apps.spatial.models import Frame, Landmark, Transform, TransformDecision

TYPED_METHODS: Final = (
    Transform.Method.STAGE,
    Transform.Method.LANDMARKS,
    Transform.Method.REGISTRATION,
    Transform.Method.GEOMETRY,
    Transform.Method.MANUAL,
)
_MAX_LANDMARKS: Final = 10_000
_REASON_LENGTH: Final = 500
_LANDMARK_KEYS: Final = frozenset({"source", "target", "u_um", "state", "reason"})
DECISION_TYPE: Final = "corr:TransformDecision"


@dataclass(frozen=True)
class Pair:
    """A checked landmark: the same physical point in both frames, (x, y, z), um."""

    source: list[float]
    target: list[float]
    u_um: float | None
    state: str
    reason: str


def create_transform(
    *,
    actor: User,
    source: Frame,
    target: Frame,
    kind: str,
    method: str,
    matrix: object = None,
    landmarks: Sequence[Mapping[str, Any]] = (),
    covariance: object = None,
    degrees_of_freedom: int | None = None,
    no_residual_reason: str = "",
    valid_states: Sequence[State] = (),
    supersedes: Transform | None = None,
    reason: str = "",
) -> Transform:
    """Make a candidate edge between two frames out of a matrix known already.

    Parameters
    ----------
    actor : User
        A contributor of the frames' project.
    source, target : Frame
        Two frames of one project; ``target = matrix @ source``.
    kind : str
        What the matrix may do; ``reflection`` only, and always, where it mirrors.
    method : str
        Where the matrix comes from: stage, landmarks, registration, geometry or manual.
    matrix : 4 x 4 nested lists or 16 numbers
        Row-major, micrometres.
    landmarks : sequence of mapping
        ``{source: [x, y, z], target: [x, y, z], u_um, state, reason}``; they stay with the transform, and the root mean
        square residual of the active ones is computed here.
    covariance : 12 x 12, optional
        Of the row-major entries of the upper 3 x 4 block.
    degrees_of_freedom : int, optional
        Of the variance that the covariance comes from; none means that errors were given.
    no_residual_reason : str
        Why there is no residual, where there are no active landmarks; may be given on acceptance.
    valid_states : sequence of State
        States it holds for; those of its two frames by default.
    supersedes : Transform, optional
        The earlier edge between the same frames that this one corrects.
    reason : str
        Free words.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the frames, or may not contribute.
    InvalidValueError
        A value cannot be taken; landmarks without a matrix, because no fit is offered here.
    ConflictError
        The earlier edge has been superseded already.
    """
    access.require(actor, access.Action.CONTRIBUTE, source)
    _check_ends(source, target, valid_states)
    pairs = [_clean_pair(item, f"landmarks.{index}") for index, item in enumerate(_limited(landmarks))]
    _check_method(kind, method, matrix=matrix, pairs=pairs)
    transform = Transform(
        source=source,
        target=target,
        kind=kind,
        method=method,
        matrix=clean_matrix(matrix, kind=kind),
        covariance=None if covariance is None else clean_covariance(covariance),
        degrees_of_freedom=_clean_degrees(degrees_of_freedom, covariance),
        no_residual_reason=clean_text(no_residual_reason, field="no_residual_reason", max_length=_REASON_LENGTH),
        reason=clean_text(reason, field="reason", max_length=TEXT_LENGTH),
        supersedes=supersedes,
        created_by=actor,
    )
    taken = ConflictError("that transform has been superseded already; name its successor", field="supersedes")
    with (
        constraint_refuses("supersedes_id", error=taken),
        record.act("create_transform", actor=actor, project=source.project_id, reason=reason or None) as act,
    ):
        if supersedes is not None:
            _check_superseded(transform, supersedes, taken)
        add_transform(act, transform, pairs=pairs, valid_states=valid_states)
        act.asserted(transform, "matrix", {"matrix": transform.matrix, "method": method})
    return transform


def add_transform(
    act: record.Act, transform: Transform, *, pairs: Sequence[Pair] = (), valid_states: Sequence[State] = ()
) -> Transform:
    """Write a checked transform with its landmarks inside an act that is open, and record it.

    The caller has checked permission and values; project, residual and, where none are given, the states are set here.
    """
    transform.project = transform.source.project
    active = [(pair.source, pair.target) for pair in pairs if pair.state == Landmark.State.ACTIVE]
    if transform.matrix is not None and active:
        transform.residual_um = residual_um(transform.matrix, active)
    transform.save(force_insert=True)
    states = valid_states or [s for s in (transform.source.state, transform.target.state) if s is not None]
    transform.valid_states.set({state.pk: state for state in states}.values())
    Landmark.objects.bulk_create(_landmark(transform, number, pair) for number, pair in enumerate(pairs))
    act.used(transform.source, role="source")
    act.used(transform.target, role="target")
    facts = {
        "corr:kind": transform.kind,
        "corr:method": transform.method,
        "corr:matrix": transform.matrix,
        "corr:residual_um": transform.residual_um,
    }
    act.created(
        transform,
        attributes={key: value for key, value in facts.items() if value is not None},
        erasable={"reason": transform.reason} if transform.reason else None,
    )
    if pairs:
        said = [{"source": p.source, "target": p.target, "u_um": p.u_um, "state": p.state} for p in pairs]
        act.asserted(transform, "landmarks", {"pairs": said, "unit": "um"})
    if transform.supersedes is not None:
        act.derived(transform, transform.supersedes, relation="revision")
    return transform


def _limited(landmarks: object) -> Sequence[Any]:
    if not isinstance(landmarks, Sequence) or isinstance(landmarks, str) or len(landmarks) > _MAX_LANDMARKS:
        raise InvalidValueError(f"must be a list of at most {_MAX_LANDMARKS} pairs", field="landmarks")
    return landmarks


def _check_ends(source: Frame, target: Frame, valid_states: Sequence[State]) -> None:
    if source.pk == target.pk:
        raise InvalidValueError("a transform leads from one frame to another, not to itself", field="target")
    if source.project_id != target.project_id:
        raise InvalidValueError(f"the frame {target.pk} belongs to another project", field="target")
    for state in valid_states:
        if state.specimen.project_id != source.project_id:
            raise InvalidValueError(f"the state {state.pk} belongs to another project", field="valid_states")


def _check_method(kind: str, method: str, *, matrix: object, pairs: Sequence[Pair]) -> None:
    if kind not in Transform.Kind.values:
        raise InvalidValueError(f"{shown(kind)} is no kind; kinds: {', '.join(Transform.Kind.values)}", field="kind")
    if method not in TYPED_METHODS:
        raise InvalidValueError(
            f"{shown(method)} is no method here; methods: {', '.join(TYPED_METHODS)}", field="method"
        )
    if kind == Transform.Kind.DISPLACEMENT:
        raise InvalidValueError(
            "a displacement field is the output of a registration job; it is not typed", field="kind"
        )
    if matrix is None and pairs:
        raise InvalidValueError(
            "fitting a matrix to landmarks is not available; give the matrix too, and the landmarks stay with it",
            field="matrix",
        )
    if matrix is None:
        raise InvalidValueError("a matrix must be given: 4 x 4, row-major, micrometres", field="matrix")
    if method == Transform.Method.LANDMARKS and not pairs:
        raise InvalidValueError("the method landmarks keeps its landmarks; give them", field="landmarks")


def _clean_degrees(value: object, covariance: object) -> int | None:
    if value is None:
        return None
    if covariance is None:
        raise InvalidValueError("degrees of freedom belong to a covariance; give that too", field="degrees_of_freedom")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise InvalidValueError(f"{shown(value)} is not a whole number from 1 to 1000000", field="degrees_of_freedom")
    return value


def _check_superseded(transform: Transform, former: Transform, taken: ConflictError) -> None:
    if (former.source_id, former.target_id) != (transform.source_id, transform.target_id):
        raise InvalidValueError("a transform supersedes one between the same two frames", field="supersedes")
    if Transform.objects.filter(supersedes=former).exists():
        raise taken


def _clean_pair(item: object, field: str) -> Pair:
    if not isinstance(item, Mapping):
        raise InvalidValueError("a landmark is an object {source, target, u_um, state, reason}", field=field)
    unknown = sorted(str(key) for key in item if key not in _LANDMARK_KEYS)
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: {', '.join(sorted(_LANDMARK_KEYS))}", field=field)
    state = item.get("state", Landmark.State.ACTIVE)
    if state not in Landmark.State.values:
        raise InvalidValueError(f"{shown(state)} is none of {', '.join(Landmark.State.values)}", field=f"{field}.state")
    rejected = state == Landmark.State.REJECTED
    u_um = item.get("u_um")
    return Pair(
        source=clean_point(item.get("source"), field=f"{field}.source"),
        target=clean_point(item.get("target"), field=f"{field}.target"),
        u_um=None if u_um is None else clean_number(u_um, field=f"{field}.u_um", above=0.0, limit=LIMIT_UM),
        state=str(state),
        reason=clean_text(
            item.get("reason", ""), field=f"{field}.reason", max_length=_REASON_LENGTH, required=rejected
        ),
    )


def _landmark(transform: Transform, number: int, pair: Pair) -> Landmark:
    return Landmark(
        transform=transform,
        number=number,
        source_x=pair.source[0],
        source_y=pair.source[1],
        source_z=pair.source[2],
        target_x=pair.target[0],
        target_y=pair.target[1],
        target_z=pair.target[2],
        u_um=pair.u_um,
        state=pair.state,
        reason=pair.reason,
    )


# ----------------------------------------------------------------------------------------------------------- decisions


def accept_transform(
    *, actor: User, transform: Transform, reason: str = "", no_residual_reason: str = ""
) -> TransformDecision:
    """Accept a candidate: from now on places are mapped along it.

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

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the transform, or may not contribute.
    InvalidValueError
        It has no residual, and no reason for that is given.
    ConflictError
        It is not a candidate.
    """
    access.require(actor, access.Action.CONTRIBUTE, transform)
    reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH)
    excuse = clean_text(no_residual_reason, field="no_residual_reason", max_length=_REASON_LENGTH)
    with record.act("accept_transform", actor=actor, project=transform.project_id, reason=reason or None) as act:
        locked = Transform.objects.select_for_update().get(pk=transform.pk)
        if locked.status != Transform.Status.CANDIDATE:
            raise ConflictError(f"the transform is {locked.status}; only a candidate is accepted")
        if locked.residual_um is None:
            locked.no_residual_reason = excuse or locked.no_residual_reason or reason[:_REASON_LENGTH]
            if not locked.no_residual_reason:
                raise InvalidValueError(
                    "the transform has no residual; say why it is accepted without one", field="no_residual_reason"
                )
        return _decide(act, locked, Transform.Status.ACCEPTED, reason, actor)


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
        stale = mark_stale(act, cause=locked.pk, reason=reason, except_types=(DECISION_TYPE,))
        _decide(act, locked, Transform.Status.WITHDRAWN, reason, actor)
        act.invalidated(locked, reason=reason)
    return stale


def _decide(act: record.Act, transform: Transform, status: str, reason: str, actor: User) -> TransformDecision:
    transform.status = status
    transform.save(update_fields=["status", "no_residual_reason"])
    decision = TransformDecision.objects.create(transform=transform, status=status, reason=reason, decided_by=actor)
    act.used(transform)
    act.created(decision, attributes={"corr:status": str(status)}, erasable={"reason": reason} if reason else None)
    return decision
