"""Cuts through a store on a grid of pixels, along any plane: for the eye, each pixel at its place.

A cut is asked for by where the centre of its first pixel lies and how far it is from one pixel to the next, so that
two images can be drawn on one grid through the map between them.  What lies outside of the samples is transparent.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from scipy.ndimage import map_coordinates

from analyses.sdk.omezarr import StoreReader, open_store
from apps.core.errors import InvalidValueError
from apps.web.present.slices import coloured, grey, usual_window

Floats = npt.NDArray[np.float64]
Triple = tuple[float, float, float]
MAX_PIXELS: Final = 1 << 21
_AXES: Final = ("z", "y", "x")
# Samples read at a time, 16 MB of 16-bit ones: the box around an oblique cut through a volume is large, those around
# its parts are not.
_MOST_SAMPLES: Final = 1 << 23
_MOST_PARTS: Final = 512  # looked at for one picture: pixels far apart in a large image would ask for one read each


class CutTooWideError(InvalidValueError):
    """The pixels lie so far apart that the picture would take a read for nearly each of them."""

    code = "cut_too_wide"


@dataclass(frozen=True)
class Cut:
    """A grid of pixels in the index space of level 0, where the centre of a sample is a whole number.

    Attributes
    ----------
    origin : tuple of float
        (x, y, z) of the centre of the first pixel.
    right, down : tuple of float
        (x, y, z) from a pixel to the next one in its row, in its column.
    columns, rows : int
        Pixels; at most ``MAX_PIXELS`` together.
    channel, time : int
    window : tuple of float, optional
        Grey values that become black and white; the usual ones where it is None.
    """

    origin: Triple
    right: Triple
    down: Triple
    columns: int
    rows: int
    channel: int = 0
    time: int = 0
    window: tuple[float, float] | None = None


def render_cut(path: Path, cut: Cut, *, labels: bool) -> bytes:
    """Return a cut as PNG with transparency: grey, or coloured by value where the samples are labels."""
    values, inside = sample_cut(open_store(path), cut, nearest=labels)
    if labels:
        shown = np.dstack([coloured(values), np.where(inside, 255, 0).astype(np.uint8)])
        picture = Picture.fromarray(shown, "RGBA")
    else:
        limits = cut.window or usual_window(path, cut.channel, cut.time)
        shown = np.dstack([grey(values, *limits), np.where(inside, 255, 0).astype(np.uint8)])
        picture = Picture.fromarray(shown, "LA")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def sample_cut(reader: StoreReader, cut: Cut, *, nearest: bool = False) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the values at the pixels' centres and which of them lie within the samples, both (rows, columns).

    The level is the coarsest whose samples are no larger than a pixel.  Where a pixel is smaller than a sample of the
    finest level, it shows the sample it lies in; otherwise the value is interpolated linearly.

    Parameters
    ----------
    reader : StoreReader
    cut : Cut
    nearest : bool
        Never interpolate: between two labels there is no third.
    """
    sizes = dict(zip(reader.axes, reader.shape, strict=True))
    number = _level_for(reader, cut)
    array = reader.level(number)
    factors = _factors(reader, number)
    steps = np.array([cut.right, cut.down], np.float64)
    nearest = nearest or (number == 0 and float(np.linalg.norm(steps, axis=1).max()) < 1.0)
    values, inside = np.zeros((cut.rows, cut.columns)), np.zeros((cut.rows, cut.columns), bool)
    full = np.array([sizes.get(axis, 1) for axis in _AXES], np.float64)
    here = np.array([dict(zip(reader.axes, array.shape, strict=True)).get(axis, 1) for axis in _AXES])
    fixed = {"t": min(cut.time, sizes.get("t", 1) - 1), "c": min(cut.channel, sizes.get("c", 1) - 1)}
    for part in _parts(cut, factors, here):
        places = _places(cut, part)
        within = np.all((places >= -0.5) & (places < full[:, None, None] - 0.5), axis=0)
        if within.any():
            found = (places - (factors[:, None, None] - 1) / 2) / factors[:, None, None]
            values[part] = _read(array, reader.axes, fixed, found, within, here, nearest=nearest)
            inside[part] = within
    return np.where(inside, values, 0.0), inside


