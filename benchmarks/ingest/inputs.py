"""Inputs of the ingest benchmark: a volume and a mosaic of 16-bit samples that compress as camera data do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
FIBRES = "xct/fibers_150x150x150.tif"
NOISE = 10.0  # standard deviation in counts: the samples are those of a 12-bit detector


def fibre_volume() -> tuple[np.ndarray, str]:
    """A real X-ray volume of fibres (8 bit), or smoothed noise where it is not at hand; and which of the two it is."""
    shared = Path(os.environ.get("CORR_SHARED_DATA", ROOT.parent / "shared" / "data")) / "microscopy" / FIBRES
    for path in (*(ROOT / "fixtures").rglob(Path(FIBRES).name), shared):
        if path.is_file():
            return tifffile.imread(path), "X-ray volume of fibres, mirrored, with detector noise"
    noise = np.random.default_rng(0).normal(size=(150, 150, 150)).astype("f4")
    smooth = ndimage.gaussian_filter(noise, 3, mode="wrap")
    scaled = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return scaled.astype("u1"), "smoothed noise, mirrored, with detector noise"


def mirrored(indices: np.ndarray, size: int) -> np.ndarray:
    """Indices folded back and forth into ``0 .. size - 1``: no jump at the seams."""
    folded = indices % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def with_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noisy = samples.astype("f4") * 14 + 400 + rng.standard_normal(samples.shape, "f4") * np.float32(NOISE)
    return noisy.clip(0, 4095).astype("u2")


def make_volume(path: Path, edge: int) -> None:
    """``edge``^3 samples as an uncompressed TIFF stack, one page a plane."""
    base, _ = fibre_volume()
    rng = np.random.default_rng(1)
    fold = mirrored(np.arange(edge), base.shape[0])
    with tifffile.TiffWriter(path, bigtiff=False) as writer:
        for z in fold:
            writer.write(with_noise(base[z][np.ix_(fold, fold)], rng), contiguous=True, metadata=None)


def make_mosaic(path: Path, edge: int, tile: int = 512) -> None:
    """``edge`` x ``edge`` samples as one tiled TIFF page: enlarged planes of the volume side by side."""
    base, _ = fibre_volume()
    rng = np.random.default_rng(2)
    planes = [ndimage.zoom(plane.astype("f4"), 4, order=1) for plane in base[::10]]
    fold = mirrored(np.arange(tile), planes[0].shape[0])

    def tiles():
        for number in range((edge // tile) ** 2):
            yield with_noise(planes[number * 7 % len(planes)][np.ix_(fold, fold)], rng)

    tifffile.imwrite(path, tiles(), shape=(edge, edge), dtype="u2", tile=(tile, tile), metadata=None)
