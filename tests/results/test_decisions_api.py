"""Review, release and withdrawal over REST."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.projects.models import User
from apps.projects.services import set_member
from tests.factories import UserFactory
from tests.study import Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def rita(study: Study) -> User:
    user = UserFactory(username="rita")
    set_member(actor=study.maker, project=study.project, username="rita", role="contributor")
    return user


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def things(study: Study) -> list[str]:
    wiener, table = study.result("bounds", "wiener"), study.result("measure", "table")
    return [f"/api/v1/properties/{wiener.pk}/", f"/api/v1/tables/{table.pk}/"]


def post(user: User, url: str, **body: Any) -> Any:
    return client_of(user).post(url, body, format="json")


def test_a_result_says_where_it_stands_from_review_to_withdrawal(study: Study, rita: User) -> None:
    for url in things(study):
        assert client_of(study.viewer).get(url).json()["review_status"] == "unreviewed"
        assert post(study.maker, f"{url}release/").status_code == 409
        answer = post(rita, f"{url}review/", verdict="approved", comment="checked by hand")
        assert (answer.status_code, answer.json()["review_status"]) == (201, "approved")
        answer = post(study.maker, f"{url}release/", comment="data sheet 4")
        assert (answer.status_code, answer.json()["review_status"]) == (201, "released")
        answer = post(study.maker, f"{url}withdraw-release/", reason="the wrong phases")
        assert (answer.status_code, answer.json()["review_status"]) == (200, "withdrawn")
        body = client_of(study.viewer).get(url).json()
        assert [row["reviewed_by"] for row in body["reviews"]] == [str(rita.pk)]
        (release,) = body["releases"]
        assert release["review"] == body["reviews"][0]["id"]
        assert release["withdrawal"]["reason"] == "the wrong phases"


def test_who_may_review_and_release(study: Study, rita: User) -> None:
    for url in things(study):
        assert post(study.maker, f"{url}review/", verdict="approved").status_code == 403, "their own job"
        assert post(study.viewer, f"{url}review/", verdict="approved").status_code == 403
        assert post(study.outsider, f"{url}review/", verdict="approved").status_code == 404
        assert post(rita, f"{url}review/", verdict="approved").status_code == 201
        assert post(rita, f"{url}release/").status_code == 403


def test_a_refusal_names_the_field(study: Study, rita: User) -> None:
    url = things(study)[0]
    assert "verdict" in post(rita, f"{url}review/", verdict="fine").json()["errors"]
    assert "comment" in post(rita, f"{url}review/", verdict="rejected").json()["errors"]
    assert "reason" in post(study.maker, f"{url}withdraw-release/", reason=" ").json()["errors"]
    assert "surprise" in post(study.maker, f"{url}release/", surprise=1).json()["errors"]
