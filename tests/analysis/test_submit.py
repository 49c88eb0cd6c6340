"""Submitting: what is refused and why, what is shared, what a dry run says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.analysis import services
from apps.analysis.resolve import content_key, resolve
from apps.core.errors import ConflictError, CorrError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.jobs.models import Job
from apps.provenance.models import Event
from tests.study import MATERIAL, Study

pytestmark = pytest.mark.django_db


def ask(study: Study, user: Any = None, **changed: Any) -> Any:
    """Submit the conductivity of the study's labels, with changes."""
    request = {
        "plugin": "bulk.conductivity",
        "params": {**MATERIAL, "boundary": "periodic"},
        "inputs": {"labels": str(study.labels.pk), "image": str(study.image.pk)},
    }
    return services.submit(actor=user or study.maker, project=study.project, **(request | changed))


def test_an_equal_request_gives_the_job_that_is_there(study: Study) -> None:
    job, created = ask(study)
    assert (job.pk, created) == (study.jobs["conductivity"].pk, False)


def test_another_seed_is_another_job(study: Study) -> None:
    job, created = ask(study, seed=5)
    assert created
    assert job.status == Job.Status.QUEUED


def test_defaults_are_part_of_the_key(study: Study) -> None:
    job, created = ask(study, params={**MATERIAL, "boundary": "periodic", "tolerance": 1e-4})
    assert not created, "naming a default changes nothing"
    assert job.params["tolerance"] == 1e-4


def test_the_key_moves_with_the_scale_of_an_input(study: Study) -> None:
    given = {"plugin": "bulk.bounds", "params": MATERIAL, "inputs": {"labels": str(study.labels.pk)}}
    resolved = resolve(actor=study.maker, project=study.project, **given)
    before = content_key(resolved, study.project, 0)
    resolved.described["labels"]["value"]["spacing_um"]["x"] = 3.0
    assert content_key(resolved, study.project, 0) != before


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"plugin": "bulk.alchemy"}, "plugin"),
        ({"inputs": {}}, "inputs.labels"),
        ({"inputs": {"labels": "not an id"}}, "inputs.labels"),
        ({"inputs": {"labels": ["a", "b"]}}, "inputs.labels"),
        ({"inputs": {"labels": str(uuid.uuid4())}}, "inputs.labels"),
        ({"inputs": {"label": str(uuid.uuid4())}}, "inputs.label"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**53}, "seed"),
    ],
)
def test_a_refusal_names_the_field_and_changes_nothing(study: Study, changed: dict[str, Any], field: str) -> None:
    jobs, events = Job.objects.count(), Event.objects.count()
    with pytest.raises(CorrError) as caught:
        ask(study, **changed)
    assert field in caught.value.errors
    assert (Job.objects.count(), Event.objects.count()) == (jobs, events)


def test_every_wrong_parameter_is_named(study: Study) -> None:
    with pytest.raises(InvalidValueError) as caught:
        ask(study, params={"phases": {"0": {"k": "much"}}, "unit": "furlong", "colour": "red"})
    assert {"params.phases.0.k", "params.unit", "params.colour"} <= set(caught.value.errors)


def test_an_intensity_image_is_no_labels(study: Study) -> None:
    with pytest.raises(InvalidValueError, match="takes labels"):
        ask(study, inputs={"labels": str(study.image.pk)})


def test_who_may_not_contribute_is_refused(study: Study) -> None:
    with pytest.raises(PermissionRefusedError):
        ask(study, user=study.viewer)
    with pytest.raises(NotFoundError):
        ask(study, user=study.outsider)


def test_a_dry_run_makes_nothing_and_says_what_it_would_cost(study: Study) -> None:
    jobs = Job.objects.count()
    answer = services.estimate(
        actor=study.maker,
        project=study.project,
        plugin="bulk.conductivity",
        params=MATERIAL,
        inputs={"labels": str(study.labels.pk)},
    )
    assert answer["valid"]
    assert answer["cost"]["memory_bytes"] > study.labels.store.size_bytes
    assert Job.objects.count() == jobs


def test_a_rerun_is_identical_and_the_first_result_stays(study: Study) -> None:
    job = services.rerun(actor=study.maker, job=study.jobs["bounds"])
    assert job.rerun_of_id == study.jobs["bounds"].pk
    assert job.content_key == study.jobs["bounds"].content_key


def test_only_what_succeeded_is_run_again(study: Study) -> None:
    job, _ = ask(study, seed=9)
    with pytest.raises(ConflictError, match="has not finished"):
        services.rerun(actor=study.maker, job=job)
    with pytest.raises(ConflictError, match="kind ingest"):
        services.rerun(actor=study.maker, job=study.jobs["ingest"])
