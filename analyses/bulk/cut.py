"""Labels as cuts through the grey values of an image: what becomes of them when every threshold moves by one step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.bulk.phases import Phases, compact
from analyses.sdk.contract import ExitCode, PluginError
from analyses.sdk.values import ImageValue
from analyses.sdk.volumes import Volume, slabs

CUT_EXIT_CODES = (
    ExitCode(116, "image_differs", "the image has {image} voxels along z, y, x, the labels have {labels}"),
)
_SAMPLES = 1 << 22
_RANGE = (0.005, 0.995)  # quantiles: hot pixels do not stretch the range of grey values
_STEPS = 256.0


class NotACutError(ValueError):
    """The labels do not follow from the image by thresholds; the message says why."""


@dataclass(frozen=True)
class Cut:
    """Thresholds through an image that give the labels.

    ``thresholds`` ascend; a voxel above i of them belongs to the phase of index ``order[i]``; ``shift`` is one step;
    ``source`` says where the thresholds stand.
    """

    volume: Volume
    thresholds: tuple[float, ...]
    order: npt.NDArray[np.uint8]
    shift: float
    source: str

    def block(self, start: int, stop: int, by: float) -> npt.NDArray[np.uint8]:
        """Phase indices of planes ``start`` to ``stop`` with every threshold moved up by ``by``."""
        grey = self.volume.read(start, stop)
        above = np.zeros(grey.shape, np.uint8)
        for threshold in self.thresholds:
            above += grey > threshold + by
        return np.asarray(self.order[above])

    def blocks(self, by: float) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
        """First plane, last plane + 1 and phase indices, slab by slab."""
        for start, stop in slabs(self.volume.shape, self.volume.dtype.itemsize):
            yield start, stop, self.block(start, stop, by)

    def phase(self, by: float) -> npt.NDArray[np.uint8]:
        """Phase indices (z, y, x) of the whole volume with every threshold moved up by ``by``."""
        out = np.empty(self.volume.shape, np.uint8)
        for start, stop, block in self.blocks(by):
            out[start:stop] = block
        return out

    def fractions(self, by: float, count: int) -> npt.NDArray[np.float64]:
        """Volume fractions (count,) of the phases with every threshold moved up by ``by``."""
        found = np.zeros(count, np.int64)
        for _, _, block in self.blocks(by):
            found += np.bincount(block.ravel(), minlength=count)
        return np.asarray(found / found.sum())

    def facts(self) -> dict[str, Any]:
        """What a reader must know of the cut."""
        return {"thresholds": list(self.thresholds), "threshold_shift": self.shift, "thresholds_from": self.source}


def check_grids(labels: ImageValue, image: ImageValue) -> None:
    """Refuse an image on another grid than the labels: PluginError ``image_differs``."""
    if Volume(image).shape != Volume(labels).shape:
        raise PluginError("image_differs", image=list(Volume(image).shape), labels=list(Volume(labels).shape))


def find_cut(labels: ImageValue, image: ImageValue, phases: Phases) -> Cut:
    """The thresholds through ``image`` that give ``labels``: those on record, else those the grey values show.

    A record is checked against the samples.  Without one, the grey values under every label must not overlap; the
    threshold is taken half-way between them, and one step is 1/256 of the range of grey values, at least one level.

    Raises
    ------
    NotACutError
        No thresholds through this image give these labels.
    """
    recorded = labels.facts.get("thresholds")
    if recorded:
        return _recorded(labels, image, phases, [float(value) for value in recorded])
    return _shown(labels, image, phases)


def _recorded(labels: ImageValue, image: ImageValue, phases: Phases, thresholds: Sequence[float]) -> Cut:
    time, channel = int(labels.facts.get("time", 0)), int(labels.facts.get("channel", 0))
    try:
        volume = Volume(image, time, channel)
    except IndexError as error:
        raise NotACutError(f"the labels were cut from channel {channel} at time {time}: {error}") from error
    index = {int(label): place for place, label in enumerate(phases.labels)}
    empty = [label for label in range(len(thresholds) + 1) if label not in index]
    if empty:
        raise NotACutError(f"no voxel has the labels {empty}, whose properties a moved threshold would need")
    order = np.array([index[label] for label in range(len(thresholds) + 1)], np.uint8)
    shift = float(labels.facts.get("threshold_shift") or _step(volume))
    cut = Cut(volume, tuple(thresholds), order, shift, "the record of the labels")
    given = Volume(labels)
    for start, stop, block in cut.blocks(0.0):
        stored = given.read(start, stop)
        if not np.array_equal(phases.labels[block], stored):
            raise NotACutError(
                f"the labels are not this image cut at {list(thresholds)}: it is another image, or they were changed"
            )
    return cut


def _shown(labels: ImageValue, image: ImageValue, phases: Phases) -> Cut:
    sizes = dict(zip(image.axes, image.shape, strict=True))
    several = [f"{sizes[axis]} {name}" for axis, name in (("c", "channels"), ("t", "times")) if sizes.get(axis, 1) > 1]
    if several:
        raise NotACutError(f"the image has {' and '.join(several)}, and the labels do not say which they were cut from")
    volume = Volume(image)
    low, high = _ranges(volume, Volume(labels), phases)
    ascending = np.argsort(low)
    for darker, brighter in itertools.pairwise(ascending):
        if not high[darker] < low[brighter]:
            raise NotACutError(
                f"the grey values under the labels {phases.labels[darker]} and {phases.labels[brighter]} overlap "
                f"({high[darker]:g} to {low[brighter]:g}): no threshold tells them apart"
            )
    middles = [float(high[a] + low[b]) / 2 for a, b in itertools.pairwise(ascending)]
    if not middles:
        raise NotACutError("there is one label only, and no record of a threshold")
    order = ascending.astype(np.uint8)
    return Cut(volume, tuple(middles), order, _step(volume), "the grey values under the labels")


def _ranges(volume: Volume, labels: Volume, phases: Phases) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smallest and largest grey value under every phase."""
    low, high = np.full(phases.labels.size, np.inf), np.full(phases.labels.size, -np.inf)
    for start, stop in slabs(volume.shape, volume.dtype.itemsize):
        grey, index = volume.read(start, stop), compact(labels.read(start, stop), phases)
        for place in range(phases.labels.size):
            under = grey[index == place]
            if under.size:
                low[place] = min(low[place], float(under.min()))
                high[place] = max(high[place], float(under.max()))
    return low, high


def _step(volume: Volume) -> float:
    """1/256 of the range of the middle 99% of the samples; at least one level of whole numbers."""
    stride = max(1, -(-int(np.prod(volume.shape)) // _SAMPLES))
    parts = [volume.read(start, stop).ravel()[::stride] for start, stop in slabs(volume.shape, volume.dtype.itemsize)]
    low, high = np.quantile(np.concatenate(parts), _RANGE)
    level = 1.0 if volume.dtype.kind in "iu" else 0.0
    return max(level, float(high - low) / _STEPS)
