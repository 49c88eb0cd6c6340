"""Fine slices cut obliquely out of real volumes, and the coarse volumes that they are to be placed in.

The volume is a real one with its voxels averaged two by two by two.  The slice is cut out of the real one itself, by
cubic interpolation, with samples an eighth of a coarse voxel wide and no thickness: it holds detail that the coarse
volume does not, as a section looked at in another instrument does.  Its contrast is another, and both have noise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from scipy.spatial.transform import Rotation

from analyses.sdk.testing import image_value
from analyses.sdk.values import ImageValue, TransformValue
from benchmarks.registration.phantoms import ROOT, about, contrast, fibres, rotation

BINNED = 2
FINE = 8  # samples of the slice in a coarse voxel
SHARED = Path(os.environ.get("CORR_SHARED_DATA", ROOT.parent / "shared" / "data")) / "microscopy"
OTHERS = ("xct/cement_128x128x128.tif", "xct/100_fiberform.tif")


@dataclass(frozen=True)
class Cut:
    """``fixed`` (z, y, x) of voxels of 1 um, ``moving`` (1, y, x), and the true map moving -> fixed, 4 x 4, um."""

    fixed: np.ndarray
    moving: np.ndarray
    truth: np.ndarray
    step: float = 1.0 / FINE

    @property
    def centre(self) -> np.ndarray:
        """The middle of the slice in its frame."""
        rows, columns = self.moving.shape[1:]
        return np.array([(columns - 1) / 2, (rows - 1) / 2, 0.0]) * self.step

    def inputs(self, **moving: str) -> dict[str, ImageValue]:
        """Both images on their ports, right-handed unless told otherwise."""
        made = {
            "fixed": image_value(self.fixed, spacing_um=1.0, identifier="fixed"),
            "moving": image_value(self.moving, spacing_um=[1.0, self.step, self.step], identifier="moving"),
        }
        named = {name: replace(image, frame=f"frame of {name}", handedness="right") for name, image in made.items()}
        return named | {"moving": replace(named["moving"], **moving)}  # type: ignore[arg-type]

    def start(self, rng: np.random.Generator, voxels: float = 10.0, degrees: float = 8.0) -> TransformValue:
        """A transform off the truth by a shift and a turn up to these, in any direction."""
        axis, way = rng.normal(size=(2, 3))
        axis, way = axis / np.linalg.norm(axis), way / np.linalg.norm(way)
        turn = Rotation.from_rotvec(axis * rng.uniform(0, degrees), degrees=True).as_matrix()
        off = about(turn, self.centre, way * rng.uniform(0, voxels))
        return TransformValue("rigid", self.truth @ off, "frame of moving", "frame of fixed", residual_um=0.0)

    def errors(self, found: np.ndarray) -> np.ndarray:
        """Distances (um, which are coarse voxels) between true and found places of points of the slice."""
        rows, columns = self.moving.shape[1:]
        y, x = np.mgrid[0 : rows : max(1, rows // 20), 0 : columns : max(1, columns // 20)] * self.step
        points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size), np.ones(x.size)])
        return np.linalg.norm((found - self.truth)[:3] @ points, axis=0)


def volumes() -> dict[str, np.ndarray]:
    """The real volumes at hand, by name; that of the fibres always."""
    found = {"fibres": fibres()}
    for name in OTHERS:
        path = SHARED / name
        if path.is_file():
            found[path.stem] = tifffile.imread(path).astype(np.float32)
    return found


def binned(volume: np.ndarray) -> np.ndarray:
    """A volume with its voxels averaged two by two by two."""
    z, y, x = (n // BINNED for n in volume.shape)
    whole = volume[: z * BINNED, : y * BINNED, : x * BINNED]
    return whole.reshape(z, BINNED, y, BINNED, x, BINNED).mean(axis=(1, 3, 5), dtype=np.float32)


def cut(
    seed: int,
    volume: np.ndarray,
    *,
    edge: int = 50,
    tilt: float = 30.0,
    shift: float = 8.0,
    noise: float = 8.0,
    mirror: bool = False,
    remap: Callable[[np.ndarray], np.ndarray] = contrast,
) -> Cut:
    """A slice of ``edge`` coarse voxels, turned by angles up to ``tilt`` and off the middle by up to ``shift`` voxels.

    ``noise`` is the standard deviation in grey values of a sample of the slice; a coarse voxel has half of it.
    """
    rng = np.random.default_rng(seed)
    fixed = binned(volume)
    count = edge * FINE
    truth = np.eye(4)
    truth[:3, :3] = rotation(rng.uniform(-tilt, tilt, 3)) @ np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
    middle = (np.array(fixed.shape[::-1]) - 1) / 2 + rng.uniform(-shift, shift, 3)
    truth[:3, 3] = middle - truth[:3, :3] @ (np.array([1.0, 1.0, 0.0]) * (count - 1) / 2 / FINE)
    moving = remap(_read(volume, truth, count)) + rng.normal(0, noise, (count, count))
    fixed = fixed + rng.normal(0, noise / 2, fixed.shape)
    return Cut(fixed.astype(np.float32), moving[None].astype(np.float32), truth)


def _read(volume: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """The real volume along the plane; a coarse voxel's centre lies between those of the voxels it was made of."""
    y, x = np.mgrid[0:count, 0:count] / FINE
    coarse = truth[:3, :3] @ np.stack([x.ravel(), y.ravel(), np.zeros(x.size)]) + truth[:3, 3:]
    real = coarse * BINNED + (BINNED - 1) / 2
    return ndimage.map_coordinates(volume, real[::-1], order=3, mode="mirror").reshape(count, count)


def strangers(seed: int, volume: np.ndarray, others: dict[str, np.ndarray], edge: int = 50) -> tuple[str, Cut]:
    """A slice that is not of the volume it comes with, and of what kind it is.

    In turn: of another part of the same specimen, of the same part turned by a right angle and mirrored front to back,
    of another specimen, and of scattered samples of the same.
    """
    half = volume.shape[0] // 2 // BINNED * BINNED
    kind = ("other part", "turned", "other specimen", "scattered")[seed % 4]
    own = cut(seed, volume, edge=edge)
    if kind == "other part":
        own = cut(seed, volume[:half], edge=edge)
        return kind, replace(own, moving=cut(seed + 1, volume[-half:], edge=edge, tilt=15.0, shift=4.0).moving)
    if kind == "turned":
        turned = np.ascontiguousarray(np.rot90(volume, 1, axes=(0, 1))[:, ::-1])
        return kind, replace(own, moving=cut(seed + 1, np.roll(turned, 71, (0, 1, 2)), edge=edge).moving)
    if kind == "other specimen" and others:
        name = sorted(others)[seed // 4 % len(others)]
        other = others[name]
        return kind, replace(own, moving=cut(seed + 1, other, edge=min(edge, min(other.shape) // 3)).moving)
    mixed = np.random.default_rng(seed).permutation(own.moving.ravel()).reshape(own.moving.shape)
    return "scattered", replace(own, moving=mixed)
