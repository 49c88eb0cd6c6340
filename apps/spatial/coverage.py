"""From one frame to all that can be reached: the paths, and the regions near a place."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import connections

from analyses.sdk.propagation import expanded_error, propagate
from apps.projects import access
from apps.spatial import coverage_index, graph, selectors
from apps.spatial.coverage_boxes import distance_um
from apps.spatial.models import Frame, Roi
from apps.spatial.paths import Finder, Path

Floats = npt.NDArray[np.float64]
MAX_ROIS: Final = 1_000


class Reacher(Finder):
    """Searches from one frame to all others of its project."""

    @classmethod
    def from_frame(cls, source: Frame, states: Collection[uuid.UUID], specimens: Collection[uuid.UUID]) -> Reacher:
        """Return one for a frame, its state, and other states with their specimens."""
        own = {source.state_id} if source.state_id else set()
        holders = {source.specimen_id} if source.specimen_id else set()
        return cls(source.project_id, own | set(states), holders | set(specimens))

    def reach(self, source: uuid.UUID, at: npt.ArrayLike, wanted: Collection[uuid.UUID]) -> dict[uuid.UUID, Path]:
        """Return the best path for a point to each of the frames wanted, as far as one leads there."""
        while True:
            found = graph.reach(self.network.graph, source, at, penalties=self._penalties())
            steps = {frame: found[frame] for frame in wanted if frame in found}
            taken = {step.edge: step for path in steps.values() for step in path}
            if not self._learn_stale(list(taken.values())):
                return {frame: self._path(source, frame, path) for frame, path in steps.items()}


def error_at(path: Path, point: npt.ArrayLike) -> float | None:
    """95 % error of a point at the end of a path, um; None where it is not known."""
    if not path.error_known:
        return None
    mapped = propagate(np.asarray(point, np.float64)[None], path.maps)
    return float(expanded_error(mapped.covariances, mapped.degrees_of_freedom)[0])


def paths_to(source: Frame, at: npt.ArrayLike, frames: Collection[Frame]) -> dict[uuid.UUID, Path]:
    """Return the best path for a point from a frame to each of others that can be reached.

    Each path should hold for the state of the source and for that of the frame it leads to, so that one search is made
    for each state among the frames.
    """
    by_state: dict[tuple[uuid.UUID | None, uuid.UUID | None], list[uuid.UUID]] = {}
    for frame in frames:
        by_state.setdefault((frame.specimen_id, frame.state_id), []).append(frame.pk)
    found: dict[uuid.UUID, Path] = {}
    for (specimen, state), wanted in by_state.items():
        reacher = Reacher.from_frame(source, {state} if state else (), {specimen} if specimen else ())
        found |= reacher.reach(source.pk, at, wanted)
    return found


@dataclass(frozen=True)
class NearRoi:
    """A region near a place.  ``u95_um`` is the error of the place in the region's frame, None where not known."""

    roi: Roi
    distance_um: float
    u95_um: float | None
    path: Path


def rois_near(
    user: access.Caller, source: Frame, point: Floats, radius_um: float, paths: Mapping[uuid.UUID, Path]
) -> tuple[list[NearRoi], bool]:
    """Return the current regions whose box comes within a radius of a point, the nearest first, and if there are more.

    Of more than ``MAX_ROIS`` that may be near, some ``MAX_ROIS`` are looked at.

    Parameters
    ----------
    user : Caller
        Who asks; only what the caller may see is returned.
    source : Frame
        Of the point.
    point : ndarray, (3,)
        um.
    radius_um : float
    paths : mapping of UUID to Path
        From the source to the frames to look in.
    """
    matrices = {frame: path.matrix for frame, path in paths.items()}
    boxes = {frame: _box_around(point, radius_um, matrix) for frame, matrix in matrices.items()}
    keys = coverage_index.rois_in(connections[Roi.objects.db], boxes, limit=MAX_ROIS + 1)
    rows = selectors.list_rois(user).filter(pk__in=keys[:MAX_ROIS], superseded_by__isnull=True).defer("geometry")
    found = []
    for roi in rows:
        low, high = roi_box(roi)
        path = paths[roi.frame_id]
        distance = distance_um(point, matrices[roi.frame_id], low, high)
        if distance <= radius_um:
            found.append(NearRoi(roi, distance, error_at(path, point), path))
    return sorted(found, key=lambda near: (near.distance_um, str(near.roi.pk))), len(keys) > MAX_ROIS


def roi_box(roi: Roi) -> tuple[Floats, Floats]:
    """Opposite corners of the box around a region in its frame, um."""
    return np.array([roi.x_min, roi.y_min, roi.z_min]), np.array([roi.x_max, roi.y_max, roi.z_max])


def _box_around(point: Floats, radius_um: float, matrix: Floats) -> tuple[Floats, Floats]:
    """The box around the ball that a ball is mapped to."""
    middle = matrix[:3, :3] @ point + matrix[:3, 3]
    reach = radius_um * np.linalg.norm(matrix[:3, :3], axis=1)
    return middle - reach, middle + reach
