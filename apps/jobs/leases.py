"""Ends every lease at once: for a database that comes from another time, whose workers and uploads are not there."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from apps.core.models import Store
from apps.jobs.models import Job

_LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def void_all() -> int:
    """Let every lease run out; the reaper takes the jobs up again, and a sweep removes what was half made.

    Only where nobody works on the database, as after a restore: a live worker would lose what it does.

    Returns
    -------
    int
        Jobs that were running.
    """
    with transaction.atomic():
        staged = Store.objects.filter(state=Store.State.STAGED, lease_until__isnull=False)
        staged.update(lease_until=_LONG_AGO)
        return Job.objects.filter(status=Job.Status.RUNNING).update(lease_until=_LONG_AGO)
