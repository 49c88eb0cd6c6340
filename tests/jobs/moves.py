"""Moves of a job that the tests make by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from apps.core import clock
from apps.jobs import endings, kernel
from apps.jobs.endings import Ending
from apps.jobs.models import Job
from apps.jobs.registry import ChildResult, Claim, StagedStore


def claimed(job: Job, worker: str = "w") -> Claim:
    claim = kernel.claim(job.pk, worker)
    assert claim is not None
    return claim


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_until=clock.DbNow(-0.1))


def succeed(claim: Claim, **stores: StagedStore) -> None:
    endings.finish_succeeded(claim, ChildResult({}, stores), Ending(Job.Status.SUCCEEDED))


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            barrier.wait()
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
