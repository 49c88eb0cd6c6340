"""Where in a volume a slice lies: one plane image placed in a volume of the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analyses.registration.common import (
    FAILURES,
    RESULT_PORTS,
    TRANSFORM_PORTS,
    check_pair,
    given_start,
    kind_of,
    nearest_rigid,
)
from analyses.registration.grids import Pixels
from analyses.registration.slice_blocks import Settled, entries
from analyses.registration.slice_search import MOST_SAMPLES, SEARCHED, Answer, SliceParams, SliceSearch
from analyses.registration.slices import rotations
from analyses.registration.verdict import Agreement
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, PluginError, PluginSpec, Port
from analyses.sdk.spatial import Matrix, is_mirrored
from analyses.sdk.values import ImageValue, TransformValue

LEAST_SAMPLES = 32  # along each axis of the slice, at the resolution of the volume
_LEAST_VOLUME = 8
# Of the blocks: slices of the volume have 0.9 and more, others 0.6 and less; see benchmarks/registration/slices.py.
_AGREEING = 0.7
_GAP = 0.15  # by which an answer must tell more than the next; see there
# What remains without any noise, from interpolation and from a slice that is thinner than a voxel, in voxels and one
# standard deviation along each axis of the slice.
FLOOR = 0.01


def run(ctx: Context, params: SliceParams, inputs: Inputs) -> Outputs:
    """Place the slice in the volume.

    Rotations round the start are tried one by one, all shifts of each by correlation; the best places are followed,
    first blunt and then at the resolution of the volume, by what each image says of the other.  The part by which the
    best explains more than the next is the score gap.  Blocks of the slice that would fit better elsewhere, or another
    place that fits about as well, end the run with the reason.
    """
    fixed, moving = inputs["fixed"], inputs["moving"]
    check_pair(fixed, moving)
    volume = Pixels(fixed, params.fixed_channel, params.fixed_time)
    plane = Pixels(moving, params.moving_channel, params.moving_time)
    _check_shapes(volume, plane)
    job = SliceSearch(ctx, params, volume, plane)
    name, start = given_start(params.start, inputs, fixed, moving)
    hands = _hands(params, fixed, moving, start)
    begun = _parallel(job) if start is None else nearest_rigid(start, job.grids[0].centre)
    answers = job.begin(begun, hands, _search_um(params, job, start is not None))
    if not answers:
        raise PluginError("no_overlap", overlap=0.0, least=params.min_overlap)
    answers = job.descend(answers)
    settled, asked = job.end(answers[0])
    ctx.progress(0.95, "verdict")
    return {"transform": _answer(job, answers[0], _believe(job, settled, asked), asked, name, hands)}


def _check_shapes(volume: Pixels, plane: Pixels) -> None:
    if volume.planar or not plane.planar:
        raise PluginError("not_a_slice", fixed=list(volume.shape), moving=list(plane.shape))
    if min(volume.shape) < _LEAST_VOLUME:
        raise PluginError("too_small", image="fixed", shape=list(volume.shape), least=_LEAST_VOLUME)
    voxel = max(volume.finest, plane.finest)
    size = [(n - 1) * s / voxel + 1 for n, s in zip(plane.shape[1:], plane.spacing[1::-1], strict=True)]
    if min(size) < LEAST_SAMPLES:
        raise PluginError("too_short", size=[round(n, 1) for n in size], least=LEAST_SAMPLES)


def _hands(params: SliceParams, fixed: ImageValue, moving: ImageValue, start: Matrix | None) -> list[bool]:
    """Whether to try the slice as it is, mirrored, or both."""
    known = {fixed.handedness, moving.handedness}
    if params.handedness == "either" or (params.handedness == "auto" and start is None and "unknown" in known):
        return [False, True]
    return [start is None and params.handedness == "auto" and known == {"left", "right"}]


def _parallel(job: SliceSearch) -> Matrix:
    start = np.eye(4)
    start[:3, 3] = job.grids[1].centre - job.grids[0].centre
    return start


def _search_um(params: SliceParams, job: SliceSearch, known: bool) -> float:
    if params.search_um is not None:
        return params.search_um
    return 10.0 * job.voxel if known else float(job.grids[1].size_um.max()) / 2


def _believe(job: SliceSearch, settled: Settled | None, asked: Agreement) -> Settled:
    """Let an answer pass that deserves it, end the run with the reason otherwise."""
    if not asked.enough:
        raise PluginError("unrelated", reason=f"only {asked.blocks} blocks of the slice show anything in the volume")
    if asked.fraction < _AGREEING:
        raise PluginError(
            "unrelated",
            reason=f"{asked.agreeing} of {asked.blocks} blocks of the slice fit best where the answer puts them; "
            f"{_AGREEING:.0%} are needed",
        )
    if settled is None or not settled.converged:
        raise PluginError("unrelated", reason="the refinement in blocks does not settle")
    gap = score_gap(job.rivals)
    if job.rivals is not None and gap is not None and gap < _GAP:
        other = is_mirrored(job.rivals[0].matrix) != is_mirrored(job.rivals[1].matrix)
        raise PluginError(
            "ambiguous",
            best=job.rivals[0].fitted.explained,
            next=job.rivals[1].fitted.explained,
            reason="one is the mirror image of the other; declare the handedness" if other else "give a nearer start",
        )
    return settled


def score_gap(rivals: tuple[Answer, Answer] | None) -> float | None:
    """By how much less the next answer tells than the best, as a part of that; None where there is no other.

    What an answer tells is ``-log(1 - explained)``, twice the mutual information of normal variables of that
    correlation ratio: between 0.95 and 0.99 explained lies more than between 0.05 and 0.09.
    """
    if rivals is None:
        return None
    best, following = (-np.log1p(-min(answer.fitted.explained, 1.0 - 1e-9)) for answer in rivals)
    return float((best - following) / best) if best > 0 else 0.0


def _answer(
    job: SliceSearch, answer: Answer, settled: Settled, asked: Agreement, start: str, hands: list[bool]
) -> TransformValue:
    centre = job.grids[0].centre
    matrix = nearest_rigid(settled.matrix, centre)
    covariance = None
    if settled.parameters is not None:
        floor = np.diag([(FLOOR * job.voxel) ** 2] * 3 + [0.0] * 3)
        covariance = entries(matrix, settled.parameters + floor, centre)
    facts = {
        "metric": answer.fitted.explained,
        "metric_name": "correlation ratio",
        "metric_history": job.history,
        "score_gap": score_gap(job.rivals),
        "next_metric": None if job.rivals is None else job.rivals[1].fitted.explained,
        "start": start,
        "places_followed": job.params.starts,
        "handedness_tried": ["mirrored" if mirrored else "as_given" for mirrored in hands],
        "overlap": answer.fitted.overlap,
        "blocks": settled.blocks,
        "blocks_agreeing": asked.fraction,
        "explained": settled.explained,
        "refinement_steps_um": settled.steps,
        "covariance_from": "jackknife over blocks, with a floor" if covariance is not None else "none: too few blocks",
        "floor_um": FLOOR * job.voxel,
        "resolution_um": job.voxel,
    }
    return TransformValue(
        kind=kind_of(matrix, "rigid"),
        matrix=matrix,
        source="moving",
        target="fixed",
        covariance=covariance,
        # a whole matrix was estimated, not one scale: Hotelling's T^2 has that many fewer, up to (n - 1) / (n - p)
        degrees_of_freedom=None if covariance is None else max(1, settled.blocks - 3),
        residual_um=settled.residual_um,
        facts=facts,
    )


def cost_of(params: SliceParams, inputs: Mapping[str, Any]) -> Cost:
    """Memory of the volume at the level that is held, three times over; time of the rotations and the places."""
    volume = Pixels(inputs["fixed"], params.fixed_channel, params.fixed_time)
    samples = min(MOST_SAMPLES, float(np.prod(volume.shape)))
    turns = len(rotations(min(params.search_deg, 45.0), SEARCHED / 2)) * max(1.0, params.search_deg / 45.0) ** 3
    return Cost(int(20 * samples) + 512 * 2**20, 5.0 + 0.05 * turns + params.starts)


SPEC = PluginSpec(
    name="registration.slice_in_volume",
    version="1.0.0",
    title="A slice in its volume",
    summary="Where in a volume a plane image of the same thing lies, of any contrasts, with its error.",
    params=SliceParams,
    inputs=(
        Port("fixed", "image", "volume in whose frame the slice is placed", dims=(3,), calibrated=True),
        Port("moving", "image", "the slice: an image of one plane", dims=(2,), calibrated=True),
        *TRANSFORM_PORTS,
    ),
    outputs=RESULT_PORTS,
    run=run,
    cost=cost_of,
    exit_codes=(
        *(code for code in FAILURES if code.name != "mixed_dimensions"),
        ExitCode(
            111,
            "not_a_slice",
            "fixed has {fixed} samples along z, y, x and moving {moving}: a volume and a plane are needed",
        ),
        ExitCode(
            112,
            "too_short",
            "the slice is {size} voxels of the volume long; at least {least} along each axis are needed",
        ),
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
