"""A path step by step: what each transform adds to the error at its end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analyses.sdk.propagation import expanded_error, propagate
from apps.spatial.models import Frame, Transform
from apps.spatial.paths import Path
from apps.spatial.roi_geometry import Floats
from apps.web.places.names import told


@dataclass(frozen=True)
class PathStep:
    """One transform of a path, in the sense in which it is walked.

    Attributes
    ----------
    share : float or None
        Part of the variance at the end of the path that comes from the error of this step, 0 to 1; steps that share
        one error (``shared_with``: their numbers) have one share together.  None where an error is not known.
    u95_um : float or None
        What the 95 % error would be if every other step were exact.
    """

    number: int
    transform: Transform
    backwards: bool
    share: float | None
    u95_um: float | None
    shared_with: list[int]
    doubts: list[str]

    @property
    def source(self) -> Frame:
        """Where the step begins."""
        return self.transform.target if self.backwards else self.transform.source

    @property
    def target(self) -> Frame:
        """Where it ends."""
        return self.transform.source if self.backwards else self.transform.target

    @property
    def width(self) -> str:
        """The share as the width of a bar, percent."""
        return f"{100 * (self.share or 0.0):.1f}"

    @property
    def percent(self) -> str:
        """The share, in percent."""
        return "not known" if self.share is None else f"{100 * self.share:.0f} %"


def steps_of(path: Path, point: Floats, rows: Mapping[uuid.UUID, Transform]) -> list[PathStep]:
    """Return the steps of a path for a point of its source frame, (3,), um."""
    parts = _parts(path, point) if path.error_known else {}
    total = sum(float(np.trace(part)) for part, _ in parts.values())
    names = [step.error for step in path.maps]
    found = []
    for index, (transform, step) in enumerate(zip(path.transforms, path.maps, strict=True)):
        part = parts.get(step.error)
        found.append(
            PathStep(
                number=index + 1,
                transform=rows[transform],
                backwards=step.backwards,
                share=float(np.trace(part[0])) / total if part is not None and total > 0.0 else None,
                u95_um=None if part is None else float(expanded_error([part[0]], part[1])[0]),
                shared_with=[other + 1 for other, name in enumerate(names) if name == step.error and other != index],
                doubts=told([doubt for doubt in path.doubts if doubt.transform == transform], rows),
            )
        )
    return found


def _parts(path: Path, point: Floats) -> dict[object, tuple[Floats, float]]:
    """Covariance at the end of the path from each error alone, (3, 3), um^2, and its degrees of freedom.

    To first order the errors add, so that what one gives is what is left where the others are exact.
    """
    found: dict[object, tuple[Floats, float]] = {}
    for name in dict.fromkeys(step.error for step in path.maps):
        alone = [
            step if step.error == name else replace(step, covariance=np.zeros((12, 12)), error=("exact", index))
            for index, step in enumerate(path.maps)
        ]
        mapped = propagate(point[None], alone)
        found[name] = mapped.covariances[0], next(s.degrees_of_freedom for s in path.maps if s.error == name)
    return found
