"""Where an image lies on a stage, from the reading that was taken with it: a map, its error, or the reason for none.

An image is seen from the source: at scan rotation 0 its columns run along x of the stage frame, its rows against y, and
the beam goes along its z.  The stage shows the reading where the *middle of the specimen area* is looked at.  With the
beam's frame ``(u, v, w)``, in which v is up and w points to the source, and ``phi`` counted from x towards y,

    (u, v, w) = Rz(phi) diag(1, -1, -1) (image),    stage = Q(tilt) (u, v, w) + shift,

where Q is 1 on a level stage.  On one that is tilted about x by t the stage frame rides with the specimen, and a point
of the image is the point of the surface that the beam meets: ``Q = [[1, 0, 0], [0, 1/cos t, sin t], [0, 0, cos t]]``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.spatial.models import Transform
from apps.spatial.targeting_stage import Stage

Floats = npt.NDArray[np.float64]

READING_UM: Final = 25.0  # standard error of a stage reading where the instrument's record has none
HEIGHT_UM: Final = 1000.0  # of a height that nobody stated
TURN_DEG: Final = 1.0  # between the rows of an image and the axes of the stage
UNSTATED_TURN_DEG: Final = 10.0  # where a scanning instrument does not say how its scan was rotated
TILT_DEG: Final = 1.0  # between the surface and the stage
LEVEL_DEG: Final = 0.5  # what is tilted less counts as level
STEEPEST_DEG: Final = 80.0
_CORRECTED_DEG: Final = 1.0
_SAME_POSE_DEG: Final = 0.1
_EXACT: Final = 1e-6
# Infinitesimal rotations about x, y and z.
_TURNS: Final[dict[str, Floats]] = {
    "x": np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "y": np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]),
    "z": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
}


class NotPlacedError(Exception):
    """An image has no place on the stage; ``code`` and ``message`` say why, and what would help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Reading:
    """What a file states of the stage, um and degrees; None where it does not say.

    ``affine`` holds the steps (ux, uy, vx, vy) from sample to sample along a row and along a column, um, in readings.
    ``tilt_correction`` is the angle that the scan was corrected for, NaN for one that is not stated, None without any.
    """

    x: float | None = None
    y: float | None = None
    z: float | None = None
    rotation: float | None = None
    tilt: float | None = None
    scan_rotation: float | None = None
    image_shift: tuple[float, float] = (0.0, 0.0)
    tilt_correction: float | None = None
    affine: tuple[float, float, float, float] | None = None
    source: str = "file"


@dataclass(frozen=True)
class Plane:
    """The image that is placed.

    ``centre`` is the middle of its specimen area, (x, y, z) in its frame, um; ``spacing`` the distance of samples along
    x and y, um; ``scanned`` says that a beam made it, point by point.
    """

    centre: tuple[float, float, float]
    spacing: tuple[float, float]
    mirrored: bool | None = None
    scanned: bool = True


@dataclass(frozen=True)
class Placed:
    """The map image -> stage frame with its error, the pose it holds at, and what was taken for granted."""

    matrix: Floats
    covariance: Floats
    kind: str
    pose: Mapping[str, float | None]
    assumed: Sequence[str]
    errors: Mapping[str, float] = field(default_factory=dict)


def place(stage: Stage, reading: Reading, plane: Plane) -> Placed:
    """Return where an image lies in the stage frame of a mount.

    Raises
    ------
    NotPlacedError
        No position, an unknown pose, a scan rotation or a tilt whose sense is not recorded, or a mirrored image.
    """
    if reading.x is None or reading.y is None:
        raise NotPlacedError("no_position", "neither the file nor the acquisition states x and y of the stage")
    if plane.mirrored:
        raise NotPlacedError(
            "mirrored", "the image is declared mirrored, and along which axis is not known: register it by landmarks"
        )
    assumed: list[str] = []
    pose = _pose(stage, reading, assumed)
    if plane.mirrored is None:
        assumed.append("the handedness of the image is not declared: taken as seen from the source")
    tilting = _tilting(stage, reading, pose["tilt"] or 0.0, assumed)
    linear, turn = _linear(stage, reading, plane, assumed)
    linear = tilting @ linear
    point, spread = _point(stage, reading, assumed)
    centre = np.array(plane.centre)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, point - linear @ centre
    errors = {"x": math.sqrt(spread[0]), "y": math.sqrt(spread[1]), "z": math.sqrt(spread[2])}
    tilt = _number(stage, "tilt_u_deg", TILT_DEG)
    covariance = _covariance(linear, centre, spread, {"x": tilt, "y": tilt, "z": turn})
    return Placed(
        matrix=matrix,
        covariance=covariance,
        kind=_kind(linear),
        pose=pose,
        assumed=assumed,
        errors={f"u_{axis}_um": value for axis, value in errors.items()} | {"u_turn_deg": turn, "u_tilt_deg": tilt},
    )


