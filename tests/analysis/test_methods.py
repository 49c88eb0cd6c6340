"""What a method is held to be: a draft at first, validated with its record, retired with a reason."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from rest_framework.test import APIClient

from analyses import registry
from apps.analysis import services
from apps.analysis.models import MethodStatus
from apps.analysis.selectors import method_status
from apps.core.errors import ConflictError, InvalidValueError, PermissionRefusedError
from apps.projects.models import User
from apps.provenance.models import Edge
from tests.factories import StaffFactory, UserFactory
from tests.study import Study, analyse

pytestmark = pytest.mark.django_db
PLUGIN = "bulk.bounds"
VALIDATION = {"status": "validated", "reason": "compared with layers", "text": "Layers: the bounds to 1e-9."}


@pytest.fixture
def staff() -> User:
    return StaffFactory(username="stella")


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def say(client: APIClient, **body: Any) -> Any:
    return client.post(f"/api/v1/plugins/{PLUGIN}/status/", body, format="json")


def submission(study: Study, **phase: Any) -> dict[str, Any]:
    phases = {"0": {"k": 1.0, "source": "handbook"}, "1": {"k": 30.0, "source": "handbook"} | phase}
    return {
        "project": study.project,
        "plugin": PLUGIN,
        "params": {"phases": phases, "unit": "W/(m.K)"},
        "inputs": {"labels": str(study.labels.pk)},
    }


def test_a_version_without_a_status_is_a_draft(staff: User) -> None:
    body = client_of(staff).get(f"/api/v1/plugins/{PLUGIN}/").json()
    assert (body["status"], body["statuses"]) == ("draft", [])


def test_a_validation_is_shown_with_its_record_in_list_and_detail(study: Study, staff: User) -> None:
    answer = say(client_of(staff), **VALIDATION, document="REP-7", validated_by="Vera", validated_on="2024-05-02")
    assert answer.status_code == 201, answer.content
    listed = client_of(study.maker).get("/api/v1/plugins/").json()["results"]
    (plugin,) = [plugin for plugin in listed if plugin["name"] == PLUGIN]
    assert plugin["status"] == "validated"
    (row,) = plugin["statuses"]
    assert (row["validated_by"], row["validated_on"], row["document"]) == ("Vera", "2024-05-02", "REP-7")
    assert row["version"] == registry.get(PLUGIN).version
    assert row["set_by"] == str(staff.pk)


def test_a_validation_by_the_actor_today_is_the_default(staff: User) -> None:
    row = services.set_method_status(actor=staff, plugin=PLUGIN, **VALIDATION)
    assert (row.validated_by, row.validated_on) == ("stella", dt.datetime.now(dt.UTC).date())


def test_a_new_version_starts_as_a_draft(staff: User) -> None:
    record = {"validated_by": "Vera", "validated_on": dt.date(2024, 5, 2)}
    MethodStatus.objects.create(plugin=PLUGIN, version="0.0.1", set_by=staff, **VALIDATION, **record)
    assert client_of(staff).get(f"/api/v1/plugins/{PLUGIN}/").json()["status"] == "draft"
    with pytest.raises(InvalidValueError, match="not installed"):
        services.set_method_status(actor=staff, plugin=PLUGIN, version="0.0.1", **VALIDATION)


def test_a_retired_plugin_is_not_run_and_the_reason_is_said(study: Study, staff: User) -> None:
    client = client_of(study.maker)
    body = submission(study) | {"project": str(study.project.pk)}
    say(client_of(staff), status="retired", reason="superseded by the solver")
    for query in ("", "?dry_run=1"):
        answer = client.post(f"/api/v1/jobs/{query}", body, format="json")
        assert answer.status_code == 409
        assert "superseded by the solver" in answer.json()["detail"]
    say(client_of(staff), status="draft", reason="needed again")
    assert client.post("/api/v1/jobs/", body, format="json").status_code == 202
    assert [row.status for row in MethodStatus.objects.all()] == ["draft", "retired"], "nothing is overwritten"


def test_what_a_retired_plugin_gave_can_be_run_again_to_check_it(study: Study, staff: User) -> None:
    services.set_method_status(actor=staff, plugin=PLUGIN, status="retired", reason="superseded")
    with pytest.raises(ConflictError, match="superseded"):
        services.submit(actor=study.maker, **submission(study))
    assert services.rerun(actor=study.maker, job=study.jobs["bounds"]).rerun_of_id == study.jobs["bounds"].pk


@pytest.mark.usefixtures("no_keeper")
def test_a_run_says_the_status_at_its_time_and_keeps_it(study: Study, staff: User) -> None:
    first = services.set_method_status(actor=staff, plugin=PLUGIN, **VALIDATION)
    given = submission(study, k=40.0)
    job = analyse(study.maker, study.project, PLUGIN, given["params"], given["inputs"])
    later = services.set_method_status(actor=staff, plugin=PLUGIN, status="draft", reason="an error was found")
    used = Edge.objects.filter(subject_id=job.pk, role="method status").values_list("object_id", flat=True)
    assert list(used) == [first.pk]
    version = registry.get(PLUGIN).version
    assert method_status(PLUGIN, version) == later
    assert method_status(PLUGIN, version, at=job.started_at) == first


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"text": ""}, "text"),
        ({"status": "approved"}, "status"),
        ({"reason": " "}, "reason"),
        ({"validated_on": "2999-01-01"}, "validated_on"),
        ({"status": "retired"}, "text"),
        ({"job": "0190e7d2-0000-7000-8000-000000000000"}, "job"),
    ],
)
def test_a_refusal_names_the_field(staff: User, changed: dict[str, Any], field: str) -> None:
    answer = say(client_of(staff), **(VALIDATION | changed))
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["errors"]
    assert not MethodStatus.objects.exists()


def test_a_run_that_shows_a_validation_is_one_of_that_version_and_seen_by_who_may(study: Study, staff: User) -> None:
    with pytest.raises(InvalidValueError, match="the validation is one of"):
        services.set_method_status(actor=staff, plugin=PLUGIN, **VALIDATION, job=study.jobs["measure"])
    services.set_method_status(actor=staff, plugin=PLUGIN, **VALIDATION, job=study.jobs["bounds"])
    for user, shown in ((study.viewer, str(study.jobs["bounds"].pk)), (study.outsider, None)):
        assert client_of(user).get(f"/api/v1/plugins/{PLUGIN}/").json()["statuses"][0]["job"] == shown


def test_only_staff_says_what_a_method_is(study: Study) -> None:
    with pytest.raises(PermissionRefusedError):
        services.set_method_status(actor=study.maker, plugin=PLUGIN, **VALIDATION)
    assert say(client_of(UserFactory()), **VALIDATION).status_code == 403
