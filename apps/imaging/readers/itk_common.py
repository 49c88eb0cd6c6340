"""What MetaImage and NRRD share: a text header before the samples, samples in other files, and a direction matrix."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from apps.imaging.readers.base import Limits, fact
from apps.imaging.readers.errors import MetadataError, TooLargeError, UnsafePathError
from apps.imaging.readers.quantities import Facts
from apps.imaging.readers.stored import Bytes, JoinedBytes, PlainBytes, Unpack, UnpackedBytes

HEADER_BYTES = 4 << 20
MAX_AXES = 16
MAX_FILES = 100_000
_ALIGNED = 1e-6
_PATTERN = re.compile(r"%(0?)(\d{0,2})d")


@dataclass(frozen=True)
class Packed:
    """How samples are kept in their files: ``unpack`` is None for plain bytes.

    ``start`` is where they begin in each file, -1 where they are its last bytes; ``skip`` bytes are left out after
    unpacking.
    """

    unpack: Unpack | None = None
    start: int = 0
    skip: int = 0
    lines: int = 0


def side_files(beside: Mapping[str, Path], names: Sequence[str], owner: str) -> list[tuple[str, Path]]:
    """The files that a header names, out of those that were sent with it.

    Raises
    ------
    UnsafePathError
        A name that leads elsewhere.
    MetadataError
        A file that was not sent.
    """
    if not names:
        raise MetadataError(f"{owner} names no file that holds its samples")
    if len(names) > MAX_FILES:
        raise TooLargeError(f"{owner} names {len(names)} files of samples; at most {MAX_FILES} are read")
    found = []
    for name in names:
        path = PurePosixPath(name.strip().replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise UnsafePathError(
                f"{owner} has its samples in {name[:200]!r}, which leads out of the folder it came in"
            )
        if path.name not in beside:
            raise MetadataError(f"{owner} has its samples in {path.name[:200]!r}; send the two files together")
        found.append((path.name, beside[path.name]))
    return found


def numbered(pattern: str, numbers: Sequence[int], owner: str) -> list[str]:
    """Names of files from a pattern with one ``%d`` and first number, last number and step."""
    first, last, step = [*numbers, 1][:3] if len(numbers) >= 2 else (0, -1, 1)
    parts = _PATTERN.split(pattern)
    if len(parts) != 4 or "%" in parts[0] + parts[3] or step == 0 or len(numbers) > 3:
        raise MetadataError(
            f"{owner} names its files {pattern[:200]!r}; one %d with first and last number is understood"
        )
    count = (last - first) // step + 1
    if not 0 < count <= MAX_FILES or max(abs(first), abs(last)) > 10**9:
        raise MetadataError(f"{owner} names files {first} to {last} in steps of {step}; at least one must be named")
    width = int(parts[2] or 0)
    fill = "0" if parts[1] else " "
    return [parts[0] + str(n).rjust(width, fill) + parts[3] for n in range(first, first + count * step, step)]


def samples_in(
    files: Sequence[tuple[str, Path]], packed: Packed, shape: Sequence[int], itemsize: int, name: str, limits: Limits
) -> Bytes:
    """The bytes of all samples; with several files, each holds as many as any other."""
    total = math.prod(shape) * itemsize
    if total % len(files):
        raise MetadataError(f"{name} has {total} bytes of samples in {len(files)} files; they must share evenly")
    limits.check_samples(shape, itemsize, sum(path.stat().st_size for _, path in files), name)
    return JoinedBytes([_part(path, called, packed, total // len(files)) for called, path in files])


def _part(path: Path, name: str, packed: Packed, size: int) -> Bytes:
    start = packed.start
    if start < 0:
        start = path.stat().st_size - size
    elif packed.lines:
        start += _lines(path, packed.lines, start, name)
    if packed.unpack is None:
        return PlainBytes(path, name, start + packed.skip, size)
    return UnpackedBytes(path, name, packed.unpack, start=start, size=size, skip=packed.skip)


def _lines(path: Path, count: int, start: int, name: str) -> int:
    """Length of the first ``count`` lines, which are to be left out."""
    with path.open("rb") as stream:
        stream.seek(start)
        length = 0
        for _ in range(count):
            line = stream.readline(HEADER_BYTES)
            length += len(line)
            if not line.endswith(b"\n") or length > HEADER_BYTES:
                raise MetadataError(f"{name} has fewer than the {count} lines that are to be left out")
    return length


# ------------------------------------------------------------------------------------------------------------- geometry
def direction_facts(rows: Sequence[Sequence[float]], origin: Sequence[float] | None, unit: str | None) -> Facts:
    """Direction of x, y and z of the array in the space of the file, one unit vector each, and where sample 0 lies."""
    facts: Facts = {}
    vectors = [_unit(row) for row in rows]
    if vectors and all(vector is not None for vector in vectors):
        facts["directions"] = fact(vectors, "1")
        facts["axis_aligned"] = fact(all(_aligned(vector) for vector in vectors), source="derived")
    if origin is not None and all(math.isfinite(value) for value in origin):
        facts["origin"] = fact(list(origin), unit)
    return facts


def is_mirrored(rows: Sequence[Sequence[float]]) -> bool:
    """True if x, y and z of the array run as no right hand can show them, in a right-handed space."""
    if len(rows) != 3 or any(len(row) != 3 for row in rows) or not np.isfinite(np.array(rows)).all():
        return False
    unit = [_unit(row) for row in rows]
    return all(row is not None for row in unit) and float(np.linalg.det(np.array(unit))) < -_ALIGNED


def _unit(row: Sequence[float]) -> list[float] | None:
    length = math.hypot(*row)
    return [value / length for value in row] if math.isfinite(length) and length > 0 else None


def _aligned(vector: Sequence[float] | None) -> bool:
    return vector is not None and sum(abs(value) > _ALIGNED for value in vector) == 1


def numbers(value: str, name: str, what: str, kind: Any = float) -> list[Any]:
    """Numbers of a header line; MetadataError for what are none."""
    parts = value.replace(",", " ").split()
    if len(parts) > MAX_AXES * MAX_AXES:
        raise MetadataError(f"{name} has {len(parts)} numbers for {what}; at most {MAX_AXES**2} are read")
    try:
        return [kind(part) for part in parts]
    except ValueError as error:
        raise MetadataError(f"{name} has {what} {value[:100]!r}; numbers are needed") from error


def check_sizes(sizes: Sequence[int], name: str) -> None:
    """Refuse no axes, too many, and axes without samples."""
    if not 0 < len(sizes) <= MAX_AXES or any(not 0 < n < 1 << 40 for n in sizes):
        raise MetadataError(
            f"{name} has sizes {list(sizes)}; 1 to {MAX_AXES} of at least 1 are read", sizes=list(sizes)
        )
