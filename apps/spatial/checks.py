"""What must agree among transforms and their landmarks; a line for each thing that does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from apps.spatial.models import Landmark, Transform
from apps.spatial.pairs import Pair, lengths_um

_TOLERANCE: Final = 1e-9


def transform_findings() -> Iterator[str]:
    """Recompute every stored residual from the landmarks that stay with the transform."""
    rows = Transform.objects.filter(matrix__isnull=False, landmarks__isnull=False).distinct()
    for transform in rows.prefetch_related("landmarks").iterator(chunk_size=200):
        yield from _residual_findings(transform)


def _residual_findings(transform: Transform) -> Iterator[str]:
    landmarks = list(transform.landmarks.all())
    pairs = [_pair(landmark) for landmark in landmarks]
    lengths = lengths_um(transform.matrix or [], pairs)
    for landmark, length in zip(landmarks, lengths, strict=True):
        stored = landmark.residual_um  # null in rows written before residuals were kept
        if stored is not None and not math.isclose(stored, length, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            yield (
                f"transform {transform.pk}: pair {landmark.number} has a stored residual of {stored:.9g} um; its "
                f"points and the matrix give {length:.9g} um"
            )
    active = [length for pair, length in zip(pairs, lengths, strict=True) if pair.state == Landmark.State.ACTIVE]
    if not active or transform.residual_um is None:
        return
    rms = float(np.sqrt(np.mean(np.square(active))))
    if not math.isclose(transform.residual_um, rms, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        said = f"its stored residual is {transform.residual_um:.9g} um; its pairs give {rms:.9g} um"
        yield f"transform {transform.pk}: {said}"


def _pair(landmark: Landmark) -> Pair:
    return Pair(
        source=[landmark.source_x, landmark.source_y, landmark.source_z],
        target=[landmark.target_x, landmark.target_y, landmark.target_z],
        u_um=landmark.u_um,
        state=landmark.state,
        reason=landmark.reason,
    )
