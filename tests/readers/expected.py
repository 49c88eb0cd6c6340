"""What ``expected.json`` of the shared data demands of a file, and whether the readers report it."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.imaging.readers import ReadImage, read

# Formats that have no reader, and parts of a group that carry no samples of their own.
NOT_READ = ("dream3d/",)
SIDE_CARS = (".hdr", ".txt", ".emxml", ".img", ".map", ".pts")
NEEDS_ROSETTA = (".bcf", ".dm3", ".dm4")
LENGTHS = {"pixel_m": 1e6, "pixel_um": 1.0, "voxel_A": 1e-4, "spacing_mm": 1e3, "spacing_um": 1.0, "step_um": 1.0}
FACTS = {
    "kV": ("accelerating_voltage", 1.0),
    "wd_mm": ("working_distance", 1.0),
    "energy_eV": ("photon_energy", 1e-3),
    "rotation_deg": ("stage_rotation", 1.0),
    "rotation_rad": ("stage_rotation", 180 / math.pi),
    "tilt_deg": ("stage_tilt", 1.0),
    "tilt_rad": ("stage_tilt", 180 / math.pi),
    "sample_tilt_deg": ("specimen_tilt", 1.0),
}
STAGE = {"stage_m": 1e6, "stage_mm": 1e3, "stage_um": 1.0, "stage_um_first": 1.0}
DATES = {"11/09/15 18:19:21 (m/d/y)": "2015-11-09T18:19:21"}


@dataclass(frozen=True)
class Entry:
    """One file of ``expected.json``."""

    file: str
    expect: Mapping[str, Any]
    arrays: Sequence[Mapping[str, Any]]
    modality: str

    @property
    def readable(self) -> bool:
        return not self.file.startswith(NOT_READ) and not self.file.lower().endswith(SIDE_CARS)


def entries(folder: Path) -> list[Entry]:
    """All files that readers are asked to read."""
    listed = json.loads((folder / "expected.json").read_text())
    found = [Entry(e["file"], e["expect"], e["arrays"], e["modality"]) for e in listed]
    return [entry for entry in found if entry.readable]


def load(folder: Path, entry: Entry) -> list[ReadImage]:
    """Read a file together with whatever lies beside it, as an upload of the folder would."""
    path = folder / entry.file
    beside = {p.relative_to(path.parent).as_posix(): p for p in path.parent.rglob("*") if p.is_file() and p != path}
    return read(path, beside=beside | {p.name: p for p in beside.values()})


# -------------------------------------------------------------------------------------------------------------- samples


def digest(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


def candidates(image: ReadImage) -> Iterator[np.ndarray]:
    """The image with channels or signal last, whole and plane by plane."""
    data = np.asarray(image.array[...])
    axes = list(image.axes)
    for last in ("c", "e"):
        if last in axes:
            at = axes.index(last)
            data = np.moveaxis(data, at, -1)
            axes.append(axes.pop(at))
    yield data
    yield np.moveaxis(data, -1, 0)
    lead = [range(n) if axis in "tcz" else [slice(None)] for axis, n in zip(axes, data.shape, strict=True)]
    for key in itertools.product(*lead):
        yield data[key]


def missing_arrays(images: Sequence[ReadImage], entry: Entry) -> list[str]:
    """Arrays of ``expected.json`` that no image holds bit by bit."""
    wanted = {a["sha256"]: a for a in entry.arrays if "sha256" in a}
    for image in images:
        for array in candidates(image) if wanted else ():
            for listed in list(wanted.values()):
                if math.prod(listed["shape"]) == array.size and digest(_as(array, listed["dtype"])) == listed["sha256"]:
                    del wanted[listed["sha256"]]
    return [f"array {a['name']} {a['shape']}" for a in wanted.values()]


def _as(array: np.ndarray, dtype: str) -> np.ndarray:
    """The samples in the type listed, if none of them changes by that."""
    return array.astype(dtype) if np.array_equal(array.astype(dtype), array) else array


# --------------------------------------------------------------------------------------------------------------- values


def wrong_values(images: Sequence[ReadImage], entry: Entry) -> list[str]:
    """Values that are not reported as ``expected.json`` has them; empty if all are."""
    found = []
    for key, wanted in entry.expect.items():
        check = _CHECKS.get(key) or (_length if key in LENGTHS else _stage if key in STAGE else _number)
        if not check(images, key, wanted):
            found.append(f"{key}: {wanted} wanted, {[_shown(image) for image in images][:3]} found")
    return found


def _shown(image: ReadImage) -> dict[str, Any]:
    return {"spacing": dict(image.spacing_um), "facts": sorted(image.facts)}


def value(image: ReadImage, name: str) -> Any:
    return (image.facts.get(name) or {}).get("value")


def close(found: Any, wanted: float) -> bool:
    return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9)


def _length(images: Sequence[ReadImage], key: str, wanted: Any) -> bool:
    if wanted is None:
        return all(not image.calibrated and image.spacing_um.get("x") is None for image in images)
    listed = list(wanted) if isinstance(wanted, list) else [wanted, wanted]
    if key == "voxel_A":
        listed = listed[::-1]
    axes = ("z", "y", "x")[-len(listed) :]

    def fits(image: ReadImage) -> bool:
        lengths = [length * LENGTHS[key] for length in listed]
        return all(
            close(image.spacing_um.get(axis), length) if length else image.spacing_um.get(axis) is None
            for axis, length in zip(axes, lengths, strict=True)
        )

    return any(fits(image) for image in images)


def _bare_ratio(images: Sequence[ReadImage], key: str, wanted: Any) -> bool:
    """A spacing without a unit is none."""
    return not any(any(image.spacing_um.values()) for image in images)


def _number(images: Sequence[ReadImage], key: str, wanted: Any) -> bool:
    name, factor = FACTS[key]
    if wanted is None:
        return all(name not in image.facts for image in images)
    return any(close(value(image, name), wanted * factor) for image in images)


def _stage(images: Sequence[ReadImage], key: str, wanted: Any) -> bool:
    names = ("stage_x", "stage_y", "stage_z")

    def first(found: Any) -> Any:
        return found[0] if isinstance(found, list) and found else found

    return any(
        all(close(first(value(i, name)), w * STAGE[key]) for name, w in zip(names, wanted, strict=True)) for i in images
    )


def _date(images: Sequence[ReadImage], key: str, wanted: str) -> bool:
    return any(str(value(image, "acquired_at")).startswith(DATES.get(wanted, wanted)) for image in images)


def _instrument(images: Sequence[ReadImage], key: str, wanted: str) -> bool:
    return any(wanted in str(value(image, "instrument")) for image in images)


def _grid(images: Sequence[ReadImage], key: str, wanted: list[int]) -> bool:
    return any(list(image.shape[-2:]) == wanted for image in images)


def _centres(images: Sequence[ReadImage], key: str, wanted: Mapping[str, list[float]]) -> bool:
    def there(name: str, centre: list[float]) -> bool:
        return any(
            value(i, "scene") == name
            and close(value(i, "stage_x"), centre[0])
            and close(value(i, "stage_y"), centre[1])
            for i in images
        )

    return all(there(name, centre) for name, centre in wanted.items())


def _first_angle(images: Sequence[ReadImage], key: str, wanted: float) -> bool:
    return any(close((value(image, "angles") or [None])[0], wanted) for image in images)


_Check = Callable[[Sequence[ReadImage], str, Any], bool]
_CHECKS: dict[str, _Check] = {
    "spacing": _bare_ratio,
    "date": _date,
    "instrument": _instrument,
    "grid_rows_cols": _grid,
    "scenes": lambda images, key, wanted: len(images) == wanted,
    "scene_centers_um": _centres,
    "angles0": _first_angle,
    "rosettasciio_pixel_m": lambda images, key, wanted: not any(image.calibrated for image in images),
}
