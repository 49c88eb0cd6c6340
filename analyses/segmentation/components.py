"""Connected components of a phase, slab by slab, and their moments.

Components are labelled within a slab; components that touch across the face of two slabs are joined by union-find.
Counts, coordinate sums and boxes add up, so that no volume of labels is kept.  Objects are numbered by their first
voxel in raster order, which does not depend on the slabs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

import cc3d
import numpy as np
import numpy.typing as npt

Connectivity = Literal[6, 18, 26]
Labels = npt.NDArray[np.uint32]


@dataclass
class Moments:
    """Additive facts of objects, one row each: ``box`` holds first and last voxel along z, y, x (z0, z1, y0, y1, x0,
    x1).
    """

    count: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    coordinates: npt.NDArray[np.int64]
    box: npt.NDArray[np.int64]
    surface: npt.NDArray[np.float64]
    intensity: npt.NDArray[np.float64]

    def joined(self, target: npt.NDArray[np.int64], objects: int) -> Moments:
        """Rows added up into ``objects`` new rows; row i goes to ``target[i]``."""

        def add(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            out = np.zeros((objects, *values.shape[1:]), values.dtype)
            np.add.at(out, target, values)
            return out

        first = np.full(objects, np.iinfo(np.int64).max)
        np.minimum.at(first, target, self.first)
        box = np.tile(np.array([2**62, -1] * 3, np.int64), (objects, 1))
        np.minimum.at(box[:, 0::2], target, self.box[:, 0::2])
        np.maximum.at(box[:, 1::2], target, self.box[:, 1::2])
        return Moments(add(self.count), first, add(self.coordinates), box, add(self.surface), add(self.intensity))

    def chosen(self, rows: npt.NDArray[Any]) -> Moments:
        """Some rows, in the order given."""
        return Moments(
            self.count[rows],
            self.first[rows],
            self.coordinates[rows],
            self.box[rows],
            self.surface[rows],
            self.intensity[rows],
        )


@dataclass
class Components:
    """Collects slabs in order along z; ``finish`` gives the objects of the whole volume."""

    shape: tuple[int, int, int]
    connectivity: Connectivity
    _parts: list[Moments] = field(default_factory=list)
    _pairs: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _total: int = 0
    _face: npt.NDArray[np.int64] | None = None

    def label(self, mask: npt.NDArray[np.bool_]) -> tuple[Labels, int]:
        """Components within one slab (z, y, x): labels 1 .. n, 0 outside, and n."""
        labels, count = cc3d.connected_components(
            mask, connectivity=self.connectivity, return_N=True, out_dtype=np.uint32
        )
        return np.asarray(labels, np.uint32), int(count)

    def add(
        self, labels: Labels, count: int, start: int, surface: npt.NDArray[np.float64], image: npt.NDArray[Any] | None
    ) -> None:
        """Take in a slab that begins at plane ``start``: its labels, the surface of each, grey values if there are
        any.
        """
        self._parts.append(_moments(labels, count, start, self.shape, surface, image))
        numbered = np.where(labels > 0, labels.astype(np.int64) + self._total, 0)
        if self._face is not None:
            self._pairs.append(_touching(self._face, numbered[0], self.connectivity))
        self._face = numbered[-1]
        self._total += count

    def finish(self) -> Moments:
        """Objects of the whole volume in the order of their first voxel."""
        everything = Moments(
            *(
                np.concatenate([getattr(part, name) for part in self._parts])
                for name in ("count", "first", "coordinates", "box", "surface", "intensity")
            )
        )
        root = _union_find(self._total, self._pairs)
        _, target = np.unique(root, return_inverse=True)
        objects = int(target.max()) + 1 if target.size else 0
        merged = everything.joined(target, objects)
        return merged.chosen(np.argsort(merged.first, kind="stable"))


def _moments(
    labels: Labels,
    count: int,
    start: int,
    shape: tuple[int, int, int],
    surface: npt.NDArray[np.float64],
    image: npt.NDArray[Any] | None,
) -> Moments:
    flat = np.flatnonzero(labels)
    which = labels.ravel()[flat].astype(np.int64) - 1
    z, y, x = np.unravel_index(flat, labels.shape)
    z = z + start
    coordinates = np.zeros((count, 3), np.int64)
    for axis, values in enumerate((z, y, x)):
        # float64 sums of whole numbers are exact below 2^53
        coordinates[:, axis] = np.bincount(which, values, count).astype(np.int64)
    first = np.zeros(count, np.int64)
    # the last assignment of a repeated index wins, so that going backwards leaves the first voxel
    first[which[::-1]] = flat[::-1] + start * shape[1] * shape[2]
    box = np.asarray(cc3d.statistics(labels, no_slice_conversion=True)["bounding_boxes"], np.int64)[1 : count + 1]
    box[:, :2] += start
    intensity = np.full(count, np.nan)
    if image is not None:
        intensity = np.bincount(which, image.ravel()[flat].astype(np.float64), count).astype(np.float64)
    return Moments(np.bincount(which, minlength=count).astype(np.int64), first, coordinates, box, surface, intensity)


def _touching(
    below: npt.NDArray[np.int64], above: npt.NDArray[np.int64], connectivity: Connectivity
) -> npt.NDArray[np.int64]:
    """Pairs (n, 2) of labels that are neighbours across the face between two planes."""
    reach = {6: 0, 18: 1, 26: 2}[connectivity]
    pairs = []
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        if abs(dy) + abs(dx) > reach:
            continue
        a = below[max(0, -dy) : below.shape[0] - max(0, dy), max(0, -dx) : below.shape[1] - max(0, dx)]
        b = above[max(0, dy) : above.shape[0] - max(0, -dy), max(0, dx) : above.shape[1] - max(0, -dx)]
        both = (a > 0) & (b > 0)
        pairs.append(np.stack([a[both], b[both]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _union_find(total: int, pairs: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Smallest label of the set of every label 1 .. total."""
    parent = list(range(total + 1))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in itertools.chain.from_iterable(part.tolist() for part in pairs):
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    return np.array([find(node) for node in range(1, total + 1)], np.int64)
