"""From one frame to another: the best path, what it does to points, and what contradicts it.

The caller has checked that the frames may be seen; a path never leaves their project.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from analyses.sdk import propagation
from analyses.sdk.spatial import Matrix, compose, invert
from apps.catalog.models import State
from apps.core.errors import ConflictError, InvalidValueError
from apps.provenance import selectors as ledger
from apps.spatial import graph, validity
from apps.spatial.models import Frame, TransformOverride
from apps.spatial.network import Network, accepted_network

Floats = npt.NDArray[np.float64]
MAX_POINTS: Final = 1_000_000


class NoPathError(ConflictError):
    """No accepted transform leads from one frame to the other."""

    code = "no_path"


@dataclass(frozen=True)
class Doubt:
    """Why a step may not be trusted: ``stale``, ``state`` (not valid for one), ``overridden`` or ``no_error``."""

    code: str
    message: str
    transform: uuid.UUID
    state: uuid.UUID | None = None


@dataclass(frozen=True)
class Path:
    """Steps from a source to a target frame, in the order they are taken."""

    source: uuid.UUID
    target: uuid.UUID
    transforms: tuple[uuid.UUID, ...]
    maps: tuple[propagation.UncertainMap, ...]
    error_known: bool
    doubts: tuple[Doubt, ...] = ()
    edges: tuple[graph.Step, ...] = field(default=(), repr=False)

    @property
    def matrix(self) -> Matrix:
        """The whole map, 4 x 4: ``target = matrix @ source``."""
        return compose(invert(step.matrix) if step.backwards else step.matrix for step in self.maps)

    @property
    def steps(self) -> list[dict[str, str]]:
        """The steps as they are told: ``{transform, direction}``."""
        return [
            {"transform": str(transform), "direction": "backward" if step.backwards else "forward"}
            for transform, step in zip(self.transforms, self.maps, strict=True)
        ]


@dataclass(frozen=True)
class Mapped:
    """Points in the target frame.

    Attributes
    ----------
    points : ndarray, (n, 3)
        um.
    covariances : ndarray, (n, 3, 3)
        um^2; NaN where a step of the point's path states no error.
    degrees_of_freedom : ndarray, (n,)
    paths : list of Path
    path_of : ndarray, (n,)
        Index of each point's path.
    """

    points: Floats
    covariances: Floats
    degrees_of_freedom: Floats
    paths: list[Path]
    path_of: npt.NDArray[np.int64]

    @property
    def doubts(self) -> list[Doubt]:
        """All doubts once."""
        return list(dict.fromkeys(doubt for path in self.paths for doubt in path.doubts))


class Finder:
    """Searches between frames of one project, for the states concerned.

    Parameters
    ----------
    project : UUID
    states : collection of UUID
        States for which the path's transforms should hold; for those of its two frames at least.
    """

    def __init__(self, project: uuid.UUID, states: Collection[uuid.UUID], specimens: Collection[uuid.UUID]) -> None:
        self.network: Network = accepted_network(project)
        self._lines = validity.state_lines(specimens) if states else {}
        self._concerns = [validity.concern(self._lines[state], self._lines) for state in states if state in self._lines]
        self._excluded = self._not_valid()
        self._overrides = self._overridden()
        self._stale: dict[int, bool] = {}

    @classmethod
    def between(cls, source: Frame, target: Frame, states: Collection[uuid.UUID] = ()) -> Finder:
        """Return a finder for two frames and the states they are of, and others if more are concerned."""
        frames = [frame for frame in (source, target) if frame.state_id is not None and frame.specimen_id is not None]
        concerned = {frame.state_id for frame in frames if frame.state_id} | set(states)
        specimens = {frame.specimen_id for frame in frames if frame.specimen_id}
        return cls(source.project_id, concerned, specimens | _specimens_of(states, source.project_id))

    def _not_valid(self) -> dict[int, list[validity.StateLine]]:
        excluded: dict[int, list[validity.StateLine]] = {}
        for valid, edges in self.network.naming.items():
            out = [concern.line for concern in self._concerns if concern.excluded_by(valid)]
            if out:
                excluded |= dict.fromkeys(edges, out)
        return excluded

    def _overridden(self) -> dict[tuple[uuid.UUID, uuid.UUID], str]:
        if not self._excluded:
            return {}
        rows = TransformOverride.objects.filter(state__in=[concern.line.state for concern in self._concerns])
        return {(row.transform_id, row.state_id): row.reason for row in rows}

    def _penalties(self) -> npt.NDArray[np.int64]:
        penalties = np.zeros(len(self.network.graph.transforms), np.int64)
        for edge, lines in self._excluded.items():
            transform = self.network.graph.transforms[edge]
            if any((transform, line.state) not in self._overrides for line in lines):
                penalties[edge] = graph.DOUBTFUL
        for edge, stale in self._stale.items():
            if stale:
                penalties[edge] = graph.DOUBTFUL
        return penalties

    def best(self, source: uuid.UUID, target: uuid.UUID, at: npt.ArrayLike, without: Sequence[int] = ()) -> Path | None:
        """Return the best path for a point, or None; steps that are stale or do not hold are taken if nothing else is.

        Each time the best path turns out to have stale steps, these are set back and the search begins anew.
        """
        while True:
            steps = graph.search(self.network.graph, source, target, at, penalties=self._penalties(), without=without)
            if steps is None:
                return None
            if not self._learn_stale(steps):
                return self._path(source, target, steps)

    def _learn_stale(self, steps: Sequence[graph.Step]) -> bool:
        """Look up steps not looked up before; True if one of them is stale."""
        unknown = [step.edge for step in steps if step.edge not in self._stale]
        if not unknown:
            return False
        stale = ledger.is_stale([self.network.graph.transforms[edge] for edge in unknown])
        self._stale |= {edge: self.network.graph.transforms[edge] in stale for edge in unknown}
        return bool(stale)

    def _path(self, source: uuid.UUID, target: uuid.UUID, steps: Sequence[graph.Step]) -> Path:
        network = self.network
        return Path(
            source=source,
            target=target,
            transforms=tuple(network.graph.transforms[step.edge] for step in steps),
            maps=tuple(network.uncertain(step) for step in steps),
            error_known=all(network.stated[step.edge] for step in steps),
            doubts=tuple(doubt for step in steps for doubt in self._doubts(step.edge)),
            edges=tuple(steps),
        )

    def _doubts(self, edge: int) -> list[Doubt]:
        transform = self.network.graph.transforms[edge]
        doubts = [self._state_doubt(edge, line) for line in self._excluded.get(edge, [])]
        if self._stale.get(edge):
            doubts.append(
                Doubt("stale", f"transform {transform} is stale: something it rests on was withdrawn", transform)
            )
        if not self.network.stated[edge]:
            said = f"transform {transform} states no covariance: the error of what it maps is not known"
            doubts.append(Doubt("no_error", said, transform))
        return doubts

    def _state_doubt(self, edge: int, line: validity.StateLine) -> Doubt:
        transform = self.network.graph.transforms[edge]
        between = validity.changes_between(self.network.valid_states[edge], line, self._lines)
        said = (
            f"transform {transform} does not hold for state {line.number} of the specimen: "
            f"{', '.join(between) or 'another history'} in between"
        )
        reason = self._overrides.get((transform, line.state))
        if reason is not None:
            return Doubt("overridden", f"{said}; used all the same: {reason}", transform, line.state)
        return Doubt("state", said, transform, line.state)


def _specimens_of(states: Collection[uuid.UUID], project: uuid.UUID) -> set[uuid.UUID]:
    """The specimens of states; a state that is none of the project's would be judged by silence."""
    if not states:
        return set()
    found = dict(State.objects.filter(pk__in=states, specimen__project=project).values_list("pk", "specimen_id"))
    if unknown := [state for state in states if state not in found]:
        raise InvalidValueError(f"there is no state {unknown[0]} in this project", field="states")
    return set(found.values())


