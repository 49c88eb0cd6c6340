"""What scenarios share: a real volume measured under calibrations, run once for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings

from apps.jobs import dispatch
from tests.scenarios.calibrated import Calibrated, make_calibrated


@pytest.fixture(scope="package")
def calibrated(
    django_db_setup: None, django_db_blocker: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Calibrated]:
    """Crops of the fibre volume, ingested, segmented and measured; committed, and flushed afterwards."""
    root: Path = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), override_settings(CORR_DATA_ROOT=root):  # type: ignore[attr-defined]
        patch.setattr(dispatch, "ring", lambda job_id: True)
        try:
            yield make_calibrated()
        finally:
            call_command("flush", verbosity=0, interactive=False)
