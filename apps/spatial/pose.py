"""How a piece lies in what it was taken from: from its pose, its landmarks or the cut, with the error of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.core.clean import clean_number
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.spatial.fitting import fit_pairs
from apps.spatial.geometry import LIMIT_UM, clean_covariance, clean_geometry, clean_matrix
from apps.spatial.models import Transform
from apps.spatial.pairs import Pair, clean_pairs
from apps.spatial.roi_geometry import middle

Floats = npt.NDArray[np.float64]

KEYS: Final = ("type", "coordinates", "pose", "pose_covariance", "u_um", "u_deg", "landmarks")
GIVEN: Final = "pose given with the cut geometry; no landmarks"
CUT_OUT: Final = "the piece's frame begins at the middle of the cut, with the axes of what it was taken from"
_WIDEST_DEG: Final = 180.0
_TURNS: Final = np.array(
    [
        [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]],
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    ]
)


@dataclass(frozen=True)
class Pose:
    """The map piece -> parent, 16 numbers, with what is known of its error."""

    matrix: list[float]
    covariance: list[list[float]] | None
    method: str
    no_residual_reason: str
    pairs: list[Pair] = field(default_factory=list)
    degrees_of_freedom: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def clean_event_geometry(value: object) -> dict[str, Any]:
    """Return the geometry of an event, checked; InvalidValueError names the part at fault."""
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"must be an object {{{', '.join(KEYS)}}}", field="geometry")
    unknown = sorted(str(key) for key in value if key not in KEYS)
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: {', '.join(sorted(KEYS))}", field="geometry")
    place: dict[str, Any] = {}
    if "type" in value or "coordinates" in value:
        place = clean_geometry({key: value[key] for key in ("type", "coordinates") if key in value})
    if value.get("pose") is not None:
        place["pose"] = clean_matrix(value["pose"], kind="rigid", field="geometry.pose")
    if value.get("landmarks") is not None:
        place["landmarks"] = [dict(item) for item in _pairs_as_given(value["landmarks"])]
    _clean_errors(value, place)
    if not place:
        raise InvalidValueError("give the cut (type, coordinates), the pose, or leave geometry out", field="geometry")
    return place


def _clean_errors(value: Mapping[str, Any], place: dict[str, Any]) -> None:
    """The standard errors of a pose: as a covariance, or of the shift along each axis and the turn about each."""
    errors = [name for name in ("u_um", "u_deg") if value.get(name) is not None]
    if value.get("pose_covariance") is not None:
        if "pose" not in place:
            raise InvalidValueError("a covariance belongs to a pose; give that too", field="geometry.pose_covariance")
        if errors:
            raise InvalidValueError(
                "the covariance says it already; give one of the two", field=f"geometry.{errors[0]}"
            )
        place["pose_covariance"] = clean_covariance(value["pose_covariance"], field="geometry.pose_covariance")
    limits = {"u_um": LIMIT_UM, "u_deg": _WIDEST_DEG}
    for name in errors:
        number = clean_number(value[name], field=f"geometry.{name}", limit=limits[name])
        if number < 0.0:
            raise InvalidValueError(
                f"{shown(value[name])} is no standard error: it is not negative", field=f"geometry.{name}"
            )
        place[name] = number
    if errors and "landmarks" in place and "pose" not in place:
        raise InvalidValueError(
            "landmarks are fitted, and state their own errors (u_um of each)", field=f"geometry.{errors[0]}"
        )
    if errors and not place.keys() & {"pose", "type"}:
        raise InvalidValueError("an error belongs to a pose or a cut; give that too", field=f"geometry.{errors[0]}")


def _pairs_as_given(value: object) -> list[Mapping[str, Any]]:
    _pairs(value)
    return value if isinstance(value, list) else []


def _pairs(value: object) -> list[Pair]:
    try:
        return clean_pairs(value)
    except InvalidValueError as error:
        raise InvalidValueError(error.message, field=f"geometry.{error.field}") from error


def pose_of(place: Mapping[str, Any], kind: str) -> Pose | None:
    """Return how a piece lies, from the checked geometry of the event that took it; None where nothing says so.

    A pose goes before landmarks, which then tell its residual; landmarks are fitted by a rigid map.  A lift-out of
    which the cut alone is known gives its piece the axes of what it was taken from, and the cut's middle as origin.

    Raises
    ------
    InvalidValueError
        Landmarks that do not determine a rigid map.
    """
    pairs = _pairs(place["landmarks"]) if "landmarks" in place else []
    if "pose" in place:
        given = place.get("pose_covariance")
        spread = given if given is not None else _spread(place, np.reshape(place["pose"], (4, 4)))
        return Pose(place["pose"], spread, Transform.Method.GEOMETRY, "" if pairs else GIVEN, pairs)
    if pairs:
        try:
            fit = fit_pairs("rigid", pairs)
        except InvalidValueError as error:
            raise InvalidValueError(error.message, field=f"geometry.{error.field}") from error
        return Pose(
            fit.matrix, fit.covariance, Transform.Method.LANDMARKS, "", pairs, fit.degrees_of_freedom, fit.facts
        )
    if kind == "lift_out" and "type" in place:
        matrix = np.eye(4)
        matrix[:3, 3] = middle(place)
        return Pose(matrix.ravel().tolist(), _spread(place, matrix), Transform.Method.GEOMETRY, CUT_OUT)
    return None


def _spread(place: Mapping[str, Any], matrix: Floats) -> list[list[float]] | None:
    """12 x 12 from the standard errors: of the shift, and of turns about the middle of the cut, or the piece's origin.

    A turn ``X`` about a point c of the parent moves ``R p + t`` by ``X (R p + t - c)``.  None where no error is stated;
    of two of which one is stated the other counts as exact.
    """
    if "u_um" not in place and "u_deg" not in place:
        return None
    pivot = middle(place) if "type" in place else matrix[:3, 3]
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = place.get("u_um", 0.0) ** 2
    for turn in _TURNS:
        gain = np.hstack([turn @ matrix[:3, :3], (turn @ (matrix[:3, 3] - pivot))[:, np.newaxis]]).ravel()
        covariance += np.radians(place.get("u_deg", 0.0)) ** 2 * np.outer(gain, gain)
    found: list[list[float]] = covariance.tolist()
    return found
