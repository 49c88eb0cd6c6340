"""Who gets what: every route, every method, every role, compared with the committed matrix and with rules."""

from __future__ import annotations

import json
import re

import pytest

from tests.contract import matrix
from tests.contract.conftest import asked
from tests.contract.matrix import Answer
from tests.contract.world import CANARY, ROLES

pytestmark = pytest.mark.django_db

# What anybody may ask for, by row.
PUBLIC = {
    "POST /api/v1/auth/token/",
    "GET /api/v1/docs/",
    "GET /api/v1/schema/",
    "GET /healthz",
    "GET /login/",
    "POST /login/",
    "GET /admin/login/",
    "POST /admin/login/",
}
# Leaving is open to everybody: there is nothing to protect.
LEAVING = {"POST /logout/", "GET /admin/logout/", "POST /admin/logout/"}
# Made for who is no member; it has a rule of its own.
QUESTIONS = {"POST /api/v1/frames/{pk}/map/"}  # sent as bodies because they are long; nothing is written
BREAK_GLASS = "POST /api/v1/projects/{pk}/break-glass/"
PROJECT_DATA = (
    "acquisitions",
    "attachments",
    "external-activities",
    "frames",
    "images",
    "jobs",
    "lineage",
    "mounts",
    "numbers",
    "properties",
    "rois",
    "series",
    "specimen-events",
    "specimens",
    "tables",
    "transforms",
)
SITE_WIDE = ("calibrations", "instruments", "materials")
# Giving a result out for use, and taking it back.
RELEASES = re.compile(r"/(properties|tables)/\{pk\}/(withdraw-)?release/$|/numbers/\{pk\}/(release|withdraw)/$")
# A calibration belongs to the site; putting a project's images under it is work in that project.
APPLIES = "POST /api/v1/calibrations/{pk}/apply/"
STRANGERS = ("anonymous", "outsider", "staff", "superuser")
READERS = ("viewer", "auditor", "site_auditor")


def segments(answer: Answer) -> list[str]:
    return answer.call.route.path.removeprefix("/api/v1").strip("/").split("/")


def kind_of(answer: Answer) -> str:
    """The first word of the address; that of the thing where one view serves all kinds."""
    first = segments(answer)[0]
    return answer.call.key.removeprefix("GET /api/v1/").split("/")[0] if first == "{things}" else first


def is_project_data(answer: Answer) -> bool:
    if answer.call.route.is_admin or answer.call.key == BREAK_GLASS:
        return False
    kind = kind_of(answer)
    return kind in PROJECT_DATA or (kind == "projects" and len(segments(answer)) > 1)


def told(found: list[Answer]) -> list[str]:
    return [f"{a.role}: {a.call.key} -> {a.cell} {a.content[:200]!r}" for a in found]


def test_matrix_is_the_committed_one(answers, request):
    rows = matrix.table(answers)
    if asked(request.config, "--update-permission-matrix"):
        matrix.FILE.write_text(matrix.as_json(rows))
        matrix.PAGE.write_text(matrix.as_page(rows))
    committed = json.loads(matrix.FILE.read_text())
    assert committed["roles"] == list(ROLES)
    hint = "; if it is meant, run: python -m pytest tests/contract --update-permission-matrix"
    missing, gone = set(rows) - set(committed["rows"]), set(committed["rows"]) - set(rows)
    assert not missing, f"routes without a row: {sorted(missing)}{hint}"
    assert not gone, f"rows without a route: {sorted(gone)}{hint}"
    changed = [
        f"{key}, {role}: was {was}, is {now}"
        for key, cells in rows.items()
        for role, was, now in zip(ROLES, committed["rows"][key], cells, strict=True)
        if was != now
    ]
    assert not changed, "\n".join(changed) + hint


def test_page_shows_the_committed_matrix():
    committed = json.loads(matrix.FILE.read_text())["rows"]
    assert matrix.PAGE.read_text() == matrix.as_page(committed), "run with --update-permission-matrix"


