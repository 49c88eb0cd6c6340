"""The small study, made once for this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.study import Study, committed_study


@pytest.fixture(scope="package")
def study(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A project with an ingested, segmented, measured and homogenised volume."""
    root: Path = tmp_path_factory.mktemp("data")
    with committed_study(django_db_blocker, root) as made:
        yield made
