"""Where the axes of an NRRD lie: spacings or directions, their units, and the handedness of the space."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.imaging.readers.base import fact
from apps.imaging.readers.errors import MetadataError
from apps.imaging.readers.itk_common import MAX_AXES, direction_facts, is_mirrored, numbers
from apps.imaging.readers.quantities import Facts, length_power, length_um, number

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_VECTOR = re.compile(r"none|\(([^()]*)\)", re.IGNORECASE)
_RIGHT = {
    "right-anterior-superior", "ras", "left-posterior-superior", "lps", "scanner-xyz", "3d-right-handed",
}  # fmt: skip
_LEFT = {"left-anterior-superior", "las", "3d-left-handed"}
_ALIGNED = 1e-6


@dataclass(frozen=True)
class Space:
    """Per axis of the file: a spacing with its unit, or a vector in a space with units; None where unsaid."""

    name: str
    spacings: tuple[float | None, ...]
    units: tuple[str, ...]
    vectors: tuple[tuple[float, ...] | None, ...]
    space_units: tuple[str, ...]
    origin: tuple[float, ...] | None

    @classmethod
    def of(cls, fields: Mapping[str, str], axes: int, name: str) -> Space:
        """Read the fields that say so; MetadataError where their numbers do not fit."""
        vectors = _vectors(fields.get("space directions", ""), axes, name)
        spacings = [number(part) for part in fields.get("spacings", "").split()[:MAX_AXES]]
        if spacings and len(spacings) != axes:
            raise MetadataError(f"{name} has {len(spacings)} spacings for {axes} axes")
        origin = _VECTOR.search(fields.get("space origin", ""))
        return cls(
            name=fields.get("space", "").strip().lower(),
            spacings=tuple(spacings) or (None,) * axes,
            units=tuple(_quoted(fields.get("units", ""))),
            vectors=vectors,
            space_units=tuple(_quoted(fields.get("space units", ""))),
            origin=tuple(numbers(origin[1], name, "space origin")) if origin and origin[1] else None,
        )

    def is_placed(self, axis: int) -> bool | None:
        """True if an axis has a direction in space, False if the others have one and it has none, None if unsaid."""
        return self.vectors[axis] is not None if any(self.vectors) else None

    def spacing_um(self, names: Sequence[str], axes: Sequence[int]) -> tuple[dict[str, float | None], str]:
        """Distances of samples along the axes of space, and the fields they come from."""
        found: dict[str, float | None] = dict.fromkeys(("z", "y", "x"))
        by_vector = any(self.vectors)
        for called, axis in zip(names, axes, strict=True):
            found[called] = self._vector_um(axis) if by_vector else self._spacing_um(axis)
        return found, "NRRD space directions and space units" if by_vector else "NRRD spacings and units"

    def _spacing_um(self, axis: int) -> float | None:
        spacing, unit = self.spacings[axis], self.units[axis] if axis < len(self.units) else ""
        return length_um(abs(spacing), unit) if spacing is not None else None

    def _vector_um(self, axis: int) -> float | None:
        """Length of a direction; its parts count in the units of the axes of space they lie along."""
        vector = self.vectors[axis]
        if vector is None:
            return None
        largest = max(abs(part) for part in vector)
        used = [n for n, part in enumerate(vector) if abs(part) > _ALIGNED * largest]
        units = {self.space_units[n] if n < len(self.space_units) else "" for n in used}
        if len({length_power(unit) for unit in units}) != 1:
            return None
        return length_um(math.hypot(*(vector[n] for n in used)), units.pop())

    def facts(self, axes: Sequence[int]) -> Facts:
        """Directions, origin and name of the space."""
        vectors = [self.vectors[axis] for axis in axes]
        rows = [vector for vector in vectors if vector is not None]
        units = set(self.space_units)
        unit = units.pop() if len(units) == 1 else None
        facts = direction_facts(rows if len(rows) == len(vectors) else [], self.origin, unit)
        if self.name:
            facts["space"] = fact(self.name, tag="space")
        by_vector = any(self.vectors)
        ratios = [math.hypot(*(self.vectors[axis] or ())) if by_vector else self.spacings[axis] for axis in axes]
        lengths = [self._vector_um(axis) if by_vector else self._spacing_um(axis) for axis in axes]
        if any(ratios) and not all(lengths):
            tag = "space directions" if by_vector else "spacings"
            facts["spacing_without_unit"] = fact(ratios, "1", tag=tag)
        return facts

    def is_mirrored(self, axes: Sequence[int]) -> bool:
        """True if the axes of the array are left-handed; a space of unknown handedness tells nothing."""
        rows = [self.vectors[axis] for axis in axes]
        plain = self.name.removesuffix("-time")
        plain = plain.removesuffix("t") if plain in ("rast", "lpst", "last") else plain
        stated = [row for row in rows if row is not None]
        if len(stated) != 3 or any(len(row) != 3 for row in stated) or plain not in _RIGHT | _LEFT:
            return False
        flip = -1 if plain in _LEFT else 1
        return is_mirrored([(flip * row[0], row[1], row[2]) for row in stated])


def _vectors(stated: str, axes: int, name: str) -> tuple[tuple[float, ...] | None, ...]:
    if not stated:
        return (None,) * axes
    found = []
    for match in list(_VECTOR.finditer(stated))[: MAX_AXES + 1]:
        parts = numbers(match[1], name, "space directions") if match[1] is not None else []
        whole = parts and all(math.isfinite(part) for part in parts) and any(parts)
        found.append(tuple(parts) if whole else None)
    if len(found) != axes:
        raise MetadataError(f"{name} has {len(found)} space directions for {axes} axes")
    if len({len(vector) for vector in found if vector}) > 1:
        raise MetadataError(f"{name} has space directions of different lengths")
    return tuple(found)


def _quoted(value: str) -> list[str]:
    return [found.replace('\\"', '"').strip() for found in _QUOTED.findall(value)][:MAX_AXES]
