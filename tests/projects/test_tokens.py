"""Tokens: named, scoped, listed, revoked; the key is stored as a hash."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from apps.projects import services
from apps.projects.models import ApiToken
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def client_with(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    return client


def test_name_and_password_give_a_token_that_works() -> None:
    user = UserFactory()
    answer = APIClient().post("/api/v1/auth/token/", {"username": user.username, "password": PASSWORD})
    assert answer.status_code == 200
    me = client_with(answer.json()["token"]).get("/api/v1/me/").json()
    assert (me["id"], me["username"]) == (str(user.pk), user.username)


def test_the_key_is_not_stored() -> None:
    token, key = services.issue_token(user=UserFactory())
    assert key not in str(ApiToken.objects.filter(pk=token.pk).values().get())


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_is_401_or_400(password: str) -> None:
    answer = APIClient().post("/api/v1/auth/token/", {"username": UserFactory().username, "password": password})
    assert answer.status_code == (401 if password else 400)
    assert answer["Content-Type"] == "application/problem+json"


def test_a_read_token_may_not_write() -> None:
    _, key = services.issue_token(user=UserFactory(), scope="read")
    client = client_with(key)
    assert client.get("/api/v1/projects/").status_code == 200
    assert client.post("/api/v1/projects/", {"name": "x"}).status_code == 403


def test_a_revoked_token_is_refused() -> None:
    user = UserFactory()
    token, key = services.issue_token(user=user, name="notebook")
    client = client_with(key)
    (listed,) = client.get("/api/v1/auth/tokens/").json()["results"]
    assert listed["name"] == "notebook"
    assert client.delete(f"/api/v1/auth/tokens/{token.pk}/").status_code == 204
    assert client.get("/api/v1/me/").status_code == 401


def test_a_token_of_somebody_else_is_not_there() -> None:
    token, _ = services.issue_token(user=UserFactory())
    _, key = services.issue_token(user=UserFactory())
    assert client_with(key).delete(f"/api/v1/auth/tokens/{token.pk}/").status_code == 404


@pytest.mark.parametrize("header", ["Token", "Token a b", "Token \u00e9", "Token unknown"])
def test_an_odd_header_is_401(header: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header.encode("latin-1").decode("latin-1"))
    assert client.get("/api/v1/me/").status_code == 401


def test_use_is_noted_to_the_minute(django_assert_num_queries: object) -> None:
    token, key = services.issue_token(user=UserFactory())
    client = client_with(key)
    client.get("/api/v1/projects/")
    first = ApiToken.objects.get(pk=token.pk).last_used_at
    client.get("/api/v1/projects/")
    assert first is not None
    assert ApiToken.objects.get(pk=token.pk).last_used_at == first
