"""What is read from a spectrum image: the spectrum of places, and maps of a window of channels.

Counts are exact: integers stay integers.  Samples are read in pieces of bounded size.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from analyses.sdk.omezarr import StoreArray, open_store, read_sum_spectrum
from apps.core import storage
from apps.core.errors import ConflictError, CorrError, TooLargeError
from apps.core.models import Store
from apps.imaging.chunks import StoreDamagedError
from apps.imaging.models import Image
from apps.imaging.spectra_query import SPECTRUM_PARAMS, Plane, Region, Window, signal_axes
from apps.imaging.thumbnails import stretch

logger = logging.getLogger(__name__)
Array = npt.NDArray[Any]
PIECE_BYTES = 64 << 20
MAX_BYTES = 1 << 30  # samples read for one answer
MAX_JSON_PLACES = 1 << 20
_VERSION = 1


def spectrum(image: Image, region: Region | None) -> dict[str, Any]:
    """The spectrum of places, summed.

    Parameters
    ----------
    region : Region or None
        None: all places, as summed at ingest.

    Returns
    -------
    dict
        ``signal`` (the axes), ``counts`` (along ``e``, C order where there are several axes), ``unit`` of a count,
        ``places`` summed, and ``x``, ``y``, ``z``, ``t``, ``width``, ``height`` of the region or None.

    Raises
    ------
    NoSpectrumError
        No spectrum image.
    TooLargeError
        The region holds more than is read for one answer.
    """
    signal_axes(image)
    sizes = dict(zip(image.axes, image.shape, strict=True))
    path = _path(image)
    with _Readable(image):
        if region is None:
            counts = read_sum_spectrum(path)
            places = math.prod(n for axis, n in sizes.items() if axis != "e")
            where: dict[str, Any] = dict.fromkeys(SPECTRUM_PARAMS)
        else:
            counts = _region_sum(open_store(path).level(0), region)
            width, height = region.x[1] - region.x[0], region.y[1] - region.y[0]
            places = width * height
            where = {"x": region.x[0], "y": region.y[0], "z": region.z, "t": region.t}
            where |= {"width": width, "height": height}
    return {"signal": image.signal, "counts": _plain(counts), "unit": "1", "places": places, **where}


def element_map(image: Image, window: Window, plane: Plane) -> Array:
    """Counts ``(y, x)`` in a window at each place of a plane.

    Returns
    -------
    ndarray
        Exact integers for integer samples; doubles for floats, and where a background is taken off.

    Raises
    ------
    TooLargeError
        The window holds more than is read for one answer.
    """
    path = _path(image)
    with _Readable(image):
        array = open_store(path).level(0)
        counts = _window_sum(array, (window.first, window.last), plane)
        if window.background is None:
            return counts
        means = [
            _window_sum(array, side, plane) / (side[1] - side[0] + 1)
            for side in (window.background.below, window.background.above)
        ]
    net: Array = counts - window.count * 0.5 * (means[0] + means[1])
    return net


def etag(image: Image, window: Window, plane: Plane, form: str) -> str:
    """Entity tag of a map: the samples' digest and everything that decides the answer."""
    told = json.dumps([_VERSION, image.store.digest, form, describe_map(image, window, plane)], sort_keys=True)
    return f'"{hashlib.sha256(told.encode()).hexdigest()}"'


def describe_map(image: Image, window: Window, plane: Plane) -> dict[str, Any]:
    """What a map is of: the channels summed, their centres and outer edges, how they were chosen, the background."""
    (axis,) = signal_axes(image)
    centres = [axis.offset + number * axis.step for number in (window.first, window.last)]
    background = window.background
    return {
        "image": str(image.pk),
        "axes": ["y", "x"],
        "z": plane.z,
        "t": plane.t,
        "unit": "1",
        "window": {
            "asked": dict(window.asked),
            "channels": [window.first, window.last],
            "centres": centres,
            "edges": [centres[0] - 0.5 * axis.step, centres[1] + 0.5 * axis.step],
            "unit": axis.unit,
        },
        "background": None
        if background is None
        else {"method": "sides", "channels": [list(background.below), list(background.above)]},
    }


