"""A small run of every plugin of the family: name -> (params, inputs)."""

from __future__ import annotations

import numpy as np

from analyses.sdk.testing import image_value
from tests.analyses.phantoms import ball

_GREY = (np.random.default_rng(0).normal(80, 10, (14, 14, 14)) + 90 * ball(14, 4)).astype(np.uint8)

CASES = {
    "segmentation.threshold": (
        {"method": "multi_otsu", "classes": 3},
        {"image": image_value(_GREY, identifier="grey")},
    ),
    "segmentation.measure": (
        {"min_volume_um3": 2},
        {
            "labels": image_value((_GREY > 125).astype(np.uint8), kind="labels", identifier="labels"),
            "image": image_value(_GREY, identifier="grey"),
        },
    ),
}
