"""What the plugins of the family share: parameters, ports, declared failures, and the start they begin from."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from analyses.registration.grids import Pixels
from analyses.sdk.contract import ExitCode, Inputs, Params, PluginError, Port
from analyses.sdk.spatial import Matrix, invert, is_mirrored
from analyses.sdk.values import ImageValue, TransformValue

START_PORTS = ("initial", "stage", "history")

FAILURES = (
    ExitCode(100, "same_frame", "both images lie in the frame {frame}: there is nothing to find"),
    ExitCode(
        101, "no_overlap", "the images overlap by {overlap:.0%} where they fit best; at least {least:.0%} is needed"
    ),
    ExitCode(102, "flat_image", "the {image} image has one value wherever it is looked at: nothing can be matched"),
    ExitCode(103, "not_finite", "{count} samples are NaN or infinite; mask or replace them first"),
    ExitCode(104, "no_such_index", "{axis} {index} does not exist; the image has {count}"),
    ExitCode(105, "too_small", "the {image} image has {shape} samples; at least {least} along each axis are needed"),
    ExitCode(106, "mixed_dimensions", "one image is a plane, the other a volume; see registration.slice_in_volume"),
    ExitCode(107, "other_frames", "the transform on port {port} joins the frames {joined}, not those of the images"),
    ExitCode(108, "no_start", "start {start!r} was asked for; nothing is given on the port {start!r}"),
    ExitCode(109, "unrelated", "the images do not agree: {reason}"),
    ExitCode(110, "ambiguous", "two places fit about equally well (metric {best:.4f} and {next:.4f}): {reason}"),
)


class IntensityParams(Params):
    """How images are registered by their grey values."""

    levels: int = Field(default=3, ge=1, le=6, description="resolutions that are gone through, each half of the next")
    sampling: float = Field(
        default=0.2, gt=0, le=1, description="fraction of the samples that the metric looks at on the finest level"
    )
    starts: int = Field(
        default=8, ge=1, le=500, description="places that the search follows downhill on the coarsest level"
    )
    start: Literal["auto", "stage", "centre", "history"] = Field(
        default="auto",
        description=(
            "where the search begins: at the transform of the port of that name, or with the centres of both images on "
            "each other; `auto`: at `initial` where given, else `stage`, `history`, `centre`"
        ),
    )
    search_deg: float | None = Field(
        default=None,
        ge=0,
        le=180,
        description="how far round z from the start the search goes, degrees; by default 10 from a transform, else all",
    )
    metric: Literal["mutual_information", "correlation"] = Field(
        default="mutual_information", description="Mattes mutual information, or correlation for images of one contrast"
    )
    bins: int = Field(default=32, ge=8, le=256, description="bins of the joint histogram of mutual information")
    handedness: Literal["auto", "as_given", "either"] = Field(
        default="auto",
        description=(
            "whether a mirrored image is tried too: `auto` where no transform is given to start from and the "
            "handedness of an image is not declared"
        ),
    )
    min_overlap: float = Field(
        default=0.2, ge=0.02, le=1, description="smallest part of the smaller image that must lie in the other"
    )
    fixed_channel: int = Field(default=0, ge=0, description="channel of the fixed image, from 0")
    fixed_time: int = Field(default=0, ge=0, description="time point of the fixed image, from 0")
    moving_channel: int = Field(default=0, ge=0, description="channel of the moving image, from 0")
    moving_time: int = Field(default=0, ge=0, description="time point of the moving image, from 0")


IMAGE_PORTS = (
    Port("fixed", "image", "image whose frame the transform leads to", dims=(2, 3), calibrated=True),
    Port("moving", "image", "image whose frame the transform leads from", dims=(2, 3), calibrated=True),
)
TRANSFORM_PORTS = (
    Port("initial", "transform", "where to begin: an earlier transform between the two frames", required=False),
    Port("stage", "transform", "what the stage positions say, between the two frames", required=False),
    Port("history", "transform", "what former pairs of the two instruments say", required=False),
)
# What the search, the metric, the refinement in blocks and its error follow.
REFERENCES = (
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
)
RESULT_PORTS = (Port("transform", "transform", "from the frame of the moving image to that of the fixed image"),)


def check_pair(fixed: ImageValue, moving: ImageValue) -> None:
    """Refuse two images of one frame."""
    if fixed.frame is not None and fixed.frame == moving.frame:
        raise PluginError("same_frame", frame=fixed.frame)


def check_sizes(fixed: Pixels, moving: Pixels, least: int) -> None:
    """Refuse a plane with a volume, and what is too small to be matched."""
    if fixed.planar != moving.planar:
        raise PluginError("mixed_dimensions")
    for name, pixels in (("fixed", fixed), ("moving", moving)):
        if min(n for n in pixels.shape[1 if pixels.planar else 0 :]) < least:
            raise PluginError("too_small", image=name, shape=list(pixels.shape), least=least)


def given_start(start: str, inputs: Inputs, fixed: ImageValue, moving: ImageValue) -> tuple[str, Matrix | None]:
    """Where to begin: its name, and the map moving -> fixed in um, None for the centres of both images."""
    asked = (start,) if start in ("stage", "history") else START_PORTS
    if inputs.get("initial") is not None:
        asked = ("initial",)
    for port in asked:
        given = inputs.get(port)
        if given is not None and start != "centre":
            return port, between(port, given, fixed, moving)
        if given is not None and port == "initial":
            return port, between(port, given, fixed, moving)
    if start in ("stage", "history"):
        raise PluginError("no_start", start=start)
    return "centre", None


def between(port: str, given: TransformValue, fixed: ImageValue, moving: ImageValue) -> Matrix:
    """The map moving -> fixed of a transform given either way round; refused where it joins other frames."""
    if (given.source, given.target) == (moving.frame, fixed.frame):
        return np.asarray(given.matrix, np.float64)
    if (given.source, given.target) == (fixed.frame, moving.frame):
        return invert(np.asarray(given.matrix, np.float64))
    raise PluginError("other_frames", port=port, joined=[given.source, given.target])


def nearest_rigid(matrix: Matrix, about: np.ndarray) -> Matrix:
    """The rotation (mirrored if the matrix is) nearest to a map, which moves the point ``about`` as it does."""
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    result = np.eye(4)
    result[:3, :3] = u @ vt
    result[:3, 3] = matrix[:3, :3] @ about + matrix[:3, 3] - result[:3, :3] @ about
    return result


def kind_of(matrix: Matrix, kind: Literal["rigid", "affine"]) -> Literal["rigid", "affine", "reflection"]:
    """A mirrored map is a reflection, whatever else it does."""
    return "reflection" if is_mirrored(matrix) else kind
