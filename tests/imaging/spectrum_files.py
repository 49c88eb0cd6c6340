"""A small spectrum image made from a real spectrum, as a file that an ingest takes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from analyses.sdk.omezarr import write_image
from analyses.sdk.values import SignalAxis

AXES = ("e", "z", "y", "x")
# The first 2048 channels of the measured spectrum, of 5 eV from 0 eV on, sixteen together.
ENERGY = SignalAxis("energy", 128, 0.0375, 0.08, "keV")
MEASURED = 2048


def real_spectrum(shared_data: Path) -> Any:
    """Counts of the measured EDAX spectrum, 4096 channels of 5 eV."""
    text = (shared_data / "microscopy" / "eds-edax" / "leo_edax_test.msa").read_text("latin-1")
    assert "#XPERCHAN    : 5.000" in text
    assert "#OFFSET      : 0.0" in text
    lines = text.split("#SPECTRUM", 1)[1].split("#ENDOFDATA")[0].splitlines()[1:]
    return np.array([float(line.split(",")[1]) for line in lines if line.strip()])


def cube_from(counts: Any, places: tuple[int, int], mean: float, channels: int = ENERGY.size) -> Any:
    """Poisson draws around a spectrum, brighter to the right, ``(e, 1, y, x)``; ``mean`` counts a place."""
    shape = counts[:MEASURED].reshape(channels, -1).sum(axis=1)
    expected = shape / shape.sum() * mean
    pattern = np.linspace(0.5, 1.5, places[1])[None, None, None, :]
    rng = np.random.default_rng(7)
    return rng.poisson(expected[:, None, None, None] * np.broadcast_to(pattern, (1, 1, *places))).astype("u2")


def zipped_store(folder: Path, cube: Any, signal: Any = (ENERGY,), **spacing: float) -> bytes:
    """The cube as OME-Zarr in a zip file."""
    write_image(
        folder / "m.zarr", cube, axes=AXES, spacing_um=spacing, kind="spectrum", signal=signal, name="map", threads=1
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted((folder / "m.zarr").rglob("*")):
            if path.is_file():
                archive.write(path, str(path.relative_to(folder)))
    return buffer.getvalue()
