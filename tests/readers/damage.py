"""Damaged files by the thousand, each read in a process with limits: it must end as images or as a refusal.

As a child (``python -m tests.readers.damage``) it reads orders from standard input, one JSON object a line, and answers
each with one line.  ``Reader`` is the parent's end: a child that dies or hangs is the finding, and a new one goes on
with the next case.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

SECONDS = 30.0
MEMORY_BYTES = 1 << 30
TRUNCATIONS = 20
HEADER_BYTES = 4096
BLOCK_BYTES = 4 << 20
REPO_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Damage:
    """What is done to a file: cut after ``at`` bytes, or the bits ``mask`` of byte ``at`` flipped."""

    kind: str
    at: int
    mask: int = 0xFF

    def __str__(self) -> str:
        return f"cut after byte {self.at}" if self.kind == "cut" else f"byte {self.at} ^ {self.mask:#04x}"


@dataclass(frozen=True)
class Ended:
    """How one case ended: ``read``, ``refused`` (with its code), ``crash`` or ``hang``."""

    damage: Damage
    outcome: str
    detail: str
    seconds: float

    @property
    def wrong(self) -> bool:
        return self.outcome not in ("read", "refused")


def cuts(size: int) -> list[Damage]:
    """Twenty truncations, from the first byte to the last but one."""
    return [Damage("cut", int(at)) for at in np.linspace(1, size - 1, TRUNCATIONS)]


def flips(size: int, *, sample: int | None = None, seed: int = 0) -> list[Damage]:
    """Each of the first 4 kB flipped whole, or a seeded sample of them with one bit or all."""
    last = min(HEADER_BYTES, size)
    if sample is None or sample >= last:
        return [Damage("flip", at) for at in range(last)]
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(last, sample, replace=False))
    return [Damage("flip", int(at), int(rng.choice([0xFF, 0x01, 0x80]))) for at in places]


@contextlib.contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    """Damage a file in place, and mend it afterwards."""
    if damage.kind == "cut":
        whole = path.read_bytes()
        os.truncate(path, damage.at)
        try:
            yield
        finally:
            path.write_bytes(whole)
        return
    with path.open("r+b") as stream:
        stream.seek(damage.at)
        byte = stream.read(1)
        stream.seek(damage.at)
        stream.write(bytes([byte[0] ^ damage.mask]))
    try:
        yield
    finally:
        with path.open("r+b") as stream:
            stream.seek(damage.at)
            stream.write(byte)


class Reader:
    """A child that reads files, started anew whenever it dies."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, path: Path, beside: Mapping[str, Path], damage: Damage) -> Ended:
        """Read one damaged file and decode all its samples."""
        child = self._child = self._child or self._start()
        order = {"path": str(path), "beside": {name: str(place) for name, place in beside.items()}}
        begun = time.monotonic()
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], SECONDS)
        line = child.stdout.readline() if ready else b""
        seconds = time.monotonic() - begun
        if line:
            answer = json.loads(line)
            return Ended(damage, answer["outcome"], answer["detail"], seconds)
        self._stop()
        ending = f"exit code {child.returncode}" if ready else f"no answer within {SECONDS:g} s"
        return Ended(damage, "crash" if ready else "hang", ending, seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.readers.damage"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=REPO_ROOT,
        )
        assert child.stdout.readline() == b"ready\n"
        return child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
            self._child.stdout.close()
            self._child = None


# ------------------------------------------------------------------------------------------------- in the child process


def serve() -> None:
    """Answer orders until the parent ends."""
    from apps.imaging.readers import registry  # noqa: F401  everything is loaded before the limit is set

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a native library prints is no answer
    print("ready", file=answers, flush=True)
    limit = _address_space() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_answer(order)), file=answers, flush=True)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _answer(order: dict[str, Any]) -> dict[str, str]:
    from apps.imaging.readers import Limits, ReaderError, read

    limits = Limits(max_samples=1 << 26, max_segment_bytes=128 << 20, ratio_floor_bytes=128 << 20)
    beside = {name: Path(place) for name, place in order["beside"].items()}
    try:
        images = read(Path(order["path"]), limits=limits, beside=beside)
        shapes = [_decode(image) for image in images]
    except ReaderError as error:
        return {"outcome": "refused", "detail": f"{error.code}: {error.message}"}
    except MemoryError as error:
        return {"outcome": "out_of_memory", "detail": str(error)}
    except BaseException as error:
        return {"outcome": type(error).__name__, "detail": _where(error)}
    return {"outcome": "read", "detail": ", ".join(map(str, shapes))}


def _where(error: BaseException) -> str:
    """The message, and the innermost line of ours that was passed."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/apps/" in file or "/analyses/" in file:
            place = f"{Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{place} {str(error)[:200]}"


def _decode(image: Any) -> tuple[int, ...]:
    """Decode every sample, a few MB at a time, as an ingest does."""
    lead = image.shape[0]
    plane = image.dtype.itemsize * math.prod(image.shape[1:])
    step = max(1, BLOCK_BYTES // max(1, plane))
    for at in range(0, lead, step):
        image.array[at : at + step]
    return tuple(image.shape)


if __name__ == "__main__":
    serve()
