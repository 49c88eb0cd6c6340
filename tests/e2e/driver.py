"""A process beside the server that speaks to the same database: ``python -m tests.e2e.driver``, a JSON request a line.

It stands for a caller's process, so that the tests need no second Django in their own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

django.setup()

from apps.core import storage  # noqa: E402
from apps.core.models import Store  # noqa: E402
from apps.jobs import services, sweep  # noqa: E402
from apps.jobs.models import Job  # noqa: E402
from apps.projects.models import Project, User  # noqa: E402
from apps.projects.services import create_project, create_user  # noqa: E402
from apps.provenance import record  # noqa: E402
from apps.provenance.models import Event  # noqa: E402


def submit(do: str, **params: Any) -> str:
    user = User.objects.filter(username="ada").first() or create_user(username="ada", password="a-long-enough-word")
    project = Project.objects.first() or create_project(actor=user, name="fibres")
    with record.act("job.submit", actor=user, project=project.pk) as act:
        job = services.create_job(
            actor=user, project=project, kind="probe", params={"do": do, **params}, inputs={}, act=act
        )
    return str(job.pk)


def job(pk: str) -> dict[str, Any]:
    row = Job.objects.get(pk=pk)
    ready = Store.objects.filter(job_id=row.pk, state="ready")
    return {
        "status": row.status,
        "attempt": row.attempt,
        "exit_code": row.exit_code,
        "message": row.message,
        "progress": row.progress,
        "outputs": row.outputs,
        "timings": row.timings,
        "created": row.created_at.timestamp(),
        "finished": row.finished_at.timestamp() if row.finished_at else None,
        "ends": Event.objects.filter(activity=row.pk).count(),
        "ready": [[str(store.pk), store.attempt] for store in ready],
        "outcomes": list(row.attempts.values_list("outcome", flat=True)),
        "log": list(row.log_lines.values_list("text", flat=True)),
    }


def cancel(pk: str) -> str:
    return services.request_cancel(actor=User.objects.get(username="ada"), job=Job.objects.get(pk=pk)).status


def tidy() -> dict[str, Any]:
    """Sweep, and say what there is beside ready stores."""
    removed = sweep.sweep_storage().lines()
    keys = set(storage.final_keys())
    rows = set(Store.objects.filter(state="ready").values_list("key", flat=True))
    return {
        "removed": removed,
        "again": sweep.sweep_storage().lines(),
        "keys_without_row": sorted(keys - rows),
        "rows_without_bytes": sorted(rows - keys),
        "staged": Store.objects.filter(state="staged").count(),
        "staging": [str(folder) for folder, *_ in storage.job_folders()],
    }


CALLS = {function.__name__: function for function in (submit, job, cancel, tidy)}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        answer = CALLS[request.pop("call")](**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
