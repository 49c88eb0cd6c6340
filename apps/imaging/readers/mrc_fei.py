"""The extended header of Thermo Fisher (FEI1, FEI2): one block of measured values a section, in SI units and degrees.

Four bit masks say which fields of a block were filled in; the others hold zero, which is no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mrcfile.dtypes import get_ext_header_dtype

from apps.imaging.readers.base import fact
from apps.imaging.readers.quantities import Facts, length_um, number, put, put_positive, put_text, words
from apps.imaging.readers.tiff_header import json_value

_UNUSED = ("Unused range", 6)  # one field of the layout, six bits of the mask
_STAGE = {"X-Stage": "stage_x", "Y-Stage": "stage_y", "Z-Stage": "stage_z"}
_MODES = {1: "tem", 2: "stem"}
_BLOCKS_IN_HEADER = 2000


class FeiBlocks:
    """Blocks of the sections, without those that the file does not hold whole."""

    def __init__(self, blocks: Sequence[dict[str, Any]]) -> None:
        self.blocks = tuple(blocks)

    @classmethod
    def of(cls, extended: bytes, kind: bytes, order: str, sections: int) -> FeiBlocks:
        """Blocks of an extended header; none if it is of another kind or too short."""
        dtype = get_ext_header_dtype(kind, order)
        if dtype is None or len(extended) < dtype.itemsize:
            return cls(())
        stated = int(np.frombuffer(extended, f"{order}i4", 1)[0])
        step = stated if dtype.itemsize <= stated <= len(extended) else dtype.itemsize
        count = min(sections, (len(extended) - dtype.itemsize) // step + 1)
        return cls([_filled(np.frombuffer(extended, dtype, 1, offset=n * step)[0]) for n in range(count)])

    @property
    def first(self) -> dict[str, Any]:
        """Fields of the first section."""
        return self.blocks[0] if self.blocks else {}

    @property
    def modality(self) -> str:
        """``tem`` or ``stem``, empty if the header does not say."""
        return _MODES.get(self.first.get("Instrument mode", 0), "")

    def spacing_um(self) -> dict[str, float | None]:
        """Pixel size of the first section."""
        sizes = {axis: self.first.get(f"Pixel size {axis.upper()}") for axis in ("y", "x")}
        return {axis: length_um(size, "m") for axis, size in sizes.items()}

    def facts(self) -> Facts:
        """Instrument, high tension, stage and detector of the first section, tilt of each."""
        facts: Facts = {}
        first = self.first
        put_text(facts, "instrument", first.get("Microscope type"), tag="Microscope type")
        software = " ".join(words(first.get(key)) for key in ("Application", "Application version"))
        put_text(facts, "software", software, tag="Application")
        put_text(facts, "detector", first.get("STEM Detector name") or first.get("Camera name"), tag="Detector")
        put_positive(facts, "accelerating_voltage", first.get("HT"), "kV", tag="HT", power=-3, raw_unit="V")
        put_positive(facts, "magnification", first.get("Magnification"), "1", tag="Magnification")
        put_positive(facts, "exposure_time", first.get("Integration time"), "s", tag="Integration time")
        for key, name in _STAGE.items():
            put(facts, name, first.get(key), "um", tag=key, power=6, raw_unit="m")
        put(facts, "stage_tilt", first.get("Alpha tilt"), "deg", tag="Alpha tilt")
        tilts = [number(block.get("Alpha tilt")) for block in self.blocks]
        if len(set(tilts)) > 1 and None not in tilts:
            facts["angles"] = fact(tilts, "deg", tag="Alpha tilt")
        if self.modality:
            facts["mode"] = fact(self.modality.upper(), tag="Instrument mode", raw=first["Instrument mode"])
        return facts

    def header(self) -> list[dict[str, Any]]:
        """Filled-in fields of the sections as JSON values."""
        return [json_value(block) for block in self.blocks[:_BLOCKS_IN_HEADER]]


def _filled(block: Any) -> dict[str, Any]:
    """The fields of a block that its masks mark as filled in."""
    found: dict[str, Any] = {}
    mask, bit = 0, 0
    for name in block.dtype.names:
        if name.startswith("Bitmask"):
            mask, bit = int(block[name]), 0
            continue
        if name.startswith("Metadata"):
            continue
        value = block[name]
        if mask >> bit & 1 and name != _UNUSED[0]:
            found[name] = value.decode("latin-1") if isinstance(value, bytes) else value.item()
        bit += _UNUSED[1] if name == _UNUSED[0] else 1
    return found
