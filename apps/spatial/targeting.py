"""Where to drive the stage of a mount so that a region is looked at, within what error, and whether it can be seen.

The stage frame of a mount is reached through accepted transforms that hold for the specimen as it is now.  Rotation,
tilt and working distance are those of the image through which the stage frame is reached: at another pose the frame
means nothing, and they are never taken from now.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from analyses.sdk.spatial import Matrix, apply, compose, invert
from apps.core.errors import ConflictError, InvalidValueError
from apps.spatial.exchange.positions import StagePosition
from apps.spatial.models import Landmark, Mount, Roi, Transform
from apps.spatial.paths import Mapped, Path, check_frames, map_points
from apps.spatial.roi_geometry import middle, vertices_of
from apps.spatial.roi_mapping import stale_warnings, u95
from apps.spatial.targeting_origin import Origin, origins_of
from apps.spatial.targeting_stage import Stage, stage_of
from apps.spatial.targeting_surface import Depth, best_depth, path_states, surfaces_for

Floats = npt.NDArray[np.float64]

_LANDMARKS: Final = 3
_LEVEL: Final = 0.5  # degrees: what is tilted less counts as level
NO_POSE: Final = "no image on the path that was taken in this mount states the rotation and tilt of the stage"


class StateChangedError(ConflictError):
    """A transform on the path is from before a change of the specimen."""

    code = "state_changed"


class MountEndedError(ConflictError):
    """The specimen is off the stage: readings of this mount mean nothing any more."""

    code = "mount_ended"


@dataclass(frozen=True)
class NearLandmark:
    """A landmark of a transform on the path, in the stage frame."""

    transform: uuid.UUID
    number: int
    point: Floats
    distance_um: float
    height_um: float | None


@dataclass(frozen=True)
class Verdict:
    """Yes, no, or not known, and why."""

    holds: bool | None
    reason: str
    needed_um: float | None = None
    limit_um: float | None = None


@dataclass(frozen=True)
class Target:
    """A region on a stage.

    Attributes
    ----------
    position : StagePosition
        What the stage shows, um and degrees.
    point, covariance : ndarray, (3,), (3, 3)
        In the stage frame, um and um^2; the covariance is NaN where it is not known.
    u95_um : float or None
        Longest half axis of the 95 % ellipsoid.
    depth : Depth or None
        Below the surface; ``no_depth`` says why there is none.
    entry : StagePosition or None
        What the stage shows where the beam enters.
    """

    roi: Roi
    mount: Mount
    stage: Stage
    position: StagePosition
    point: Floats
    covariance: Floats
    degrees_of_freedom: float
    u95_um: float | None
    pose_reason: str
    depth: Depth | None
    no_depth: str
    entry: StagePosition | None
    landmarks: list[NearLandmark]
    field: Verdict
    reach: Verdict
    path: Path
    warnings: list[str]


def target_roi(roi: Roi, mount: Mount, *, surface: Roi | None = None) -> Target:
    """Return where to drive a stage for a region; the caller may see both.

    Parameters
    ----------
    roi : Roi
    mount : Mount
        Of the same project, not ended.
    surface : Roi, optional
        The surface below which the depth counts; the best of those drawn by default.

    Raises
    ------
    InvalidValueError
        The mount is of another project.
    MountEndedError, StageSenseError, MaskError, NoPathError
        The specimen is off the stage; the senses of its axes are not recorded; the region is a mask; no accepted
        transforms lead there.
    StateChangedError
        A transform on the path does not hold for the specimen as it is, and nobody has overridden that.
    """
    check_frames(roi.frame, mount.frame, field_name="mount")
    if mount.unmounted_at is not None:
        raise MountEndedError(
            f"the specimen came off this stage on {mount.unmounted_at:%Y-%m-%d %H:%M %Z}; readings of the mount mean "
            "nothing any more: record the new mount",
            details={"mount": str(mount.pk)},
        )
    stage = stage_of(mount.instrument)
    mapped = predict(roi, mount)
    refuse_changed_state(mapped)
    return _target(roi, mount, stage, mapped, surface)


def predict(roi: Roi, mount: Mount) -> Mapped:
    """Return the middle of a region in the stage frame of a mount, for the specimen as it is now."""
    return map_points(roi.frame, mount.frame, [middle(roi.geometry)], states=path_states(mount))


def refuse_changed_state(mapped: Mapped) -> None:
    """Raise StateChangedError if a step does not hold for a state concerned."""
    wrong = [doubt for doubt in mapped.doubts if doubt.code == "state"]
    if not wrong:
        return
    raise StateChangedError(
        f"{wrong[0].message}; register anew, or use it all the same with "
        f"POST transforms/{wrong[0].transform}/override/ {{state, reason}}",
        details={
            "transforms": [{"transform": str(doubt.transform), "state": str(doubt.state)} for doubt in wrong],
        },
    )


def _target(roi: Roi, mount: Mount, stage: Stage, mapped: Mapped, surface: Roi | None) -> Target:
    path, point = mapped.paths[0], mapped.points[0]
    frames = frames_along(path)
    pose = _pose(mount, frames)
    surfaces = surfaces_for(mount, roi.frame) if surface is None else [surface]
    depth, no_depth = best_depth(surfaces, mount, middle(roi.geometry), point, path)
    error = float(u95(mapped)[0])
    known = None if np.isnan(error) else error
    position = position_of(stage, point, pose, roi.name)
    beyond, parts = stage.outside(position)
    said = [doubt.message for doubt in mapped.doubts] + stale_warnings(roi)
    if roi_superseded(roi):
        said.append(f"region {roi.pk} has been superseded by a newer version")
    return Target(
        roi=roi,
        mount=mount,
        stage=stage,
        position=position,
        point=point,
        covariance=mapped.covariances[0],
        degrees_of_freedom=float(mapped.degrees_of_freedom[0]),
        u95_um=known,
        pose_reason="" if pose is not None and None not in (pose.rotation, pose.tilt) else NO_POSE,
        depth=depth,
        no_depth=no_depth,
        entry=None if depth is None else position_of(stage, depth.entry, pose, f"{roi.name}, entry"),
        landmarks=_landmarks(path, frames, point if depth is None else depth.entry, depth),
        field=_fits(roi, stage, path, point, known),
        reach=Verdict(beyond, "; ".join(parts) if beyond is not None else "no limits of the stage are recorded"),
        path=path,
        warnings=list(dict.fromkeys(said + (list(depth.warnings) + _tilted(pose) if depth else []))),
    )


def roi_superseded(roi: Roi) -> bool:
    """True if there is a newer version."""
    return getattr(roi, "superseded_by", None) is not None


def position_of(stage: Stage, point: Floats, pose: Origin | None, name: str) -> StagePosition:
    """What the stage shows where a point of its frame is looked at."""
    x, y, z = stage.reading(point)
    if pose is None:
        return StagePosition(name, x, y, z)
    return StagePosition(name, x, y, z, pose.rotation, pose.tilt, pose.working_distance)


def frames_along(path: Path) -> list[uuid.UUID]:
    """The frames of a path from its source to its target; one query."""
    ends = {
        row[0]: row[1:]
        for row in Transform.objects.filter(pk__in=path.transforms).values_list("pk", "source", "target")
    }
    frames = [path.source]
    for transform, step in zip(path.transforms, path.maps, strict=True):
        frames.append(ends[transform][0 if step.backwards else 1])
    return frames


def _pose(mount: Mount, frames: list[uuid.UUID]) -> Origin | None:
    """How the stage stood for the last image on the path that was taken in this mount."""
    known = origins_of(frames)
    own = [known[frame] for frame in frames if frame in known and known[frame].mount == mount.pk]
    return own[-1] if own else None


def _tilted(pose: Origin | None) -> list[str]:
    """What speaks against depth and entry where the beam does not run along the stage's z."""
    along = "depth and entry are along z of the stage, "
    if pose is None or pose.tilt is None:
        return [f"{along}and the tilt is not known: the beam may not run along it"]
    if abs(pose.tilt) <= _LEVEL:
        return []
    return [f"{along}not along the beam: the tilt is {pose.tilt:.4g} degrees"]


