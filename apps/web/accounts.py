"""Accounts of the demo: made once, their generated passwords kept beside the data for the owner of the installation."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from apps.projects.models import User
from apps.projects.services import create_user
from apps.web.study import People

FILE_NAME = "demo-accounts.json"
UNKNOWN = "(as it was set before)"
ROLES = {
    "demo": "works: manager of the study's project",
    "viewer": "looks only",
    "auditor": "reads the study and its audit trail",
    "admin": "superuser: accounts, materials, admin pages; sees no project without being a member",
}


@dataclass(frozen=True)
class Account:
    """A demo account with the password to log in."""

    user: User
    password: str
    role: str


def make_accounts(folder: Path) -> list[Account]:
    """Find or make the demo accounts.

    Passwords are generated: a fixed one would open every installation on which somebody once tried the demo.

    Parameters
    ----------
    folder : Path
        Where the passwords are kept, in a file that only its owner can read.
    """
    path = folder / FILE_NAME
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    accounts = []
    for name, role in ROLES.items():
        user = User.objects.filter(username=name).first()
        if user is None:
            known[name] = f"{name}-{secrets.token_urlsafe(9)}"
            # kept first: an account whose password nobody knows would be of no use
            _keep(path, known)
            high = name == "admin"
            user = create_user(username=name, password=known[name], is_staff=high, is_superuser=high)
        accounts.append(Account(user, known.get(name, UNKNOWN), role))
    return accounts


def people_of(accounts: list[Account]) -> People:
    """Return the accounts by what they do in the study."""
    by_name = {account.user.get_username(): account.user for account in accounts}
    return People(by_name["demo"], by_name["viewer"], by_name["auditor"], by_name["admin"])


def _keep(path: Path, known: dict[str, str]) -> None:
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        json.dump(known, stream, indent=2)
    partial.replace(path)
