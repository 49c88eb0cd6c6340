"""Landmark pairs as they come from outside, checked, and what is said of them once a map is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from analyses.sdk.spatial import apply
from apps.core.clean import clean_number, clean_text
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.spatial.geometry import LIMIT_UM, clean_point
from apps.spatial.models import Frame, FrameExtent, Landmark

Floats = npt.NDArray[np.float64]
_MAX_LANDMARKS: Final = 10_000
_REASON_LENGTH: Final = 500
_KEYS: Final = frozenset({"source", "target", "u_um", "state", "reason"})
_DISAGREES: Final = 0.01
_EXACT_UM: Final = 1e-6


@dataclass(frozen=True)
class Pair:
    """A checked landmark: the same physical point in both frames, (x, y, z), um."""

    source: list[float]
    target: list[float]
    u_um: float | None
    state: str
    reason: str


def clean_pairs(landmarks: object) -> list[Pair]:
    """Return the pairs of a request; InvalidValueError names the pair and the part at fault."""
    if not isinstance(landmarks, Sequence) or isinstance(landmarks, str) or len(landmarks) > _MAX_LANDMARKS:
        raise InvalidValueError(f"must be a list of at most {_MAX_LANDMARKS} pairs", field="landmarks")
    return [_clean_pair(item, f"landmarks.{index}") for index, item in enumerate(landmarks)]


def _clean_pair(item: object, field: str) -> Pair:
    if not isinstance(item, Mapping):
        raise InvalidValueError("a landmark is an object {source, target, u_um, state, reason}", field=field)
    unknown = sorted(str(key) for key in item if key not in _KEYS)
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: {', '.join(sorted(_KEYS))}", field=field)
    state = item.get("state", Landmark.State.ACTIVE)
    if state not in Landmark.State.values:
        raise InvalidValueError(f"{shown(state)} is none of {', '.join(Landmark.State.values)}", field=f"{field}.state")
    rejected = state == Landmark.State.REJECTED
    u_um = item.get("u_um")
    return Pair(
        source=clean_point(item.get("source"), field=f"{field}.source"),
        target=clean_point(item.get("target"), field=f"{field}.target"),
        u_um=None if u_um is None else clean_number(u_um, field=f"{field}.u_um", above=0.0, limit=LIMIT_UM),
        state=str(state),
        reason=clean_text(
            item.get("reason", ""), field=f"{field}.reason", max_length=_REASON_LENGTH, required=rejected
        ),
    )


def check_within(pairs: Sequence[Pair], source: Frame, target: Frame) -> None:
    """Refuse a landmark that lies outside of an image by more than the image's size: a wrong unit, or a wrong frame."""
    for end, frame in (("source", source), ("target", target)):
        extent = FrameExtent.objects.filter(frame=frame).first()
        if extent is None or not pairs:
            continue
        low, high = (np.array([getattr(extent, f"{axis}_{side}") for axis in "xyz"]) for side in ("min", "max"))
        size = float((high - low).max())
        points = np.array([getattr(pair, end) for pair in pairs])
        outside = np.maximum(low - points, points - high).max(axis=1)
        if (outside > size).any():
            first = int(np.argmax(outside > size))
            raise InvalidValueError(
                f"{getattr(pairs[first], end)} lies {outside[first]:.6g} um outside of the image, whose "
                f"longest side is {size:.6g} um: are the unit (um) and the frame right?",
                field=f"landmarks.{first}.{end}",
            )


def lengths_um(matrix: Sequence[float], pairs: Sequence[Pair]) -> Floats:
    """Return the distance, um, of each pair's mapped source from its target; ``matrix`` has 16 numbers, row-major."""
    if not pairs:
        return np.empty(0)
    block = np.array(matrix, np.float64).reshape(4, 4)
    off = apply(block, [pair.source for pair in pairs]) - np.array([pair.target for pair in pairs])
    return np.asarray(np.linalg.norm(off, axis=1), np.float64)


def held_out_check(
    matrix: Sequence[float],
    covariance: Sequence[Sequence[float]] | None,
    pairs: Sequence[Pair],
    *,
    found_um: float | None = None,
    degrees_of_freedom: float | None = None,
) -> dict[str, Any] | None:
    """Compare held-out pairs with what the map predicts of them; None without such pairs.

    Parameters
    ----------
    matrix, covariance
        Of the map; 16 numbers, and 12 x 12 or None.
    pairs : sequence of Pair
    found_um : float, optional
        Standard error of a coordinate of a pair that states none, as the residuals of the fit tell it.
    degrees_of_freedom : float, optional
        Of the variance that the covariance, and ``found_um``, come from; None where errors were given.

    Returns
    -------
    dict
        ``count``, ``rms_um``, and, where the map and every pair have an error, ``p_value`` and ``agrees``: of all
        misses together (the map's error is shared by them), by chi-square, or by Hotelling's T^2 with the degrees of
        freedom.  A pair that claims to be exact is taken for exact to ``_EXACT_UM``.
    """
    held = [pair for pair in pairs if pair.state == Landmark.State.HELD_OUT]
    if not held:
        return None
    lengths = lengths_um(matrix, held)
    said: dict[str, Any] = {"count": len(held), "rms_um": float(np.sqrt(np.mean(lengths**2)))}
    errors = [found_um if pair.u_um is None else pair.u_um for pair in held]
    known = [error for error in errors if error is not None]
    if covariance is None or len(known) < len(held):
        return said
    said["p_value"] = _probability(np.array(matrix).reshape(4, 4), covariance, held, known, degrees_of_freedom)
    return said | {"agrees": said["p_value"] >= _DISAGREES}


def _probability(
    matrix: Floats,
    covariance: Sequence[Sequence[float]],
    held: Sequence[Pair],
    errors: Sequence[float],
    degrees_of_freedom: float | None,
) -> float:
    """Probability of misses as large, all together.

    Their covariance is that of the pairs, a diagonal, and the map's, of rank 12 at most; in the directions of the
    latter alone the two add, so that many pairs cost no more than reading them (Woodbury).
    """
    sources, targets = (np.array([getattr(pair, end) for pair in held]) for end in ("source", "target"))
    off = apply(matrix, sources) - targets
    axes = 3 if sources[:, 2].any() or off[:, 2].any() else 2  # in a plane z neither misses nor counts
    own = np.repeat(np.maximum(errors, _EXACT_UM), axes)
    values, vectors = np.linalg.eigh(np.array(covariance, np.float64))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).reshape(3, 4, 12)[:axes]
    gain = np.einsum("akp,nk->nap", root, np.column_stack([sources, np.ones(len(held))])).reshape(-1, 12)
    along, sizes, _ = np.linalg.svd(gain / own[:, None], full_matrices=False)
    misses = off[:, :axes].ravel() / own
    shared = along.T @ misses
    rest = misses - along @ shared
    squared = float(rest @ rest + np.sum(shared**2 / (1.0 + sizes**2)))
    count = len(misses)
    if degrees_of_freedom is None:
        return float(stats.chi2.sf(squared, count))
    return float(stats.f.sf(squared / count, count, degrees_of_freedom))
