"""The accepted transforms of a project, read once a revision and kept by each process."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from django.db.models import Count, Max

from analyses.sdk.propagation import UncertainMap
from apps.spatial.graph import Graph, Step, build
from apps.spatial.models import Transform, TransformDecision

_KEPT: Final = 8  # projects; 3,000 transforms take about 5 MB
# Methods that are certified by what they are.  So is what one file states of its images; all others are checked against
# held-out landmarks.
_CERTIFIED: Final = (Transform.Method.CALIBRATION,)
Revision = tuple[int, dt.datetime | None]


@dataclass(frozen=True)
class Network:
    """A graph with what its transforms say besides; lists are by edge of the graph, ``naming`` is by named states."""

    revision: Revision
    graph: Graph
    calibrations: list[uuid.UUID | None]
    stated: list[bool]
    freedom: list[float]
    valid_states: list[frozenset[uuid.UUID]]
    naming: dict[frozenset[uuid.UUID], list[int]]

    def uncertain(self, step: Step) -> UncertainMap:
        """Return a step as an uncertain map; transforms of one calibration name one error."""
        calibration = self.calibrations[step.edge]
        error = f"transform {self.graph.transforms[step.edge]}"
        return UncertainMap(
            matrix=self.graph.matrices[step.edge],
            covariance=self.graph.covariances[step.edge],
            error=error if calibration is None else f"calibration {calibration}",
            backwards=step.backwards,
            degrees_of_freedom=self.freedom[step.edge],
        )


_kept: OrderedDict[uuid.UUID, Network] = OrderedDict()
_lock = Lock()


def accepted_network(project: uuid.UUID) -> Network:
    """Return the accepted transforms of a project; one query where nothing was decided since the last time."""
    revision = _revision(project)
    with _lock:
        known = _kept.get(project)
        if known is not None and known.revision == revision:
            _kept.move_to_end(project)
            return known
    found = _load(project, revision)
    with _lock:
        _kept[project] = found
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return found


def _revision(project: uuid.UUID) -> Revision:
    """Every move of a status is a decision, and decisions are never taken away.

    The time tells a decision that was rolled back from the one that was made instead of it.
    """
    moves = TransformDecision.objects.filter(transform__project=project)
    said = moves.aggregate(count=Count("pk"), last=Max("created_at"))
    return said["count"], said["last"]


def _load(project: uuid.UUID, revision: Revision) -> Network:
    rows = list(
        Transform.objects.filter(project=project, status=Transform.Status.ACCEPTED, matrix__isnull=False)
        .order_by("pk")
        .values_list(
            "pk",
            "source_id",
            "target_id",
            "matrix",
            "covariance",
            "calibration_id",
            "degrees_of_freedom",
            "method",
            "facts__held_out__agrees",
            "facts__one_file__u_um",
        )
    )
    certified = [row[7] in _CERTIFIED or row[9] is not None for row in rows]
    states: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    through = Transform.valid_states.through.objects.filter(
        transform__project=project, transform__status=Transform.Status.ACCEPTED
    )
    for transform, state in through.values_list("transform_id", "state_id"):
        states[transform].append(state)
    # what a calibration or a file says of its images stays true whatever happens to the specimen
    named = [frozenset(() if lasting else states[row[0]]) for row, lasting in zip(rows, certified, strict=True)]
    naming: dict[frozenset[uuid.UUID], list[int]] = defaultdict(list)
    for edge, one in enumerate(named):
        naming[one].append(edge)
    return Network(
        revision=revision,
        graph=build(
            [row[0] for row in rows],
            [(row[1], row[2]) for row in rows],
            [row[3] or () for row in rows],
            [row[4] for row in rows],
            [row[8] is True or lasting for row, lasting in zip(rows, certified, strict=True)],
        ),
        calibrations=[row[5] for row in rows],
        stated=[row[4] is not None for row in rows],
        freedom=[np.inf if row[6] is None else float(row[6]) for row in rows],
        valid_states=named,
        naming=dict(naming),
    )
