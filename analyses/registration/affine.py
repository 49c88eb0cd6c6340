"""Affine registration of two images by their grey values."""

from __future__ import annotations

from analyses.registration.common import (
    FAILURES,
    IMAGE_PORTS,
    REFERENCES,
    RESULT_PORTS,
    TRANSFORM_PORTS,
    IntensityParams,
)
from analyses.registration.intensity import cost_of, run_intensity
from analyses.sdk.contract import Context, Inputs, Outputs, PluginSpec


def run(ctx: Context, params: IntensityParams, inputs: Inputs) -> Outputs:
    """Find the affine map that lays the moving image on the fixed one; see ``run_intensity``.

    The search is for a rigid map; scales and shears are set free on the levels between, and in the blocks.
    """
    return run_intensity("affine", ctx, params, inputs)


SPEC = PluginSpec(
    name="registration.affine",
    version="1.1.0",
    title="Affine registration",
    summary="Rotation, shift, scales and shears between two images of one specimen, of any contrasts, with its error.",
    params=IntensityParams,
    inputs=(*IMAGE_PORTS, *TRANSFORM_PORTS),
    outputs=RESULT_PORTS,
    run=run,
    cost=cost_of,
    exit_codes=FAILURES,
    references=REFERENCES,
)