def check_pose(pose: Mapping[str, float | None], former: Mapping[str, Any]) -> None:
    """Refuse an image that was taken at another pose than the one that the stage frame of its mount holds at."""
    for name in ("rotation", "tilt"):
        here, there = pose.get(name), former.get(name)
        if here is None or there is None:
            continue
        apart = abs((here - there + 180.0) % 360.0 - 180.0)
        if apart > _SAME_POSE_DEG:
            raise NotPlacedError(
                "other_pose",
                f"the stage stood at a {name} of {here:.4g} degrees; the stage frame of this mount holds at "
                f"{there:.4g}, where its first image was taken: record a mount for this pose, or register the image",
            )


def _pose(stage: Stage, reading: Reading, assumed: list[str]) -> dict[str, float | None]:
    """Rotation and tilt, degrees; what a stage cannot do is 0."""
    pose: dict[str, float | None] = {}
    for name in ("rotation", "tilt"):
        stated = getattr(reading, name)
        if stated is not None:
            pose[name] = float(stated)
        elif _fixed(stage, name):
            pose[name] = 0.0
            assumed.append(f"no {name} is stated: the stage has none")
        else:
            raise NotPlacedError(
                f"{name}_unknown",
                f"the {name} of the stage is not stated; where the stage of {stage.instrument.name} has none, record "
                f"stage_axes.{name}_min_deg and stage_axes.{name}_max_deg of the instrument as 0",
            )
    return pose


def _fixed(stage: Stage, name: str) -> bool:
    """True if a stage cannot move so: its reach is 0 to 0, or it is that of a light microscope without a record."""
    ends = [stage.facts.get(f"{name}_{end}_deg") for end in ("min", "max")]
    if ends == [None, None]:
        return stage.instrument.modality == "light"
    return ends[0] == ends[1] == 0


def _tilting(stage: Stage, reading: Reading, tilt: float, assumed: list[str]) -> Floats:
    """From the beam's frame to the stage frame, which rides with the specimen."""
    if abs(tilt) <= LEVEL_DEG:
        return np.eye(3)
    corrected = reading.tilt_correction
    if corrected is not None and abs(abs(corrected) - abs(tilt)) <= _CORRECTED_DEG:
        assumed.append("the scan was corrected for the tilt: the image lies in the surface")
        return np.eye(3)
    axis, sense = stage.facts.get("tilt_axis"), _sense(stage, "tilt")
    if corrected is not None:
        angle = "an angle that is not stated" if math.isnan(corrected) else f"{corrected:.4g} degrees"
        raise NotPlacedError(
            "tilted",
            f"the stage was tilted by {tilt:.4g} degrees, and the scan was corrected for {angle}: register the image",
        )
    if axis not in ("x", "y") or sense is None:
        raise NotPlacedError(
            "tilted",
            f"the stage was tilted by {tilt:.4g} degrees, and how it tilts is not recorded; record "
            "stage_axes.tilt_axis (x or y) and stage_axes.tilt (1 or -1) of the instrument, or register the image",
        )
    if abs(tilt) > STEEPEST_DEG:
        raise NotPlacedError("tilted", f"the stage was tilted by {tilt:.4g} degrees: the surface is seen from its edge")
    assumed.append("the surface is parallel to the stage; a holder tilted by itself is not known")
    cosine, sine = math.cos(math.radians(tilt)), sense * math.sin(math.radians(tilt))
    turned = np.diag([1.0, 1.0, cosine])
    row = 1 if axis == "x" else 0
    turned[row, row], turned[row, 2] = 1.0 / cosine, sine
    return turned


