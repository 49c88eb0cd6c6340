"""``GET /healthz``: 200 when database, broker, worker and reaper are up, else 503 with the part that is not."""

from __future__ import annotations

import threading
import time

from celery import current_app
from django.db import Error as DatabaseProblem
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.jobs import beats

_MEMORY_SECONDS = 0.5  # anybody may ask, so the broker and the database are asked at most this often
_lock = threading.Lock()
_last: tuple[float, dict[str, bool]] = (float("-inf"), {})


def check() -> dict[str, bool]:
    """Part -> whether it is up."""
    parts = {"web": True, "database": False, "broker": _broker_answers(), **dict.fromkeys(beats.ROLES, False)}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        parts["database"] = True
        parts |= {role: beats.is_alive(role) for role in beats.ROLES}
    except DatabaseProblem:
        connection.close()
    return parts


def _broker_answers() -> bool:
    try:
        with current_app.connection_for_write(connect_timeout=2.0) as broker:
            broker.ensure_connection(max_retries=1, timeout=2.0)
    except Exception:  # noqa: BLE001 - each transport raises errors of its own; all of them mean that it is not up
        return False
    return True


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer with the state of each part."""
    global _last  # noqa: PLW0603 - one memory a process, under a lock
    with _lock:
        asked_at, parts = _last
        if time.monotonic() - asked_at > _MEMORY_SECONDS:
            parts = check()
            _last = (time.monotonic(), parts)
    healthy = all(parts.values())
    body = {"status": "ok" if healthy else "down", **{name: "up" if up else "down" for name, up in parts.items()}}
    response = JsonResponse(body, status=200 if healthy else 503)
    # Django would log each 503 as an error; this one is an answer, and whoever watches asks every second
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
