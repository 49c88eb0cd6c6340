"""One small file a format, from the fixtures or from the shared data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Sample:
    """A file of a format below the shared folder of real files, and the names of those it is read with."""

    format: str
    file: str
    beside: tuple[str, ...] = ()
    needs: str | None = None


_JEOL_PARTS = tuple(
    f"Sample/00_View000/View000_000000{number}.{ending}"
    for number, ending in enumerate(["img", "map", "map", "map", "map", "map", "pts"])
)
SAMPLES = (
    Sample("ZEISS SEM", "sem-zeiss/test_tiff_Zeiss_SEM_512pix.tif"),
    Sample("Orion", "sem-zeiss/orion-zeiss_dataZeroed.tif"),
    Sample("FEI SEM", "sem-fei/FEI-Helios-Ebeam-16bits.tif"),
    Sample("TESCAN", "sem-tescan/tescan-pfib_dataZeroed.tif", ("tescan-pfib_dataZeroed.hdr",)),
    Sample("JEOL", "sem-jeol/2020-09-16/Standard_BSE_100x_800.bmp", ("Standard_BSE_100x_800.txt",)),
    Sample("CZI", "czi/FOV7_HV110_P0500510000.czi"),
    Sample("OME-TIFF", "czi/FOV7_HV110_P0500510000.ome.tiff"),
    Sample("Xradia", "txrm/txrm_test_chip_tomo.txrm"),
    Sample("Velox image", "eds-velox/fei_emd_image.emd"),
    Sample("Velox spectrum image", "eds-velox/fei_emd_si.emd"),
    Sample("Bruker", "eds-bruker/P45_the_default_job.bcf", needs="rsciio"),
    Sample("Gatan", "dm/test_STEM_image.dm3", needs="rsciio"),
    Sample("JEOL EDS", "eds-jeol/rawdata.ASW", _JEOL_PARTS),
    Sample("SPC", "eds-edax/leo_edax_test.spc"),
    Sample("MSA", "msa/example1.msa"),
    Sample("MRC", "mrc/EMD-3197.map"),
    Sample("MetaImage", "mha-nrrd/CT_2D_head_fixed.mha"),
    Sample("NRRD", "mha-nrrd/BallBinary30x30x30.nrrd"),
    Sample("HyperSpy", "hspy/EDS_SEM_TM002.hspy"),
    Sample("CTF", "ebsd/Test_European_1.ctf"),
    Sample("ANG", "ebsd-3d/S00.ANG"),
    Sample("EDAX h5", "ebsd/EdaxAngOnly.h5"),
)


def locate(sample: Sample, request: pytest.FixtureRequest) -> Path:
    """The sample's file; skips, saying so, where it or its library is not there."""
    if sample.needs:
        pytest.importorskip(sample.needs, reason=f"{sample.needs}: not installed; it comes with the extra vendor")
    path = request.getfixturevalue("shared_data") / "microscopy" / sample.file
    if not path.is_file():
        pytest.skip(f"shared data: {path} does not exist")
    return path
