"""The quantities of EBSD maps under one name each, whatever a vendor calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analyses.sdk.values import Channel

_FIRST = ("phase", "euler1", "euler2", "euler3")
_SAME = {
    "phi1": "euler1", "phi": "euler2", "phi2": "euler3", "ph1": "euler1", "ph2": "euler3",
    "iq": "image_quality", "ci": "confidence_index", "phase_index": "phase", "phase_id": "phase", "phaseid": "phase",
    "sem": "sem_signal", "mean_angular_deviation": "mad", "band_contrast": "bc", "band_slope": "bs",
    "radonbandcount": "bands", "dp": "dot_product",
}  # fmt: skip
_UNITS = {"euler1": "rad", "euler2": "rad", "euler3": "rad", "mad": "deg", "fit": "deg"}


@dataclass(frozen=True)
class Column:
    """One quantity: its name, its place in the file, and the factor to its unit."""

    label: str
    at: int
    factor: float = 1.0

    def channel(self) -> Channel:
        """How an image calls it."""
        return Channel(self.label, unit=_UNITS.get(self.label, "1"))


def label_of(title: str) -> str:
    """One name for what vendors call differently: ``CI`` and ``Confidence Index`` are ``confidence_index``."""
    plain = re.sub(r"[^0-9a-z]+", "_", title.strip().lower()).strip("_")
    return _SAME.get(plain, plain)


def in_order(columns: Sequence[Column]) -> list[Column]:
    """Phase and Euler angles first, the others as in the file."""
    first = [column for name in _FIRST for column in columns if column.label == name]
    return first + [column for column in columns if column not in first]
