"""Send every request in every role, each undone at once, and say in one word how it was answered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from django.db import transaction
from rest_framework.test import APIClient

from tests.contract.requests import Call, requests_of
from tests.contract.world import ROLES, World

FILE = Path(__file__).with_name("permission_matrix.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "permissions.md"


@dataclass(frozen=True)
class Answer:
    """What a role got for a request."""

    role: str
    call: Call
    status: int
    content_type: str
    location: str
    content: bytes

    @property
    def cell(self) -> str:
        """``200``, ``200 empty`` (a list without a row), ``302``, ``302 login``, ``302 index`` (of the admin), ..."""
        if self.status == 302 and "/login/" in self.location:
            return "302 login"
        if self.status == 302 and self.location == "/admin/":
            return "302 index"
        return f"{self.status} empty" if self.status == 200 and self.is_empty_list else str(self.status)

    @property
    def is_empty_list(self) -> bool:
        found = self.json
        return isinstance(found, dict) and found.get("results") == []

    @property
    def json(self) -> Any:
        """The body, if it is JSON."""
        return json.loads(self.content) if self.content_type.split(";")[0].endswith("json") else None

    @property
    def succeeded(self) -> bool:
        """True if the request did or showed what it asked for; a form shown again did not."""
        if self.call.writes and not self.call.route.is_api:
            return self.cell == "302"
        return 200 <= self.status < 300


class Client:
    """A client in one role that forgets everything after each request."""

    def __init__(self, world: World, role: str) -> None:
        self.role, self.world = role, world
        self.client = APIClient(raise_request_exception=False)
        self.headers = {"Authorization": f"Token {world.read_key}"} if role == "read_token" else {}
        if role in world.users:
            self.client.force_login(world.users[role], "django.contrib.auth.backends.ModelBackend")
        self._cookies = dict(self.client.cookies.items())

    def send(self, call: Call) -> Answer:
        """Send one request and undo what it did to the database."""
        self.client.cookies = SimpleCookie({name: morsel.value for name, morsel in self._cookies.items()})
        body = call.body(self.world) if call.body else None
        options: dict[str, Any] = {"headers": {**self.headers, **call.headers}}
        if "/" in call.form:
            options |= {"data": body, "content_type": call.form}
        elif call.writes:
            options |= {"data": body if body is not None else {}, "format": call.form}
        with transaction.atomic():
            response = getattr(self.client, call.method)(call.url, **options)
            content = b"".join(response) if response.streaming else response.content
            transaction.set_rollback(True)
        return Answer(
            self.role,
            call,
            response.status_code,
            response.headers.get("Content-Type", ""),
            response.headers.get("Location", ""),
            content,
        )


def compute(world: World) -> list[Answer]:
    """Return the answer to every request in every role."""
    answers = []
    for role in ROLES:
        client = Client(world, role)
        answers += [client.send(call) for call in requests_of(world, role)]
    return answers


def table(answers: Iterable[Answer]) -> dict[str, list[str]]:
    """Return row -> cells in the order of the roles."""
    rows: dict[str, dict[str, str]] = {}
    for answer in answers:
        rows.setdefault(answer.call.key, {})[answer.role] = answer.cell
    return {key: [rows[key][role] for role in ROLES] for key in sorted(rows, key=_order)}


def _order(key: str) -> tuple[int, str, str]:
    method, _, path = key.partition(" ")
    group = 0 if path.startswith("/api/") else 2 if path.startswith("/admin/") else 1
    return group, path, method


def as_json(rows: dict[str, list[str]]) -> str:
    """Return the file's text: a line a row, so that a change is a line in a diff."""
    lines = [f"    {json.dumps(key)}: {json.dumps(cells)}" for key, cells in rows.items()]
    return '{\n  "roles": ' + json.dumps(ROLES) + ',\n  "rows": {\n' + ",\n".join(lines) + "\n  }\n}\n"


_GROUPS = ("REST surface", "Pages", "Admin")
_INTRO = """# Permissions

What every route answers to every role. The table is measured, not written: `python -m pytest tests/contract
--update-permission-matrix` sends each request in each role to a project with one of each thing and writes this page;
without the option the same run compares. A new route without a row fails it.

| role | account |
|---|---|
| anonymous | not logged in |
| outsider | an account without membership |
| viewer, contributor, manager, auditor | members of the project in that role |
| site_auditor | in the site-wide group `auditor`, no membership |
| staff | `is_staff`, no membership |
| superuser | `is_staff` and `is_superuser`, no membership |
| staff_manager | `is_staff`, and manager of the project |
| read_token | the manager by a token of scope `read` |

Each request is in order: what is named is there, and the body is one that is taken. `200 empty` is a list without a
row, `302 login` sends to the log-in, `302 index` to the admin's index, because the row cannot be seen. A form that is
taken answers `302`; `200` to a POST of one is the form shown again with what is wrong.
"""


def as_page(rows: dict[str, list[str]]) -> str:
    """Return the documentation page of the matrix."""
    parts = [_INTRO]
    for number, title in enumerate(_GROUPS):
        parts.append(f"\n## {title}\n\n| route | {' | '.join(ROLES)} |\n|---|{'---|' * len(ROLES)}\n")
        parts += [f"| `{key}` | {' | '.join(cells)} |\n" for key, cells in rows.items() if _order(key)[0] == number]
    return "".join(parts)