def _factors(reader: StoreReader, number: int) -> npt.NDArray[np.int64]:
    """Samples of level 0 along (z, y, x) that one of a level covers; levels halve, rounding up."""
    full, here = (dict(zip(reader.axes, reader.levels[level].shape, strict=True)) for level in (0, number))
    found = []
    for axis in _AXES:
        factor = 1
        while -(-full.get(axis, 1) // factor) > here.get(axis, 1):
            factor *= 2
        found.append(factor)
    return np.array(found)


def _level_for(reader: StoreReader, cut: Cut) -> int:
    """Return the coarsest level on which no step from pixel to pixel is shorter than a sample."""
    steps = np.abs(np.array([cut.right, cut.down])[:, ::-1])
    coarser = range(len(reader.levels) - 1, 0, -1)
    return next((n for n in coarser if np.linalg.norm(steps / _factors(reader, n), axis=1).min() >= 1.0), 0)


def _places(cut: Cut, part: tuple[slice, slice]) -> Floats:
    """Return the indices (z, y, x) of pixels in level 0, (3, rows, columns)."""
    rows, columns = (np.arange(piece.start, piece.stop, dtype=np.float64) for piece in part)
    origin, right, down = (np.array(vector[::-1], np.float64) for vector in (cut.origin, cut.right, cut.down))
    along = origin[:, None, None] + right[:, None, None] * columns + down[:, None, None] * rows[:, None]
    return np.asarray(along, np.float64)


def _corners(cut: Cut, rows: slice, columns: slice) -> Floats:
    """Return the indices (z, y, x) in level 0 of the four corner pixels of a part, (3, 4)."""
    origin, right, down = (np.array(vector[::-1], np.float64) for vector in (cut.origin, cut.right, cut.down))
    ends = [(row, column) for row in (rows.start, rows.stop - 1) for column in (columns.start, columns.stop - 1)]
    return np.stack([origin + right * column + down * row for row, column in ends], axis=1)


def _parts(cut: Cut, factors: npt.NDArray[np.int64], here: npt.NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Cut the grid into parts around each of which the box of samples is bounded; those outside are left out."""
    waiting = [(slice(0, cut.rows), slice(0, cut.columns))]
    seen = 0
    while waiting:
        rows, columns = waiting.pop()
        corners = _corners(cut, rows, columns) / factors[:, None]
        if (corners.max(axis=1) < -1).any() or (corners.min(axis=1) > here).any():
            continue
        seen += 1
        if seen > _MOST_PARTS:
            raise CutTooWideError("the pixels lie too far apart for one picture of this image", field="right")
        spans = np.minimum(np.ptp(corners, axis=1) + 2, here)
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        if np.prod(spans) <= _MOST_SAMPLES or tall * wide == 1:
            yield rows, columns
        elif tall >= wide:
            middle = rows.start + tall // 2
            waiting += [(slice(rows.start, middle), columns), (slice(middle, rows.stop), columns)]
        else:
            middle = columns.start + wide // 2
            waiting += [(rows, slice(columns.start, middle)), (rows, slice(middle, columns.stop))]


def _read(
    array: Any,
    axes: tuple[str, ...],
    fixed: Mapping[str, int],
    places: Floats,
    within: npt.NDArray[np.bool_],
    here: npt.NDArray[np.int64],
    *,
    nearest: bool,
) -> Floats:
    """Return the values at places (3, rows, columns) of a level; what lies outside is not looked at."""
    wanted = places[:, within]
    low = np.clip(np.floor(wanted.min(axis=1)).astype(np.int64), 0, here - 1)
    high = np.clip(np.ceil(wanted.max(axis=1)).astype(np.int64) + 1, low + 1, here)
    box = {axis: slice(int(first), int(end)) for axis, first, end in zip(_AXES, low, high, strict=True)}
    block = array[tuple(fixed[axis] if axis in fixed else box[axis] for axis in axes)]
    block = block.reshape(
        [end - first if axis in axes else 1 for axis, first, end in zip(_AXES, low, high, strict=True)]
    )
    values = np.zeros(within.shape)
    if nearest:
        index = np.clip(np.floor(wanted + 0.5).astype(np.int64), low[:, None], high[:, None] - 1) - low[:, None]
        values[within] = block[tuple(index)]
    else:
        values[within] = map_coordinates(
            block.astype(np.float64, copy=False), wanted - low[:, None], order=1, mode="nearest"
        )
    return values
