"""Bounds of the conductivity of a mixture from its volume fractions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from analyses.bulk.closed_forms import Vector, hashin_shtrikman, propagate, wiener
from analyses.bulk.cut import CUT_EXIT_CODES, NotACutError, check_grids, find_cut
from analyses.bulk.phases import PHASE_EXIT_CODES, PhaseParams, Phases, material_quantity, resolve
from analyses.sdk.contract import Context, Cost, Inputs, Outputs, PluginSpec, Port
from analyses.sdk.values import ImageValue, Interval, PropertyValue
from analyses.sdk.volumes import SLAB_BYTES, Volume

COVERAGE_95 = 1.959964


class BoundsParams(PhaseParams):
    """Properties of the phases; nothing else enters."""


def run(ctx: Context, params: BoundsParams, inputs: Inputs) -> Outputs:
    """Wiener and Hashin-Shtrikman bounds, each as [low, high].

    The dimension d is the number of axes longer than one sample: a plane is two-dimensional, and on a profile (d = 1)
    all is in series, so that both Hashin-Shtrikman bounds are the harmonic mean.  The interval adds 1.96 standard
    uncertainties from those of the phases, where any were given, and what the bounds move by when every threshold moves
    by one step, where the image that the labels were cut from was given; a probability (95%) is claimed for the first
    alone.  ``facts["not_contained"]`` names every part that is not there, with the reason.
    """
    labels: ImageValue = inputs["labels"]
    phases = resolve(params, labels)
    dimension = max(1, sum(size > 1 for size in Volume(labels).shape))
    ctx.progress(0.5, "fractions")
    moved, facts = _moved(labels, inputs.get("image"), phases)
    omitted = {
        **facts.pop("not_contained"),
        **({} if phases.uncertain else {"constituents": "no phase came with an uncertainty `u`"}),
        "rve": "the spread of the fractions between tiles is a result of `bulk.rve`",
        "voxel": "voxels are counted as they are; what of an interface voxel belongs to which phase is not known",
        "boundary": "a bound has no boundary condition",
        "solver": "a closed form; nothing is iterated",
        "scale": "a fraction does not depend on the spacings",
    }
    shared = {**phases.facts, **facts, "not_contained": omitted}
    wiener_facts = {**shared, "valid_for": "any mixture, every direction"}
    hs_facts = {**shared, "valid_for": "isotropic mixtures only", "dimension": dimension}

    def hs(fractions: Vector, k: Vector) -> tuple[float, float]:
        return hashin_shtrikman(fractions, k, dimension)

    return {
        "wiener": _property("wiener_bounds", wiener, phases, moved, params.unit, wiener_facts),
        "hashin_shtrikman": _property("hashin_shtrikman_bounds", hs, phases, moved, params.unit, hs_facts),
    }


def _moved(labels: ImageValue, image: ImageValue | None, phases: Phases) -> tuple[list[Vector], dict[str, Any]]:
    """Fractions with every threshold one step down and one step up, and facts; none and the reason where unknown."""
    if image is None:
        reason = "the image that the labels were cut from was not given (port `image`)"
        return [], {"not_contained": {"segmentation": reason}}
    check_grids(labels, image)
    try:
        cut = find_cut(labels, image, phases)
    except NotACutError as reason:
        return [], {"not_contained": {"segmentation": str(reason)}}
    moved = [cut.fractions(by, phases.labels.size) for by in (-cut.shift, cut.shift)]
    shares = {name: f.tolist() for name, f in zip(("lower", "higher"), moved, strict=True)}
    return moved, {"not_contained": {}, "segmentation": {**cut.facts(), "fractions": shares}}


def _property(
    name: str,
    bound: Callable[[Vector, Vector], tuple[float, float]],
    phases: Phases,
    moved: list[Vector],
    unit: str,
    facts: Mapping[str, Any],
) -> PropertyValue:
    value = np.array(bound(phases.fractions, phases.k))
    half, error = np.zeros(2), {}
    if phases.uncertain:
        u = propagate(lambda k: bound(phases.fractions, k), phases.k, phases.u)
        half += COVERAGE_95 * u
        error["constituents"] = u.tolist()
    if moved:
        change = np.max([np.abs(np.array(bound(f, phases.k)) - value) for f in moved], axis=0)
        half += change
        error["segmentation"] = change.tolist()
    interval = None
    if error:
        low, high = np.maximum(0.0, value - half), value + half
        level = 0.95 if set(error) == {"constituents"} else None
        interval = Interval(low.tolist(), high.tolist(), level, tuple(error))
    return PropertyValue(name, value.tolist(), unit, interval, error, scale_exponent=0, facts=facts)


def cost(params: BoundsParams, inputs: Mapping[str, Any]) -> Cost:
    """One pass over the labels, a slab at a time."""
    samples = float(np.prod(Volume(inputs["labels"]).shape))
    shapes = {"wiener": (2,), "hashin_shtrikman": (2,)}
    return Cost(min(3 * SLAB_BYTES, int(samples) * 10) + 32 * 2**20, 0.05 + 4e-9 * samples, shapes)


SPEC = PluginSpec(
    name="bulk.bounds",
    version="1.1.0",
    title="Bounds of the conductivity",
    summary=(
        "Wiener bounds (any mixture) and Hashin-Shtrikman bounds (isotropic mixtures only) from the volume fractions."
    ),
    params=BoundsParams,
    inputs=(
        Port("labels", "labels", "phase of every voxel", dims=(1, 2, 3)),
        Port(
            "image",
            "image",
            "grey values that the labels were cut from, on the same grid: for the error of the segmentation",
            dims=(1, 2, 3),
            required=False,
        ),
    ),
    outputs=(
        Port("wiener", "property", "[low, high]: harmonic and arithmetic mean"),
        Port("hashin_shtrikman", "property", "[low, high], for isotropic mixtures only"),
    ),
    run=run,
    cost=cost,
    exit_codes=(*PHASE_EXIT_CODES, *CUT_EXIT_CODES),
    material_quantity=material_quantity,
    references=(
        (
            "Wiener, O. (1912). Die Theorie des Mischkoerpers fuer das Feld der stationaeren Stroemung. Abh. "
            "Saechs. Akad. Wiss. 32, 509-604."
        ),
        (
            "Hashin, Z., Shtrikman, S. (1962). A variational approach to the theory of the effective magnetic "
            "permeability of multiphase materials. J. Appl. Phys. 33, 3125-3131."
        ),
    ),
)
