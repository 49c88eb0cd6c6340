"""One matrix from an image's frame to the viewed one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from analyses.sdk.propagation import expanded_error, propagate
from analyses.sdk.spatial import Matrix
from apps.spatial.models import Frame
from apps.spatial.paths import Doubt, NoPathError, Path, find_path, middle_of


@dataclass(frozen=True)
class Composed:
    """The map of a path.

    Attributes
    ----------
    matrix : ndarray, 4 x 4
        ``target = matrix @ source``, (x, y, z), micrometres.
    steps : int
        Transforms on the way; 0 where the two frames are one.
    doubts : tuple of str
        Why a step may not be trusted; that one states no error is said where the error would stand.
    u95_um : float or None
        Longest half axis of the 95 % ellipsoid about the middle of the image; None where a step states no error.
    """

    matrix: Matrix
    steps: int = 0
    doubts: tuple[str, ...] = ()
    u95_um: float | None = None


def compose(source: Frame, target: Frame) -> Composed | None:
    """Return the best map from one frame to another, both of which the caller may see; None where there is none."""
    if source.pk == target.pk:
        return Composed(np.eye(4))
    if source.project_id != target.project_id:
        return None
    try:
        path = find_path(source, target)
    except NoPathError:
        return None
    return Composed(path.matrix, len(path.steps), tuple(_said(path.doubts)), _error(source, path))


def _error(source: Frame, path: Path) -> float | None:
    if not path.error_known:
        return None
    found = propagate([middle_of(source)], path.maps)
    return float(expanded_error(found.covariances, found.degrees_of_freedom)[0])


def _said(doubts: Iterable[Doubt]) -> Iterator[str]:
    return (doubt.message for doubt in doubts if doubt.code != "no_error")
