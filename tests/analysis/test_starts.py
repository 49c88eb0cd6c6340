"""Registrations begin where the stage stood, or where former ones between the two instruments were found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyses.sdk.propagation import UncertainMap, composed, propagate
from analyses.sdk.spatial import apply, invert
from apps.analysis.services import estimate, submit
from apps.provenance.models import Edge
from apps.provenance.selectors import is_stale
from apps.spatial.models import Found, Transform
from apps.spatial.services import accept_transform, record_found, send_roi, withdraw_transform
from apps.spatial.targeting import target_roi
from tests.factories import InstrumentFactory, MountFactory, SpecimenFactory
from tests.spatial.places import SENSES, join, make_image, moved
from tests.spatial.test_targeting import Study

pytestmark = pytest.mark.django_db
LEVEL = {"rotation": 0.0, "tilt": 0.0}


@pytest.fixture
def specimen(db: None) -> Any:
    return SpecimenFactory()


def on_stage(specimen: Any, mount: Any, x: float, y: float, z: float = 0.0, **more: Any) -> Any:
    place = {"x": x, "y": y, "z": z, **LEVEL}
    return make_image(
        specimen, (1, 101, 101), (1.0, 1.0, 1.0), mount=mount, instrument=mount.instrument, position=place, **more
    )


def asked(specimen: Any, fixed: Any, moving: Any, inputs: Any = None, **params: Any) -> Any:
    job, _ = submit(
        actor=specimen.project.created_by,
        project=specimen.project,
        plugin="registration.rigid",
        params=params,
        inputs={"fixed": str(fixed.pk), "moving": str(moving.pk), **(inputs or {})},
    )
    return job


def start_of(job: Any, port: str) -> Any:
    row = Transform.objects.get(pk=job.inputs[port])
    return row, np.reshape(row.matrix, (4, 4))


@pytest.fixture
def pair(specimen: Any) -> Any:
    """Two images of one mount, 30 um apart along x and 10 along y, in readings; the y of the stage falls."""
    mount = MountFactory(specimen=specimen, instrument=InstrumentFactory(stage_axes=SENSES))
    return on_stage(specimen, mount, 1000, 500), on_stage(specimen, mount, 1030, 510, 7.0)


def test_two_images_of_one_mount_start_where_the_stage_stood(specimen, pair):
    fixed, moving = pair
    job = asked(specimen, fixed, moving)
    assert set(job.inputs) == {"fixed", "moving", "stage"}
    row, matrix = start_of(job, "stage")
    # further along the reading of y is further down in the image: rows run against y of the stage, which falls
    assert apply(matrix, [[50, 50, 0]])[0] == pytest.approx([80, 60, 0])
    assert (row.source_id, row.target_id, row.status) == (moving.frame_id, fixed.frame_id, "candidate")
    assert row.facts["start"]["in_the_plane"] is True, "at which height they were in focus is no shift"
    parts = {str(t.pk) for t in Transform.objects.filter(target=moving.acquisition.mount.frame)}
    assert set(row.facts["start"]["transforms"]) == parts
    # both readings are uncertain by 25 um
    there = propagate([[50.0, 50.0, 0.0]], [UncertainMap(matrix, np.array(row.covariance), "start")])
    assert np.sqrt(np.diag(there.covariances[0])) == pytest.approx([np.hypot(25, 25)] * 2 + [0], rel=0.02)


def test_the_same_start_gives_the_same_job_and_one_transform(specimen, pair):
    fixed, moving = pair
    told = estimate(
        actor=specimen.project.created_by,
        project=specimen.project,
        plugin="registration.rigid",
        params={},
        inputs={"fixed": str(fixed.pk), "moving": str(moving.pk)},
    )
    assert (told["start"], told["existing"]) == ("stage", None)
    assert not Transform.objects.filter(facts__start__name="stage").exists(), "a dry run writes nothing"
    first = asked(specimen, fixed, moving)
    assert asked(specimen, fixed, moving).pk == first.pk
    assert Transform.objects.filter(facts__start__name="stage").count() == 1


def test_a_start_goes_stale_with_what_it_is_composed_of(specimen, pair):
    fixed, moving = pair
    row, _ = start_of(asked(specimen, fixed, moving), "stage")
    part = Transform.objects.get(pk=row.facts["start"]["transforms"][0])
    assert Edge.objects.filter(relation="wasDerivedFrom", subject=row.pk, object=part.pk).exists()
    withdraw_transform(actor=specimen.project.created_by, transform=part, reason="homed anew")
    assert is_stale([row.pk]) == {row.pk}
    assert "stage" not in asked(specimen, fixed, moving).inputs


def test_what_is_accepted_goes_before_a_candidate(specimen, pair):
    fixed, moving = pair
    mount = moving.acquisition.mount
    better = join(moving.frame, mount.frame, moved((0, 0, 0), np.diag([1.0, -1.0, -1.0])), 1.0)
    row, matrix = start_of(asked(specimen, fixed, moving), "stage")
    assert str(better.pk) in row.facts["start"]["transforms"]
    assert apply(matrix, [[0, 0, 0]])[0][:2] == pytest.approx([-950, -450])


@pytest.mark.parametrize("params", [{"start": "centre"}, {"start": "history"}], ids=["centre", "history"])
def test_a_start_that_was_not_asked_for_is_not_given(specimen, pair, params):
    assert set(asked(specimen, *pair, **params).inputs) == {"fixed", "moving"}


def test_what_is_given_wins(specimen, pair):
    fixed, moving = pair
    given = join(moving.frame, fixed.frame)
    assert set(asked(specimen, fixed, moving, {"initial": str(given.pk)}).inputs) == {"fixed", "moving", "initial"}
    assert asked(specimen, fixed, moving, {"stage": str(given.pk)}).inputs["stage"] == str(given.pk)


def test_two_mounts_meet_only_where_something_accepted_joins_them(specimen, pair):
    fixed, _ = pair
    other = MountFactory(specimen=specimen, instrument=InstrumentFactory(stage_axes=SENSES))
    moving = on_stage(specimen, other, 200, 300)
    assert "stage" not in asked(specimen, fixed, moving).inputs
    join(other.frame, fixed.acquisition.mount.frame, moved((800, -200, 0)), 3.0)
    _, matrix = start_of(asked(specimen, fixed, moving), "stage")
    assert apply(matrix, [[50, 50, 0]])[0][:2] == pytest.approx([50, 50])


def test_images_that_no_stage_knows_of_start_at_their_centres(specimen):
    one, other = (make_image(specimen, (1, 20, 20), (1.0, 1.0, 1.0)) for _ in range(2))
    assert set(asked(specimen, one, other).inputs) == {"fixed", "moving"}


class Loop(Study):
    """The study of targeting, with a second SEM image in the mount that nothing accepted joins to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.second_sem = make_image(
            self.specimen, (1, 1000, 1000), (0.5, 0.5, 0.5), instrument=self.fib, mount=self.mount
        )
        self.end = join(self.second_sem.frame, self.mount.frame, moved((2500, 100, 500)), 2.0)

    def found(self, roi: Any, offset: Any) -> Found:
        send_roi(actor=self.actor, roi=roi, mount=self.mount)
        x, y, z = np.array(target_roi(roi, self.mount).point) + offset
        return record_found(actor=self.actor, roi=roi, mount=self.mount, position={"x": x, "y": -y, "z": z})

    def place(self, matrix: Any, point: Any) -> Any:
        """A point of the volume in the stage frame, by a start into the second image."""
        return apply(np.reshape(self.end.matrix, (4, 4)) @ matrix, [point])[0]


