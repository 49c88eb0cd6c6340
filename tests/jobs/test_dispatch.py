"""A broker that is down costs a request nothing but a moment."""

from __future__ import annotations

import importlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from apps.jobs import dispatch
from apps.jobs.models import Job

pytestmark = pytest.mark.django_db(transaction=True)
REAL_RING = dispatch.ring


@pytest.fixture(params=["socket", "refused", "amqp"])
def no_broker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    url = {
        "socket": f"redis+socket://{tmp_path}/nobody.sock",
        "refused": "redis://127.0.0.1:1/0",
        "amqp": "amqp://guest:guest@127.0.0.1:1//",
    }[request.param]
    monkeypatch.setattr(dispatch, "ring", REAL_RING)
    monkeypatch.setattr(dispatch, "_silent_until", 0.0)
    before = current_app.conf.broker_url, current_app.conf.broker_write_url
    current_app.conf.broker_url = current_app.conf.broker_write_url = url
    current_app.pool.force_close_all()
    current_app.amqp.__dict__.pop("producer_pool", None)
    current_app.amqp._producer_pool = None
    current_app._pool = None
    yield
    current_app.conf.broker_url, current_app.conf.broker_write_url = before
    current_app.amqp._producer_pool = None
    current_app._pool = None


def test_submitting_works_without_a_broker(no_broker: None, make_job: Callable[..., Job]) -> None:
    began = time.monotonic()
    job = make_job()
    assert time.monotonic() - began < 5
    job.refresh_from_db()
    assert (job.status, job.rung_at) == ("queued", None)
    began = time.monotonic()
    assert not dispatch.ring(uuid.uuid4())
    assert time.monotonic() - began < 0.1  # it was silent a moment ago, and is not asked again so soon


def test_a_ring_waits_for_the_commit(make_job: Callable[..., Job], rung: list[Any]) -> None:
    from django.db import transaction

    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012 - the error is the test's own
        make_job()
        assert rung == []
        raise RuntimeError("rolled back")
    assert rung == []
    assert Job.objects.count() == 0
    job = make_job()
    assert rung == [job.pk]
    assert job.rung_at is not None


def test_the_task_is_the_one_that_is_rung_for() -> None:
    importlib.import_module("apps.jobs.tasks")
    assert dispatch.TASK in current_app.tasks
    assert current_app.tasks[dispatch.TASK].acks_late is False
