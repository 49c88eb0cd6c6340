"""A time series laid on one of its own time points, with its drift and the error of going round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from analyses.registration.drift import Laid, Mask, Pairing, Refusal, apart_um, chained, corners_of
from analyses.registration.grids import Pixels
from analyses.registration.intensity import FLOOR, LEAST_SAMPLES
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, Params, PluginError, PluginSpec, Port
from analyses.sdk.spatial import Matrix, apply, decompose, invert
from analyses.sdk.values import Column, ImageValue, PropertyValue, TableValue, TransformValue

MOST_TIMES = 1000


class SeriesParams(Params):
    """What the time points are laid on, and how far they may have moved."""

    reference: int = Field(default=0, ge=0, description="time point that the others are laid on, from 0")
    search_deg: float = Field(
        default=2.0, ge=0, le=30, description="how far a time point may be turned against the one before, degrees"
    )
    min_overlap: float = Field(
        default=0.3, ge=0.05, le=1, description="smallest part of a time point that must lie in the other"
    )
    mask_values: tuple[int, ...] = Field(
        default=(), description="labels of the mask that do not change; by default all but 0"
    )
    channel: int = Field(default=0, ge=0, description="channel that is looked at, from 0")


@dataclass(frozen=True)
class Point:
    """A time point on the reference: what is known of it, and how far going round misses."""

    laid: Laid
    way: str
    loop_um: float | None = None


class Series:
    """One run over the time points, in their order."""

    def __init__(self, ctx: Context, params: SeriesParams, points: list[Pixels], mask: Mask | None) -> None:
        self.ctx, self.params, self.points, self.mask = ctx, params, points, mask
        self.pairing = Pairing(params.search_deg, params.min_overlap, ctx.check_cancelled)
        self.corners = corners_of(points[params.reference])
        self.found: dict[int, Point] = {}
        self.chains: dict[int, Matrix] = {params.reference: np.eye(4)}  # products of steps alone

    def run(self) -> dict[int, Point]:
        """Lay every time point on the reference, nearest in time first."""
        reference, count = self.params.reference, len(self.points)
        order = [*range(reference + 1, count), *range(reference - 1, -1, -1)]
        for done, time in enumerate(order):
            self.found[time] = self._point(time)
            self.ctx.progress(0.95 * (done + 1) / len(order), f"time point {time}")
        return self.found

    def _point(self, time: int) -> Point:
        """One time point, directly on the reference; by way of the one before it where that is refused."""
        reference = self.params.reference
        before = time - 1 if time > reference else time + 1
        known = np.eye(4) if before == reference else self.found[before].laid.matrix
        step = self._lay(before, time, np.eye(4), known)
        if isinstance(step, Laid) and before in self.chains:
            self.chains[time] = np.asarray(self.chains[before] @ step.matrix)
        if before == reference:
            if isinstance(step, Refusal):
                raise PluginError("unrelated", time=time, reason=step.reason)
            return Point(step, "direct")
        chain = step if isinstance(step, Refusal) else chained(step, self.found[before].laid)
        begun = known if isinstance(chain, Refusal) else chain.matrix
        direct = self._lay(reference, time, begun, np.eye(4))
        if isinstance(direct, Refusal):
            if isinstance(chain, Refusal):
                raise PluginError("unrelated", time=time, reason=f"{chain.reason}; and directly: {direct.reason}")
            return Point(chain, "chained")
        around = self.chains.get(time)
        return Point(direct, "direct", None if around is None else apart_um(around, direct.matrix, self.corners))

    def _lay(self, fixed: int, moving: int, start: Matrix, to_reference: Matrix) -> Laid | Refusal:
        return self.pairing.lay(self.points[fixed], self.points[moving], start, self.mask, to_reference)

    def closure(self) -> tuple[int, float] | None:
        """The time point furthest from the reference, and how far the way there and back misses, um.

        The way there leads step by step; back it goes directly, with the roles of the two images changed.
        """
        far = max(self.found, key=lambda time: abs(time - self.params.reference))
        there = self.chains.get(far)
        if there is None:
            return None
        back = self._lay(far, self.params.reference, invert(there), there)
        if isinstance(back, Refusal):
            return None
        return far, apart_um(np.asarray(there @ back.matrix), np.eye(4), self.corners)


def run(ctx: Context, params: SeriesParams, inputs: Inputs) -> Outputs:
    """Lay every time point on the reference.

    Each is laid on the one before it and, from there, directly on the reference; the direct map is kept where it is
    believed, so that errors do not add up, the chain of maps where it is not.  Time points of one image lie in one
    frame, and no transform leads from a frame to itself: their maps are in the table alone.
    """
    images: list[ImageValue] = list(inputs["images"])
    points = _points(images, params)
    job = Series(ctx, params, points, _mask(inputs.get("mask"), images, params))
    found = job.run()
    closure = job.closure()
    outputs: dict[str, Any] = {"drift": _table(job, found)}
    if len(images) > 1:
        outputs["transforms"] = [_transform(job, images, time, found[time]) for time in sorted(found)]
    else:
        outputs["transforms"] = []
    if closure is not None:
        outputs["closure"] = _closure(params, *closure)
    return outputs


def _points(images: list[ImageValue], params: SeriesParams) -> list[Pixels]:
    """The time points: those of one image along t, or images of one time point each."""
    times = [dict(zip(image.axes, image.shape, strict=True)).get("t", 1) for image in images]
    if len(images) > 1 and max(times) > 1:
        raise PluginError("mixed", images=len(images), times=times)
    if len(images) > 1 and len({image.frame for image in images}) < len(images):
        raise PluginError("same_frame", frames=len({image.frame for image in images}), images=len(images))
    count = len(images) if len(images) > 1 else times[0]
    if not 2 <= count <= MOST_TIMES:
        raise PluginError("no_series", count=count, most=MOST_TIMES)
    if params.reference >= count:
        raise PluginError("no_such_index", axis="t", index=params.reference, count=count)
    several = len(images) > 1
    points = [Pixels(images[k if several else 0], params.channel, 0 if several else k) for k in range(count)]
    for number, pixels in enumerate(points):
        if pixels.planar != points[0].planar:
            raise PluginError("mixed_dimensions", time=number)
        if min(n for n in pixels.shape[1 if pixels.planar else 0 :]) < LEAST_SAMPLES:
            raise PluginError("too_small", time=number, shape=list(pixels.shape), least=LEAST_SAMPLES)
    return points


def _mask(given: ImageValue | None, images: list[ImageValue], params: SeriesParams) -> Mask | None:
    """The mask at its own resolution, as 0 and 1."""
    if given is None:
        return None
    reference = images[params.reference if len(images) > 1 else 0]
    pixels = Pixels(given)
    if given.frame != reference.frame or pixels.shape != Pixels(reference).shape:
        raise PluginError("other_mask", mask=list(pixels.shape), reference=list(Pixels(reference).shape))
    grid = pixels.at()
    kept = np.isin(grid.samples, params.mask_values) if params.mask_values else grid.samples != 0
    if not kept.any():
        raise PluginError("empty_mask", values=list(params.mask_values) or "all but 0")
    return Mask(type(grid)(kept.astype(np.float32), grid.spacing, grid.origin).image())


def _facts(job: Series, time: int, point: Point) -> dict[str, Any]:
    laid = point.laid
    base = job.points[job.params.reference].finest
    return {
        "time": time,
        "reference": job.params.reference,
        "way": point.way,
        "loop_um": point.loop_um,
        "metric": laid.explained,
        "metric_name": "correlation ratio",
        "blocks": laid.blocks,
        "blocks_agreeing": laid.agreeing,
        "refinement_steps_um": laid.steps,
        "masked": job.mask is not None,
        "covariance_from": "jackknife over blocks, with a floor" if laid.covariance is not None else "none: few blocks",
        "floor_um": FLOOR * base,
    }


def _transform(job: Series, images: list[ImageValue], time: int, point: Point) -> TransformValue:
    laid = point.laid
    return TransformValue(
        kind="rigid",
        matrix=laid.matrix,
        source=images[time].id,
        target=images[job.params.reference].id,
        covariance=laid.covariance,
        degrees_of_freedom=laid.degrees_of_freedom,
        residual_um=laid.residual_um,
        facts=_facts(job, time, point),
    )


def _table(job: Series, found: Mapping[int, Point]) -> TableValue:
    """Drift, its error and the map of every time point, the reference among them."""
    reference = job.params.reference
    middle = corners_of(job.points[reference]).mean(axis=0)
    times = list(range(len(job.points)))
    maps = [np.eye(4) if time == reference else found[time].laid.matrix for time in times]
    # A map takes a time point to the reference: the specimen has drifted the other way.
    drift = np.array([middle - apply(matrix, middle) for matrix in maps])
    reach = np.kron(np.eye(3), np.append(middle, 1.0))
    known = [None if time == reference else found[time] for time in times]
    errors = [_error(point, reach) for point in known]
    columns = [Column("time", np.array(times), "1", description="time point, from 0")]
    columns += [
        Column(f"drift_{axis}", drift[:, k], "um", 1, f"drift of the middle of the image along {axis}")
        for k, axis in enumerate("xyz")
    ]
    columns += [
        Column("drift", np.linalg.norm(drift, axis=1), "um", 1, "length of the drift"),
        Column("u_drift", np.array(errors), "um", 1, "standard error of the drift's largest component; NaN: not known"),
        Column("turn", np.array([decompose(m).angle_deg for m in maps]), "deg", 0, "turn against the reference"),
        Column(
            "loop",
            np.array([_or_nan(p.loop_um if p else None) for p in known]),
            "um",
            1,
            "direct map against the chain",
        ),
        Column(
            "residual", np.array([0.0 if p is None else p.laid.residual_um for p in known]), "um", 1, "of the blocks"
        ),
        Column("chained", np.array([p is not None and p.way == "chained" for p in known]), "1", 0, "by way of others"),
    ]
    for i in range(3):
        for j in range(4):
            words = f"entry {i}, {j} of the map to the reference" + (", um" if j == 3 else "")
            columns.append(
                Column(f"m{i}{j}", np.array([m[i, j] for m in maps]), "um" if j == 3 else "1", int(j == 3), words)
            )
    return TableValue(tuple(columns))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _error(point: Point | None, reach: Matrix) -> float:
    """Largest standard error of the mapped middle, um; 0 for the reference."""
    if point is None:
        return 0.0
    if point.laid.covariance is None:
        return float("nan")
    return float(np.sqrt(np.linalg.eigvalsh(reach @ point.laid.covariance @ reach.T)[-1]))


def _closure(params: SeriesParams, far: int, missed: float) -> PropertyValue:
    facts = {
        "definition": f"from time point {params.reference} to {far} and back with the roles of the images changed",
        "reference": params.reference,
        "furthest": far,
    }
    return PropertyValue("closure", missed, "um", scale_exponent=1, facts=facts)


def cost_of(params: SeriesParams, inputs: Mapping[str, Any]) -> Cost:
    """Memory of two time points and their splines; time of two registrations a time point."""
    images: list[ImageValue] = list(inputs["images"])
    samples = float(np.prod(Pixels(images[0]).shape))
    times = len(images) if len(images) > 1 else dict(zip(images[0].axes, images[0].shape, strict=True)).get("t", 1)
    return Cost(int(40 * min(samples, 1 << 24)) + 256 * 2**20, 2.0 + times * (4.0 + 2e-6 * samples))


SPEC = PluginSpec(
    name="registration.series",
    version="1.0.0",
    title="Time points on a reference",
    summary="Lays every time point of a series on one of them, with its drift and the error of going there and back.",
    params=SeriesParams,
    inputs=(
        Port(
            "images",
            "image",
            "one image with an axis t, or images of one time point each, in their order in time",
            dims=(2, 3),
            many=True,
            calibrated=True,
        ),
        Port("mask", "labels", "on the grid of the reference: what does not change", required=False, calibrated=True),
    ),
    outputs=(
        Port("drift", "table", "drift, its error and the map of every time point"),
        Port("transforms", "transform", "from the frame of every other image to that of the reference", many=True),
        Port("closure", "property", "by how much the way to the furthest time point and back misses", required=False),
    ),
    run=run,
    cost=cost_of,
    exit_codes=(
        ExitCode(100, "same_frame", "the {images} images lie in {frames} frames; each needs one of its own"),
        ExitCode(103, "not_finite", "{count} samples are NaN or infinite; mask or replace them first"),
        ExitCode(104, "no_such_index", "{axis} {index} does not exist; the image has {count}"),
        ExitCode(105, "too_small", "time point {time} has {shape} samples; {least} along each axis are needed"),
        ExitCode(106, "mixed_dimensions", "time point {time} is a plane where the first is a volume, or the reverse"),
        ExitCode(109, "unrelated", "time point {time} does not agree with those before it: {reason}"),
        ExitCode(111, "mixed", "{images} images with {times} time points: one image has several, or several have one"),
        ExitCode(112, "no_series", "{count} time points; a series has between 2 and {most}"),
        ExitCode(113, "other_mask", "the mask has {mask} samples, the reference {reference}; they must share a grid"),
        ExitCode(114, "empty_mask", "no sample of the mask has one of the labels {values}"),
    ),
    references=(
        (
            "Roche, A., Malandain, G., Pennec, X., Ayache, N. (1998). The correlation ratio as a new similarity "
            "measure for multimodal image registration. MICCAI 1998, LNCS 1496, 1115-1124."
        ),
        "Padfield, D. (2012). Masked object registration in the Fourier domain. IEEE Trans. Image Process. 21, 2706.",
        "Efron, B., Stein, C. (1981). The jackknife estimate of variance. Ann. Stat. 9, 586-596.",
    ),
)
