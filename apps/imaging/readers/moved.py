"""Arrays whose axes are moved, and stacks of arrays, read part by part."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.imaging.readers.base import Box

Array = npt.NDArray[Any]


class MovedArray(ABC):
    """Samples of any order of axes, given in the order of an image.

    Parameters
    ----------
    stored
        Shape as stored.
    order
        For each axis of the result the stored axes that make it up, flattened in C order; an empty group is an axis of
        length 1.  Each stored axis is in one group.
    dtype
        Type to give samples in.
    """

    def __init__(self, stored: Sequence[int], order: Sequence[tuple[int, ...]], dtype: np.dtype[Any]) -> None:
        self._stored, self._order, self._dtype = tuple(stored), tuple(order), dtype
        self._shape = tuple(math.prod(self._stored[axis] for axis in group) for group in order)

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are given in."""
        return self._dtype

    @abstractmethod
    def _part(self, key: tuple[slice, ...]) -> Array:
        """A part of the stored samples."""

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self._shape)
        if 0 in box.shape:
            return box.drop(np.empty(box.shape, self._dtype))
        stored, cuts = [slice(None)] * len(self._stored), []
        for group, (low, high) in zip(self._order, box.ranges, strict=True):
            # Of a flattened group whole rows are read, and cut to the part asked for.
            inner = math.prod(self._stored[axis] for axis in group[1:])
            first, last = low // inner, -(-high // inner)
            if group:
                stored[group[0]] = slice(first, last)
            cuts.append(slice(low - first * inner, high - first * inner))
        part = self._part(tuple(stored))
        moved = part.transpose([axis for group in self._order for axis in group])
        flat = moved.reshape([math.prod(part.shape[axis] for axis in group) for group in self._order])
        return box.drop(np.ascontiguousarray(flat[tuple(cuts)], dtype=self._dtype))


class Stack:
    """Arrays of one shape as the samples of a new axis, at ``axis`` of the result."""

    def __init__(self, parts: Sequence[Any], axis: int) -> None:
        self._parts, self._axis = tuple(parts), axis
        self._dtype = np.result_type(*(part.dtype for part in parts))
        shape = tuple(parts[0].shape)
        self._shape = (*shape[:axis], len(self._parts), *shape[axis:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are given in."""
        return self._dtype

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self._shape)
        low, high = box.ranges[self._axis]
        inner = tuple(slice(*bounds) for axis, bounds in enumerate(box.ranges) if axis != self._axis)
        result = np.empty(box.shape, self._dtype)
        for at in range(low, high):
            target = (slice(None),) * self._axis + (at - low,)
            result[target] = self._parts[at][inner]
        return box.drop(result)
