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
    matrix: Sequence[float], covariance: Sequence[Sequence[float]] | None, pairs: Sequence[Pair]
) -> dict[str, Any] | None:
    """Compare held-out pairs with what the map predicts of them; None without such pairs.

    Returns
    -------
    dict
        ``count``, ``rms_um``, and, where a covariance is stated, ``p_value`` (chi-square of the misses under the
        predicted covariances and the pairs' own errors) and ``agrees``.  Misses of pairs are taken as independent,
        which they are not wholly: errors of the map are shared.  The check is lenient then, not strict.
    """
    held = [pair for pair in pairs if pair.state == Landmark.State.HELD_OUT]
    if not held:
        return None
    lengths = lengths_um(matrix, held)
    said: dict[str, Any] = {"count": len(held), "rms_um": float(np.sqrt(np.mean(lengths**2)))}
    if covariance is None:
        return said
    squares, degrees = _misses(np.array(matrix).reshape(4, 4), np.array(covariance), held)
    said["p_value"] = float(stats.chi2.sf(squares, degrees)) if degrees else 1.0
    return said | {"agrees": said["p_value"] >= _DISAGREES}


def _misses(matrix: Floats, covariance: Floats, held: Sequence[Pair]) -> tuple[float, int]:
    squares, degrees = 0.0, 0
    for pair in held:
        gain = np.kron(np.eye(3), np.append(pair.source, 1.0))
        spread = gain @ covariance @ gain.T + np.eye(3) * (pair.u_um or 0.0) ** 2
        off = apply(matrix, [pair.source])[0] - np.array(pair.target)
        variances, axes = np.linalg.eigh(spread)
        known = variances > 1e-12 * variances[-1]
        along = (axes.T @ off)[known]
        squares += float(np.sum(along**2 / variances[known]))
        degrees += int(known.sum())
    return squares, degrees
