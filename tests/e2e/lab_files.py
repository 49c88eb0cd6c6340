"""The real files that the lab of the pages is made of."""

from __future__ import annotations

from pathlib import Path

MICROGRAPH = "sem-fei/quanta_image.tif"
SPECTRUM = "eds-velox/fei_emd_si.emd"
VOLUME = "xct/fibers_150x150x150.tif"


def files_of(folder: Path) -> list[Path]:
    """Return them below the folder of real files."""
    return [folder / name for name in (MICROGRAPH, SPECTRUM, VOLUME)]
