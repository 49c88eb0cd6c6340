"""Log-in: one door for people, one for programs, one lock on both; and what an account may change of itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.projects import lockout
from apps.projects.models import ApiToken, User
from apps.projects.services import issue_token
from apps.provenance.models import Event
from tests.factories import PASSWORD, UserFactory
from tests.web.conftest import World

pytestmark = pytest.mark.django_db
TOKEN = "/api/v1/auth/token/"


def try_page(client: Client, name: str, password: str, **more: Any) -> Any:
    return client.post(reverse("login"), {"username": name, "password": password}, **more)


def try_token(client: Client, name: str, password: str, **more: Any) -> Any:
    body = {"username": name, "password": password}
    return client.post(TOKEN, body, content_type="application/json", **more)


@pytest.mark.parametrize("door", [try_page, try_token])
def test_ten_wrong_passwords_lock_every_door_for_that_name_and_address(door: Any, settings: Any) -> None:
    user, other = UserFactory(), UserFactory()
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert door(client, user.username, "wrong").status_code in (200, 401)
    assert door(client, user.username, "wrong").status_code == 429
    page, token = try_page(client, user.username, PASSWORD), try_token(client, user.username, PASSWORD)
    assert (page.status_code, token.status_code) == (429, 429)
    assert "locked for 30 minutes" in page.content.decode()
    assert token.json()["code"] == "locked_out"
    assert "locked for 30 minutes" in token.json()["detail"]
    assert page["Retry-After"] == "1800"
    assert try_page(client, other.username, PASSWORD).status_code == 302
    assert try_token(Client(), user.username, PASSWORD, REMOTE_ADDR="198.51.100.7").status_code == 200


def test_a_name_that_does_not_exist_is_locked_like_one_that_does(settings: Any) -> None:
    client = Client()
    answers = [try_token(client, "nobody", "wrong").status_code for _ in range(settings.AXES_FAILURE_LIMIT + 1)]
    assert answers[:9] == [401] * 9
    assert answers[-1] == 429


@pytest.mark.parametrize("door", [try_page, try_token])
def test_a_right_password_forgives_the_wrong_ones(door: Any, settings: Any) -> None:
    user = UserFactory()
    for _ in range(2):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            try_token(Client(), user.username, "wrong")
        assert door(Client(), user.username, PASSWORD).status_code in (200, 302)


def test_a_forwarded_address_is_believed_only_from_a_known_number_of_proxies(rf: Any, settings: Any) -> None:
    request = rf.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9, 198.51.100.7")
    assert lockout.client_address(request) == "10.0.0.1"
    settings.CORR_PROXY_COUNT = 1
    assert lockout.client_address(request) == "198.51.100.7"
    settings.CORR_PROXY_COUNT = 5
    assert lockout.client_address(request) == "10.0.0.1"


def test_the_admin_has_no_door_of_its_own(world: World, seen_by: Any) -> None:
    answer = Client().get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith(reverse("login"))
    assert Client().post("/admin/login/", {"username": "a", "password": "b"})["Location"].startswith(reverse("login"))
    assert seen_by(world.viewer).get("/admin/login/").status_code == 403


def test_the_admin_alone_may_evaluate_text(world: World, seen_by: Any) -> None:
    chief = UserFactory(is_staff=True, is_superuser=True)
    assert "'unsafe-eval'" in seen_by(chief).get("/admin/")["Content-Security-Policy"]
    for page in (reverse("home"), reverse("login"), reverse("account")):
        assert "unsafe-eval" not in seen_by(chief).get(page)["Content-Security-Policy"]


def test_there_is_no_sign_up_and_no_way_by_a_provider_that_is_not_configured() -> None:
    for path in ("/signup/", "/accounts/signup/", "/oidc/oidc/login/"):
        assert Client().get(path).status_code == 404
    assert "Log in with" not in Client().get(reverse("login")).content.decode()


# --------------------------------------------------------------------------------------------------------- the account


def test_a_new_password_revokes_all_tokens_and_is_recorded() -> None:
    user = UserFactory()
    token, key = issue_token(user=user)
    client = Client()
    try_page(client, user.username, PASSWORD)
    before = Event.objects.count()
    form = {"current": PASSWORD, "new": "another-long-word-7", "again": "another-long-word-7"}
    answer = client.post(reverse("password"), form, follow=True)
    assert "1 token was revoked" in answer.content.decode()
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert Client().get("/api/v1/me/", headers={"Authorization": f"Token {key}"}).status_code == 401
    assert Event.objects.count() == before + 1
    assert User.objects.get(pk=user.pk).check_password("another-long-word-7")
    assert client.get(reverse("account")).status_code == 200  # who changed it stays logged in


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"current": "wrong"}, "current", "not the current password"),
        ({"again": "other"}, "again", "not the same"),
        ({"new": "short", "again": "short"}, "new", "too short"),
        ({"new": PASSWORD, "again": PASSWORD}, "new", "is the current one"),
    ],
)
def test_a_refused_password_says_why_beside_its_field(
    change: dict[str, str], field: str, words: str, seen_by: Any
) -> None:
    user = UserFactory()
    issue_token(user=user)
    form = {"current": PASSWORD, "new": "another-long-word-7", "again": "another-long-word-7"} | change
    answer = seen_by(user).post(reverse("password"), form)
    text = answer.content.decode()
    assert answer.status_code == 400
    assert words in text.split(f'id="f-{field}-help"')[1].split("</div>")[0]
    assert PASSWORD not in text
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    assert ApiToken.objects.filter(user=user, revoked_at=None).count() == 1


def test_the_key_of_a_token_is_shown_once(seen_by: Any) -> None:
    user = UserFactory()
    client = seen_by(user)
    answer = client.post(reverse("token-add"), {"name": "microscope", "scope": "read"})
    key = answer.content.decode().split('id="new-key" tabindex="0">')[1].split("<")[0]
    assert answer["Cache-Control"] == "no-store"
    mine = {"Authorization": f"Token {key}"}
    assert Client().get("/api/v1/me/", headers=mine).json()["username"] == user.username
    assert Client().post("/api/v1/projects/", {"name": "x"}, headers=mine).status_code == 403
    assert key not in client.get(reverse("account")).content.decode()
    client.post(reverse("token-revoke", args=[ApiToken.objects.get(user=user).pk]))
    assert Client().get("/api/v1/me/", headers=mine).status_code == 401


def test_tokens_of_others_are_not_there(seen_by: Any) -> None:
    token, _ = issue_token(user=UserFactory())
    assert seen_by(UserFactory()).post(reverse("token-revoke", args=[token.pk])).status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None


def test_names_are_changed_and_the_address_is_not(seen_by: Any) -> None:
    user = UserFactory(email="a@example.org")
    form = {"first_name": "Ada", "last_name": "L", "email": "b@example.org"}
    assert seen_by(user).post(reverse("profile"), form).status_code == 302
    user.refresh_from_db()
    assert (user.first_name, user.email) == ("Ada", "a@example.org")
    assert seen_by(user).post(reverse("profile"), {"first_name": "x" * 151}).status_code == 400