def _linear(stage: Stage, reading: Reading, plane: Plane, assumed: list[str]) -> tuple[Floats, float]:
    """From the image to the beam's frame, and the standard error of its turn, degrees."""
    turn_u = _number(stage, "image_rotation_u_deg", TURN_DEG)
    if reading.affine is not None:
        return _from_affine(stage, reading.affine, plane), turn_u
    turn = _number(stage, "image_rotation_deg", 0.0)
    scan = reading.scan_rotation
    if scan is None and plane.scanned:
        turn_u = math.hypot(turn_u, UNSTATED_TURN_DEG)
        assumed.append(f"the scan rotation is not stated: taken as 0 within {UNSTATED_TURN_DEG:g} degrees")
    elif scan is not None and abs((scan + 180.0) % 360.0 - 180.0) > _SAME_POSE_DEG:
        sense = _sense(stage, "scan_rotation")
        if sense is None:
            raise NotPlacedError(
                "scan_rotation",
                f"the scan was rotated by {scan:.4g} degrees, and in which sense it counts is not recorded; record "
                "stage_axes.scan_rotation of the instrument: 1 if a growing rotation turns the rows of the image from "
                "x towards y of the stage frame, -1 if against it",
            )
        turn += sense * scan
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return np.array([[cosine, sine, 0.0], [sine, -cosine, 0.0], [0.0, 0.0, -1.0]]), turn_u


def _from_affine(stage: Stage, steps: tuple[float, float, float, float], plane: Plane) -> Floats:
    """The map whose steps along rows and columns the file states; its z goes along the beam."""
    linear = np.diag([0.0, 0.0, -1.0])
    linear[:2, 0] = stage.senses[:2] * np.array(steps[:2]) / plane.spacing[0]
    linear[:2, 1] = stage.senses[:2] * np.array(steps[2:]) / plane.spacing[1]
    scales = np.linalg.svd(linear, compute_uv=False)
    if not 1e-3 < scales[-1] <= scales[0] < 1e3:
        raise NotPlacedError("affine", "the steps from sample to sample that the file states do not span a plane")
    return linear


def _point(stage: Stage, reading: Reading, assumed: list[str]) -> tuple[Floats, Floats]:
    """The point of the stage frame that is looked at, and the variances of its coordinates."""
    u = _number(stage, "position_u_um", READING_UM)
    height, u_height = reading.z, _number(stage, "position_u_z_um", u)
    if height is None:
        height, u_height = _unstated_height(stage)
        assumed.append(f"the height is not stated: taken as {height:g} um within {u_height:.4g} um")
    point = stage.point([float(reading.x or 0.0), float(reading.y or 0.0), height])
    spread = np.array([u**2, u**2, u_height**2])
    if any(reading.image_shift):
        senses = [_sense(stage, f"image_shift_{axis}") for axis in "xy"]
        for axis, (shift, sense) in enumerate(zip(reading.image_shift, senses, strict=True)):
            point[axis] += shift * (sense or 0.0)
        if None in senses:
            spread[:2] += sum(shift**2 for shift in reading.image_shift)
            assumed.append("the sense of the image shift is not recorded: its size is part of the error")
    return point, spread


def _unstated_height(stage: Stage) -> tuple[float, float]:
    """The middle of the stage's reach with the standard deviation of anywhere within, as a reading."""
    low, high = stage.facts.get("z_min_um"), stage.facts.get("z_max_um")
    if isinstance(low, int | float) and isinstance(high, int | float) and high > low:
        return (low + high) / 2.0, (high - low) / math.sqrt(12.0)
    return 0.0, HEIGHT_UM


def _covariance(linear: Floats, centre: Floats, spread: Floats, turns_deg: Mapping[str, float]) -> Floats:
    """12 x 12: of the place of the centre, and of small turns of the stage's axes about it."""
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = spread
    for axis, degrees in turns_deg.items():
        moved = _TURNS[axis] @ linear
        gain = np.hstack([moved, -(moved @ centre)[:, np.newaxis]]).ravel()
        covariance += math.radians(degrees) ** 2 * np.outer(gain, gain)
    return covariance


def _kind(linear: Floats) -> str:
    if np.linalg.det(linear) < 0.0:
        return str(Transform.Kind.REFLECTION)
    rigid = np.abs(linear.T @ linear - np.eye(3)).max() <= _EXACT
    return str(Transform.Kind.RIGID if rigid else Transform.Kind.AFFINE)


def _number(stage: Stage, key: str, default: float) -> float:
    value = stage.facts.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and value is not None else default


def _sense(stage: Stage, key: str) -> float | None:
    value = stage.facts.get(key)
    return float(value) if value in (1, -1) and not isinstance(value, bool) else None
