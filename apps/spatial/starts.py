"""Where a registration of two images can begin: at what their stage positions say, corrected by what was found before.

A start is composed of transforms that lead from an image to the stage frame of its mount: an accepted path, or where
there is none the candidate that the stage position gave.  A correction is what predictions from one instrument to the
stage of the other missed by.  Nothing is written here.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analyses.sdk.landmarks import DegeneratePairsError, fit_landmarks
from analyses.sdk.propagation import UncertainMap, composed
from analyses.sdk.spatial import Matrix
from apps.provenance import selectors as ledger
from apps.spatial.models import Found, Frame, Mount, Transform
from apps.spatial.paths import NoPathError, find_path
from apps.spatial.targeting_history import Miss, counted_miss, path_of, summarise
from apps.spatial.targeting_origin import instrument_of, origins_of

Floats = npt.NDArray[np.float64]

_UNTRUSTED: Final = frozenset({"state", "stale"})
_FACING: Final = 0.98  # cosine between the normals of two planes
_IN_PLANE: Final = np.ix_([0, 1, 3, 4, 5, 7], [0, 1, 3, 4, 5, 7])
_TURN_FROM: Final = 3  # found positions from which a turn is fitted, and not a shift alone


@dataclass(frozen=True)
class Lead:
    """Steps from a frame to another, in the order they are taken; ``known`` if all of them state an error."""

    steps: tuple[UncertainMap, ...]
    transforms: tuple[uuid.UUID, ...]
    known: bool

    @property
    def back(self) -> Lead:
        """The same way the other way round."""
        turned = [
            UncertainMap(s.matrix, s.covariance, s.error, not s.backwards, s.degrees_of_freedom) for s in self.steps
        ]
        return Lead(tuple(turned[::-1]), self.transforms[::-1], self.known)

    def then(self, other: Lead) -> Lead:
        """Go this way, and then another one."""
        return Lead(self.steps + other.steps, self.transforms + other.transforms, self.known and other.known)


@dataclass(frozen=True)
class Start:
    """Where a registration can begin: the map from the moving image's frame to that of the fixed image.

    ``covariance`` is None where a part states no error; ``transforms`` and ``found`` are what it is composed of.
    """

    name: str
    matrix: Matrix
    covariance: Floats | None
    transforms: tuple[uuid.UUID, ...]
    found: tuple[uuid.UUID, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same parts, in the same order."""
        said = [self.name, *map(str, self.transforms), "found", *sorted(map(str, self.found))]
        return hashlib.sha256(" ".join(said).encode()).hexdigest()


def in_the_plane(start: Start) -> Start | None:
    """Return a start between two planes without what leads out of them; None where one is seen askew.

    At which height a plane was in focus says nothing of how its samples lie to those of another.
    """
    if abs(start.matrix[2, 2]) < _FACING:
        return None
    matrix = start.matrix.copy()
    matrix[2], matrix[:2, 2] = (0.0, 0.0, np.sign(matrix[2, 2]), 0.0), 0.0
    covariance = None if start.covariance is None else np.zeros((12, 12))
    if covariance is not None and start.covariance is not None:
        covariance[_IN_PLANE] = start.covariance[_IN_PLANE]
    return replace(start, matrix=matrix, covariance=covariance, facts={**start.facts, "in_the_plane": True})


def stage_start(moving: Frame, fixed: Frame) -> Start | None:
    """Return what the stage positions of two images say of how they lie; None where they do not.

    Images in one mount meet in its stage frame; those in two only where accepted transforms lead from one stage frame
    to the other.
    """
    one, other = mount_of(moving), mount_of(fixed)
    if one is None or other is None:
        return None
    there, back = to_stage(moving, one), to_stage(fixed, other)
    between = Lead((), (), True) if one.pk == other.pk else _path(one.frame, other.frame)
    if there is None or back is None or between is None:
        return None
    return _start("stage", there.then(between).then(back.back))


def history_start(moving: Frame, fixed: Frame) -> Start | None:
    """Return the same corrected by what predictions between the two instruments missed by; None without any.

    The image whose mount is the place of finding may be either; the other is where regions were marked.
    """
    return _corrected(moving, fixed, forward=True) or _corrected(fixed, moving, forward=False)


def mount_of(frame: Frame) -> Mount | None:
    """Return the mount in which the image of a frame was taken."""
    origin = origins_of([frame.pk]).get(frame.pk)
    if origin is None or origin.mount is None:
        return None
    return Mount.objects.select_related("frame").filter(pk=origin.mount).first()


def to_stage(frame: Frame, mount: Mount) -> Lead | None:
    """Return the way from an image to the stage frame of its mount: accepted, else the candidate of its stage position.

    The candidate may begin at the nominal frame of an image that was calibrated since.
    """
    accepted = _path(frame, mount.frame)
    if accepted is not None:
        return accepted
    nominal = Transform.objects.filter(target=frame, method=Transform.Method.CALIBRATION).select_related("source")
    for source in [frame, *(row.source for row in nominal)]:
        candidate = _candidate(source, mount)
        before = Lead((), (), True) if source.pk == frame.pk else _path(frame, source)
        if candidate is not None and before is not None:
            return before.then(candidate)
    return None


