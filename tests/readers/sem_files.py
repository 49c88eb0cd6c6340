"""Small SEM files with the headers that the vendors' programs write, for cases that no real file here shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from apps.imaging.readers import Limits, ReaderError, ReadImage, read
from apps.imaging.readers.dialects import describe
from apps.imaging.readers.vendor import Description, Frame

SHAPE = (12, 16)


def samples(shape: Sequence[int] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, tuple(shape)).astype("u1")


def write(
    path: Path, pages: Sequence[Mapping[int, bytes]], *, arrays: Sequence[np.ndarray] = (), **options: Any
) -> Path:
    """A TIFF of a page for each set of private tags."""
    with tifffile.TiffWriter(path, byteorder=options.pop("byteorder", "<")) as writer:
        for number, tags in enumerate(pages):
            array = arrays[number] if arrays else samples(seed=number)
            extra = [(code, 1, len(data), data, True) for code, data in tags.items()]
            writer.write(array, metadata=None, extratags=extra, contiguous=False, **options)
    return path


def only(path: Path, **kwargs: Any) -> ReadImage:
    (image,) = read(path, **kwargs)
    return image


LIMITS = Limits(max_samples=1 << 22, max_segment_bytes=32 << 20, ratio_floor_bytes=32 << 20)


def outcome(path: Path) -> None:
    """Read a damaged file whole: it must be an image or a reason; anything else fails the test."""
    try:
        images = read(path, limits=LIMITS)
        for image in images:
            json.dumps(image.header, allow_nan=False)
            assert image.array[...].shape == image.shape
    except ReaderError:
        return


def said(tags: Mapping[int, bytes], width: int = 1024, height: int = 768, **kwargs: Any) -> Description:
    """What the dialects say of a frame."""
    found = describe(Frame("a.tif", width, height, tags, **kwargs))
    assert found is not None
    return found


def value(found: Description | ReadImage, name: str) -> Any:
    return found.facts[name]["value"]


def zeiss(entries: Mapping[str, str], scale: str | None = "5.824988e-009", end: str = "\r\n") -> bytes:
    """Tag 34118: nameless numbers, then a line with the key and one with label and value."""
    numbers = ["0", "0", "0", *([scale] if scale is not None else [])]
    lines = numbers + [line for key, value in entries.items() for line in (key, value)]
    return (end.join(lines) + end).encode("cp1252")


def fei(sections: Mapping[str, Mapping[str, str]], end: str = "\r\n") -> bytes:
    """Tag 34682."""
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key}={value}" for key, value in values.items()), ""]
    return end.join(lines).encode("cp1252") + b"\0"


FEI = {
    "User": {"Date": "06/13/2016", "Time": "05:06:40 PM", "User": "supervisor"},
    "System": {"SystemType": "Quanta FEG", "Software": "4.1"},
    "Beam": {"HV": "5000", "Beam": "EBeam", "Scan": "EScan"},
    "EBeam": {"HV": "5000", "HFW": "1.6e-005", "VFW": "1.2e-005", "WD": "0.004"},
    "Scan": {"PixelWidth": "1e-006", "PixelHeight": "1e-006", "Dwelltime": "1e-005"},
    "Stage": {"StageX": "0.001", "StageY": "-0.002", "StageZ": "0.004", "StageR": "1", "StageT": "0.5"},
    "Image": {"ResolutionX": "16", "ResolutionY": "12"},
    "Detectors": {"Name": "ETD", "Mode": "SE"},
}


def fei_with(**sections: Mapping[str, str]) -> bytes:
    """The header above with values replaced or added."""
    return fei({name: {**FEI.get(name, {}), **sections.get(name, {})} for name in [*FEI, *(set(sections) - set(FEI))]})


def fibics(scan: str, image: str = "<Width>16</Width><Height>12</Height>", more: str = "") -> bytes:
    """Tag 51023."""
    return (
        '<?xml version="1.0" encoding="iso-8859-1"?><Fibics version="1.0"><Application><Version>NPVE v4.5</Version>'
        f"</Application><Image>{image}</Image><Scan>{scan}</Scan>{more}</Fibics>"
    ).encode("latin-1")


def orion(values: Mapping[str, tuple[str, str]]) -> bytes:
    """Tag 65000."""
    parts = [f"<{n}><Value>{v}</Value><Units>{u}</Units></{n}>" for n, (v, u) in values.items()]
    return f"<ImageTags>{''.join(parts)}</ImageTags>".encode()


def tescan(main: str, sem: str = "", thumbnail: bytes = b"\xff\x4f\xff\x51 not=a key\n") -> bytes:
    """Tag 50431: a chain of blocks."""
    chain = b""
    for kind, content in ((1, thumbnail), (2, main.encode() + b"\0"), (3, sem.encode() + b"\0"), (0, b"")):
        chain += (len(content) + 2).to_bytes(4, "little") + kind.to_bytes(2, "little") + content
    return chain


JEOL = (
    "$SEM_DATA_VERSION 1\r\n$CM_DETECTOR_NAME SEI\r\n$CM_ACCEL_VOLT 7.00\r\n$CM_MAG 95\r\n$$SM_WD 10.52\r\n"
    "$CM_STAGE_POS 30.6525 -2.6135 10.5465 12.5 -3 0\r\n$CM_DATE 2020/08/31\r\n$CM_TIME 15:32:31\r\n"
    "$CM_FORMAT JEOL-SEM\r\n$CM_INSTRUMENT 8530F\r\n$$SM_MICRON_BAR 101\r\n$$SM_MICRON_MARKER 100um\r\n"
    "$CM_FULL_SIZE 1280 960\r\n"
)

TESCAN_MAIN = (
    "Date=2024-05-06\nTime=07:08:09\nDevice=VEGA3\nPixelSizeX=2e-9\nPixelSizeY=2e-9\nImageStripSize=2\n"
    "SoftwareVersion=4\n"
)
TESCAN_SEM = "HV=20000\nStageX=0.01\nStageTilt=-5\nTiltCorrection=52\nDetector=SE\nPredictedBeamCurrent=1e-10\n"
