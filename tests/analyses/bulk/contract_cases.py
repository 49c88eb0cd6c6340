"""A small run of every plugin of the family: name -> (params, inputs)."""

from __future__ import annotations

import numpy as np

from analyses.sdk.testing import image_value

_PHASES = {"phases": {"0": {"k": 0.2, "u": 0.01, "source": "datasheet"}, "1": {"k": 10.0, "u": 1.0}}}
_GREY = np.random.default_rng(0).integers(0, 200, (18, 20, 22), dtype=np.uint8)
_INPUTS = {"labels": image_value((_GREY > 120).astype(np.uint8), kind="labels", identifier="labels")}
_IMAGE = image_value(_GREY, identifier="image")

CASES = {
    "bulk.bounds": (_PHASES, {**_INPUTS, "image": _IMAGE}),
    "bulk.conductivity": ({**_PHASES, "directions": ["x", "z"]}, {**_INPUTS, "image": _IMAGE}),
    "bulk.rve": ({**_PHASES, "tile_sizes": [4, 8], "count": 4}, _INPUTS),
}
