"""What is known of an instrument's stage: the sense of its axes, its units, its reach, its field of view.

It stands in ``Instrument.stage_axes``, flat, recorded once by staff:

``x``, ``y``, ``z``
    1 or -1: the reading grows, or falls, from a place to one further along that axis of the stage frame.  The frame is
    right-handed and its z points from the specimen towards the source, against the beam.  Coordinates in a stage frame
    are readings times these signs.
``length_unit``, ``angle_unit``
    What the stage shows: m, mm or um; deg or rad.  Without them the manufacturer decides.
``x_min_um`` .. ``z_max_um``, ``rotation_min_deg`` .. ``tilt_max_deg``
    Reach of the stage, as readings.
``field_of_view_um``
    Side of the largest field of view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.catalog.models import Instrument
from apps.core.errors import ConflictError
from apps.spatial.exchange.positions import ANGLES, LENGTHS, StagePosition, StageUnits

Floats = npt.NDArray[np.float64]

_PARTS: Final = ("x", "y", "z", "rotation", "tilt")
# Units in which vendors show stage readings; beginnings of manufacturers' names in small letters.
_VENDOR_UNITS: Final = {
    "zeiss xradia": StageUnits("um", "deg"),
    "xradia": StageUnits("um", "deg"),
    "carl zeiss x-ray": StageUnits("um", "deg"),
    "carl zeiss": StageUnits("mm", "deg"),
    "zeiss": StageUnits("mm", "deg"),
    "fei": StageUnits("m", "rad"),
    "thermo": StageUnits("m", "rad"),
    "tescan": StageUnits("m", "deg"),
    "jeol": StageUnits("mm", "deg"),
    "bruker": StageUnits("um", "deg"),
    "fibics": StageUnits("um", "deg"),
}


class StageSenseError(ConflictError):
    """The sense of the stage's axes is not recorded: a place cannot be said in its readings."""

    code = "stage_sense_unknown"


class StageUnitsError(ConflictError):
    """The units of the stage are not recorded, and the manufacturer does not tell them."""

    code = "stage_units_unknown"


@dataclass(frozen=True)
class Stage:
    """What is recorded of a stage.

    ``senses`` are 1.0 or -1.0 along x, y, z; ``facts`` the whole record.
    """

    instrument: Instrument
    senses: Floats
    facts: Mapping[str, Any]

    def reading(self, point: Floats) -> list[float]:
        """What the stage shows, um, where a point of the stage frame is looked at."""
        return [float(value) for value in self.senses * point]

    def point(self, reading: npt.ArrayLike) -> Floats:
        """The point of the stage frame that is looked at where the stage shows a reading, um."""
        return np.asarray(self.senses * np.asarray(reading, np.float64), np.float64)

    @property
    def units(self) -> StageUnits:
        """What the stage shows lengths and angles in; StageUnitsError where nobody said."""
        vendor = _vendor_units(self.instrument)
        length = self.facts.get("length_unit") or (vendor.length if vendor else None)
        angle = self.facts.get("angle_unit") or (vendor.angle if vendor else None)
        if length not in LENGTHS or angle not in ANGLES:
            raise StageUnitsError(
                f"the units of the stage of {self.instrument.name} are not known; record stage_axes.length_unit "
                f"({', '.join(LENGTHS)}) and stage_axes.angle_unit ({', '.join(ANGLES)}), or its manufacturer",
                details={"instrument": str(self.instrument.pk)},
            )
        return StageUnits(length, angle)

    def outside(self, position: StagePosition) -> tuple[bool | None, list[str]]:
        """Say whether a reading is within the stage's reach: None where no limit is recorded, and what is beyond."""
        beyond, known = [], 0
        for part in _PARTS:
            unit = "um" if part in "xyz" else "deg"
            value = getattr(position, part)
            for end, sign in (("min", -1.0), ("max", 1.0)):
                limit = _number(self.facts.get(f"{part}_{end}_{unit}"))
                if limit is None or value is None:
                    continue
                known += 1
                if sign * (value - limit) > 0.0:
                    beyond.append(f"{part} {value:.6g} {unit} is beyond {limit:.6g} {unit}")
        return (None if not known else not beyond), beyond

    @property
    def field_of_view_um(self) -> float | None:
        """Side of the largest field of view; None where not recorded."""
        value = _number(self.facts.get("field_of_view_um"))
        return value if value is not None and value > 0.0 else None


def stage_of(instrument: Instrument) -> Stage:
    """Return what is recorded of an instrument's stage; StageSenseError names what is missing."""
    facts = instrument.stage_axes or {}
    senses = [facts.get(axis) for axis in "xyz"]
    missing = [
        axis for axis, sense in zip("xyz", senses, strict=True) if isinstance(sense, bool) or sense not in (1, -1)
    ]
    if missing:
        names = ", ".join(f"stage_axes.{axis}" for axis in missing)
        raise StageSenseError(
            f"the sense of the stage axes of {instrument.name} is not known; measure it once and record {names} of the "
            "instrument: 1 if the reading grows towards places further along that axis of the stage frame "
            "(right-handed, z towards the source), -1 if it falls",
            details={"instrument": str(instrument.pk), "missing": [f"stage_axes.{axis}" for axis in missing]},
        )
    return Stage(instrument, np.array(senses, np.float64), facts)


def _vendor_units(instrument: Instrument) -> StageUnits | None:
    name = instrument.manufacturer.strip().lower()
    if instrument.modality in ("xrm", "nano_xrm") and "zeiss" in name:
        return _VENDOR_UNITS["xradia"]
    return next((units for start, units in _VENDOR_UNITS.items() if name.startswith(start)), None)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