def _landmarks(path: Path, frames: list[uuid.UUID], place: Floats, depth: Depth | None) -> list[NearLandmark]:
    """The active landmarks of the path's transforms that lie nearest to a place of the stage frame."""
    onward = _onward(path)
    rows = Landmark.objects.filter(transform__in=path.transforms, state=Landmark.State.ACTIVE)
    steps = dict(zip(path.transforms, range(len(path.transforms)), strict=True))
    found = []
    for row in rows:
        index = steps[row.transform_id]
        end = "source" if path.maps[index].backwards else "target"
        at = apply(onward[index], [getattr(row, f"{end}_{axis}") for axis in "xyz"])
        found.append(NearLandmark(row.transform_id, row.number, at, float(np.linalg.norm(at - place)), None))
    nearest = sorted(found, key=lambda near: near.distance_um)[:_LANDMARKS]
    return [replace(near, height_um=depth.height_um(near.point)) for near in nearest] if depth else nearest


def _onward(path: Path) -> list[Matrix]:
    """From the end of each step to the end of the path."""
    matrices = [invert(step.matrix) if step.backwards else step.matrix for step in path.maps]
    return [compose(matrices[index + 1 :]) for index in range(len(matrices))]


def _fits(roi: Roi, stage: Stage, path: Path, point: Floats, error: float | None) -> Verdict:
    """Whether the region with its error fits the largest field of view, whose middle is where the stage drives to."""
    corners = apply(path.matrix, vertices_of(roi.geometry))
    size = 2.0 * np.abs(corners[:, :2] - point[:2]).max()
    limit = stage.field_of_view_um
    needed = None if error is None else float(size) + 2.0 * error
    if limit is None:
        name = stage.instrument.name
        return Verdict(None, f"the field of view of {name} is not recorded: stage_axes.field_of_view_um", needed, limit)
    if needed is None:
        return Verdict(None, "the error of the position is not known", needed, limit)
    fits = needed <= limit
    words = "fits" if fits else "does not fit"
    return Verdict(fits, f"the region with its error, {needed:.4g} um, {words} {limit:.4g} um", needed, limit)


def check_surface(surface: Roi, roi: Roi) -> Roi:
    """Refuse what is no surface of the region's project."""
    if surface.project_id != roi.project_id:
        raise InvalidValueError(f"the surface {surface.pk} belongs to another project", field="surface")
    if surface.geometry_type not in (Roi.GeometryType.POLYGON, Roi.GeometryType.MESH):
        raise InvalidValueError(f"a {surface.geometry_type} is no surface: give a polygon or a mesh", field="surface")
    return surface
