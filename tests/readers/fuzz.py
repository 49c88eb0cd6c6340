"""Coverage-guided fuzzing of our own parsers with atheris, from seeds that real files give.

    python -m tests.readers.fuzz TARGET [--seconds 60] [--runs 0] [--seed 1]

Whatever the bytes are, a parser ends with images or with a ReaderError; anything else stops the run with a traceback,
and the input stays beside the corpus.  Targets are tag dialects (the bytes of a private TIFF tag or a side-car) and
whole small files.  ``tests/readers/test_fuzz.py`` runs a short seeded sample of each, ``benchmarks/fuzz`` more.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tifffile

REPO_ROOT = Path(__file__).resolve().parents[2]
LONGEST_SEED = 64 << 10


@dataclass(frozen=True)
class Target:
    """One parser: a tag of a TIFF (by module and number) or a file ending; seeds are files of the shared data."""

    name: str
    seeds: tuple[str, ...]
    tag: int = 0
    ending: str = ""
    side_car_of: str = ""


TARGETS = {
    target.name: target
    for target in (
        Target("zeiss", ("sem-zeiss/test_tiff_Zeiss_SEM_512pix.tif",), tag=34118),
        Target("orion", ("sem-zeiss/orion-zeiss_dataZeroed.tif",), tag=65000),
        Target("fei", ("sem-fei/quanta_image.tif", "fib-sem/SEM_Image-SliceImage-001.tif"), tag=34682),
        Target("fei-sfeg", ("sem-fei/FEI-Helios-Ebeam-16bits.tif",), tag=34680),
        Target("fibics", (), tag=51023),
        Target("tescan", ("sem-tescan/tescan-pfib_dataZeroed.tif",), tag=50431),
        Target("tescan-hdr", ("sem-tescan/tescan-pfib_dataZeroed.hdr",), ending=".hdr", side_car_of="a.tif"),
        Target("jeol", ("sem-jeol/2020-08-31/image000.txt",), ending=".txt", side_car_of="a.tif"),
        Target("nrrd", ("mha-nrrd/BallBinary30x30x30.nrrd",), ending=".nrrd"),
        Target("metaimage", ("mha-nrrd/CT_2D_head_fixed.mha",), ending=".mha"),
        Target("mrc", ("mrc/EMD-3197.map", "mrc/HAADFscan.mrc"), ending=".mrc"),
        Target("xradia", ("txrm/txrm_test_chip_tomo.txrm",), ending=".txrm"),
        Target("czi", ("czi/FOV7_HV110_P0500510000.czi",), ending=".czi"),
        Target("ctf", ("ebsd/Test_European_1.ctf",), ending=".ctf"),
        Target("ang", ("ebsd-3d/S00.ANG",), ending=".ang"),
        Target("msa", ("msa/example1.msa", "msa/ISO_22029_2022_compliance.msa"), ending=".msa"),
        Target("spc", ("eds-edax/leo_edax_test.spc",), ending=".spc"),
        Target("tiff", ("sem-zeiss/orion-zeiss_dataZeroed.tif",), ending=".tif"),
    )
}
FIBICS = (
    b'<?xml version="1.0" encoding="iso-8859-1"?><Fibics version="1.0"><Scan><Ux units="um">0.01</Ux><Uy>0</Uy>'
    b"<Vx>0</Vx><Vy>0.01</Vy><Dwell>100</Dwell><StageX>1.5</StageX></Scan><Stage><X>1</X><Y>2</Y></Stage></Fibics>"
)


def seeds(target: Target, microscopy: Path) -> list[bytes]:
    """What to mutate: the tag of a real file, or the beginning of a real file."""
    if target.name == "fibics":
        return [FIBICS]
    found = []
    for file in target.seeds:
        path = microscopy / file
        if not path.is_file():
            continue
        if target.tag:
            with tifffile.TiffFile(path) as tiff:
                if tag := tiff.pages[0].tags.get(target.tag):
                    found.append(_tag_bytes(path, tag))
        else:
            found.append(path.read_bytes()[:LONGEST_SEED])
    return found


def _tag_bytes(path: Path, tag: tifffile.TiffTag) -> bytes:
    with path.open("rb") as stream:
        stream.seek(tag.valueoffset)
        return stream.read(min(tag.valuebytecount, LONGEST_SEED))


def parser_of(target: Target, scratch: Path) -> Callable[[bytes], None]:
    """What a target does with bytes; a refusal is a good end."""
    from apps.imaging.readers import Limits, ReaderError, read
    from apps.imaging.readers.dialects import describe
    from apps.imaging.readers.vendor import Frame

    limits = Limits(max_samples=1 << 22, max_segment_bytes=32 << 20, ratio_floor_bytes=32 << 20)
    file = scratch / f"fuzzed{target.ending}"

    def of_frame(data: bytes) -> None:
        beside = {}
        if target.side_car_of:
            file.write_bytes(data)
            beside = {Path(target.side_car_of).with_suffix(target.ending).name: file}
        tags = {target.tag: data} if target.tag else {}
        try:
            describe(Frame(target.side_car_of or "a.tif", 1024, 768, tags, beside))
        except ReaderError:
            return

    def of_file(data: bytes) -> None:
        file.write_bytes(data)
        try:
            for image in read(file, limits=limits):
                image.array[tuple(slice(0, 2) for _ in image.shape)]
        except ReaderError:
            return

    return of_frame if target.tag or target.side_car_of else of_file


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("target", choices=sorted(TARGETS))
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--runs", type=int, default=0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--shared", type=Path, default=REPO_ROOT.parent / "shared" / "data")
    given = options.parse_args()

    import atheris

    with atheris.instrument_imports(include=["apps.imaging.readers"]):
        from apps.imaging.readers import registry  # noqa: F401

    target = TARGETS[given.target]
    scratch = Path(tempfile.mkdtemp(prefix="corr-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    corpus = scratch / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds(target, given.shared / "microscopy")):
        (corpus / str(number)).write_bytes(data)
    bounds = [f"-runs={given.runs}"] if given.runs else [f"-max_total_time={given.seconds}"]
    flags = [f"-seed={given.seed}", "-timeout=30", "-rss_limit_mb=2048", f"-artifact_prefix={scratch}/", *bounds]
    atheris.Setup([sys.argv[0], str(corpus), *flags], parser_of(target, scratch))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
