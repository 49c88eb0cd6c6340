"""Half the resolution of a labelled volume."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt


def coarsen(phase: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Most frequent phase of each block of 2 voxels an axis; odd axes lose their last layer.

    Ties go in turn, in a checkered pattern of blocks, to the voxel first and to the voxel last in the block among those
    of the tied phases, so that no phase is favoured.
    """
    even = phase[tuple(slice(0, n - n % 2) for n in phase.shape)]
    corners = [
        even[tuple(slice(offset, None, 2) for offset in offsets)]
        for offsets in itertools.product((0, 1), repeat=phase.ndim)
    ]
    votes = np.zeros((len(corners), *corners[0].shape), np.uint8)
    for vote, corner in zip(votes, corners, strict=True):
        for other in corners:
            vote += corner == other
    first = np.argmax(votes, axis=0)
    last = len(corners) - 1 - np.argmax(votes[::-1], axis=0)
    parity = np.indices(first.shape, sparse=True)
    checkered = sum(parity[1:], parity[0]) % 2 == 0
    choice = np.where(checkered, first, last)
    return np.asarray(np.choose(choice, corners), np.uint8)
