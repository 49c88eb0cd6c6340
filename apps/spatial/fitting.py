"""Maps fitted to checked landmark pairs, for the service that stores them and the page that shows them before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analyses.sdk import landmarks
from analyses.sdk.propagation import UncertainMap, coverage_factor, expanded_error, propagate
from analyses.sdk.spatial import apply, invert
from apps.core.errors import InvalidValueError
from apps.spatial.models import Landmark, Transform
from apps.spatial.pairs import Pair

FITTED_KINDS: Final = landmarks.KINDS


@dataclass(frozen=True)
class FittedMap:
    """What a fit gives: the 16 numbers of the matrix, its covariance, and what is said of the pairs."""

    matrix: list[float]
    covariance: list[list[float]] | None
    degrees_of_freedom: int | None
    facts: dict[str, Any]


def fit_pairs(kind: str, pairs: Sequence[Pair]) -> FittedMap:
    """Fit a map to the active pairs.

    Parameters
    ----------
    kind : str
        translation, rigid, similarity or affine.
    pairs : sequence of Pair
        Those held out or rejected take no part.  Either all active ones state an error or none does.

    Raises
    ------
    InvalidValueError
        A kind that is not fitted; too few or degenerate pairs; errors stated for some pairs only.
    """
    if kind not in FITTED_KINDS:
        raise InvalidValueError(
            f"a {kind} is not fitted to landmarks; fitted are {', '.join(FITTED_KINDS)}, others need the matrix",
            field="kind",
        )
    numbers = [number for number, pair in enumerate(pairs) if pair.state == Landmark.State.ACTIVE]
    active = [pairs[number] for number in numbers]
    errors = [pair.u_um for pair in active]
    stated = [error for error in errors if error is not None]
    if stated and len(stated) < len(active):
        raise InvalidValueError(
            f"{len(stated)} of {len(active)} active pairs state an error u_um; give it for all of them or for none",
            field="landmarks",
        )
    try:
        fit = landmarks.fit_landmarks(
            kind,
            np.array([pair.source for pair in active]).reshape(-1, 3),
            np.array([pair.target for pair in active]).reshape(-1, 3),
            stated or None,
        )
    except ValueError as error:
        raise InvalidValueError(f"no fit: {error}", field="landmarks") from error
    return FittedMap(
        matrix=[float(number) for number in fit.matrix.ravel()],
        covariance=None if fit.covariance is None else fit.covariance.tolist(),
        degrees_of_freedom=fit.degrees_of_freedom if fit.covariance is not None and not stated else None,
        facts={"fit": _facts(fit, numbers, len(pairs))},
    )


def predict_errors(transform: Transform, points: npt.ArrayLike) -> npt.NDArray[np.float64] | None:
    """Return the error that a fitted map predicts for what it maps to points of the target frame.

    Parameters
    ----------
    transform : Transform
        With a matrix; of :func:`fit_pairs`, stored or not.
    points : array_like, (n, 3)
        (x, y, z) in the target frame, um.

    Returns
    -------
    ndarray, (n,), or None
        Longest half axis of each 95 % ellipsoid, um; None where the map has no covariance.
    """
    if transform.covariance is None:
        return None
    matrix = np.array(transform.matrix, np.float64).reshape(4, 4)
    degrees = transform.degrees_of_freedom or np.inf
    known = UncertainMap(matrix, np.array(transform.covariance), error="fit", degrees_of_freedom=degrees)
    found = propagate(apply(invert(matrix), points), [known])
    return expanded_error(found.covariances, found.degrees_of_freedom)


def factor_95(transform: Transform) -> float | None:
    """Return half axes of the 95 % ellipsoid over standard errors along them; None where there is no covariance."""
    if transform.covariance is None:
        return None
    dimensions = 2 if transform.facts["fit"]["planar"] else 3
    return float(coverage_factor(dimensions, transform.degrees_of_freedom or np.inf))


def _facts(fit: landmarks.Fit, numbers: Sequence[int], count: int) -> dict[str, Any]:
    left_out: list[float | None] = [None] * count
    for number, length in zip(numbers, fit.leave_one_out_um, strict=True):
        left_out[number] = float(length) if math.isfinite(length) else None
    return {
        "planar": fit.planar,
        "rms_um": fit.rms_um,
        "degrees_of_freedom": fit.degrees_of_freedom,
        "covariance_from": fit.covariance_from,
        "leave_one_out_um": left_out,
        "suspects": [numbers[index] for index in fit.suspects],
    }
