"""What the tests of several formats share: digests as ``expected.json`` has them, and outcomes of damaged files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from apps.imaging.readers import Limits, ReaderError, read

LIMITS = Limits(max_samples=1 << 24, max_segment_bytes=64 << 20, ratio_floor_bytes=64 << 20)


def digest(data: Any) -> str:
    """sha256 of the samples in C order, little endian."""
    return hashlib.sha256(np.ascontiguousarray(data, data.dtype.newbyteorder("<")).tobytes()).hexdigest()


def samples_sum(data: Any) -> float:
    """Sum of the samples, in whole numbers where they are whole."""
    return float(data.sum(dtype=np.float64 if data.dtype.kind == "f" else np.int64))


def place_of(name: str) -> tuple[int, dict[str, int]]:
    """Scene, and index along t, c and z, of an array of ``expected.json``."""
    scene = re.match(r"scene(\d+)", name)
    indices = {axis: re.search(rf"{axis.upper()}(\d+)", name) for axis in "tcz"}
    return int(scene[1]) if scene else 0, {axis: int(found[1]) for axis, found in indices.items() if found}


def outcome(path: Path, **options: Any) -> list[Any] | ReaderError:
    """Decoded images, or why the file was refused; anything but a ReaderError is a failure of the test."""
    try:
        return [image.array[...] for image in read(path, limits=LIMITS, **options)]
    except ReaderError as error:
        return error
