"""One image, or labels, written on the grid of another along a transform between their frames."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, Literal

import numpy as np
from pydantic import Field

from analyses.registration.common import between
from analyses.registration.lattice import Reading, spatial_shape
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, Params, PluginError, PluginSpec, Port
from analyses.sdk.spatial import AffineError, Matrix, invert, is_mirrored
from analyses.sdk.values import AXIS_ORDER, SPATIAL_AXES, ImageValue, OutputImage, TransformValue

Hand = Literal["right", "left", "unknown"]
_OTHER_HAND: dict[Hand, Hand] = {"right": "left", "left": "right", "unknown": "unknown"}
PORTS: tuple[Literal["moving", "labels"], ...] = ("moving", "labels")
_OUTPUTS = {"moving": "image", "labels": "labels"}


class ResampleParams(Params):
    """What stands where the image does not reach."""

    fill: float = Field(
        default=0.0, description="value of samples that the image does not reach; must be one its sample type holds"
    )


def run(ctx: Context, params: ResampleParams, inputs: Inputs) -> Outputs:
    """Write the image and the labels given on the grid of ``fixed``, in whose frame they then lie exactly.

    Intensity is interpolated linearly, from the stored level that fits the grid; labels are those of the nearest
    sample.  Channels, times, sample type and modality stay; what the images do not reach is ``fill`` and counted.
    """
    fixed, given = inputs["fixed"], inputs["transform"]
    shown = [(port, inputs[port]) for port in PORTS if inputs.get(port) is not None]
    if not shown:
        raise PluginError("nothing_given")
    outputs: dict[str, Any] = {}
    for number, (port, image) in enumerate(shown):
        to_fixed = between("transform", given, fixed, image)
        _check(port, image, params)
        hand = _hand(fixed, image, to_fixed)
        share = (number / len(shown), 1.0 / len(shown))
        outputs[_OUTPUTS[port]] = _written(ctx, params, port, fixed, image, _inverse(to_fixed), given, hand, share)
    return outputs


def _check(port: str, image: ImageValue, params: ResampleParams) -> None:
    """Refuse what has no grey values or labels at a place, and a fill value that the samples cannot hold."""
    if image.kind not in ("intensity", "labels"):
        raise PluginError("kind", port=port, kind=image.kind)
    dtype = np.dtype(image.array.dtype)
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        if params.fill != int(params.fill) or not limits.min <= params.fill <= limits.max:
            raise PluginError("fill", fill=params.fill, dtype=dtype.name, low=limits.min, high=limits.max)


def _inverse(to_fixed: Matrix) -> Matrix:
    try:
        return invert(to_fixed)
    except AffineError as error:
        raise PluginError("singular", reason=str(error)) from error


def _hand(fixed: ImageValue, image: ImageValue, to_fixed: Matrix) -> Hand:
    """The handedness of the grid written on: as declared, else as the image's own comes through the transform."""
    mirrors = is_mirrored(to_fixed)
    carried = _OTHER_HAND[image.handedness] if mirrors else image.handedness
    if "unknown" not in (carried, fixed.handedness) and carried != fixed.handedness:
        raise PluginError(
            "handedness",
            fixed=fixed.handedness,
            moving=image.handedness,
            does="mirrors" if mirrors else "does not mirror",
        )
    return carried if fixed.handedness == "unknown" else fixed.handedness