def test_every_cell_is_filled(answers):
    rows = matrix.table(answers)
    assert len(answers) == len(rows) * len(ROLES)
    assert {answer.call.method for answer in answers} >= {"get", "post", "patch", "delete"}


def test_nothing_breaks(answers):
    assert not told([a for a in answers if a.status >= 500])


def test_anonymous_gets_nothing(answers):
    mine = [a for a in answers if a.role == "anonymous" and a.call.key not in PUBLIC]
    api = [a for a in mine if a.call.route.is_api]
    pages = [a for a in mine if not a.call.route.is_api]
    assert not told([a for a in api if a.status != 401])
    assert not told([a for a in pages if a.cell != "302 login" and a.call.key not in LEAVING])
    assert len(api) > 80
    assert len(pages) > 100


def test_strangers_see_nothing_of_a_project(answers):
    """Superusers and staff are strangers too: they see project data as members only."""
    found = [a for a in answers if a.role in STRANGERS[1:] and is_project_data(a)]
    details = [a for a in found if "{" in a.call.route.path]
    lists = [a for a in found if "{" not in a.call.route.path and a.call.method == "get"]
    made = [a for a in found if "{" not in a.call.route.path and a.call.method == "post"]
    assert not told([a for a in details if a.status != 404])
    assert not told([a for a in lists if a.cell != "200 empty"])
    assert not told([a for a in made if a.status not in (400, 404)])
    assert min(len(details), len(lists), len(made)) > 10


def test_no_word_of_a_project_reaches_a_stranger(answers, world):
    """Names carry a canary; ids are looked for too, save the one that was asked for."""
    ids = {str(thing.pk).encode() for name, thing in world.things.items() if is_of_project(thing)}
    leaks = []
    for answer in answers:
        if answer.role in STRANGERS:
            words = [CANARY.encode()] + [pk for pk in ids if pk.decode() not in answer.call.url]
            leaks += [answer for word in words if word in answer.content]
    assert len(ids) > 15
    assert not told([leak for leak in leaks if not echoes_its_own_body(leak, world)])


def is_of_project(thing) -> bool:
    return type(thing).__name__ not in (
        "User",
        "ApiToken",
        "Material",
        "MaterialProperty",
        "Instrument",
        "Calibration",
        "str",
    )


def echoes_its_own_body(answer: Answer, world) -> bool:
    """A refusal may name the id that the request itself sent."""
    body = json.dumps(answer.call.body(world), default=str) if answer.call.body else ""
    sent = [str(thing.pk) for thing in world.things.values() if str(getattr(thing, "pk", "")) in body]
    text = answer.content.decode(errors="replace")
    others = [str(t.pk) for t in world.things.values() if is_of_project(t) and str(t.pk) not in [*sent]]
    return CANARY not in text and not any(pk in text and pk not in answer.call.url for pk in others)


def test_the_canary_sings_for_those_who_may_see(answers):
    """The rule above can only be trusted if members do read the word in most answers."""
    heard = {a.call.key for a in answers if a.role == "manager" and CANARY.encode() in a.content}
    assert len(heard) > 40


def test_readers_write_nothing(answers):
    """A viewer and both auditors see a project and change nothing in it: 403, for the thing is visible."""
    found = [a for a in answers if a.role in READERS and a.call.writes and is_project_data(a)]
    asked = [a for a in found if a.call.key in QUESTIONS]
    assert not told([a for a in asked if a.status != 200])
    found = [a for a in found if a.call.key not in QUESTIONS]
    assert not told([a for a in found if a.status != 403])
    assert len(found) > 40


def test_readers_read_everything(answers):
    reads = {a.call.key: a for a in answers if a.role == "manager" and a.call.method == "get" and is_project_data(a)}
    for role in (*READERS, "contributor", "staff_manager", "read_token"):
        mine = [a for a in answers if a.role == role and a.call.key in reads]
        pages = role == "read_token"
        unlike = [a for a in mine if a.status != reads[a.call.key].status and (a.call.route.is_api or not pages)]
        assert not told(unlike)