def test_after_found_the_next_registration_starts_from_the_mean_offset(db):
    study = Loop()
    inputs = (study.second_sem, study.volume)
    assert "history" not in asked(study.specimen, *inputs).inputs
    first = study.found(study.pit, [3.0, 4.0, 0.0])
    row, matrix = start_of(asked(study.specimen, *inputs), "history")
    predicted = np.array(first.targeting.predicted)
    assert study.place(matrix, [400, 200, 30]) == pytest.approx(np.add(predicted, [3, 4, 0]))
    assert row.facts["start"]["found"] == [str(first.pk)]
    assert (row.facts["start"]["count"], row.facts["start"]["turned"]) == (1, False)
    assert row.covariance is None, "one found position tells no spread"
    assert Edge.objects.filter(relation="wasDerivedFrom", subject=row.pk, object=first.pk).exists()
    # another found position makes another start, and so another job
    study.found(study.roi([100.0, 100.0, 0.0]), [1.0, 0.0, 0.0])
    again, matrix = start_of(asked(study.specimen, *inputs), "history")
    assert again.pk != row.pk
    assert study.place(matrix, [400, 200, 30]) == pytest.approx(np.add(predicted, [2, 2, 0]))


def test_the_images_may_be_given_the_other_way_round(db):
    study = Loop()
    study.found(study.pit, [3.0, 4.0, 0.0])
    _, one = start_of(asked(study.specimen, study.second_sem, study.volume), "history")
    _, other = start_of(asked(study.specimen, study.volume, study.second_sem), "history")
    assert np.allclose(one @ other, np.eye(4))


