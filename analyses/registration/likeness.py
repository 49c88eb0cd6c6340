"""Whether small blocks fit best where an answer puts them, by normalised correlation.

For blocks of too few samples for a joint histogram of their own, as those of a slice at the resolution of its volume:
what a grey value means is learnt from the other half of the blocks, and each block is then correlated at every shift
within a few samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import fft

from analyses.registration.blocks import MARGIN, Block, Meaning
from analyses.registration.grids import Samples
from analyses.registration.verdict import Agreement

_NEAR = 1  # samples: a block may fit best this far off and still agree
_RANK = 0.05  # part of all other shifts that may fit better than the place itself


def agreement(blocks: Sequence[Block]) -> Agreement:
    """Ask every block whether it would fit better elsewhere within ``MARGIN`` samples.

    The meaning of grey values is learnt for each block from all the others, so that none is judged by itself.
    """
    ranks = [rank for rank in (_rank(block, meaning) for block, meaning in _meanings(blocks)) if rank is not None]
    return Agreement(len(ranks), sum(rank < _RANK for rank in ranks))


def _meanings(blocks: Sequence[Block]) -> list[tuple[Block, Meaning | None]]:
    """Two halves of the blocks, each read by what the other half says."""
    halves = [blocks[0::2], blocks[1::2]]
    learnt = [_learn(half) for half in halves]
    return [(block, learnt[1 - number]) for number, half in enumerate(halves) for block in half]


def _learn(blocks: Sequence[Block]) -> Meaning | None:
    if not blocks:
        return None
    ours = np.concatenate([b.fixed.samples[b.inner].ravel() for b in blocks])
    theirs = np.concatenate([b.mapped[b.inner].ravel() for b in blocks])
    valid = np.isfinite(theirs)
    forward, backward = Meaning.of(theirs[valid], ours[valid]), Meaning.of(ours[valid], theirs[valid])
    if forward is None or backward is None:
        return None
    return forward if forward.explained >= backward.explained else replace(backward, explained=-backward.explained)


def _rank(block: Block, meaning: Meaning | None) -> float | None:
    """Part of all shifts that fit better than the place where the block is; None where it cannot tell."""
    if meaning is None:
        return None
    forward = meaning.explained >= 0
    mask = np.isfinite(block.mapped[block.inner])
    if mask.mean() < 0.5:
        return None
    value = None
    # As they are and as they are read: which of them shows the likeness differs from place to place.
    for field, template in (
        (block.fixed.samples, block.mapped),
        (block.fixed.samples, meaning(block.mapped)) if forward else (meaning(block.fixed.samples), block.mapped),
    ):
        inside = template[block.inner]
        if inside[mask].std() > 0 and field.std() > 0:
            found = np.abs(_correlations(field, np.where(mask, inside, inside[mask].mean()), mask))
            value = found if value is None else np.maximum(value, found)
    if value is None:
        return None
    start = [cut.start for cut in block.inner]
    reach = [0 if n == 1 else MARGIN for n in block.fixed.samples.shape]
    low = [max(0, s - r) for s, r in zip(start, reach, strict=True)]
    value = value[tuple(slice(a, s + r + 1) for a, s, r in zip(low, start, reach, strict=True))]
    here = [s - a for s, a in zip(start, low, strict=True)]
    near = tuple(slice(max(0, h - _NEAR), h + _NEAR + 1) for h in here)
    best = float(value[near].max())
    return float((value > best).mean())


def _correlations(field: Samples, template: Samples, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Normalised correlation of a masked template at every place where it fits into the field."""
    shape = [fft.next_fast_len(a + b - 1, real=True) for a, b in zip(field.shape, template.shape, strict=True)]
    centred = np.where(mask, template - template[mask].mean(), 0.0)
    level = field.astype(np.float64) - field.mean()
    front, squares = fft.rfftn(level, shape), fft.rfftn(level**2, shape)
    weight = np.conj(fft.rfftn(mask.astype(np.float64), shape))
    product = fft.irfftn(front * np.conj(fft.rfftn(centred, shape)), shape)
    mean = fft.irfftn(front * weight, shape) / mask.sum()
    variance = fft.irfftn(squares * weight, shape) / mask.sum() - mean**2
    value = product / np.sqrt(np.maximum(variance, 1e-9 * level.var()) * mask.sum() * float((centred**2).sum()))
    return np.asarray(value[tuple(slice(0, a - b + 1) for a, b in zip(field.shape, template.shape, strict=True))])
