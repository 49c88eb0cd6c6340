"""One step of a resolution pyramid: blocks of two samples along each halved axis become one sample.

Intensity takes the mean of the block, labels its mode.  A block at an odd end averages the samples that exist;
repeating the last sample gives the same result, because every sample of the block is then counted equally often.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Method = Literal["mean", "mode"]

SUPPORTED_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
_STRIP_BYTES = 1 << 20
# Eight samples of this many bytes sum exactly in the accumulator; 64-bit integers are halved pairwise instead (below).
_ACCUMULATOR = {1: "u2", 2: "u4", 4: "u8"}


def check_dtype(dtype: Any) -> np.dtype[Any]:
    """The little-endian form of a sample type that a store can hold.

    Raises
    ------
    ValueError
        For bool, complex, half-precision, structured and text types.
    """
    found: np.dtype[Any] = np.dtype(dtype)
    if found.name not in SUPPORTED_DTYPES:
        raise ValueError(f"dtype is {found.name}; a store holds one of {', '.join(SUPPORTED_DTYPES)}")
    return found.newbyteorder("<")


def halved_shape(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Shape of the next level: ``ceil(n / f)`` along each axis."""
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def reduce_block(source: Array, factors: Sequence[int], method: Method, out: Array | None = None) -> Array:
    """Reduce an array by ``factors`` (1 or 2 an axis).

    Parameters
    ----------
    source
        Samples, axes in any order.
    factors
        1 or 2 for each axis of ``source``.
    method
        ``mean``: integers are the exact mean of the block rounded half up (towards plus infinity); floats are the mean
        taken in double precision, NaN if any sample of the block is.  ``mode``: the most frequent sample, of equally
        frequent ones the smallest.
    out
        Written to if given; shape ``halved_shape(source.shape, factors)``, dtype of ``source``.
    """
    if any(f not in (1, 2) for f in factors):
        raise ValueError(f"factors are {tuple(factors)}; each must be 1 or 2")
    result = np.empty(halved_shape(source.shape, factors), source.dtype) if out is None else out
    if all(f == 1 for f in factors):
        result[...] = source
    elif method == "mode":
        result[...] = _mode(_corners(source, factors))
    elif source.dtype.kind == "f":
        _float_mean(source, factors, result)
    elif source.dtype.itemsize == 8:
        _wide_mean(_corners(source, factors), result)
    else:
        _integer_mean(source, factors, result)
    return result


def reduce_strips(source: Array, factors: Sequence[int], method: Method, out: Array) -> None:
    """``reduce_block`` into ``out`` in pieces that fit the processor's cache: faster, and no large temporaries.

    ``source`` and ``out`` have axes ``(..., z, y, x)``; the last axis is never cut.
    """
    row = max(1, source.shape[-1] * source.dtype.itemsize)
    for lead in np.ndindex(source.shape[:-3]):
        volume, target = source[lead], out[lead]
        rows = max(2, _STRIP_BYTES // (row * factors[-3]) // 2 * 2)
        for z, y in product(range(target.shape[0]), range(0, volume.shape[1], rows)):
            piece = volume[z * factors[-3] : (z + 1) * factors[-3], y : y + rows]
            low, step = y // factors[-2], factors[-2]
            reduce_block(piece, factors[-3:], method, target[z : z + 1, low : low + -(-piece.shape[1] // step)])


def _pairs(array: Array, axis: int) -> tuple[Array, Array]:
    """First and second samples of each block along ``axis``; at an odd end the last sample stands for both."""
    before = (slice(None),) * axis
    first = array[(*before, slice(0, None, 2))]
    second = array[(*before, slice(1, None, 2))]
    if array.shape[axis] % 2:
        second = np.concatenate([second, array[(*before, slice(-1, None))]], axis=axis)
    return first, second


def _corners(source: Array, factors: Sequence[int]) -> list[Array]:
    """The 2**n arrays that hold sample 0, 1, ... of each block."""
    pad = [(0, n % f) for n, f in zip(source.shape, factors, strict=True)]
    even = np.pad(source, pad, mode="edge") if any(after for _, after in pad) else source
    offsets = product(*(range(f) for f in factors))
    return [even[tuple(slice(o, None, f) for o, f in zip(at, factors, strict=True))] for at in offsets]


def _summed(source: Array, factors: Sequence[int], dtype: Any) -> Array:
    """Sum of each block in ``dtype``; outer axes first, so that most additions run along contiguous rows."""
    total: Array = source
    for axis, factor in enumerate(factors):
        if factor == 2:
            first, second = _pairs(total, axis)
            total = np.add(first, second, dtype=dtype)
    return total


def _integer_mean(source: Array, factors: Sequence[int], out: Array) -> None:
    bits = sum(f == 2 for f in factors)
    accumulator = _ACCUMULATOR[source.dtype.itemsize]
    if source.dtype.kind == "i":
        accumulator = accumulator.replace("u", "i")
    total = _summed(source, factors, np.dtype(accumulator))
    # An arithmetic shift floors, so adding half of the divisor rounds half towards plus infinity, for negatives too.
    total += 1 << (bits - 1)
    total >>= bits
    np.copyto(out, total, casting="unsafe")


def _wide_mean(corners: list[Array], out: Array) -> None:
    """Mean of 64-bit integers without overflow: quotients and remainders of the block size are summed apart."""
    bits = len(corners).bit_length() - 1
    mask = len(corners) - 1
    quotient = sum((c >> bits for c in corners[1:]), corners[0] >> bits)
    remainder = sum((c & mask for c in corners[1:]), corners[0] & mask)
    out[...] = quotient + ((remainder + (len(corners) >> 1)) >> bits)


def _float_mean(source: Array, factors: Sequence[int], out: Array) -> None:
    total = _summed(source, factors, np.dtype("f8"))
    total *= 0.5 ** sum(f == 2 for f in factors)
    np.copyto(out, total, casting="same_kind")


def _mode(samples: list[Array]) -> Array:
    """Most frequent of the samples at each place, the smallest of equally frequent ones.

    Label images are flat almost everywhere: only the blocks that hold more than one label are counted.
    """
    lowest, highest = samples[0].copy(), samples[0].copy()
    for sample in samples[1:]:
        np.minimum(lowest, sample, out=lowest)
        np.maximum(highest, sample, out=highest)
    mixed = lowest != highest
    if mixed.any():
        lowest[mixed] = _count_mode([sample[mixed] for sample in samples])
    return lowest


def _count_mode(samples: list[Array]) -> Array:
    counts = [np.ones(samples[0].shape, np.uint8) for _ in samples]
    for i, j in combinations(range(len(samples)), 2):
        same = samples[i] == samples[j]
        counts[i] += same
        counts[j] += same
    best, best_count = samples[0].copy(), counts[0]
    for sample, count in zip(samples[1:], counts[1:], strict=True):
        better = (count > best_count) | ((count == best_count) & (sample < best))
        np.copyto(best, sample, where=better)
        np.maximum(best_count, count, out=best_count)
    return best