def test_three_found_positions_tell_a_turn(db):
    study = Loop()
    turn = np.radians(2.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    centre = np.array([2800.0, 200.0, 500.0])
    points = [[100.0, 100.0, 0.0], [800.0, 100.0, 0.0], [100.0, 700.0, 0.0], [600.0, 600.0, 30.0]]
    for point in points:
        roi = study.roi(point)
        predicted = np.array(target_roi(roi, study.mount).point)
        study.found(roi, rotation @ (predicted - centre) + centre - predicted)
    row, matrix = start_of(asked(study.specimen, study.second_sem, study.volume), "history")
    assert row.facts["start"]["turned"] is True
    plain = study.place(np.linalg.inv(np.reshape(study.end.matrix, (4, 4))) @ path_matrix(study), [500, 500, 0])
    assert study.place(matrix, [500, 500, 0]) == pytest.approx(rotation @ (plain - centre) + centre, abs=1e-6)


def path_matrix(study: Loop) -> Any:
    return np.reshape(study.second.matrix, (4, 4)) @ np.reshape(study.first.matrix, (4, 4))


def test_a_miss_along_a_transform_that_was_replaced_since_is_not_corrected_twice(db):
    study = Loop()
    study.found(study.pit, [3.0, 4.0, 0.0])
    better = np.reshape(study.second.matrix, (4, 4)).copy()
    better[:3, 3] += [3.0, 4.0, 0.0]
    join(study.sem.frame, study.mount.frame, better.ravel().tolist(), 1.0, replaces=study.second)
    assert "history" not in asked(study.specimen, study.second_sem, study.volume).inputs


def test_what_was_found_in_another_mount_tells_what_the_instruments_have_in_common(db):
    study = Loop()
    study.found(study.pit, [3.0, 4.0, 0.0])
    study.mount = MountFactory(specimen=study.specimen, instrument=study.fib)
    study.second = join(study.sem.frame, study.mount.frame, moved((100, 0, 0)), 2.0)
    fresh = make_image(study.specimen, (1, 500, 500), (1.0, 1.0, 1.0), instrument=study.fib, mount=study.mount)
    study.end = join(fresh.frame, study.mount.frame, moved((0, 0, 0)), 2.0)
    _, matrix = start_of(asked(study.specimen, fresh, study.volume), "history")
    plain = apply(path_matrix(study), [[400, 200, 30]])[0]
    assert study.place(matrix, [400, 200, 30]) == pytest.approx(np.add(plain, [3, 4, 0]))


def test_a_composed_map_has_the_error_of_its_steps():
    rng = np.random.default_rng(2)
    steps = []
    for index in range(3):
        matrix = np.eye(4)
        matrix[:3] += rng.normal(0, 0.3, (3, 4)) * [1, 1, 1, 50]
        root = rng.normal(0, 0.02, (12, 12))
        steps.append(UncertainMap(matrix, root @ root.T, ("a", "b", "a")[index], backwards=index == 1))
    steps[2] = UncertainMap(steps[2].matrix, steps[0].covariance, "a")
    matrix, covariance = composed(steps)
    point = [[10.0, -20.0, 5.0]]
    one = propagate(point, steps)
    other = propagate(point, [UncertainMap(matrix, covariance, "whole")])
    assert np.allclose(one.points, other.points)
    assert np.allclose(one.covariances, other.covariances, rtol=1e-9)
    assert np.allclose(composed([steps[1]])[0], invert(steps[1].matrix))


def test_an_accepted_stage_transform_is_used_as_it_stands(specimen, pair):
    fixed, moving = pair
    actor = specimen.project.created_by
    for image in pair:
        accept_transform(actor=actor, transform=Transform.objects.get(source=image.frame), reason="seen")
    row, matrix = start_of(asked(specimen, fixed, moving), "stage")
    assert len(row.facts["start"]["transforms"]) == 2
    assert apply(matrix, [[50, 50, 0]])[0] == pytest.approx([80, 60, 0])
