"""What the bulk plugins share: properties of phases, matched to the labels of a volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from analyses.sdk.contract import ExitCode, Params, PhaseValue, PluginError
from analyses.sdk.values import ImageValue
from analyses.sdk.volumes import Volume, label_counts

Unit = Literal["W/(m.K)", "S/m", "m2/s"]
QUANTITIES: dict[str, str] = {
    "W/(m.K)": "thermal_conductivity",
    "S/m": "electrical_conductivity",
    "m2/s": "diffusivity",
}
MAX_LABEL = 65535

PHASE_EXIT_CODES = (
    ExitCode(100, "phase_missing", "labels {labels} are present but have no phase; phases were given for {given}"),
    ExitCode(101, "material_unresolved", "phase {phase} names material {material}, whose {quantity} was not resolved"),
)


class PhaseParams(Params):
    """Properties of the phases."""

    phases: dict[str, PhaseValue] = Field(
        min_length=1,
        max_length=256,
        description='label -> property of that phase, e.g. {"0": {"k": 0.2}, "1": {"k": 10, "u": 1, "source": "..."}}',
    )
    unit: Unit = Field(
        default="W/(m.K)",
        description="unit of every `k`, and so what is meant: thermal, electrical conductivity or diffusivity",
    )

    @field_validator("phases")
    @classmethod
    def _labels(cls, phases: dict[str, PhaseValue]) -> dict[str, PhaseValue]:
        wrong = [key for key in phases if not key.isdecimal() or str(int(key)) != key or int(key) > MAX_LABEL]
        if wrong:
            raise ValueError(f"keys are labels, whole numbers from 0 to {MAX_LABEL}; {wrong} are not")
        return phases


def material_quantity(params: PhaseParams) -> str:
    """The Material property that stands for ``k`` in the unit given."""
    return QUANTITIES[params.unit]


@dataclass(frozen=True)
class Phases:
    """The phases present in a volume: labels (n,), voxel counts, k and standard uncertainties u, ascending by label."""

    labels: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    k: npt.NDArray[np.float64]
    u: npt.NDArray[np.float64]
    facts: Mapping[str, Any]

    @property
    def fractions(self) -> npt.NDArray[np.float64]:
        """Volume fractions (n,)."""
        return np.asarray(self.counts / self.counts.sum())

    @property
    def uncertain(self) -> bool:
        """True if a phase came with an uncertainty."""
        return bool(np.any(self.u > 0))


def resolve(params: PhaseParams, image: ImageValue) -> Phases:
    """Match the phases given to the labels present.

    Raises
    ------
    PluginError
        ``phase_missing`` if a label present has no phase; ``material_unresolved`` if a phase has no value.
    """
    counts = label_counts(Volume(image))
    missing = [label for label in counts if str(label) not in params.phases]
    if missing:
        raise PluginError("phase_missing", labels=missing, given=sorted(params.phases, key=int))
    for key, phase in params.phases.items():
        if phase.k is None:
            raise PluginError(
                "material_unresolved", phase=key, material=phase.material, quantity=material_quantity(params)
            )
    used = [params.phases[str(label)] for label in counts]
    return Phases(
        np.array(list(counts), np.int64),
        np.array(list(counts.values()), np.int64),
        np.array([phase.k for phase in used], np.float64),
        np.array([phase.u or 0.0 for phase in used], np.float64),
        _facts(params, counts),
    )


def _facts(params: PhaseParams, counts: Mapping[int, int]) -> dict[str, Any]:
    total = sum(counts.values())
    ordered = sorted(params.phases, key=int)
    sourced = {key for key in ordered if params.phases[key].source or params.phases[key].material}
    return {
        "fractions": {str(label): count / total for label, count in counts.items()},
        "phases": {key: params.phases[key].model_dump(exclude_none=True) for key in ordered},
        "unsourced": [key for key in ordered if key not in sourced],
        "insulating": [key for key in ordered if params.phases[key].k == 0],
        "not_in_labels": [key for key in ordered if int(key) not in counts],
        "quantity": material_quantity(params),
    }


def solver_seconds(params: PhaseParams, voxels: float, loads: int, tolerance: float) -> float:
    """CPU seconds expected of the solver: iterations go with the root of the contrast and the digits asked for.

    Measured on one core of a shared machine at contrasts of 10 to 1000; a phase that does not conduct counts as 1000.
    """
    given = [phase.k for phase in params.phases.values() if phase.k is not None]
    conducting = [k for k in given if k > 0]
    contrast = 1000.0 if len(conducting) < len(given) or not conducting else max(conducting) / min(conducting)
    iterations = (6.0 + 2.0 * np.sqrt(contrast)) * max(1.0, -np.log10(tolerance)) / 4.0
    return float(0.1 + 4e-8 * voxels * loads * iterations)


def compact(labels: npt.NDArray[Any], phases: Phases) -> npt.NDArray[np.uint8]:
    """Indices into ``phases`` instead of labels; same shape."""
    table = np.zeros(int(phases.labels.max()) + 1, np.uint8)
    table[phases.labels] = np.arange(phases.labels.size)
    return np.asarray(table[labels])
