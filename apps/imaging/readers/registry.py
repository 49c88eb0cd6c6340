"""Which reader a file belongs to: its content decides, its name must not contradict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from apps.imaging.readers.base import Limits, Reader, ReadImage
from apps.imaging.readers.bitmap import BmpReader, PngReader
from apps.imaging.readers.czi import CziReader
from apps.imaging.readers.ebsd_h5 import EbsdH5Reader
from apps.imaging.readers.ebsd_text import AngReader, CtfReader, looks_like_ang, looks_like_ctf
from apps.imaging.readers.errors import ContentMismatchError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.hspy import HspyReader
from apps.imaging.readers.jeol_eds import JeolEdsReader, looks_like_asw
from apps.imaging.readers.metaimage import MetaImageReader, looks_like_metaimage
from apps.imaging.readers.mrc import MrcReader, looks_like_mrc
from apps.imaging.readers.msa import MsaReader, looks_like_msa
from apps.imaging.readers.nrrd import NrrdReader
from apps.imaging.readers.omezarr import OmeZarrReader
from apps.imaging.readers.rosetta import BcfReader, DigitalMicrographReader, looks_like_gatan
from apps.imaging.readers.spc import SpcReader, looks_like_spc
from apps.imaging.readers.tiff import TiffReader
from apps.imaging.readers.velox import VeloxReader
from apps.imaging.readers.xradia import XradiaReader

READERS: tuple[Reader, ...] = (
    OmeZarrReader(),
    TiffReader(),
    BmpReader(),
    PngReader(),
    CziReader(),
    XradiaReader(),
    MrcReader(),
    MetaImageReader(),
    NrrdReader(),
    VeloxReader(),
    HspyReader(),
    EbsdH5Reader(),
    CtfReader(),
    AngReader(),
    MsaReader(),
    SpcReader(),
    BcfReader(),
    DigitalMicrographReader(),
    JeolEdsReader(),
)
HEAD_BYTES = 4096
_SIGNATURES = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"ZISRAWFILE", "CZI"),
    (b"\xd0\xcf\x11\xe0", "OLE (TXRM, OIB)"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"%PDF", "PDF"),
    (b"\x7fELF", "ELF program"),
    (b"NRRD", "NRRD"),
    (b"BM", "BMP"),
    (b"AAMVHFSS", "Bruker BCF"),
)
# Formats whose mark is not in the first bytes.
_LOOKS: tuple[tuple[Callable[[Path, bytes], bool], str], ...] = (
    (looks_like_mrc, "MRC"),
    (looks_like_metaimage, "MetaImage"),
    (looks_like_ctf, "CTF"),
    (looks_like_ang, "ANG"),
    (looks_like_msa, "EMSA/MAS"),
    (looks_like_spc, "EDAX SPC"),
    (looks_like_gatan, "DigitalMicrograph"),
    (looks_like_asw, "JEOL Analysis Station"),
)
# What a name promises.  Dialects of TIFF have endings of their own.
_ENDINGS = {
    "TIFF": (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".svs", ".scn", ".ndpi", ".qptiff"),
    "OME-Zarr": (".zarr",),
    "ZIP": (".zip", ".ozx"),
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "PDF": (".pdf",),
    "HDF5": (".h5", ".hdf5", ".emd", ".hspy", ".dream3d", ".h5ebsd", ".ims"),
    "CZI": (".czi",),
    "NRRD": (".nrrd", ".nhdr"),
    "MetaImage": (".mha", ".mhd"),
    "MRC": (".mrc", ".mrcs"),
    "OLE (TXRM, OIB)": (".txrm", ".xrm", ".txm", ".oib"),
    "gzip": (".gz", ".tgz"),
    "CTF": (".ctf",),
    "ANG": (".ang",),
    "EMSA/MAS": (".msa", ".emsa"),
    "EDAX SPC": (".spc",),
    "Bruker BCF": (".bcf",),
    "DigitalMicrograph": (".dm3", ".dm4"),
    "JEOL Analysis Station": (".asw",),
}


def content_format(path: Path, head: bytes) -> str | None:
    """Name of the format that the content is, None if it is not recognised."""
    if path.is_dir():
        return "OME-Zarr"
    looks = next((name for looks_like, name in _LOOKS if looks_like(path, head)), None)
    return looks or next((name for magic, name in _SIGNATURES if head.startswith(magic)), None)


def promised_format(name: str) -> str | None:
    """Name of the format that a file name promises, None if it promises nothing known."""
    lower = name.lower().rstrip("/")
    return next((kind for kind, endings in _ENDINGS.items() if lower.endswith(endings)), None)


def detect(path: Path, name: str | None = None, readers: Sequence[Reader] = READERS) -> Reader:
    """The reader that claims a file most.

    Parameters
    ----------
    path
        File or folder.
    name
        Name it was sent under, if ``path`` is called otherwise.

    Raises
    ------
    ContentMismatchError
        The name promises another format than the content is.
    UnsupportedFormatError
        No reader knows the content.
    TruncatedFileError
        The file is empty.
    """
    called = name or path.name
    head = _head(path)
    if path.is_file() and not head:
        raise TruncatedFileError(f"{called} is empty", size=0)
    content, promised = content_format(path, head), promised_format(called)
    if promised is not None and promised != content:
        raise ContentMismatchError(
            f"the name {called!r} promises {promised}, the content is {content or 'of no known format'}",
            promised=promised,
            content=content,
        )
    rank, reader = max(((r.claims(path, head), r) for r in readers), key=lambda found: found[0])
    if rank <= 0:
        formats = ", ".join(sorted({r.format for r in readers}))
        raise UnsupportedFormatError(
            f"{called} is {content or 'of no known format'}; readers exist for {formats}", content=content
        )
    return reader


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def read(
    path: Path, *, name: str | None = None, limits: Limits | None = None, beside: Mapping[str, Path] | None = None
) -> list[ReadImage]:
    """Detect the format of a file and return its images, samples still undecoded.

    ``beside`` holds the other files that came with it, name to path; without it a file stands alone.

    Raises
    ------
    ReaderError
        Of the kind that says why; see ``apps.imaging.readers.errors``.
    """
    reader = detect(path, name)
    return reader.read(path, name=name or path.name, limits=limits or Limits(), beside=beside or {})
