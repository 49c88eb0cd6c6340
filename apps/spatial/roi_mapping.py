"""A region in another frame: every point mapped, each with its error."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyses.sdk.propagation import expanded_error
from apps.provenance import selectors as ledger
from apps.spatial.models import Frame, Roi
from apps.spatial.paths import Mapped, map_points
from apps.spatial.roi_geometry import Floats, rebuilt, vertices_of


@dataclass(frozen=True)
class MappedRoi:
    """A region as it is in another frame.

    Attributes
    ----------
    roi, frame
        What was mapped, and where to.
    geometry : dict
        ``{type, coordinates}``, um; a box that is turned has become a mesh.
    mapped : Mapped
        The points of the geometry in their order (the 8 corners of a box) with covariances, paths and doubts.
    u95_um : ndarray, (n,)
        Longest half axis of the ellipsoid that holds each point with 95 %; NaN where its error is not known.
    """

    roi: Roi
    frame: Frame
    geometry: dict[str, Any]
    mapped: Mapped
    u95_um: Floats

    @property
    def warnings(self) -> list[str]:
        """What speaks against the answer, in words."""
        said = [doubt.message for doubt in self.mapped.doubts]
        return said + stale_warnings(self.roi)


def stale_warnings(roi: Roi) -> list[str]:
    """A line if what the region was drawn on was withdrawn, and one if what it was last sent to a stage along was."""
    newest = ledger.newest_versions([roi.pk]).get(roi.pk, roi.pk)
    stale = ledger.is_stale([roi.pk, newest])
    said = []
    if roi.pk in stale:
        said.append(f"region {roi.pk} is stale: something it rests on was withdrawn")
    if newest != roi.pk and newest in stale:
        said.append(f"region {roi.pk} was sent to a stage along what has been withdrawn since: send it anew")
    return said


def map_roi(roi: Roi, frame: Frame, *, states: Collection[uuid.UUID] = ()) -> MappedRoi:
    """Map a region to a frame of its project; the caller may see both.

    Raises
    ------
    MaskError
        The region is a mask.
    InvalidValueError
        The frame is of another project.
    NoPathError
        No accepted transforms lead there.
    """
    mapped = map_points(roi.frame, frame, vertices_of(roi.geometry), states=states)
    return MappedRoi(roi, frame, rebuilt(roi.geometry, mapped.points), mapped, u95(mapped))


def u95(mapped: Mapped) -> Floats:
    """95 % error of each mapped point, um; NaN where it is not known."""
    found = np.full(len(mapped.points), np.nan)
    known = np.isfinite(mapped.covariances).all(axis=(1, 2))
    if known.any():
        found[known] = expanded_error(mapped.covariances[known], mapped.degrees_of_freedom[known])
    return found
