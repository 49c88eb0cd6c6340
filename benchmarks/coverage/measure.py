# ruff: noqa: E402 - Django is set up before its models are imported
"""Fill a database with regions and time the box query; prints JSON.  Called by ``run``, which sets the database."""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import django

django.setup()

import numpy as np
from django.core.management import call_command
from django.db import connection, transaction
from django.utils.timezone import now

from apps.projects.models import Project, User
from apps.spatial import coverage_index
from apps.spatial.models import Frame, Roi

SIDE_UM = 10_000.0
LONGEST_UM = 100.0
QUERIES = 200
BATCH = 5_000


def fill(count: int, frames: int) -> list[Frame]:
    """Regions of up to 100 um in a cube of 10 mm, shared out among frames."""
    rng = np.random.default_rng(7)
    user = User.objects.create(username=uuid.uuid4().hex[:12])
    project = Project.objects.create(name=uuid.uuid4().hex, created_by=user)
    made = Frame.objects.bulk_create(
        Frame(project=project, kind="image", name=f"frame {i}", description="benchmark") for i in range(frames)
    )
    low = rng.uniform(0, SIDE_UM, (count, 3))
    high = low + rng.uniform(0.1, LONGEST_UM, (count, 3))
    columns = (
        "id, created_at, project_id, frame_id, name, purpose, geometry_type, geometry, status, version, created_by_id"
    )
    sides = [f"{axis}_{end}" for axis in "xyz" for end in ("min", "max")]
    key = (lambda one: one) if connection.vendor == "postgresql" else (lambda one: one.hex)
    rows = [
        [
            *(key(uuid.uuid4()), now(), key(project.pk), key(made[i % frames].pk)),
            *("r", "", "box", "{}", "proposed", 1, key(user.pk)),
            *(float(end[i, k]) for k in range(3) for end in (low, high)),
        ]
        for i in range(count)
    ]
    query = f"INSERT INTO spatial_roi ({columns}, {', '.join(sides)}) VALUES ({', '.join(['%s'] * 17)})"
    with transaction.atomic(), connection.cursor() as cursor:
        for start in range(0, count, BATCH):
            cursor.executemany(query, rows[start : start + BATCH])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return made


def compared(frames: list[uuid.UUID], low: Any, high: Any) -> list[uuid.UUID]:
    """The same question to the columns of the rows, without the tree."""
    box = {f"{axis}_min__lte": high[k] for k, axis in enumerate("xyz")}
    box |= {f"{axis}_max__gte": low[k] for k, axis in enumerate("xyz")}
    return list(Roi.objects.filter(frame__in=frames, **box).values_list("pk", flat=True))


def timed(frames: list[Frame], asked: int, size_um: float, *, plain: bool) -> dict[str, float]:
    """Milliseconds a query, what comes back included, for boxes at random places in ``asked`` frames at once."""
    rng = np.random.default_rng(11)
    took, found = [], 0
    for _ in range(20 if plain else QUERIES):
        low = rng.uniform(0, SIDE_UM - size_um, 3)
        high = low + size_um
        chosen = [frames[i].pk for i in rng.permutation(len(frames))[:asked]]
        begin = time.perf_counter()
        if plain:
            keys = compared(chosen, low, high)
        else:
            keys = coverage_index.rois_in(connection, dict.fromkeys(chosen, (low, high)), limit=1_000)
        took.append(1e3 * (time.perf_counter() - begin))
        found += len(keys)
    return {
        "median_ms": float(np.median(took)),
        "p95_ms": float(np.percentile(took, 95)),
        "max_ms": float(max(took)),
        "found": found / len(took),
    }


def agree(frames: list[Frame]) -> None:
    """The tree finds what comparing every row finds."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        low = rng.uniform(0, SIDE_UM, 3)
        high = low + 400.0
        keys = coverage_index.rois_in(connection, {frames[0].pk: (low, high)}, limit=100_000)
        if set(keys) != set(compared([frames[0].pk], low, high)):
            raise SystemExit("the tree does not find what comparing every row finds")


def main(count: int, frames: int) -> None:
    call_command("migrate", verbosity=0)
    begin = time.perf_counter()
    made = fill(count, frames)
    filled = time.perf_counter() - begin
    agree(made)
    report: dict[str, Any] = {"rois": count, "frames": frames, "fill_s": filled, "cases": {}}
    for name, asked, size in (("a point in one frame", 1, 1.0), ("300 um in one frame", 1, 300.0)):
        report["cases"][name] = timed(made, asked, size, plain=False)
        report["cases"][f"{name}, without the tree"] = timed(made, asked, size, plain=True)
    if frames > 1:
        name = f"300 um in {min(frames, 200)} frames at once"
        report["cases"][name] = timed(made, 200, 300.0, plain=False)
    begin = time.perf_counter()
    if list(coverage_index.findings(connection)):
        raise SystemExit("the check finds something")
    report["check_s"] = time.perf_counter() - begin
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
