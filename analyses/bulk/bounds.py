"""Bounds of the conductivity of a mixture from its volume fractions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from analyses.bulk.closed_forms import Vector, hashin_shtrikman, propagate, wiener
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
    all is in series, so that both Hashin-Shtrikman bounds are the harmonic mean.  The interval is
    the 95% interval of each bound from the standard uncertainties of the phases, where any were given.
    """
    image: ImageValue = inputs["labels"]
    phases = resolve(params, image)
    dimension = max(1, sum(size > 1 for size in Volume(image).shape))
    ctx.progress(0.9, "fractions")
    wiener_facts = {**phases.facts, "valid_for": "any mixture, every direction"}
    hs_facts = {**phases.facts, "valid_for": "isotropic mixtures only", "dimension": dimension}
    f = phases.fractions
    return {
        "wiener": _property("wiener_bounds", lambda k: wiener(f, k), phases, params.unit, wiener_facts),
        "hashin_shtrikman": _property(
            "hashin_shtrikman_bounds", lambda k: hashin_shtrikman(f, k, dimension), phases, params.unit, hs_facts
        ),
    }


def _property(
    name: str, bound: Callable[[Vector], tuple[float, float]], phases: Phases, unit: str, facts: Mapping[str, Any]
) -> PropertyValue:
    value = list(bound(phases.k))
    interval, error = None, {}
    if phases.uncertain:
        u = propagate(bound, phases.k, phases.u)
        low = np.maximum(0.0, np.array(value) - COVERAGE_95 * u)
        high = np.array(value) + COVERAGE_95 * u
        interval = Interval(low.tolist(), high.tolist(), 0.95, ("constituents",))
        error = {"constituents": u.tolist()}
    return PropertyValue(name, value, unit, interval, error, scale_exponent=0, facts=facts)


def cost(params: BoundsParams, inputs: Mapping[str, Any]) -> Cost:
    """One pass over the labels, a slab at a time."""
    samples = float(np.prod(Volume(inputs["labels"]).shape))
    shapes = {"wiener": (2,), "hashin_shtrikman": (2,)}
    return Cost(min(3 * SLAB_BYTES, int(samples) * 10) + 32 * 2**20, 0.05 + 4e-9 * samples, shapes)


SPEC = PluginSpec(
    name="bulk.bounds",
    version="1.0.0",
    title="Bounds of the conductivity",
    summary=(
        "Wiener bounds (any mixture) and Hashin-Shtrikman bounds (isotropic mixtures only) from the volume fractions."
    ),
    params=BoundsParams,
    inputs=(Port("labels", "labels", "phase of every voxel", dims=(1, 2, 3)),),
    outputs=(
        Port("wiener", "property", "[low, high]: harmonic and arithmetic mean"),
        Port("hashin_shtrikman", "property", "[low, high], for isotropic mixtures only"),
    ),
    run=run,
    cost=cost,
    exit_codes=PHASE_EXIT_CODES,
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
