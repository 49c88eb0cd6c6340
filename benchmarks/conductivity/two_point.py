"""The peers' discretisation under either of their boundary conditions: fluxes between the centres of voxels.

Written to tell what of a difference comes from the boundary and what from the discretisation; nothing is clever here.
Two voxels exchange ``2 k1 k2 / (k1 + k2)`` a unit of potential difference, in units of one voxel edge.  The potential
is held across one axis, in one of two places, and the sides are insulated::

    faces      on the two outer faces, half an edge from the first and last centres; as TauFactor does
    centres    in the first and last layer of voxels, so that the length is one edge less; as porespy does

With the faces held, the volume continued by its mirror images without end has the same potential: it is constant on
every mirror plane.  So that is this project's ``mirrored`` boundary, discretised otherwise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import linalg

Held = Literal["faces", "centres"]
Field = npt.NDArray[np.float64]
_RESIDUAL = 1e-7


def solve(local: Field, axis: int, held: Held) -> tuple[float, int]:
    """Effective conductivity along an axis, and the iterations.

    Parameters
    ----------
    local : array (z, y, x)
        Conductivity of every voxel; 0 does not conduct.
    axis : int
        Along which the potential falls from 1 to 0.
    held : {"faces", "centres"}
        Where it is held.
    """
    k = np.ascontiguousarray(np.moveaxis(np.asarray(local, np.float64), axis, 0))
    links = [_between(k, other) for other in range(3)]
    diagonal, right = np.zeros(k.shape), np.zeros(k.shape)
    for other, link in enumerate(links):
        diagonal[_part(other, 0, -1)] += link
        diagonal[_part(other, 1, None)] += link
    if held == "faces":
        diagonal[0] += 2.0 * k[0]
        diagonal[-1] += 2.0 * k[-1]
        right[0] = 2.0 * k[0]
    potential, iterations = _solve(links, diagonal, right, fixed=held == "centres")
    if held == "faces":
        flux, length = 2.0 * np.sum(k[0] * (1.0 - potential[0])), len(k)
    else:
        flux, length = np.sum(links[0][0] * (potential[0] - potential[1])), len(k) - 1
    return float(flux) * length / k[0].size, iterations


def _part(axis: int, start: int, stop: int | None) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if other == axis else slice(None) for other in range(3))


def _between(k: Field, axis: int) -> Field:
    one, two = k[_part(axis, 0, -1)], k[_part(axis, 1, None)]
    total = one + two
    return np.divide(2.0 * one * two, total, out=np.zeros(total.shape), where=total > 0)


def _solve(links: list[Field], diagonal: Field, right: Field, *, fixed: bool) -> tuple[Field, int]:
    """Conjugate gradients with the diagonal as preconditioner; ``fixed`` holds the first layer at 1, the last at 0."""
    shape, weights = diagonal.shape, [link.copy() for link in links]
    if fixed:
        right[1] += weights[0][0]
        for layer in (0, -1):
            weights[0][layer] = 0.0
            weights[1][layer] = weights[2][layer] = 0.0
            diagonal[layer] = 1.0
        right[0] = 1.0
    diagonal[diagonal == 0.0] = 1.0  # nothing conducts to it
    matrix = _matrix(weights, diagonal)
    count = 0

    def step(_: object) -> None:
        nonlocal count
        count += 1

    scale = sparse.diags(1.0 / diagonal.ravel())
    start = np.broadcast_to(np.linspace(1.0, 0.0, shape[0])[:, None, None], shape).ravel()
    found, info = linalg.cg(matrix, right.ravel(), x0=start, rtol=_RESIDUAL, maxiter=20_000, M=scale, callback=step)
    if info:
        raise RuntimeError(f"not converged after {count} iterations")
    return found.reshape(shape), count


def _matrix(weights: list[Field], diagonal: Field) -> sparse.dia_matrix:
    strides = [diagonal[0].size, diagonal.shape[2], 1]
    bands, offsets = [diagonal.ravel()], [0]
    for axis, (weight, stride) in enumerate(zip(weights, strides, strict=True)):
        full = np.zeros(diagonal.shape)
        full[_part(axis, 0, -1)] = -weight
        bands += [full.ravel(), np.roll(full.ravel(), stride)]
        offsets += [-stride, stride]
    return sparse.dia_matrix((bands, offsets), shape=(diagonal.size, diagonal.size))