def middle_of(frame: Frame) -> list[float]:
    """Return the middle of what the samples of an image fill in a frame, or the origin where none do."""
    extent = getattr(frame, "extent", None)
    if extent is None:
        return [0.0, 0.0, 0.0]
    return [(getattr(extent, f"{axis}_min") + getattr(extent, f"{axis}_max")) / 2.0 for axis in "xyz"]


def check_frames(source: Frame, target: Frame, field_name: str = "to") -> None:
    """Refuse frames of two projects: no path leads from one to the other."""
    if source.project_id != target.project_id:
        raise InvalidValueError(f"the frame {target.pk} belongs to another project", field=field_name)


def find_path(
    source: Frame, target: Frame, *, at: Sequence[float] | None = None, states: Collection[uuid.UUID] = ()
) -> Path:
    """Return the path from one frame to another whose error is smallest at a point.

    Parameters
    ----------
    source, target : Frame
        Frames of one project that the caller may see.
    at : sequence of 3 numbers, optional
        (x, y, z) in the source frame, um; the middle of what its image fills by default.
    states : collection of UUID
        States concerned besides those of the two frames.

    Raises
    ------
    InvalidValueError
        Frames of two projects.
    NoPathError
        No accepted transforms lead there.
    """
    check_frames(source, target)
    finder = Finder.between(source, target, states)
    path = finder.best(source.pk, target.pk, middle_of(source) if at is None else at)
    if path is None:
        raise no_path(source, target)
    return path


