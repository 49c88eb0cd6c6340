"""What a refusal looks like, and what it must leave as it is."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import transaction
from rest_framework.test import APIClient

from apps.core import storage
from apps.provenance.models import ChainHead
from tests.contract.mutations import Mutation
from tests.contract.requests import Call, requests_of

PROBLEM = {"type", "title", "status", "detail", "code", "errors"}
NOWHERE = "3f0f3f0f-0000-4000-8000-000000000000"


def client_of(user: Any) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client


def state() -> dict[str, Any]:
    """Everything that a refused request must leave as it is."""
    # Failed log-ins are noted on purpose: that is what the lock counts.
    kept = [m for m in apps.get_models() if m._meta.app_label != "axes"]
    rows = {m._meta.label: m._default_manager.count() for m in kept}
    head = ChainHead.objects.values_list("seq", "hash").first()  # none where a test before has emptied the database
    staged = [*storage.job_folders(), *storage.upload_folders()]
    return rows | {"head": head, "staged": staged, "stored": sorted(storage.final_keys())}


def problem(response: Any) -> str:
    """Say what is wrong with a refusal; empty if it is one, in the form of RFC 9457."""
    if not 400 <= response.status_code < 500:
        return f"answers {response.status_code} {response.content[:200]!r}"
    if response.headers.get("Content-Type") != "application/problem+json":
        return f"{response.status_code} as {response.headers.get('Content-Type')}"
    body = response.json()
    if not set(body) >= PROBLEM or body["status"] != response.status_code:
        return f"no problem document: {body}"
    if len(response.content) > 20_000:
        return f"repeats what it was sent: {len(response.content)} bytes"
    return ""


def send(client: APIClient, call: Call, mutation: Mutation) -> str:
    """Send a body; what an odd one did, if it was taken, is undone."""
    with transaction.atomic():
        response = client.generic(call.method, call.url, mutation.body, content_type=mutation.content_type)
        if 200 <= response.status_code < 300 and not mutation.refused:
            transaction.set_rollback(True)
            return ""
    wrong = problem(response)
    return f"{call.key}, {mutation.name}: {wrong}" if wrong else ""


def writing(world) -> list[Call]:
    """Writing calls of the REST surface that take JSON, or nothing."""
    calls = [c for c in requests_of(world, "staff_manager") if c.route.is_api and c.method in ("post", "patch", "put")]
    return [c for c in calls if c.form == "json" and "{path}" not in c.route.path]
