"""The surface above a place: where the beam enters, and how deep the place lies below.

A surface is a region with the purpose ``surface``: a mesh (drawn or segmented), or a polygon, through whose corners a
plane is laid.  Along the beam means along z of the stage frame, which points towards the source.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from analyses.sdk.propagation import coverage_factor, joint_covariance, propagate
from analyses.sdk.spatial import apply, invert
from apps.core.errors import ConflictError
from apps.spatial.models import Frame, Mount, Roi
from apps.spatial.paths import NoPathError, Path, map_points
from apps.spatial.roi_geometry import vertices_of

Floats = npt.NDArray[np.float64]

PURPOSE: Final = "surface"
_STEEPEST: Final = 0.05  # cosine: a surface steeper than 87 degrees is not met along the beam
_MAX_SURFACES: Final = 50


class SurfaceStateError(ConflictError):
    """A transform between the surface and the stage does not hold for the specimen as it is."""

    code = "state_changed"


@dataclass(frozen=True)
class Crossing:
    """Where the line along the beam through a place meets a surface; ``outside_um`` from the outline of a polygon."""

    z: float
    normal: Floats
    outside_um: float
    scatter_um: float


@dataclass(frozen=True)
class Depth:
    """How deep a place lies below a surface, um, along the beam; below is positive.

    ``u95_um`` is None where an error is not known.  ``warnings`` speak against the answer.
    """

    surface: Roi
    depth_um: float
    u95_um: float | None
    entry: Floats
    crossing: Crossing
    points: Floats
    warnings: tuple[str, ...]

    def height_um(self, point: Floats) -> float | None:
        """How far a point lies above the surface, along the beam; None where it is not above or below it."""
        found = crossing_at(self.surface, self.points, point[:2])
        return None if found is None else float(point[2] - found.z)


def surfaces_for(mount: Mount, frame: Frame) -> list[Roi]:
    """Return the surfaces drawn of the specimen on a mount, or of that of a frame, the newest first."""
    specimens = {mount.specimen_id, frame.specimen_id}
    rows = Roi.objects.select_related("frame").filter(
        project=frame.project_id,
        purpose__iexact=PURPOSE,
        superseded_by__isnull=True,
        geometry_type__in=(Roi.GeometryType.POLYGON, Roi.GeometryType.MESH),
        frame__specimen__in=[pk for pk in specimens if pk],
    )
    return list(rows.order_by("-created_at")[:_MAX_SURFACES])


def crossing_at(surface: Roi, points: Floats, place: Floats) -> Crossing | None:
    """Return where the line along z through (x, y) meets a surface whose mapped points are given; the topmost place."""
    if surface.geometry_type == Roi.GeometryType.POLYGON:
        return _plane_crossing(points, place)
    faces = np.array(surface.geometry["coordinates"]["faces"], np.int64)
    return _mesh_crossing(points[faces], place)


def _plane_crossing(points: Floats, place: Floats) -> Crossing | None:
    """The plane of least squares through the corners; outside of their outline it goes on."""
    middle = points.mean(axis=0)
    _, spread, directions = np.linalg.svd(points - middle)
    normal = directions[2] * np.sign(directions[2][2] or 1.0)
    if normal[2] < _STEEPEST:
        return None
    z = middle[2] - float(normal[:2] @ (place - middle[:2])) / normal[2]
    freedom = max(1, len(points) - 3)
    scatter = float(spread[2] / np.sqrt(freedom)) if len(points) > 3 else 0.0
    return Crossing(z, normal, _outside(points[:, :2], place), scatter)


def _outside(outline: Floats, place: Floats) -> float:
    """Distance from an outline in the plane; 0 inside."""
    begin, end = outline, np.roll(outline, -1, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = begin[:, 0] + (place[1] - begin[:, 1]) * (end[:, 0] - begin[:, 0]) / (end[:, 1] - begin[:, 1])
    crosses = ((begin[:, 1] > place[1]) != (end[:, 1] > place[1])) & (place[0] < at)
    if crosses.sum() % 2:
        return 0.0
    along = end - begin
    squared = np.maximum((along**2).sum(axis=1), 1e-300)
    part = np.clip(((place - begin) * along).sum(axis=1) / squared, 0.0, 1.0)
    return float(np.linalg.norm(begin + part[:, None] * along - place, axis=1).min())


def _mesh_crossing(triangles: Floats, place: Floats) -> Crossing | None:
    """The topmost of the triangles, (n, 3 corners, 3), that lie over a place."""
    a, b, c = (triangles[:, i] for i in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    flat = np.abs(normals[:, 2]) > _STEEPEST * np.maximum(lengths, 1e-300)
    sides = [_side(p, q, place) for p, q in ((a, b), (b, c), (c, a))]
    over = flat & (np.all([side >= 0.0 for side in sides], axis=0) | np.all([side <= 0.0 for side in sides], axis=0))
    if not over.any():
        return None
    a, normals = a[over], normals[over]
    heights = a[:, 2] - ((place - a[:, :2]) * normals[:, :2]).sum(axis=1) / normals[:, 2]
    top = int(np.argmax(heights))
    normal = normals[top] / np.linalg.norm(normals[top])
    return Crossing(float(heights[top]), np.asarray(normal * np.sign(normal[2]), np.float64), 0.0, 0.0)


def _side(begin: Floats, end: Floats, place: Floats) -> Floats:
    along, to = end[:, :2] - begin[:, :2], place - begin[:, :2]
    return np.asarray(along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0], np.float64)


def depth_below(surface: Roi, mount: Mount, source_point: Floats, target: Floats, path: Path) -> Depth | None:
    """Return the depth of a place below a surface; None where the surface is not above it.

    Parameters
    ----------
    surface : Roi
    mount : Mount
    source_point, target : ndarray, (3,)
        The place in its own frame, and in the stage frame.
    path : Path
        From the one to the other.

    Raises
    ------
    NoPathError
        No accepted transforms lead from the surface to the stage.
    SurfaceStateError
        One of them does not hold for the specimen as it is, and nobody has overridden that.
    """
    mapped = map_points(surface.frame, mount.frame, vertices_of(surface.geometry), states=path_states(mount))
    wrong = [doubt.message for doubt in mapped.doubts if doubt.code == "state"]
    if wrong:
        raise SurfaceStateError(f"surface {surface.name} is left out: {wrong[0]}")
    crossing = crossing_at(surface, mapped.points, target[:2])
    if crossing is None:
        return None
    entry = np.array([target[0], target[1], crossing.z])
    own = mapped.paths[0]
    said = [doubt.message for doubt in mapped.doubts]
    if crossing.outside_um > 0.0:
        said.append(
            f"the place lies {crossing.outside_um:.4g} um outside of the outline of surface {surface.name}: its plane "
            "was continued"
        )
    if target[2] > crossing.z:
        said.append(f"the place lies above the surface {surface.name}")
    error = _depth_error(source_point, path, entry, own, crossing)
    return Depth(surface, crossing.z - float(target[2]), error, entry, crossing, mapped.points, tuple(said))


def _depth_error(
    source_point: Floats, path: Path, entry: Floats, surface_path: Path, crossing: Crossing
) -> float | None:
    """95 % error of the depth: what place and surface share on the way does not count twice."""
    if not (path.error_known and surface_path.error_known):
        return None
    there = apply(invert(surface_path.matrix), entry)
    _, joint = joint_covariance([source_point, there], [path.maps, surface_path.maps])
    gradient = np.concatenate([-crossing.normal, crossing.normal]) / crossing.normal[2]
    variance = float(gradient @ joint @ gradient) + (crossing.scatter_um / crossing.normal[2]) ** 2
    paths = ((source_point, path.maps), (there, surface_path.maps))
    freedom = min(float(propagate([point], maps).degrees_of_freedom[0]) for point, maps in paths)
    return float(coverage_factor(1, freedom)) * float(np.sqrt(max(0.0, variance)))


def path_states(mount: Mount) -> list[uuid.UUID]:
    """The states for which what leads to a mount should hold: that of the specimen as it is now."""
    state = mount.specimen.current_state_id
    return [state] if state else []


def best_depth(
    surfaces: list[Roi], mount: Mount, source_point: Floats, target: Floats, path: Path
) -> tuple[Depth | None, str]:
    """Return the depth below the surface that fits best, or None and the reason.

    A surface over the place is better than one that had to be continued, and a newer one better than an older.  One
    that is reached through what does not hold any more is left out, and the answer says so.
    """
    if not surfaces:
        return None, f"no surface is drawn: mark a polygon or mesh with the purpose {PURPOSE!r}"
    found, reasons, stale = [], [], []
    for surface in surfaces:
        try:
            depth = depth_below(surface, mount, source_point, target, path)
        except NoPathError:
            reasons.append(f"no accepted transforms lead from surface {surface.name} to the stage")
            continue
        except SurfaceStateError as error:
            stale.append(str(error))
            continue
        if depth is None:
            reasons.append(f"surface {surface.name} is not met along the beam")
        else:
            found.append(depth)
    if not found:
        return None, "; ".join(reasons + stale)
    best = min(found, key=lambda depth: depth.crossing.outside_um)
    return replace(best, warnings=(*best.warnings, *stale)), ""
