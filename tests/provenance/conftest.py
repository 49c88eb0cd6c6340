from __future__ import annotations

import uuid

import pytest

from apps.provenance import registry
from tests.provenance import things


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", registry.registered_models() | things.REGISTRATIONS)


@pytest.fixture
def ann() -> things.Person:
    return things.Person("ann")


@pytest.fixture
def project() -> uuid.UUID:
    return uuid.uuid4()
