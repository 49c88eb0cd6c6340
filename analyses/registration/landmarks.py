"""A transform from landmark pairs: the fit of ``analyses.sdk.landmarks`` as a job of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from analyses.registration.common import check_pair
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, Params, PluginError, PluginSpec, Port
from analyses.sdk.landmarks import DegeneratePairsError, Fit, Kind, fit_landmarks
from analyses.sdk.values import SPATIAL_AXES, ImageValue, LandmarkPair, TransformValue

_LIMIT_UM = 1e9
Point = tuple[float, float, float]


class PairParams(Params):
    """The same physical point in both frames."""

    source: Point = Field(description="(x, y, z) in the frame of the source image, um")
    target: Point = Field(description="(x, y, z) in the frame of the target image, um")
    u_um: float | None = Field(
        default=None, gt=0, le=_LIMIT_UM, description="standard error of each coordinate, both ends together, um"
    )
    state: Literal["active", "held_out", "rejected"] = Field(
        default="active", description="`active` pairs are fitted, `held_out` ones only compared, `rejected` ones kept"
    )
    reason: str = Field(default="", max_length=500, description="why a pair is rejected")

    @model_validator(mode="after")
    def _consistent(self) -> PairParams:
        if self.state == "rejected" and not self.reason.strip():
            raise ValueError("a rejected pair needs a reason")
        if max(abs(value) for value in (*self.source, *self.target)) > _LIMIT_UM:
            raise ValueError(f"a coordinate exceeds {_LIMIT_UM:g} um")
        return self


class LandmarksParams(Params):
    """What is fitted to which pairs."""

    kind: Kind = Field(default="rigid", description="what the map may do: translation, rigid, similarity or affine")
    pairs: tuple[PairParams, ...] = Field(min_length=1, max_length=10_000, description="landmark pairs, um")

    @model_validator(mode="after")
    def _all_or_none(self) -> LandmarksParams:
        active = [pair.u_um for pair in self.pairs if pair.state == "active"]
        if not active:
            raise ValueError("no pair is active")
        if any(u is None for u in active) and any(u is not None for u in active):
            raise ValueError("`u_um` is given for some active pairs and not for others; give it for all or for none")
        return self


def run(ctx: Context, params: LandmarksParams, inputs: Inputs) -> Outputs:
    """Fit a map to the active pairs, source image to target image.

    The covariance comes from the pairs' standard errors where these are given, else from the residuals if at least
    three degrees of freedom are left, and is None otherwise.  ``facts`` holds, pair by pair, the residual, the distance
    by which the fit of all others misses it, and the pairs that a robust fit points out; held-out pairs are compared
    with the map but take no part in it.
    """
    source, target = inputs["source_image"], inputs["target_image"]
    check_pair(target, source)
    _check_places(params, source, target)
    active = [pair for pair in params.pairs if pair.state == "active"]
    stated = [pair.u_um for pair in active if pair.u_um is not None]
    try:
        fit = fit_landmarks(
            params.kind,
            [pair.source for pair in active],
            [pair.target for pair in active],
            stated or None,
            seed=ctx.seed,
        )
    except DegeneratePairsError as error:
        raise PluginError("degenerate", reason=str(error)) from error
    ctx.progress(1.0, "fitted")
    transform = TransformValue(
        kind=params.kind,
        matrix=fit.matrix,
        source="source_image",
        target="target_image",
        covariance=fit.covariance,
        degrees_of_freedom=fit.degrees_of_freedom if fit.covariance_from == "residuals" else None,
        residual_um=fit.rms_um,
        landmarks=tuple(LandmarkPair(p.source, p.target, p.u_um, p.state, p.reason) for p in params.pairs),
        facts=_facts(params, fit),
    )
    return {"transform": transform}


def _check_places(params: LandmarksParams, source: ImageValue, target: ImageValue) -> None:
    """A landmark farther outside an image than the image is long was read in another frame or unit."""
    for name, image in (("source", source), ("target", target)):
        low, high = _room(image)
        for number, pair in enumerate(params.pairs):
            point = np.array(getattr(pair, name))
            if ((point < low) | (point > high)).any():
                raise PluginError(
                    "outside", image=name, pair=number, point=point.tolist(), low=low.tolist(), high=high.tolist()
                )


def _room(image: ImageValue) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The box of an image grown by its largest edge on every side, (x, y, z) um."""
    sizes = dict(zip(image.axes, image.shape, strict=True))
    edges = np.array([(sizes[axis] - 1) * float(image.spacing_um.get(axis) or 0.0) for axis in SPATIAL_AXES[::-1]])
    room = float(edges.max())
    return -np.full(3, room), edges + room


def _facts(params: LandmarksParams, fit: Fit) -> dict[str, Any]:
    numbers = [number for number, pair in enumerate(params.pairs) if pair.state == "active"]
    residuals: list[float | None] = []
    for pair in params.pairs:
        missed = fit.matrix[:3, :3] @ np.array(pair.source) + fit.matrix[:3, 3] - np.array(pair.target)
        residuals.append(float(np.linalg.norm(missed)))
    left_out: list[float | None] = [None] * len(params.pairs)
    for number, missed_by in zip(numbers, fit.leave_one_out_um, strict=True):
        left_out[number] = float(missed_by) if np.isfinite(missed_by) else None
    held = [residuals[number] for number, pair in enumerate(params.pairs) if pair.state == "held_out"]
    return {
        "planar": fit.planar,
        "residuals_um": residuals,
        "leave_one_out_um": left_out,
        "held_out_um": held,
        "suspects": [numbers[index] for index in fit.suspects],
        "degrees_of_freedom": fit.degrees_of_freedom,
        "covariance_from": fit.covariance_from,
    }


def cost(params: LandmarksParams, inputs: Mapping[str, Any]) -> Cost:
    """Leave-one-out fits and the robust fit go with the number of pairs."""
    return Cost(64 * 2**20, 0.2 + 2e-4 * len(params.pairs) + 1e-8 * len(params.pairs) ** 2)


SPEC = PluginSpec(
    name="registration.landmarks",
    version="1.0.0",
    title="Transform from landmarks",
    summary="Fits a translation, rigid, similarity or affine map to landmark pairs, with residuals and covariance.",
    params=LandmarksParams,
    inputs=(
        Port("source_image", "image", "image whose frame the transform leads from", dims=(2, 3), calibrated=True),
        Port("target_image", "image", "image whose frame the transform leads to", dims=(2, 3), calibrated=True),
    ),
    outputs=(Port("transform", "transform", "from the frame of the source image to that of the target image"),),
    run=run,
    cost=cost,
    exit_codes=(
        ExitCode(100, "same_frame", "both images lie in the frame {frame}: there is nothing to find"),
        ExitCode(101, "degenerate", "{reason}"),
        ExitCode(
            102,
            "outside",
            "pair {pair} lies at {point} um in the {image} image, which reaches from {low} to {high} even if grown by "
            "its own size: another frame or unit",
        ),
    ),
    references=(
        (
            "Umeyama, S. (1991). Least-squares estimation of transformation parameters between two point patterns. "
            "IEEE Trans. Pattern Anal. Mach. Intell. 13, 376-380."
        ),
        "JCGM 100:2008. Evaluation of measurement data: guide to the expression of uncertainty in measurement.",
    ),
)
