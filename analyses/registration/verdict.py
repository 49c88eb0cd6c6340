"""Whether an answer is believed: by blocks that are asked one by one, and by what else they would believe.

A registration always ends somewhere.  If the images show one thing, most blocks fit best where the answer puts them,
whatever else is tried within a few samples; if they do not, blocks fit best anywhere.

Each block is judged by the mutual information of its own grey values (Wells, Viola, Atsumi, Nakajima & Kikinis, Medical
Image Analysis 1 (1996) 35), so that what a value means is learnt anew in every block and at every shift: a rim that is
bright in one image and dark in the other, or has another width, is read as what it is where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyses.registration.blocks import MARGIN, Block
from analyses.registration.grids import Samples

_STEP = {2: 1, 3: 2}  # samples between the shifts that are tried, by dimensions
_RANK = 0.05  # part of the shifts that may fit better than the place itself
_BINS = 10  # of each image's grey values in a block, equally filled
_SAMPLES = 6000  # of a block that are looked at
_TELLING = 2.0  # times what chance gives: a block whose best place has less shows nothing that both images have
_FEWEST_BLOCKS = 4

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How many blocks were asked, and how many fit best where they are."""

    blocks: int
    agreeing: int

    @property
    def fraction(self) -> float:
        """Part of the blocks that agree; about ``_RANK`` times the freedom of the search for unrelated images."""
        return self.agreeing / self.blocks if self.blocks else 0.0

    @property
    def enough(self) -> bool:
        """There are blocks to ask."""
        return self.blocks >= _FEWEST_BLOCKS


def agreement(blocks: Sequence[Block]) -> Agreement:
    """Ask every block whether it would fit better elsewhere within ``MARGIN`` samples."""
    ranks = [rank for rank in map(_rank, blocks) if rank is not None]
    return Agreement(len(ranks), sum(rank < _RANK for rank in ranks))


def _rank(block: Block) -> float | None:
    """Part of all shifts that fit better than the place where the block is; None where it cannot tell."""
    template = block.mapped[block.inner]
    known = np.flatnonzero(np.isfinite(template))
    if known.size < 0.5 * template.size:
        return None
    some = known[:: max(1, known.size // _SAMPLES)]
    theirs = _binned(template.ravel()[some], template.ravel()[known])
    ours = _binned(block.fixed.samples.ravel(), block.fixed.samples)
    if theirs.max() == 0 or ours.max() == 0:
        return None
    places = np.ravel_multi_index(
        [index + cut.start for index, cut in zip(np.unravel_index(some, template.shape), block.inner, strict=True)],
        block.fixed.samples.shape,
    )
    here = _information(ours[places], theirs)
    away = np.array([_information(ours[places + shift], theirs) for shift in _shifts(block)])
    if away.size == 0 or max(here, away.max()) < _TELLING * _by_chance(ours, theirs):
        return None
    return float((away > here).mean())


def _binned(values: Samples, like: Samples) -> Indices:
    """Bins that the values of ``like`` fill equally; as few as there are values to tell apart."""
    edges = np.unique(np.quantile(like, np.arange(1, _BINS) / _BINS))
    return np.searchsorted(edges, values, side="right")


def _shifts(block: Block) -> list[int]:
    """All shifts within reach but none at all, as distances in the flattened block with its margin."""
    shape = block.fixed.samples.shape
    step = _STEP[block.fixed.dimensions]
    reaches = []
    for size, cut in zip(shape, block.inner, strict=True):
        low, high = min(cut.start, MARGIN), min(size - cut.stop, MARGIN)
        reaches.append(np.arange(-(low // step) * step, high + 1, step) if size > 1 else np.zeros(1, np.int64))
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    flat = np.stack(np.meshgrid(*reaches, indexing="ij"), -1).reshape(-1, 3) @ strides
    return [int(shift) for shift in flat if shift != 0]


def _by_chance(ours: Indices, theirs: Indices) -> float:
    """Mutual information to expect of bins that have nothing to do with each other, nats."""
    return float(ours.max() * theirs.max()) / (2.0 * theirs.size)


def _information(ours: Indices, theirs: Indices) -> float:
    """Mutual information of two sets of bins, nats."""
    counts = np.bincount(ours * _BINS + theirs, minlength=_BINS * _BINS).reshape(_BINS, _BINS) / ours.size
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    filled = counts > 0
    return float(np.sum(counts[filled] * np.log(counts[filled] / expected[filled])))