def as_png(counts: Array) -> bytes:
    """Grey picture of a map, a pixel a place; half a percent at either end is black or white."""
    return bytes(imagecodecs.png_encode(stretch(counts[..., np.newaxis])[..., 0]))


def as_npy(counts: Array) -> bytes:
    """A map as a file of NumPy's format 1.0."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(counts), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def as_rows(counts: Array) -> list[Any]:
    """A map as nested lists, for JSON; NaN is null.

    Raises
    ------
    TooLargeError
        More places than JSON is a sensible form for.
    """
    if counts.size > MAX_JSON_PLACES:
        raise TooLargeError(f"the map has {counts.size} places; above {MAX_JSON_PLACES} ask for npy", field="format")
    return _plain(counts)


def _plain(counts: Array) -> list[Any]:
    if counts.dtype.kind == "f" and not np.isfinite(counts).all():
        missing = ~np.isfinite(counts)
        counts = counts.astype(object)
        counts[missing] = None
    found: list[Any] = counts.tolist()
    return found


class _Readable:
    """Names a store that cannot be read any more: the server's fault, told to the operator."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ValueError | OSError) and not isinstance(error, CorrError):
            logger.error("store %s: no spectrum can be read: %s", self._image.store.key, error)
            raise StoreDamagedError(f"image {self._image.pk} cannot be read; the operator was told") from error


def _path(image: Image) -> Path:
    if image.store.state != Store.State.READY:
        raise ConflictError(f"the bytes of image {image.pk} are not there; their record stays")
    return storage.path(image.store.key)


def _sum_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "f":
        return np.dtype("<f8")
    return np.dtype("<i8" if dtype.kind == "i" else "<u8")


def _check_bytes(samples: int, dtype: np.dtype[Any], instead: str) -> None:
    if samples * dtype.itemsize > MAX_BYTES:
        raise TooLargeError(f"{samples} samples would be read; at most {MAX_BYTES // dtype.itemsize} are: {instead}")


def _rows(begin: int, end: int, row_bytes: int, unit: int) -> Iterator[slice]:
    """Ranges of rows of bounded bytes, ending on borders of chunks where these are thinner."""
    step = max(1, PIECE_BYTES // max(1, row_bytes))
    step = step // unit * unit if step >= unit else step
    at = begin
    while at < end:
        stop = min(end, at + step - (at % unit if step >= unit else 0))
        yield slice(at, stop)
        at = stop


def _region_sum(array: StoreArray, region: Region) -> Array:
    channels = array.shape[-4]
    width = region.x[1] - region.x[0]
    _check_bytes(channels * width * (region.y[1] - region.y[0]), array.dtype, "ask for a smaller region")
    total = np.zeros(channels, _sum_type(array.dtype))
    lead = (region.t,) if len(array.shape) == 5 else ()
    for rows in _rows(*region.y, channels * width * array.dtype.itemsize, array.chunks[-2]):
        piece = array[(*lead, slice(None), region.z, rows, slice(*region.x))]
        total += piece.sum(axis=(1, 2), dtype=total.dtype)
    return total


def _window_sum(array: StoreArray, channels: tuple[int, int], plane: Plane) -> Array:
    height, width = array.shape[-2:]
    count = channels[1] - channels[0] + 1
    _check_bytes(count * height * width, array.dtype, "ask for a narrower window")
    total = np.empty((height, width), _sum_type(array.dtype))
    lead = (plane.t,) if len(array.shape) == 5 else ()
    for rows in _rows(0, height, count * width * array.dtype.itemsize, array.chunks[-2]):
        piece = array[(*lead, slice(channels[0], channels[1] + 1), plane.z, rows, slice(None))]
        np.sum(piece, axis=0, dtype=total.dtype, out=total[rows])
    return total
