"""Jobs over REST: what a caller reads of one, and what cancel and retry answer in each state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.jobs import endings, kernel, runner
from apps.jobs.endings import Ending
from apps.jobs.models import Job
from apps.projects.models import User
from apps.projects.services import create_user

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Job]


@pytest.fixture
def api(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def fail(job: Job) -> None:
    claim = kernel.claim(job.pk, "w")
    assert claim is not None
    endings.finish_without_result(claim, Ending(Job.Status.ERRORED, "exception", "m"))


def test_a_finished_job_tells_all_that_is_promised(api: APIClient, make_job: Make) -> None:
    job = make_job("store", seed=7)
    runner.execute(job.pk)
    found = api.get(f"/api/v1/jobs/{job.pk}/").json()
    assert (found["id"], found["status"], found["progress"], found["attempt"]) == (str(job.pk), "succeeded", 1.0, 1)
    assert found["outputs"]["out"]["type"] == "store"
    assert (found["exit_code"], found["message"], found["seed"]) == ("", "", 7)
    assert {"queued", "prepare", "run", "publish", "cpu"} <= set(found["timings"])
    assert found["environment"]["digest"].startswith("sha256:")
    assert api.get("/api/v1/jobs/?status=succeeded").json()["results"] == [found]
    assert api.get("/api/v1/jobs/?status=queued").json()["results"] == []


def test_the_log_is_paged_in_the_order_of_writing(api: APIClient, make_job: Make) -> None:
    job = make_job("talk")
    runner.execute(job.pk)
    page = api.get(f"/api/v1/jobs/{job.pk}/log/?limit=2").json()
    rest = api.get(page["next"]).json()
    lines = page["results"] + rest["results"]
    assert len(page["results"]) == 2
    assert {line["attempt"] for line in lines} == {1}
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert "printed" in [line["text"] for line in lines]


def test_cancel_answers_202_and_then_409(api: APIClient, make_job: Make) -> None:
    job = make_job()
    answer = api.post(f"/api/v1/jobs/{job.pk}/cancel/")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    again = api.post(f"/api/v1/jobs/{job.pk}/cancel/")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_retry_answers_202_with_a_new_job_then_200_with_the_same(api: APIClient, make_job: Make) -> None:
    job = make_job("bug")
    assert api.post(f"/api/v1/jobs/{job.pk}/retry/").status_code == 409
    fail(job)
    first = api.post(f"/api/v1/jobs/{job.pk}/retry/")
    assert (first.status_code, first.json()["status"], first.json()["retry_of"]) == (202, "queued", str(job.pk))
    second = api.post(f"/api/v1/jobs/{job.pk}/retry/")
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])


@pytest.mark.parametrize("path", ["", "log/", "cancel/", "retry/"])
def test_a_stranger_learns_nothing(make_job: Make, path: str) -> None:
    job = make_job()
    client = APIClient()
    call: Any = client.get if path in ("", "log/") else client.post
    assert call(f"/api/v1/jobs/{job.pk}/{path}").status_code == 401
    client.force_authenticate(create_user(username="eve", password="a-long-enough-word"))
    assert call(f"/api/v1/jobs/{job.pk}/{path}").status_code == 404


def test_health_names_what_is_down(client: Any, make_job: Make) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 503
    found = answer.json()
    assert found == {
        "status": "down",
        "web": "up",
        "database": "up",
        "broker": found["broker"],
        "worker": "down",
        "reaper": "down",
    }
    assert client.post("/healthz").status_code == 405
