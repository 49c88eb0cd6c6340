"""A small run of every plugin of the family: name -> (params, inputs)."""

from __future__ import annotations

from analyses.sdk.testing import image_value
from tests.analyses.phantoms import random_labels

_PHASES = {"phases": {"0": {"k": 0.2, "u": 0.01, "source": "datasheet"}, "1": {"k": 10.0, "u": 1.0}}}
_INPUTS = {"labels": image_value(random_labels(0, (18, 20, 22)), kind="labels", identifier="labels")}

CASES = {
    "bulk.bounds": (_PHASES, _INPUTS),
    "bulk.conductivity": ({**_PHASES, "error_parts": ["voxel", "boundary"]}, _INPUTS),
    "bulk.rve": ({**_PHASES, "tile_sizes": [4, 8], "count": 4}, _INPUTS),
}
