"""Planes through a store as PNG: right in shape, stretched in contrast for the eye, never for a measurement."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from analyses.sdk.omezarr import StoreReader, open_store

AXES = ("z", "y", "x")
MAX_EDGE = 1024
MAX_SAMPLE = 1e9
_LIMIT_SAMPLES = 1 << 22
BINS = 128
_MANY_LABELS = 1024
_STRETCH = (0.5, 99.5)  # percentiles that become black and white
# Okabe and Ito's palette, which most colour-blind readers tell apart; label 0, as a rule the background, is dark.
_PALETTE = np.array(
    [
        (0, 158, 115), (230, 159, 0), (86, 180, 233), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    ],
    np.uint8,
)  # fmt: skip
_BACKGROUND = np.array((24, 34, 42), np.uint8)


@dataclass(frozen=True)
class Plane:
    """Which plane is wanted: the axis it is normal to, its sample on the full-resolution level, channel and time.

    ``window``: the grey values that become black and white; the usual ones where it is None.  ``area``: first and end
    across, then first and end down, samples of the full-resolution level; the whole plane where it is None.
    """

    axis: str
    index: int
    channel: int = 0
    time: int = 0
    edge: int = MAX_EDGE
    window: tuple[float, float] | None = None
    area: tuple[float, float, float, float] | None = None


def plane_axes(axis: str) -> tuple[str, str]:
    """Return the axes that run down and across in a plane normal to ``axis``."""
    down, across = (name for name in AXES if name != axis)
    return down, across


def render(path: Path, plane: Plane, *, labels: bool) -> bytes:
    """Return a plane of a store as PNG.

    Parameters
    ----------
    path : Path
        Folder of an OME-Zarr store.
    plane : Plane
        ``index`` is limited to the samples there are.
    labels : bool
        Colour by value instead of grey.
    """
    reader = open_store(path)
    samples = _read(reader, plane)
    if labels:
        picture = Picture.fromarray(coloured(samples), "RGB")
    else:
        limits = plane.window or usual_window(path, plane.channel, plane.time)
        picture = Picture.fromarray(grey(samples, *limits), "L")
    if plane.area is not None:
        picture = _cut_out(reader, plane, plane.area, picture)
    picture.thumbnail((plane.edge, plane.edge))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


@lru_cache(maxsize=256)
def labels_in(path: Path) -> tuple[int, ...]:
    """Return the values on the coarsest level of a label store, ascending; a store never changes."""
    reader = open_store(path)
    return tuple(int(value) for value in np.unique(reader.level(len(reader.levels) - 1)[...])[:_MANY_LABELS])


@dataclass(frozen=True)
class Histogram:
    """Counts between equal steps from ``low`` to ``high``; ``black`` and ``white`` are the usual window."""

    low: float
    high: float
    counts: tuple[int, ...]
    black: float
    white: float


@lru_cache(maxsize=256)
def histogram(path: Path, channel: int, time: int) -> Histogram:
    """Return the grey values of the coarsest level, for the eye: how the samples lie, and the usual window."""
    samples = _coarse(path, channel, time)
    black, white = usual_window(path, channel, time)
    if samples.size == 0:
        return Histogram(0.0, 1.0, (0,) * BINS, black, white)
    low, high = float(samples.min()), float(samples.max())
    high = high if high > low else low + 1.0
    counts, _ = np.histogram(samples, BINS, (low, high))
    return Histogram(low, high, tuple(int(count) for count in counts), black, white)


def _read(reader: StoreReader, plane: Plane) -> npt.NDArray[Any]:
    number = _level_for(reader, plane)
    array = reader.level(number)
    full, here = dict(zip(reader.axes, reader.shape, strict=True)), dict(zip(reader.axes, array.shape, strict=True))
    fixed = {
        "t": min(plane.time, full.get("t", 1) - 1),
        "c": min(plane.channel, full.get("c", 1) - 1),
        plane.axis: _sample_at(plane.index, full.get(plane.axis, 1), here.get(plane.axis, 1)),
    }
    parts = _slices(plane, full, here)
    samples = array[tuple(fixed.get(name, parts.get(name, slice(None))) for name in reader.axes)]
    return np.atleast_2d(samples)


def _slices(plane: Plane, full: dict[str, int], here: dict[str, int]) -> dict[str, slice]:
    """Return the samples of a level that hold an area: whole samples, so that it may reach a little beyond."""
    if plane.area is None:
        return {}
    down, across = plane_axes(plane.axis)
    found = {}
    for name, (first, end) in ((across, plane.area[:2]), (down, plane.area[2:])):
        factor = _factor(full.get(name, 1), here.get(name, 1))
        last = here.get(name, 1)
        start = min(max(0, int(first // factor)), last - 1)
        found[name] = slice(start, max(start + 1, min(last, -int(-end // factor))))
    return found


def _cut_out(
    reader: StoreReader, plane: Plane, area: tuple[float, float, float, float], picture: Picture.Image
) -> Picture.Image:
    """Return the part of whole samples that is the area, to a fraction of a sample."""
    level = reader.levels[_level_for(reader, plane)]
    full, here = dict(zip(reader.axes, reader.shape, strict=True)), dict(zip(reader.axes, level.shape, strict=True))
    parts = _slices(plane, full, here)
    down, across = plane_axes(plane.axis)
    ends = []
    for name, (first, end) in ((across, area[:2]), (down, area[2:])):
        factor, begin = _factor(full.get(name, 1), here.get(name, 1)), parts[name].start
        limit = parts[name].stop - begin
        low = min(max(0.0, first / factor - begin), limit - 1e-3)
        ends.append((low, min(max(low + 1e-3, end / factor - begin), limit)))
    (left, right), (top, bottom) = ends
    width, height = right - left, bottom - top
    enlarged = plane.edge / max(width, height)
    size = (max(1, round(width * enlarged)), max(1, round(height * enlarged)))
    return picture.resize(size, Picture.Resampling.NEAREST, (left, top, right, bottom))


def _factor(full: int, here: int) -> int:
    """Return by how much a level is coarser than the full one; levels halve, rounding up."""
    factor = 1
    while -(-full // factor) > here:
        factor *= 2
    return factor


def _sample_at(index: int, full: int, here: int) -> int:
    """Return the sample of a coarser level that holds sample ``index`` of the full one; levels halve, rounding up."""
    return min(max(0, index) // _factor(full, here), here - 1)


def _level_for(reader: StoreReader, plane: Plane) -> int:
    """Return the coarsest level whose plane still has the pixels asked for."""
    wanted = min(plane.edge, max(_edges(reader, 0, plane)))
    fitting = [number for number in range(len(reader.levels)) if max(_edges(reader, number, plane)) >= wanted]
    return fitting[-1]


def _edges(reader: StoreReader, number: int, plane: Plane) -> list[int]:
    shape = dict(zip(reader.axes, reader.levels[number].shape, strict=True))
    down, across = plane_axes(plane.axis)
    if plane.area is None:
        return [shape.get(name, 1) for name in (down, across)]
    full = dict(zip(reader.axes, reader.shape, strict=True))
    spans = {across: plane.area[1] - plane.area[0], down: plane.area[3] - plane.area[2]}
    return [max(1, round(span / _factor(full.get(name, 1), shape.get(name, 1)))) for name, span in spans.items()]


@lru_cache(maxsize=256)
def usual_window(path: Path, channel: int, time: int) -> tuple[float, float]:
    """Return the grey values that become black and white, from the coarsest level; a store never changes."""
    finite = _coarse(path, channel, time)
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, _STRETCH)
    return float(low), float(high) if high > low else float(low) + 1.0


def _coarse(path: Path, channel: int, time: int) -> npt.NDArray[Any]:
    """Return the finite samples of the coarsest level, of its middle plane where that is large."""
    reader = open_store(path)
    array = reader.level(len(reader.levels) - 1)
    sizes = dict(zip(reader.axes, array.shape, strict=True))
    fixed: dict[str, Any] = {"t": min(time, sizes.get("t", 1) - 1), "c": min(channel, sizes.get("c", 1) - 1)}
    if int(np.prod([sizes.get(name, 1) for name in AXES])) > _LIMIT_SAMPLES:
        fixed["z"] = sizes.get("z", 1) // 2
    samples = array[tuple(fixed.get(name, slice(None)) for name in reader.axes)]
    return samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples.ravel()


def grey(samples: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return grey levels: ``low`` and below is black, ``high`` and above white, NaN black."""
    scaled = (samples.astype(np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)


def coloured(samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a colour (R, G, B) for each label; label 0 is dark."""
    values = samples.astype(np.int64)
    colours = _PALETTE[values % len(_PALETTE)]
    colours[values == 0] = _BACKGROUND
    return colours
