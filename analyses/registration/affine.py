"""Affine registration of two images by their grey values."""

from __future__ import annotations

from analyses.registration.common import FAILURES, IMAGE_PORTS, RESULT_PORTS, TRANSFORM_PORTS, IntensityParams
from analyses.registration.intensity import cost_of, run_intensity
from analyses.sdk.contract import Context, Inputs, Outputs, PluginSpec


def run(ctx: Context, params: IntensityParams, inputs: Inputs) -> Outputs:
    """Find the affine map that lays the moving image on the fixed one; see ``run_intensity``.

    The search is for a rigid map; scales and shears are set free on the second level.
    """
    return run_intensity("affine", ctx, params, inputs)


SPEC = PluginSpec(
    name="registration.affine",
    version="1.0.0",
    title="Affine registration",
    summary="Rotation, shift, scales and shears between two images of one specimen, of any contrasts, with its error.",
    params=IntensityParams,
    inputs=(*IMAGE_PORTS, *TRANSFORM_PORTS),
    outputs=RESULT_PORTS,
    run=run,
    cost=cost_of,
    exit_codes=FAILURES,
    references=(
        (
            "Mattes, D., Haynor, D. R., Vesselle, H., Lewellen, T. K., Eubank, W. (2003). PET-CT image registration in "
            "the chest using free-form deformations. IEEE Trans. Med. Imaging 22, 120-128."
        ),
        (
            "Roche, A., Malandain, G., Pennec, X., Ayache, N. (1998). The correlation ratio as a new similarity "
            "measure for multimodal image registration. MICCAI 1998, LNCS 1496, 1115-1124."
        ),
        "Padfield, D. (2012). Masked object registration in the Fourier domain. IEEE Trans. Image Process. 21, 2706.",
        "Efron, B., Stein, C. (1981). The jackknife estimate of variance. Ann. Stat. 9, 586-596.",
    ),
)
