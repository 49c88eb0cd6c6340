"""A small run of every plugin of the family: name -> (params, inputs)."""

from __future__ import annotations

import numpy as np

from analyses.sdk.values import TransformValue
from benchmarks.registration.cuts import cut
from benchmarks.registration.phantoms import fibres, pair
from benchmarks.registration.times import drifting
from tests.analyses.registration.pairs import inputs_of, value

_PAIR = pair(2, edge=48, degrees=3, shift=2)
_NEAR = {"search_deg": 5.0, "starts": 2, "levels": 2}
_PAIRS = [
    {"source": (0.0, 0.0, 0.0), "target": (1.0, 0.1, 0.0)},
    {"source": (40.0, 0.0, 5.0), "target": (41.1, 0.0, 5.0)},
    {"source": (0.0, 40.0, 9.0), "target": (1.0, 40.0, 9.2)},
    {"source": (30.0, 30.0, 40.0), "target": (31.0, 30.1, 40.0)},
]

_TRUTH = TransformValue("rigid", np.asarray(_PAIR.truth), "frame of moving", "frame of fixed", residual_um=0.0)
_CUT = cut(11, fibres(), edge=36, shift=4.0)
_OFF = TransformValue("rigid", np.asarray(_CUT.truth), "frame of moving", "frame of fixed", residual_um=0.0)
_TIMES = [
    value(samples, f"time {number}") for number, samples in enumerate(drifting(1, count=2, edge=48, planar=True)[0])
]

CASES = {
    "registration.landmarks": (
        {"kind": "rigid", "pairs": _PAIRS},
        {"source_image": value(_PAIR.moving, "moving"), "target_image": value(_PAIR.fixed, "fixed")},
    ),
    "registration.rigid": (_NEAR, inputs_of(_PAIR)),
    "registration.affine": (_NEAR, inputs_of(_PAIR)),
    "registration.resample": ({"fill": 0.0}, inputs_of(_PAIR) | {"transform": _TRUTH}),
    "registration.slice_in_volume": (
        {"search_um": 2.0, "search_deg": 2.0, "starts": 2},
        _CUT.inputs() | {"initial": _OFF},
    ),
    "registration.series": ({}, {"images": _TIMES}),
}
