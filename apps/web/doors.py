"""Who may open an account: nobody by the log-in page; by a provider of identities only where the settings say so."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountDoor(DefaultAccountAdapter):
    """Accounts are made by superusers."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing: the page that follows a log-in shows that it went well."""


class ProviderDoor(DefaultSocialAccountAdapter):
    """People whom the provider vouches for."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Where ``CORR_OIDC_MAKES_ACCOUNTS`` is on; otherwise an account with the verified address must be there."""
        return bool(settings.CORR_OIDC and settings.CORR_OIDC.makes_accounts)
