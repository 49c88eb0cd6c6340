"""Tokens of the REST surface: ``Authorization: Token <key>``."""

from __future__ import annotations

from contextlib import suppress

from django.db import DatabaseError
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from apps.projects import selectors, services
from apps.projects.models import ApiToken, User


class TokenAuthentication(BaseAuthentication):
    """Knows the caller by a token; a read token may not write."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return account and token, None without a token header; 401 for a bad token."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"token":
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("the header must be: Authorization: Token <key>")
        token = self._token(parts[1].decode("latin-1"))
        if token.scope == ApiToken.Scope.READ and request.method not in SAFE_METHODS:
            raise PermissionDenied("this token may only read")
        return token.user, token

    def _token(self, key: str) -> ApiToken:
        token = selectors.token_by_key(key)
        if token is None or token.revoked_at is not None or not token.user.is_active:
            raise AuthenticationFailed("the token is not valid")
        with suppress(DatabaseError):  # a full disk must not keep anybody from reading
            services.note_token_use(token=token)
        return token

    def authenticate_header(self, request: Request) -> str:
        """The scheme a 401 answers with."""
        return "Token"
