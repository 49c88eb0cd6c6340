"""What the tests of frames, mounts, transforms and regions share."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient


@pytest.fixture
def as_user() -> Any:
    """Return a REST client that acts for an account."""

    def make(user: Any) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return make
