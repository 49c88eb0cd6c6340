"""The calibrated frame of an image: reached from the nominal one by the factor of a calibration."""

from __future__ import annotations

from typing import Any, Final

from apps.catalog.models import Calibration
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.models import Frame, FrameExtent, Transform, TransformDecision
from apps.spatial.services.frames import open_frame
from apps.spatial.services.transforms import add_transform

_AXES: Final = "xyz"
_MAX_NAME: Final = 160
# places of the scales along x, y, z among the row-major entries of the upper 3 x 4 block
_DIAGONAL: Final = {"x": 0, "y": 5, "z": 10}
NO_RESIDUAL: Final = "a calibration has no landmarks: its uncertainty is that of its factor"


def calibration_matrix(calibration: Calibration) -> list[float]:
    """Return the 16 numbers of the map nominal -> calibrated: the factor on the calibrated axes, 1 on the others."""
    scales = [calibration.factor if axis in calibration.axes else 1.0 for axis in _AXES]
    return [scales[row] if row == column else 0.0 for row in range(3) for column in range(4)] + [0.0, 0.0, 0.0, 1.0]


def calibration_covariance(calibration: Calibration) -> list[list[float]]:
    """Return the 12 x 12 covariance of the map nominal -> calibrated.

    One random factor moves the scales of all calibrated axes together: the covariance is ``u^2 d d^T`` with d = 1 at
    those scales and 0 elsewhere, of rank one, or zero where the factor is exact.
    """
    moved = {_DIAGONAL[axis] for axis in calibration.axes}
    variance = calibration.u_factor**2
    return [[variance if row in moved and column in moved else 0.0 for column in range(12)] for row in range(12)]


def open_calibrated_frame(*, act: record.Act, nominal: Frame, calibration: Calibration, actor: User) -> Transform:
    """Open the frame that a calibration makes of a nominal one, inside an act that is open, and accept the map to it.

    A nominal frame has one calibrated frame a calibration: asked again, the same one answers.

    Parameters
    ----------
    act : Act
        The act in which the calibration is applied; it uses the calibration.
    nominal : Frame
        The frame of an image, with its extent.
    calibration : Calibration
        Its instrument and axes have been checked.
    actor : User
        Who applies it, or whose ingest does.

    Returns
    -------
    Transform
        Accepted; ``target`` is the calibrated frame.
    """
    act.used(calibration, role="calibration")
    known = Transform.objects.select_related("target").filter(source=nominal, calibration=calibration).first()
    if known is not None:
        act.used(known)
        return known
    frame = open_frame(
        act,
        Frame(
            project_id=nominal.project_id,
            kind=Frame.Kind.CALIBRATED,
            name=f"{nominal.name[:_MAX_NAME]}, calibrated",
            description=f"{nominal.description} Lengths along {', '.join(calibration.axes)} are calibrated.",
            specimen_id=nominal.specimen_id,
            state_id=nominal.state_id,
        ),
    )
    FrameExtent.objects.create(frame=frame, **_extent(nominal.extent, calibration))
    return _accepted(act, nominal, frame, calibration, actor)


def _extent(nominal: FrameExtent, calibration: Calibration) -> dict[str, float]:
    """The box in the calibrated frame: both have one origin, the centre of the first sample."""
    box: dict[str, float] = {}
    for axis in _AXES:
        factor = calibration.factor if axis in calibration.axes else 1.0
        for end in ("min", "max"):
            value: Any = getattr(nominal, f"{axis}_{end}")
            box[f"{axis}_{end}"] = factor * float(value)
    return box


def _accepted(act: record.Act, nominal: Frame, frame: Frame, calibration: Calibration, actor: User) -> Transform:
    uniform = set(calibration.axes) == set(_AXES)
    transform = add_transform(
        act,
        Transform(
            source=nominal,
            target=frame,
            kind=Transform.Kind.SIMILARITY if uniform else Transform.Kind.AFFINE,
            method=Transform.Method.CALIBRATION,
            matrix=calibration_matrix(calibration),
            covariance=calibration_covariance(calibration),
            calibration=calibration,
            status=Transform.Status.ACCEPTED,
            no_residual_reason=NO_RESIDUAL,
            created_by=actor,
        ),
    )
    act.derived(transform, calibration)
    decision = TransformDecision.objects.create(
        transform=transform, status=Transform.Status.ACCEPTED, reason=NO_RESIDUAL, decided_by=actor
    )
    act.created(decision, attributes={"corr:status": str(decision.status)}, erasable={"reason": decision.reason})
    return transform
