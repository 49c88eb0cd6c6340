"""Agents that are not accounts: software, organisations, and people known by name only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

_NAMESPACE: Final = uuid.UUID("6f1d1a52-6a3c-4b0e-9d3f-0c0a8f5f6c11")


class Account(Protocol):
    """What the ledger needs to know of a user."""

    @property
    def pk(self) -> Any:
        """UUID of the account."""

    def get_username(self) -> str:
        """Name of the account, kept erasable beside the record."""


@dataclass(frozen=True)
class SoftwareAgent:
    """A program in one version; the same everywhere, so its id follows from name and version."""

    name: str
    version: str = ""

    @property
    def id(self) -> uuid.UUID:
        """Id of the agent."""
        return uuid.uuid5(_NAMESPACE, f"software\n{self.name}\n{self.version}")


@dataclass(frozen=True)
class OrganisationAgent:
    """An organisation, e.g. the facility that answers for an instrument."""

    name: str

    @property
    def id(self) -> uuid.UUID:
        """Id of the agent."""
        return uuid.uuid5(_NAMESPACE, f"organisation\n{self.name}")


@dataclass(frozen=True)
class PersonAgent:
    """A named person without account, e.g. an operator; within one project a name is one person.

    The id is random, not made from the name: from an id that follows from a name, the name could be guessed after its
    erasure.
    """

    name: str


Agent: TypeAlias = Account | uuid.UUID | SoftwareAgent | OrganisationAgent | PersonAgent

CORRSPACE: Final = SoftwareAgent("corrspace")


def software_agent(name: str, version: str = "") -> SoftwareAgent:
    """Return a program in one version as an agent."""
    return SoftwareAgent(_stated(name, "software"), version)


def organisation_agent(name: str) -> OrganisationAgent:
    """Return an organisation as an agent."""
    return OrganisationAgent(_stated(name, "organisation"))


def person_agent(name: str) -> PersonAgent:
    """Return a named person without account as an agent."""
    return PersonAgent(_stated(name, "person"))


def _stated(name: str, what: str) -> str:
    if not name.strip():
        raise ValueError(f"the {what} has no name; leave the agent out where it is not stated")
    return name.strip()
