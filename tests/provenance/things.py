# ruff: noqa: DJ008 - they are never shown
"""Things and people for the ledger to record; rows of no table, since the ledger knows ids only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from django.db import models

from apps.provenance import registry


class Specimen(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project_id = models.UUIDField(null=True)

    class Meta:
        app_label = "ledger_tests"
        managed = False


class Image(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project_id = models.UUIDField(null=True)

    class Meta:
        app_label = "ledger_tests"
        managed = False


class Run(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project_id = models.UUIDField(null=True)

    class Meta:
        app_label = "ledger_tests"
        managed = False


class Member(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        app_label = "ledger_tests"
        managed = False


class Unregistered(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        app_label = "ledger_tests"
        managed = False


REGISTRATIONS = {
    Specimen: registry.Registration(Specimen, "entity", "test:Specimen", None, "project_id"),
    Image: registry.Registration(Image, "entity", "test:Image", None, "project_id"),
    Run: registry.Registration(Run, "activity", "test:Run", None, "project_id"),
    Member: registry.Registration(Member, "agent", "test:Member", None, None),
}


@dataclass
class Person:
    """An account, as far as the ledger cares."""

    name: str = "ann"
    pk: uuid.UUID = field(default_factory=uuid.uuid4)

    def get_username(self) -> str:
        return self.name