def _written(
    ctx: Context,
    params: ResampleParams,
    port: str,
    fixed: ImageValue,
    image: ImageValue,
    to_moving: Matrix,
    given: TransformValue,
    hand: Hand,
    share: tuple[float, float],
) -> OutputImage:
    reading = Reading.of(image, fixed, to_moving)
    axes = tuple(axis for axis in AXIS_ORDER if axis in image.axes)
    sizes = dict(zip(image.axes, image.shape, strict=True)) | dict(zip(SPATIAL_AXES, spatial_shape(fixed), strict=True))
    shape = tuple(sizes[axis] for axis in axes)
    array = ctx.create_array(_OUTPUTS[port], shape=shape, dtype=image.array.dtype, axes=axes)
    corners = list(product(*(range(0, n, c) for n, c in zip(shape, array.chunks, strict=True))))
    inside = 0
    for done, corner in enumerate(corners):
        ctx.check_cancelled()
        cut = tuple(slice(a, min(a + c, n)) for a, c, n in zip(corner, array.chunks, shape, strict=True))
        chunk = np.empty(tuple(s.stop - s.start for s in cut), image.array.dtype)
        lead = len(axes) - 3
        for place in np.ndindex(chunk.shape[:lead]):
            index = {axis: corner[i] + place[i] for i, axis in enumerate(axes[:lead])}
            inside += reading.into(chunk[place], corner[lead:], index, params.fill)
        array[cut] = chunk
        ctx.progress(share[0] + share[1] * (done + 1) / len(corners), f"{port} written")
    if inside == 0:
        raise PluginError("no_overlap", image=port)
    own = dict(image.facts) if image.kind == "labels" else {}
    facts = own | {
        "resampled_from": image.id,
        "on_the_grid_of": fixed.id,
        "transform": given.id or None,
        "interpolation": "nearest" if reading.nearest else "linear",
        "level_read": reading.level,
        "fill": params.fill,
        "fraction_filled": 1.0 - inside / float(np.prod(shape)),
    }
    name = f"on the grid of {fixed.name}" if fixed.name else "resampled"
    return OutputImage(
        image.kind, array, axes, fixed.id, image.channels, name=name, facts=facts, of=image.id, handedness=hand
    )


def cost_of(params: ResampleParams, inputs: Mapping[str, Any]) -> Cost:
    """Time goes with the samples written; memory is a few pieces and one stored chunk, whatever the size."""
    shapes, samples = {}, 0.0
    for port in PORTS:
        if inputs.get(port) is None:
            continue
        image = inputs[port]
        sizes = dict(zip(image.axes, image.shape, strict=True)) | dict(
            zip(SPATIAL_AXES, spatial_shape(inputs["fixed"]), strict=True)
        )
        shapes[_OUTPUTS[port]] = tuple(sizes[axis] for axis in image.axes)
        samples += float(np.prod(shapes[_OUTPUTS[port]]))
    return Cost(512 * 2**20, 0.5 + 2e-7 * samples, shapes)


SPEC = PluginSpec(
    name="registration.resample",
    version="1.0.0",
    title="One image on the grid of another",
    summary="Writes an image or labels sample by sample in the frame and on the grid of another, along a transform.",
    params=ResampleParams,
    inputs=(
        Port("fixed", "image", "image on whose grid is written", dims=(1, 2, 3), calibrated=True),
        Port("moving", "image", "image that is written there", required=False, dims=(1, 2, 3), calibrated=True),
        Port("labels", "labels", "labels that are written there", required=False, dims=(1, 2, 3), calibrated=True),
        Port("transform", "transform", "between the two frames, in either direction"),
    ),
    outputs=(
        Port("image", "image", "the moving image on the grid of the fixed one", required=False),
        Port("labels", "labels", "the labels on the grid of the fixed image", required=False),
    ),
    run=run,
    cost=cost_of,
    exit_codes=(
        ExitCode(100, "nothing_given", "give an image on the port moving, labels on the port labels, or both"),
        ExitCode(101, "no_overlap", "the {image} lies wholly outside of the fixed image: every sample would be filled"),
        ExitCode(
            107, "other_frames", "the transform on port {port} joins the frames {joined}, not those of the images"
        ),
        ExitCode(112, "kind", "port {port}: an image of kind {kind} has no value that can be interpolated at a place"),
        ExitCode(113, "fill", "fill {fill} is no value of {dtype}; that holds whole numbers from {low} to {high}"),
        ExitCode(114, "singular", "the transform cannot be taken back: {reason}"),
        ExitCode(
            115,
            "handedness",
            "fixed is {fixed}-handed, the image {moving}-handed, and the transform {does}: one of these is wrong",
        ),
    ),
    references=(
        (
            "Lehmann, T. M., Goenner, C., Spitzer, K. (1999). Survey: interpolation methods in medical image "
            "processing. IEEE Trans. Med. Imaging 18, 1049-1075."
        ),
    ),
)
