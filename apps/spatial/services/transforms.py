"""Transforms: immutable edges between frames, typed, or fitted to landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from apps.catalog.models import State
from apps.core.clean import TEXT_LENGTH, clean_text, constraint_refuses
from apps.core.errors import ConflictError, InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.fitting import fit_pairs
from apps.spatial.geometry import clean_covariance, clean_matrix, residual_um
from apps.spatial.models import Frame, Landmark, Transform
from apps.spatial.pairs import Pair as Pair
from apps.spatial.pairs import check_within, clean_pairs, held_out_check, lengths_um

TYPED_METHODS: Final = (
    Transform.Method.STAGE,
    Transform.Method.LANDMARKS,
    Transform.Method.REGISTRATION,
    Transform.Method.GEOMETRY,
    Transform.Method.MANUAL,
)
_REASON_LENGTH: Final = 500


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
    """Make a candidate edge between two frames, from a matrix known already or fitted to landmarks.

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
    matrix : 4 x 4 nested lists or 16 numbers, optional
        Row-major, micrometres; without it the map is fitted to the landmarks.
    landmarks : sequence of mapping
        ``{source: [x, y, z], target: [x, y, z], u_um, state, reason}``; they stay with the transform, and their
        residuals are computed here.
    covariance : 12 x 12, optional
        Of the row-major entries of the upper 3 x 4 block; a fit gives its own where none is given.
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
        A value cannot be taken; landmarks that do not determine a map of the kind, or that lie far outside of their
        image.
    ConflictError
        The earlier edge has been superseded already.
    """
    access.require(actor, access.Action.CONTRIBUTE, source)
    transform, pairs = prepare_transform(
        source=source,
        target=target,
        kind=kind,
        method=method,
        matrix=matrix,
        landmarks=landmarks,
        covariance=covariance,
        degrees_of_freedom=degrees_of_freedom,
        valid_states=valid_states,
    )
    transform.no_residual_reason = clean_text(no_residual_reason, field="no_residual_reason", max_length=_REASON_LENGTH)
    transform.reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH)
    transform.supersedes, transform.created_by = supersedes, actor
    taken = ConflictError("that transform has been superseded already; name its successor", field="supersedes")
    with (
        constraint_refuses("supersedes_id", error=taken),
        record.act("create_transform", actor=actor, project=source.project_id, reason=reason or None) as act,
    ):
        if supersedes is not None:
            _check_superseded(transform, supersedes, taken)
        add_transform(act, transform, pairs=pairs, valid_states=valid_states)
        if matrix is not None:
            act.asserted(transform, "matrix", {"matrix": transform.matrix, "method": method})
    return transform


def prepare_transform(
    *,
    source: Frame,
    target: Frame,
    kind: str,
    method: str,
    matrix: object = None,
    landmarks: Sequence[Mapping[str, Any]] = (),
    covariance: object = None,
    degrees_of_freedom: int | None = None,
    valid_states: Sequence[State] = (),
) -> tuple[Transform, list[Pair]]:
    """Check the values of a transform and fit it where no matrix is given; stores nothing.

    Parameters and errors are those of :func:`create_transform`; the caller has checked permission.
    """
    _check_ends(source, target, valid_states)
    pairs = clean_pairs(landmarks)
    _check_method(kind, method, matrix=matrix, pairs=pairs)
    check_within(pairs, source, target)
    transform = Transform(source=source, target=target, kind=kind, method=method)
    if matrix is None:
        fitted = fit_pairs(kind, pairs)
        transform.matrix, transform.covariance = fitted.matrix, fitted.covariance
        transform.degrees_of_freedom, transform.facts = fitted.degrees_of_freedom, fitted.facts
    else:
        transform.matrix = clean_matrix(matrix, kind=kind)
    if covariance is not None:
        transform.covariance = clean_covariance(covariance)
        transform.degrees_of_freedom = None
    if degrees_of_freedom is not None:
        transform.degrees_of_freedom = _clean_degrees(degrees_of_freedom, covariance)
    describe_pairs(transform, pairs)
    return transform, pairs


def describe_pairs(transform: Transform, pairs: Sequence[Pair]) -> None:
    """Set what the landmarks say of a transform: the residual of the active ones, and how it did on the held-out."""
    if transform.matrix is None or not pairs:
        return
    active = [pair for pair in pairs if pair.state == Landmark.State.ACTIVE]
    if active:
        transform.residual_um = residual_um(transform.matrix, [(pair.source, pair.target) for pair in active])
    held_out = held_out_check(
        transform.matrix,
        transform.covariance,
        pairs,
        found_um=_found_error(transform, len(active)),
        degrees_of_freedom=transform.degrees_of_freedom,
    )
    if held_out is not None:
        transform.facts = {**transform.facts, "held_out": held_out}


def _found_error(transform: Transform, active: int) -> float | None:
    """Standard error of a coordinate, um, that the residuals of a fit tell; None where there is no such fit."""
    degrees = transform.degrees_of_freedom
    if "fit" not in transform.facts or not degrees or transform.residual_um is None:
        return None
    return float(transform.residual_um * np.sqrt(active / degrees))


def add_transform(
    act: record.Act, transform: Transform, *, pairs: Sequence[Pair] = (), valid_states: Sequence[State] = ()
) -> Transform:
    """Write a checked transform with its landmarks inside an act that is open, and record it.

    The caller has checked permission and values; project, residual and, where none are given, the states are set here.
    """
    transform.project = transform.source.project
    describe_pairs(transform, pairs)
    transform.save(force_insert=True)
    states = valid_states or [s for s in (transform.source.state, transform.target.state) if s is not None]
    transform.valid_states.set({state.pk: state for state in states}.values())
    lengths = np.full(len(pairs), np.nan) if transform.matrix is None else lengths_um(transform.matrix, pairs)
    Landmark.objects.bulk_create(
        _landmark(transform, number, pair, float(length))
        for number, (pair, length) in enumerate(zip(pairs, lengths, strict=True))
    )
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
    if matrix is None and not pairs:
        raise InvalidValueError(
            "give a matrix (4 x 4, row-major, micrometres), or landmarks to fit one to", field="matrix"
        )
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


def _landmark(transform: Transform, number: int, pair: Pair, length: float) -> Landmark:
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
        residual_um=length if np.isfinite(length) else None,
        state=pair.state,
        reason=pair.reason,
    )
