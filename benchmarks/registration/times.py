"""Time series with a known drift, made from a real volume of fibres, and something in them that changes."""

from __future__ import annotations

import numpy as np

from benchmarks.registration.phantoms import about, fibres, rotation, sampled


def drifting(
    seed: int, *, count: int = 4, edge: int = 64, drift: float = 3.0, degrees: float = 0.5, planar: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Time points (z, y, x) with noise, and the true map of each to the first, 4 x 4, in samples.

    ``drift`` is the largest component of the first step; steps add up as a random walk does, turns in proportion.
    """
    rng, volume = np.random.default_rng(seed), fibres()
    shape = (1, edge, edge) if planar else (edge,) * 3
    lift = np.eye(4)
    lift[:3, 3] = (np.array(volume.shape[::-1]) - edge) // 2
    samples, maps = [], []
    for time in range(count):
        angles = rng.uniform(-degrees, degrees, 3) * time
        shift = rng.uniform(-drift, drift, 3) * np.sqrt(time)
        if planar:
            angles[:2], shift[2] = 0.0, 0.0
        middle = (np.array(shape[::-1]) - 1) / 2
        maps.append(about(rotation(angles), middle, shift))
        part = sampled(volume, lift @ maps[-1], shape) + rng.normal(0, 6, shape)
        samples.append(part.astype(np.float32))
    return samples, maps


def grown(samples: list[np.ndarray], *, reach: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Time points in whose middle something bright grows and wanders, and labels that are 1 where nothing changes.

    ``reach`` is the part of the edge that it may come to fill.
    """
    shape = samples[0].shape
    y, x = np.mgrid[0 : shape[1], 0 : shape[2]]
    middle, widest = (shape[2] - 1) / 2, reach * shape[2] / 2
    changed = []
    for time, part in enumerate(samples):
        radius = widest * (0.5 + 0.4 * time / max(1, len(samples) - 1))
        inside = (x - middle - 2.0 * time) ** 2 + (y - middle + 2.0 * time) ** 2 <= radius**2
        changed.append(np.where(inside, np.float32(400) + 3 * (x - 2.0 * time), part).astype(np.float32))
    mask = ((x - middle) ** 2 + (y - middle) ** 2 > (widest + 2) ** 2).astype(np.uint8)
    return changed, np.broadcast_to(mask, shape).copy()
