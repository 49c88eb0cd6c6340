"""What is sent to the routes of frames, mounts, transforms and regions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from apps.catalog.models import State
from apps.spatial import services
from apps.spatial.models import Transform
from tests.contract.world import World

WHEN = "2024-06-01T12:00:00Z"
MATRIX = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
POINT = {"type": "point", "coordinates": [1.0, 2.0, 3.0]}
PAIRS = [{"source": [x, y, 0.0], "target": [x + 5.0, y, 0.0]} for x, y in ((0.0, 0.0), (10.0, 0.0), (0.0, 10.0))]
Build = Callable[[World], Any]


def _milled(world: World) -> dict[str, Any]:
    """The transform is accepted, then the specimen is milled: the state for which it does not hold."""
    transform = Transform.objects.get(pk=world.id("transform"))
    actor = transform.project.created_by
    services.accept_transform(actor=actor, transform=transform, reason="it fits")
    specimen = transform.source.specimen
    assert specimen is not None
    event = services.record_specimen_event(
        actor=actor, specimen=specimen, kind="mill", occurred_at=dt.datetime(2024, 7, 1, tzinfo=dt.UTC)
    )
    assert State.objects.filter(pk=event.opens_id).exists()
    return {"state": str(event.opens_id), "reason": "milled far from here"}


BODIES: dict[str, Build | None] = {
    "POST mounts/": lambda w: {"specimen": w.id("specimen"), "instrument": w.id("instrument"), "mounted_at": WHEN},
    "POST mounts/{pk}/end/": lambda w: {"unmounted_at": WHEN},
    "POST frames/{pk}/map/": lambda w: {"to": w.id("frame"), "points": [[0.0, 0.0, 0.0]]},
    "POST transforms/": lambda w: {
        "source": w.id("frame"),
        "target": w.id("target"),
        "kind": "translation",
        "method": "manual",
        "matrix": MATRIX,
    },
    "POST transforms/fit/": lambda w: {
        "source": w.id("frame"),
        "target": w.id("target"),
        "kind": "rigid",
        "landmarks": PAIRS,
    },
    "POST transforms/{pk}/accept/": lambda w: {"no_residual_reason": "read from the stage"},
    "POST transforms/{pk}/override/": _milled,
    "POST transforms/{pk}/withdraw/": lambda w: {"reason": "the stage slipped"},
    "POST rois/": lambda w: {"frame": w.id("frame"), "geometry": POINT, "name": "another place"},
}
