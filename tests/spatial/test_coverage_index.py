"""The tree of regions' boxes."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connection

from apps.spatial import coverage_index
from apps.spatial.models import Roi
from tests.factories import FrameFactory, RoiFactory

pytestmark = pytest.mark.django_db


def box(frame, low, high):
    return RoiFactory(frame=frame, geometry={"type": "box", "coordinates": [low, high]})


def asked(*boxes):
    return {frame.pk: (np.array(low, float), np.array(high, float)) for frame, low, high in boxes}


def found(*boxes, limit=100):
    return set(coverage_index.rois_in(connection, asked(*boxes), limit=limit))


def test_regions_are_found_by_frame_and_box():
    first = FrameFactory()
    second = FrameFactory(specimen=first.specimen)
    a = box(first, [0, 0, 0], [10, 10, 10])
    b = box(first, [20, 0, 0], [30, 10, 10])
    c = box(second, [0, 0, 0], [10, 10, 10])
    assert found((first, [5, 5, 5], [6, 6, 6])) == {a.pk}
    assert found((first, [10, 10, 10], [20, 10, 10])) == {a.pk, b.pk}, "faces that touch meet"
    assert found((first, [11, 0, 0], [19, 1, 1])) == set()
    assert found((first, [5, 5, 11], [6, 6, 12])) == set()
    assert found((first, [5, 5, 5], [6, 6, 6]), (second, [1, 1, 1], [2, 2, 2])) == {a.pk, c.pk}
    assert len(found((first, [-100] * 3, [100] * 3), limit=1)) == 1
    assert found() == set()


def test_boxes_are_exact_where_single_precision_is_not():
    """5 nm apart 50 mm from the origin: the tree holds single precision, which resolves 4 nm there."""
    frame = FrameFactory()
    rois = [box(frame, [50_000 + 0.005 * i, 0, 0], [50_000.001 + 0.005 * i, 1, 1]) for i in range(4)]
    for i, roi in enumerate(rois):
        assert found((frame, [50_000.0005 + 0.005 * i, 0, 0], [50_000.0006 + 0.005 * i, 1, 1])) == {roi.pk}


def test_every_random_box_is_found_as_by_comparison():
    frame = FrameFactory()
    rng = np.random.default_rng(4)
    for low in rng.uniform(-50, 50, (40, 3)):
        box(frame, low.tolist(), (low + rng.uniform(0, 20, 3) + 1e-3).tolist())
    rows = list(Roi.objects.all())
    for low in rng.uniform(-60, 60, (30, 3)):
        high = low + rng.uniform(0, 40, 3)
        wanted = {
            row.pk
            for row in rows
            if all(
                getattr(row, f"{x}_min") <= high[i] and getattr(row, f"{x}_max") >= low[i] for i, x in enumerate("xyz")
            )
        }
        assert found((frame, low, high)) == wanted


def test_the_check_finds_nothing_where_all_is_well():
    RoiFactory()
    assert list(coverage_index.findings(connection)) == []


@pytest.mark.sqlite_only
def test_the_check_finds_a_tree_that_disagrees_and_the_next_migrate_mends_it():
    missing, moved = RoiFactory(), RoiFactory()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM spatial_roi_tree WHERE roi = %s", [missing.pk.hex])
        cursor.execute("UPDATE spatial_roi_tree SET x_max = 1.5, x_min = 1.5 WHERE roi = %s", [moved.pk.hex])
        cursor.execute("INSERT INTO spatial_roi_tree VALUES (NULL, 1, 1, 0, 1, 0, 1, 0, 1, %s)", ["0" * 32])
        cursor.execute("DROP TRIGGER spatial_roi_tree_insert")
    assert len(list(coverage_index.findings(connection))) == 4
    coverage_index.install(connection)
    assert list(coverage_index.findings(connection)) == []


@pytest.mark.sqlite_only
def test_the_tree_follows_a_region_that_is_changed_or_deleted_past_the_services():
    roi = RoiFactory()
    Roi.objects.filter(pk=roi.pk).update(x_max=500.0)
    assert found((roi.frame, [400, 2, 3], [401, 2, 3])) == {roi.pk}
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM spatial_roi WHERE id = %s", [roi.pk.hex])
    assert list(coverage_index.findings(connection)) == []
    assert found((roi.frame, [400, 2, 3], [401, 2, 3])) == set()


@pytest.mark.postgres_only
def test_the_check_finds_a_missing_index():
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {coverage_index.GIST}")
    assert list(coverage_index.findings(connection)) == ["the index spatial_roi_gist of the regions' boxes is missing"]
    coverage_index.install(connection)
    assert list(coverage_index.findings(connection)) == []


def test_superseded_versions_do_not_use_up_the_limit():
    frame = FrameFactory()
    first = box(frame, [0, 0, 0], [1, 1, 1])
    second = RoiFactory(frame=frame, geometry=first.geometry, supersedes=first)
    third = RoiFactory(frame=frame, geometry=first.geometry, supersedes=second)
    assert found((frame, [0, 0, 0], [1, 1, 1]), limit=1) == {third.pk}


@pytest.mark.sqlite_only
def test_the_entry_of_any_box_is_found_when_it_is_changed_or_deleted():
    """Single precision rounds each side outwards; the trigger finds the entry by its box."""
    frame = FrameFactory()
    rng = np.random.default_rng(9)
    lows = rng.uniform(-1, 1, (60, 3)) * 10.0 ** rng.uniform(-50, 9, (60, 1))
    lows[:4] = [[0, 0, 0], [-1e-46, 1e-46, -2e-45], [16_777_217.0, -16_777_217.0, 33_554_433.0], [1e9, -1e9, 1e9 - 1]]
    rois = [RoiFactory(frame=frame) for _ in lows]
    for roi, low in zip(rois, lows, strict=True):
        high = low + rng.choice([0.0, 1e-12, 1.0, 1e9])
        ends = zip(("x", "y", "z"), low.tolist(), high.tolist(), strict=True)
        values = {f"{x}_{end}": value for x, *pair in ends for end, value in zip(("min", "max"), pair, strict=True)}
        Roi.objects.filter(pk=roi.pk).update(**values)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT roi) FROM spatial_roi_tree")
        assert cursor.fetchone() == (60, 60)
        cursor.execute("UPDATE spatial_roi SET x_max = x_max + 1")
        cursor.execute("SELECT count(*) FROM spatial_roi_tree")
        assert cursor.fetchone() == (60,)
        cursor.execute("DELETE FROM spatial_roi")
        cursor.execute("SELECT count(*) FROM spatial_roi_tree")
        assert cursor.fetchone() == (0,)


@pytest.mark.sqlite_only
def test_the_trigger_asks_the_tree_by_box_not_row_by_row():
    with connection.cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'spatial_roi_tree_delete'")
        (trigger,) = cursor.fetchone()
        delete = trigger[trigger.index("DELETE FROM") : trigger.rindex(";")]
        for axis in "xyz":
            delete = delete.replace(f"OLD.{axis}_min", "1.0").replace(f"OLD.{axis}_max", "1.0")
        delete = delete.replace("OLD.frame_id", "'0123'").replace("OLD.id", "'0'")
        cursor.execute(f"EXPLAIN QUERY PLAN {delete}")
        plan = " ".join(str(row[-1]) for row in cursor.fetchall())
    assert "VIRTUAL TABLE INDEX 2:" in plan, plan
    assert not plan.endswith("INDEX 2:"), plan
