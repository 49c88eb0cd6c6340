"""Pairs of images with a known map between them, cut out of a real volume of fibres.

The moving image shows the volume through another contrast (inverted and not monotonic), turned, shifted and noisy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("CORR_SHARED_DATA", ROOT.parent / "shared" / "data")) / "microscopy"
CONCRETE = SHARED / "pair-concrete-xray-neutron"
FIBRES = ROOT / "fixtures" / "fibres" / "fibers_150x150x150.tif"


@dataclass(frozen=True)
class Pair:
    """``fixed`` and ``moving`` (z, y, x), spacings in um, and the true map moving -> fixed, 4 x 4, um."""

    fixed: np.ndarray
    moving: np.ndarray
    truth: np.ndarray
    spacing: float = 1.0
    moving_spacing: float = 1.0


def fibres() -> np.ndarray:
    return tifffile.imread(FIBRES).astype(np.float32)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """Rotation matrix of angles round x, then y, then z."""
    cx, cy, cz = np.cos(np.radians(degrees))
    sx, sy, sz = np.sin(np.radians(degrees))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x


def about(linear: np.ndarray, centre: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``x -> linear (x - centre) + centre + shift`` as 4 x 4."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre - linear @ centre + shift
    return matrix


def contrast(values: np.ndarray) -> np.ndarray:
    """Inverted, and not monotonic: a bright band where fibre meets matrix."""
    return 220.0 - 0.8 * values + 70.0 * np.exp(-(((values - 120.0) / 18.0) ** 2))


def sampled(volume: np.ndarray, to_volume: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The volume at ``to_volume @ index`` (4 x 4, in samples x, y, z) of a grid of ``shape`` (z, y, x)."""
    flip = to_volume[:3, :3][::-1, ::-1]
    return ndimage.affine_transform(
        volume, flip, offset=to_volume[:3, 3][::-1], output_shape=shape, order=3, mode="mirror", output=np.float32
    )


def pair(
    seed: int,
    *,
    edge: int = 100,
    degrees: float = 8.0,
    shift: float = 5.0,
    noise: float = 8.0,
    affine: bool = False,
    remap: bool = True,
    mirror: bool = False,
    volume: np.ndarray | None = None,
) -> Pair:
    """A pair of cubes out of the middle of the volume; angles up to ``degrees`` and shifts up to ``shift`` samples."""
    rng = np.random.default_rng(seed)
    volume = fibres() if volume is None else volume
    corner = (np.array(volume.shape[::-1]) - edge) // 2
    linear = rotation(rng.uniform(-degrees, degrees, 3))
    if affine:
        linear = linear @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3)))
    if mirror:
        linear = linear @ np.diag([-1.0, 1.0, 1.0])
    centre = np.full(3, (edge - 1) / 2)
    truth = about(linear, centre, rng.uniform(-shift, shift, 3))
    lift = np.eye(4)
    lift[:3, 3] = corner
    fixed = sampled(volume, lift, (edge,) * 3)
    moving = sampled(volume, lift @ truth, (edge,) * 3)
    if remap:
        moving = contrast(moving)
    fixed = fixed + rng.normal(0, noise, fixed.shape)
    moving = moving + rng.normal(0, noise, moving.shape)
    return Pair(fixed.astype(np.float32), moving.astype(np.float32), truth)


def errors(found: np.ndarray, pair: Pair, count: int = 1000) -> np.ndarray:
    """Distances (um) between true and found places of points of the moving image that lie in the fixed one."""
    rng = np.random.default_rng(1)
    size = (np.array(pair.moving.shape[::-1]) - 1) * pair.moving_spacing
    points = rng.uniform(0, 1, (count, 3)) * size
    true = points @ pair.truth[:3, :3].T + pair.truth[:3, 3]
    inside = ((true >= 0) & (true <= (np.array(pair.fixed.shape[::-1]) - 1) * pair.spacing)).all(axis=1)
    there = points @ found[:3, :3].T + found[:3, 3]
    return np.linalg.norm(there - true, axis=1)[inside]


def turned_concrete(folder: Path, rng: np.random.Generator, *, upside_down: bool = False) -> Pair:
    """X-rays (fixed) and neutrons (moving) of one concrete; the neutron image is turned first by up to 30 degrees.

    The axis lies within 10 degrees of z, the shift is up to 3 samples, and what the turn lays bare is air.  ``truth``
    leads from the turned to the given neutron image: that to the X-rays is not known.
    """
    fixed = tifffile.imread(folder / "concrete_x-ray-bin16.tif").astype(np.float32)
    given = tifffile.imread(folder / "concrete_neutron-bin16.tif").astype(np.float32)
    if upside_down:  # a mirror image: its outline fits, its inside does not
        given = np.ascontiguousarray(given[::-1])
    tilt, azimuth, angle = np.radians(rng.uniform([0, 0, -30], [10, 360, 30]))
    axis = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    turn = Rotation.from_rotvec(angle * axis).as_matrix()
    to_given = about(turn, (np.array(given.shape[::-1]) - 1) / 2, rng.uniform(-3, 3, 3))
    flip = to_given[:3, :3][::-1, ::-1]
    air = float(np.percentile(given, 1))
    moving = ndimage.affine_transform(given, flip, offset=to_given[:3, 3][::-1], order=3, cval=air, output=np.float32)
    return Pair(fixed, moving, to_given)
