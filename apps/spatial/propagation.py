"""Transforms as uncertain maps: rows of the database for the maths of ``analyses.sdk.spatial``."""

from __future__ import annotations

import numpy as np

from analyses.sdk.propagation import UncertainMap
from apps.core.errors import ConflictError
from apps.spatial.models import Transform


def uncertain_map(transform: Transform, *, backwards: bool = False) -> UncertainMap:
    """Return a transform as an uncertain map.

    All transforms of one calibration name one error, whatever images they belong to; every other transform names its
    own.

    Parameters
    ----------
    transform : Transform
        With a matrix and a covariance.
    backwards : bool
        Walk it from target to source.

    Raises
    ------
    ConflictError
        A displacement field, or a transform whose error was not stated: nothing can be said of what it maps.
    """
    if transform.matrix is None:
        raise ConflictError(f"transform {transform.pk} is a displacement field; it has no matrix")
    if transform.covariance is None:
        raise ConflictError(f"transform {transform.pk} states no covariance; the error of what it maps is not known")
    shared = transform.calibration_id
    return UncertainMap(
        matrix=np.array(transform.matrix, np.float64).reshape(4, 4),
        covariance=np.array(transform.covariance, np.float64),
        error=f"calibration {shared}" if shared is not None else f"transform {transform.pk}",
        backwards=backwards,
    )