def _candidate(source: Frame, mount: Mount) -> Lead | None:
    rows = Transform.objects.filter(
        source=source,
        target=mount.frame,
        method=Transform.Method.STAGE,
        status=Transform.Status.CANDIDATE,
        superseded_by__isnull=True,
        matrix__isnull=False,
    )
    row = rows.order_by("-created_at", "pk").first()
    if row is None or ledger.is_stale([row.pk]):
        return None
    known = row.covariance is not None
    spread = np.array(row.covariance, np.float64) if known else np.zeros((12, 12))
    step = UncertainMap(np.array(row.matrix, np.float64).reshape(4, 4), spread, f"transform {row.pk}")
    return Lead((step,), (row.pk,), known)


def _path(source: Frame, target: Frame) -> Lead | None:
    """The accepted path, unless a step of it is stale or does not hold for a state concerned."""
    try:
        path = find_path(source, target)
    except NoPathError:
        return None
    if any(doubt.code in _UNTRUSTED for doubt in path.doubts):
        return None
    return Lead(path.maps, path.transforms, path.error_known)


def _corrected(marked: Frame, seen: Frame, *, forward: bool) -> Start | None:
    """From the frame where regions were marked to the image in whose mount they were found, or the other way round."""
    mount, source = mount_of(seen), instrument_of(marked)
    if mount is None or source is None:
        return None
    base, end = _path(marked, mount.frame) or _by_stage(marked, mount), to_stage(seen, mount)
    if base is None or end is None:
        return None
    rows = Found.objects.filter(
        source_instrument=source, instrument=mount.instrument_id, roi__project=marked.project_id
    ).select_related("targeting")
    misses = _counting([miss for row in rows.order_by("created_at") if (miss := counted_miss(row))], mount, base)
    if not misses:
        return None
    correction, turned = _correction(misses, mount)
    way = base.then(correction).then(end.back)
    found = tuple(miss.found.pk for miss in misses)
    said = {"count": len(misses), "turned": turned, "correction": correction.steps[0].matrix.ravel().tolist()}
    return _start("history", way if forward else way.back, found, said)


def _by_stage(marked: Frame, mount: Mount) -> Lead | None:
    own = mount_of(marked)
    return to_stage(marked, mount) if own is not None and own.pk == mount.pk else None


def _counting(misses: Sequence[Miss], mount: Mount, base: Lead) -> list[Miss]:
    """Those that tell of the way taken now.

    What was found in this mount tells of it if it was predicted along the same transforms; along others, which have
    been replaced since, perhaps because of it, it tells of those.  Without any, what was found in other mounts tells
    what the two instruments have in common.  A prediction that went stale tells nothing.
    """
    stale = ledger.is_stale([miss.found.pk for miss in misses])
    standing = [miss for miss in misses if miss.found.pk not in stale]
    here = [miss for miss in standing if miss.found.mount_id == mount.pk]
    same = [miss for miss in here if {str(pk) for pk in base.transforms} <= set(path_of(miss.found))]
    return same if same or here else standing


def _correction(misses: Sequence[Miss], mount: Mount) -> tuple[Lead, bool]:
    """The mean shift in the stage frame, or the rigid map from three places of this mount on."""
    history = summarise(None, mount.instrument_id, misses)
    if history is None:
        raise ValueError("there are no misses")
    spread = np.zeros((12, 12))
    if history.covariance is not None:
        spread[np.ix_([3, 7, 11], [3, 7, 11])] = history.covariance
    matrix, turned = history.correction, False
    here = all(miss.found.mount_id == mount.pk for miss in misses)
    if here and len(misses) >= _TURN_FROM:
        found = np.array([miss.found.point for miss in misses], np.float64)
        try:
            fit = fit_landmarks("rigid", found - np.array([miss.offset for miss in misses]), found)
        except DegeneratePairsError:
            return Lead((UncertainMap(matrix, spread, "history"),), (), history.covariance is not None), False
        matrix, turned = fit.matrix, True
        spread = np.zeros((12, 12)) if fit.covariance is None else fit.covariance
        return Lead((UncertainMap(matrix, spread, "history"),), (), fit.covariance is not None), turned
    return Lead((UncertainMap(matrix, spread, "history"),), (), history.covariance is not None), turned


def _start(
    name: str, lead: Lead, found: tuple[uuid.UUID, ...] = (), facts: dict[str, Any] | None = None
) -> Start | None:
    """One map of several steps; None where it leads to the frame it comes from."""
    if not lead.steps:
        return None
    matrix, covariance = composed(lead.steps)
    return Start(name, matrix, covariance if lead.known else None, lead.transforms, found, facts or {})