def no_path(source: Frame, target: Frame) -> NoPathError:
    """Return the refusal, with what would help."""
    return NoPathError(
        f"no accepted transforms lead from frame {source.pk} ({source.name}) to frame {target.pk} ({target.name}); "
        "accept one between them",
        details={"source": str(source.pk), "target": str(target.pk)},
    )


def map_points(
    source: Frame,
    target: Frame,
    points: npt.ArrayLike,
    *,
    covariances: npt.ArrayLike | None = None,
    states: Collection[uuid.UUID] = (),
) -> Mapped:
    """Map points from one frame to another, each along the path whose error is smallest there.

    Paths are searched at the middle and the corners of the box around the points; each point then takes the one of
    these that serves it best.

    Parameters
    ----------
    source, target : Frame
        Frames of one project that the caller may see.
    points : array_like, (n, 3)
        (x, y, z), um, at most ``MAX_POINTS``.
    covariances : array_like, (n, 3, 3), optional
        Of the points, um^2.
    states : collection of UUID
        States concerned besides those of the two frames.

    Raises
    ------
    InvalidValueError
        Frames of two projects, or points that are none.
    NoPathError
        No accepted transforms lead there.
    """
    check_frames(source, target)
    given = np.asarray(points, np.float64).reshape(-1, 3)
    if not 1 <= len(given) <= MAX_POINTS:
        raise InvalidValueError(f"there are {len(given)} points; give 1 to {MAX_POINTS}", field="points")
    finder = Finder.between(source, target, states)
    paths = _distinct(finder, source, target, given)
    if not paths:
        raise no_path(source, target)
    return _choose(paths, given, covariances)


def _distinct(finder: Finder, source: Frame, target: Frame, points: Floats) -> list[Path]:
    low, high = points.min(axis=0), points.max(axis=0)
    places = [(low + high) / 2.0]
    if not np.array_equal(low, high):
        places += [np.where([i & 1, i & 2, i & 4], high, low) for i in range(8)]
    found: dict[tuple[graph.Step, ...], Path] = {}
    for place in places:
        path = finder.best(source.pk, target.pk, place)
        if path is None:
            return []
        found.setdefault(path.edges, path)
    return list(found.values())


def _choose(paths: list[Path], points: Floats, covariances: npt.ArrayLike | None) -> Mapped:
    results = [propagation.propagate(points, path.maps, covariances) for path in paths]
    traces = np.array(
        [
            np.trace(result.covariances, axis1=1, axis2=2) if path.error_known else np.full(len(points), np.inf)
            for path, result in zip(paths, results, strict=True)
        ]
    )
    best = np.argmin(traces, axis=0)
    rows = np.arange(len(points))
    spread = np.stack([result.covariances for result in results])[best, rows]
    spread[~np.array([path.error_known for path in paths])[best]] = np.nan
    used, path_of = np.unique(best, return_inverse=True)
    return Mapped(
        points=np.stack([result.points for result in results])[best, rows],
        covariances=spread,
        degrees_of_freedom=np.stack([result.degrees_of_freedom for result in results])[best, rows],
        paths=[paths[index] for index in used],
        path_of=path_of,
    )
