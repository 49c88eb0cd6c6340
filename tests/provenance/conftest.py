from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from apps.provenance import registry
from apps.provenance.testing import flushing_allowed
from tests.provenance import things


@pytest.fixture(scope="session", autouse=True)
def _ledger_can_be_flushed() -> Iterator[None]:
    with flushing_allowed():
        yield


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", registry.registered_models() | things.REGISTRATIONS)


@pytest.fixture
def ann() -> things.Person:
    return things.Person("ann")


@pytest.fixture
def project() -> uuid.UUID:
    return uuid.uuid4()
