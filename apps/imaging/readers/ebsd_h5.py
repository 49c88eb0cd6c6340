"""EBSD maps in HDF5 as EDAX (OIM) and Oxford Instruments (H5OINA) lay them out.

``<scan>/EBSD/Data`` holds one column of numbers for each quantity, ``<scan>/EBSD/Header`` the grid.  A map becomes one
image of 32-bit numbers with a channel for each quantity, read where it is looked at.  Patterns and pictures beside the
map are left where they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.imaging.readers.base import Box, Limits, ReadImage, fact
from apps.imaging.readers.ebsd_columns import Column, in_order, label_of
from apps.imaging.readers.ebsd_grid import HEXAGONAL, Grid, Stated, find_grid
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.hdf5 import Hdf5File, claim, guarded
from apps.imaging.readers.moved import Stack
from apps.imaging.readers.quantities import Facts, number, put, put_positive, put_text, whole, words
from apps.imaging.readers.tiff_header import text

Array = npt.NDArray[Any]
_INVALID = -1111111.0  # EDAX: position of a point that was not measured
_POSITIONS = {"x": ("X Position", "X"), "y": ("Y Position", "Y")}
_GRID = {
    "rows": ("nRows", "Y Cells"),
    "columns": ("nColumns", "X Cells"),
    "step_x": ("Step X", "X Step"),
    "step_y": ("Step Y", "Y Step"),
}
_DEGREES = math.pi / 180


class EbsdH5Reader:
    """Reader of EBSD maps in HDF5."""

    format = "EBSD HDF5"

    def claims(self, path: Path, head: bytes) -> int:
        """HDF5 with a group EBSD/Data below one of its first groups."""
        return claim(path, head, "ebsd")

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """One image a scan.

        Raises
        ------
        ReaderError
            Broken, unsafe, too large, or on a hexagonal grid.
        """
        source = Hdf5File(path, name, limits)
        with guarded(name):
            scans = [key for key in source.root if source.group(f"{key}/EBSD/Data") is not None]
            if len(scans) > limits.max_images:
                raise TooLargeError(f"{name} has {len(scans)} scans; at most {limits.max_images} are read")
            return [_Scan(source, key).image(several=len(scans) > 1) for key in scans]


@dataclass(frozen=True)
class _Field:
    """One quantity of a scan: a dataset, and which column of it if it has several."""

    column: Column
    dataset: Any


class MapColumn:
    """One quantity of a map ``(z, y, x)`` as 32-bit numbers, read row by row.

    Parameters
    ----------
    grid
        Places of the points ``measured``; the other points of the dataset are no part of the map.
    """

    def __init__(self, source: Hdf5File, found: _Field, grid: Grid, measured: Array | None) -> None:
        source.check(found.dataset)
        self._source, self._found, self._measured = source, found, measured
        self._grid, self._in_order = grid, grid.in_order() and measured is None

    @property
    def shape(self) -> tuple[int, ...]:
        """1, rows, columns."""
        return (1, *self._grid.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """32-bit numbers."""
        return np.dtype("<f4")

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self.shape)
        _, (top, bottom), (left, right) = box.ranges
        if 0 in box.shape:
            return box.drop(np.empty(box.shape, self.dtype))
        columns = self._grid.shape[1]
        if self._in_order:
            rows = self._values(slice(top * columns, bottom * columns)).reshape(-1, columns)
            return box.drop(np.ascontiguousarray(rows[np.newaxis, :, left:right]))
        full = np.full(math.prod(self._grid.shape), np.nan, self.dtype)
        values = self._values(slice(None))
        full[self._grid.place] = values if self._measured is None else values[self._measured]
        part = full.reshape(self._grid.shape)[top:bottom, left:right]
        return box.drop(np.ascontiguousarray(part[np.newaxis]))

    def _values(self, part: slice) -> Array:
        with guarded(self._source.name):
            dataset = self._found.dataset
            stored = dataset[part] if dataset.ndim == 1 else dataset[part, self._found.column.at]
        with np.errstate(over="ignore", invalid="ignore"):
            return (stored * self._found.column.factor).astype("<f4")


class _Scan:
    def __init__(self, source: Hdf5File, key: str) -> None:
        self.source, self.key = source, key
        self.data, self.header = source.group(f"{key}/EBSD/Data"), source.group(f"{key}/EBSD/Header")

    def _say(self, *names: str) -> Any:
        """The first of several headers that is there."""
        for name in names:
            if self.header is not None and (found := self.source.dataset(name, self.header)) is not None:
                return self.source.small(found)
        return None

    def image(self, *, several: bool) -> ReadImage:
        kind = words(self._say("Grid Type"))
        if kind.lower().startswith("hex"):
            raise UnsupportedFormatError(f"{self.source.name} {HEXAGONAL}", grid=kind)
        stated = Stated(
            whole(self._say(*_GRID["rows"])),
            whole(self._say(*_GRID["columns"])),
            number(self._say(*_GRID["step_x"])),
            number(self._say(*_GRID["step_y"])),
        )
        x, y, measured = self._places(stated)
        grid = find_grid(x, y, stated, self.source.name)
        found = self._fields(len(x) if measured is None else len(measured))
        self.source.limits.check_samples((len(found), *grid.shape), 4, self.source.size, self.source.name)
        facts = self._facts() | grid.facts(x, y, stated)
        facts |= {"scan": fact(text(self.key), tag="group")} if several else {}
        header = {} if self.header is None else self.source.tree(self.header)
        return ReadImage(
            name=f"{Path(self.source.name).stem} {text(self.key)}" if several else Path(self.source.name).stem,
            axes=("c", "z", "y", "x"),
            array=Stack([MapColumn(self.source, field, grid, measured) for field in found], 0),
            spacing_um=grid.spacing_um(),
            spacing_source="Step X, Step Y" if grid.stated else "positions of the points",
            channels=tuple(field.column.channel() for field in found),
            facts=facts,
            header={"format": "EBSD HDF5", "scan": text(self.key), "header": header},
            modality="ebsd",
        )

    def _places(self, stated: Stated) -> tuple[Array, Array, Array | None]:
        """Positions of the points that were measured, and which they are where they are not all."""
        found = {axis: self._position(names) for axis, names in _POSITIONS.items()}
        x, y = found["x"], found["y"]
        if x is None or y is None:
            return *self._raster(stated), None
        if x.shape != y.shape:
            raise MetadataError(f"{self.source.name} has {len(x)} positions in x and {len(y)} in y")
        measured = (x != _INVALID) & (y != _INVALID)
        return (x, y, None) if measured.all() else (x[measured], y[measured], measured)

    def _position(self, names: Sequence[str]) -> Array | None:
        for name in names:
            dataset = self.source.dataset(name, self.data)
            if dataset is not None and dataset.ndim == 1:
                self.source.check(dataset)
                found: Array = dataset[()].astype(np.float64)
                return found
        return None

    def _raster(self, stated: Stated) -> tuple[Array, Array]:
        """Points without positions: row by row."""
        if not stated.rows or not stated.columns or not stated.step_x or not stated.step_y:
            raise MetadataError(f"{self.source.name} states neither positions nor a grid of rows, columns and steps")
        self.source.limits.check_samples((stated.rows, stated.columns), 16, self.source.size, self.source.name)
        row, column = np.divmod(np.arange(stated.rows * stated.columns), stated.columns)
        return column * stated.step_x, row * stated.step_y

    def _fields(self, points: int) -> list[_Field]:
        """All quantities; what is no number for each point (patterns) is left out."""
        found: list[_Field] = []
        skipped = {name for names in _POSITIONS.values() for name in names} | {"X Beam", "Y Beam", "Beam Position X"}
        for key in self.data:
            dataset = self.source.dataset(key, self.data)
            if dataset is None or key in skipped or dataset.dtype.kind not in "biuf":
                continue
            triple = label_of(key) == "euler" and dataset.shape[1:] == (3,)
            if dataset.ndim != 1 and not triple:
                continue
            if dataset.shape[0] != points:
                raise TruncatedFileError(
                    f"{self.source.name}: {text(key)} has {dataset.shape[0]} of {points} points", points=points
                )
            labels = ("euler1", "euler2", "euler3") if triple else (label_of(key),)
            found += [_Field(Column(label, at, _factor(dataset, label)), dataset) for at, label in enumerate(labels)]
        if not found:
            raise UnsupportedFormatError(f"{self.source.name} has no quantity of numbers under {text(self.key)}")
        order = in_order([field.column for field in found])
        return sorted(found, key=lambda field: order.index(field.column))

    def _facts(self) -> Facts:
        facts: Facts = {}
        root = self.source
        for name, tags in (("manufacturer", (" Manufacturer", "Manufacturer")), ("software", (" Version", "Version"))):
            for tag in tags:
                put_text(facts, name, root.small(root.dataset(tag)), tag=tag.strip())
        for name, tag in (("operator", "Operator"), ("sample", "Sample ID"), ("project", "Project Label")):
            put_text(facts, name, self._say(tag), tag=tag)
        for name, tag, unit in (
            ("working_distance", "Working Distance", "mm"),
            ("accelerating_voltage", "Beam Voltage", "kV"),
            ("magnification", "Magnification", "1"),
        ):
            put_positive(facts, name, self._say(tag), unit, tag=tag)
        for name, tag in (
            ("specimen_tilt", "Sample Tilt"),
            ("elevation_angle", "Camera Elevation Angle"),
            ("azimuth_angle", "Camera Azimuthal Angle"),
        ):
            put(facts, name, self._say(tag), "deg", tag=tag)
        if names := self._phases():
            facts["phases"] = fact("; ".join(names), tag="Phase.MaterialName")
        return {name: _figures(said) for name, said in facts.items()}

    def _phases(self) -> list[str]:
        phases = None
        for name in ("Phase", "Phases"):
            phases = phases or (self.source.group(name, self.header) if self.header is not None else None)
        found = []
        for key in list(phases or ())[:100]:
            group = self.source.group(key, phases)
            for name in ("MaterialName", "Phase Name", "Name"):
                title = words(self.source.small(self.source.dataset(name, group))) if group is not None else ""
                if title:
                    found.append(f"{text(key)} {title}")
                    break
        return found


def _factor(dataset: Any, label: str) -> float:
    """To radians for Euler angles that say degrees, to degrees for deviations that say radians."""
    unit = words(dataset.attrs.get("Unit", "")) if "Unit" in dataset.attrs else ""
    if label.startswith("euler") and unit.lower().startswith("deg"):
        return _DEGREES
    return 1 / _DEGREES if label == "mad" and unit.lower().startswith("rad") else 1.0


def _figures(said: dict[str, Any]) -> dict[str, Any]:
    """32-bit numbers with the figures that they were written with: 14.011181, not 14.011180877685547."""
    value = said["value"]
    return said | {"value": float(f"{value:.8g}")} if isinstance(value, float) else said