def test_contributors_write_and_do_not_manage(answers):
    found = [a for a in answers if a.role == "contributor" and a.call.writes and is_project_data(a)]
    managing = [a for a in found if kind_of(a) == "projects" or RELEASES.search(a.call.key)]
    working = [a for a in found if a not in managing]
    assert not told([a for a in managing if a.status != 403])
    assert not told([a for a in working if not a.succeeded])
    assert min(len(managing) - 2, len(working) - 15) > 0


def test_managers_may_do_all_that_a_project_has(answers):
    found = [a for a in answers if a.role == "manager" and is_project_data(a)]
    own = [a for a in found if a.call.key.endswith("/review/")]
    assert not told([a for a in found if not a.succeeded and a not in own])
    assert {a.status for a in own} == {403}, "nobody reviews a result of a job of one's own"


def test_the_glass_is_broken_by_superusers_alone(answers):
    found = {a.role: a.status for a in answers if a.call.key == BREAK_GLASS}
    assert (found.pop("superuser"), found.pop("anonymous")) == (201, 401)
    assert set(found.values()) == {403}


def test_site_wide_things_are_written_by_staff_alone(answers):
    writes = [a for a in answers if a.call.route.is_api and a.call.writes and kind_of(a) in SITE_WIDE]
    found = [a for a in writes if a.call.key != APPLIES]
    staff = ("staff", "superuser", "staff_manager")
    assert not told([a for a in found if a.role in staff and not a.succeeded])
    assert not told([a for a in found if a.role not in (*staff, "anonymous") and a.status != 403])
    assert len(found) >= 5 * len(ROLES)


def test_a_calibration_is_applied_by_those_who_work_in_the_project(answers):
    found = {a.role: a.status for a in answers if a.call.key == APPLIES}
    assert found.pop("anonymous") == 401
    assert {found.pop(role) for role in ("contributor", "manager", "staff_manager")} == {200}
    assert {found.pop(role) for role in (*READERS, "read_token")} == {403}
    assert set(found.values()) == {400}, "who does not see the project cannot name it"


def test_site_wide_things_are_read_by_every_account(answers):
    found = [a for a in answers if a.call.route.is_api and a.call.method == "get" and kind_of(a) in SITE_WIDE]
    assert not told([a for a in found if a.role != "anonymous" and a.cell != "200"])


def test_a_reading_token_writes_nothing(answers):
    """Whatever its owner may: the scope of the token is checked before anything else."""
    found = [a for a in answers if a.role == "read_token" and a.call.writes and a.call.route.is_api]
    assert not told([a for a in found if a.status != 403 and a.call.key not in PUBLIC])
    assert len(found) > 30


def test_the_admin_is_for_staff(answers):
    inside = [a for a in answers if a.call.route.is_admin and a.call.key not in PUBLIC | LEAVING]
    staff = ("staff", "superuser", "staff_manager")
    assert not told([a for a in inside if a.role not in staff and a.cell != "302 login"])
    assert any(a.succeeded for a in inside if a.role == "staff")


def test_the_admin_is_no_way_around_membership(answers):
    """Staff and superusers without membership write nothing into a project there either; its managers do."""
    rooms = (
        "projects/membership",
        "projects/project/{object_id}",
        "catalog/specimen",
        "imaging/",
        "spatial/",
        "jobs/",
        "results/",
    )
    found = [
        a
        for a in answers
        if a.call.route.is_admin and a.call.writes and a.call.route.path.removeprefix("/admin/").startswith(rooms)
    ]
    assert not told([a for a in found if a.role in ("staff", "superuser") and a.succeeded])
    assert len([a for a in found if a.role == "staff_manager" and a.succeeded]) >= 10


def test_every_refusal_of_the_rest_surface_is_a_problem_document(answers):
    refused = [a for a in answers if a.call.route.is_api and a.status >= 400]
    assert not told([a for a in refused if a.content_type != "application/problem+json"])
    for answer in refused:
        assert set(answer.json) >= {"type", "title", "status", "detail", "code", "errors"}, told([answer])
        assert answer.json["status"] == answer.status
    assert len(refused) > 500
