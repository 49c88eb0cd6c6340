"""Predicted against found between two instruments: by how much, and whether the stated errors were true."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db.models import QuerySet
from scipy import stats

from apps.projects import access
from apps.provenance import selectors as ledger
from apps.spatial.models import Found, Roi, Targeting

Floats = npt.NDArray[np.float64]

_CONTRADICTED: Final = 0.01  # probability below which what was found contradicts the stated errors
_FEWEST: Final = 3  # found positions from which a spread is computed


@dataclass(frozen=True)
class Miss:
    """Found less predicted, um, in the stage frame.

    ``p_value`` is the probability of a miss as large, and ``covariance`` that of the offset, of prediction and reading
    together; both are None where no error was stated.
    """

    found: Found
    offset: Floats
    p_value: float | None
    dimensions: int
    covariance: Floats | None = None

    @property
    def distance_um(self) -> float:
        """Length of the offset."""
        return float(np.linalg.norm(self.offset))


@dataclass(frozen=True)
class History:
    """Of a pair of instruments: the one in whose image places were marked, and the one on whose stage they were found.

    Attributes
    ----------
    count : int
        Found positions with a prediction.
    mean_um : ndarray, (3,)
        Mean offset in the stage frame: what predictions miss by on the whole.
    rms_um : float
        Root mean square distance.
    covariance : ndarray, (3, 3), or None
        Of a further offset about the mean: the spread of the offsets with the error of their mean; None below three.
    p_value : float or None
        Probability of misses as large if all stated errors are true; None where none was stated.
    """

    source: uuid.UUID | None
    target: uuid.UUID
    count: int
    mean_um: Floats
    rms_um: float
    covariance: Floats | None
    p_value: float | None
    misses: list[Miss]

    @property
    def contradicts(self) -> bool:
        """True if the stated errors are contradicted by what was found."""
        return self.p_value is not None and self.p_value < _CONTRADICTED

    @property
    def correction(self) -> Floats:
        """The shift, 4 x 4, that a prediction in the stage frame needs on the whole: where the next search begins."""
        matrix = np.eye(4)
        matrix[:3, 3] = self.mean_um
        return matrix


def list_found(user: access.Caller) -> QuerySet[Found]:
    """Found positions of the regions the caller may see."""
    return access.visible(Found.objects.select_related("roi", "targeting").defer("roi__geometry"), user)


def history_between(source: uuid.UUID | None, target: uuid.UUID, rows: QuerySet[Found] | None = None) -> History | None:
    """Return what predictions from the images of one instrument to the stage of another came to.

    Parameters
    ----------
    source, target : UUID
        Instruments; a source of None are places marked where the instrument is not known.
    rows : queryset, optional
        The found positions to look at, such as ``list_found(user)`` or those of one project; all by default.

    Returns
    -------
    History or None
        None where nothing was found with a prediction that still stands; that with which the stage was driven counts,
        if it is known.  A later registration between the two starts from ``correction`` after the stage transform,
        within ``covariance``.
    """
    wanted = (Found.objects.all() if rows is None else rows).filter(source_instrument=source, instrument=target)
    found = list(wanted.select_related("targeting").order_by("created_at"))
    stale = ledger.is_stale([row.pk for row in found])
    misses = [counted_miss(row) for row in found if row.pk not in stale]
    return summarise(source, target, [miss for miss in misses if miss is not None])


def histories(rows: Iterable[Found]) -> list[History]:
    """Return the history of each pair of instruments among found positions, the richest first.

    A prediction that has gone stale tells of a transform that was withdrawn, not of the pair: it is left out.
    """
    pairs: dict[tuple[uuid.UUID | None, uuid.UUID], list[Miss]] = {}
    given = list(rows)
    stale = ledger.is_stale([row.pk for row in given])
    for row in given:
        miss = None if row.pk in stale else counted_miss(row)
        if miss is not None:
            pairs.setdefault((row.source_instrument_id, row.instrument_id), []).append(miss)
    found = [summarise(source, target, misses) for (source, target), misses in pairs.items()]
    return sorted((one for one in found if one is not None), key=lambda one: -one.count)


def miss_of(row: Found) -> Miss:
    """Return by how much the prediction of the time when it was found missed; the row has one."""
    return _miss(row, row)


def targeted_miss(row: Found) -> Miss | None:
    """Return by how much the prediction missed with which the region was sent there; None if it was not sent."""
    return None if row.targeting is None else _miss(row, row.targeting)


def counted_miss(row: Found) -> Miss | None:
    """Return the miss that a pair of instruments is judged by: of the prediction the stage was driven by, if known.

    What was learned after the region was sent there would make predictions look better than they were.
    """
    if row.targeting is not None:
        return targeted_miss(row)
    return None if row.predicted is None else miss_of(row)


def path_of(row: Found) -> list[str]:
    """Ids of the transforms of the prediction that counts."""
    steps = row.path if row.targeting is None else row.targeting.path
    return [str(step["transform"]) for step in steps]


def _miss(row: Found, prediction: Found | Targeting) -> Miss:
    offset = np.array(row.point, np.float64) - np.array(prediction.predicted, np.float64)
    if prediction.covariance is None:
        return Miss(row, offset, None, 0)
    covariance = np.array(prediction.covariance, np.float64) + (row.u_um or 0.0) ** 2 * np.eye(3)
    freedom = math.inf if prediction.degrees_of_freedom is None else float(prediction.degrees_of_freedom)
    return Miss(row, offset, *_probability(offset, covariance, freedom), covariance)


def _probability(offset: Floats, covariance: Floats, freedom: float) -> tuple[float, int]:
    """Chi-square, or Hotelling where the variance was estimated; a direction without variance counts if missed."""
    variances, axes = np.linalg.eigh(covariance)
    along = axes.T @ offset
    open_axes = variances > max(1e-12 * float(variances[-1]), 1e-18)
    if (np.abs(along[~open_axes]) > 1e-6).any():
        return 0.0, 3
    count = int(open_axes.sum())
    if count == 0:
        return 1.0, 0
    squared = float(np.sum(along[open_axes] ** 2 / variances[open_axes]))
    if math.isfinite(freedom):
        return float(stats.f.sf(squared / count, count, freedom)), count
    return float(stats.chi2.sf(squared, count)), count


def summarise(source: uuid.UUID | None, target: uuid.UUID, misses: Sequence[Miss]) -> History | None:
    """Return count, mean, spread and verdict of misses; None without any.

    The verdict adds the misses' squared lengths, each taken back from its own probability, and compares their sum with
    chi-square: it takes the misses for independent, which regions found along one transform are not.
    """
    if not misses:
        return None
    offsets = np.array([miss.offset for miss in misses])
    count = len(misses)
    spread = np.cov(offsets, rowvar=False) * (1.0 + 1.0 / count) if count >= _FEWEST else None
    return History(
        source=source,
        target=target,
        count=count,
        mean_um=offsets.mean(axis=0),
        rms_um=float(np.sqrt((offsets**2).sum(axis=1).mean())),
        covariance=spread,
        p_value=_together(misses),
        misses=list(misses),
    )


def _together(misses: Sequence[Miss]) -> float | None:
    stated = [miss for miss in misses if miss.p_value is not None and miss.dimensions]
    if not stated:
        return None
    squared = sum(float(stats.chi2.isf(miss.p_value, miss.dimensions)) for miss in stated)
    return float(stats.chi2.sf(squared, sum(miss.dimensions for miss in stated)))


def found_of(roi: Roi) -> QuerySet[Found]:
    """Found positions of one region, the newest first."""
    return roi.found.select_related("targeting")
