"""One place each: permissions, stores, PROV, the environment, the doorbell, and the writing of rows."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.places import CHECKS, PLACES
from tests.architecture.sources import REPO_ROOT, Source, project_sources

PLANTED = {
    "guardian": ("apps.imaging.services", "from guardian.shortcuts import assign_perm"),
    "shortcuts in the models": ("apps.projects.models", "from guardian.shortcuts import assign_perm"),
    "guardian as a whole": ("apps.web.views", "import guardian"),
    "zarr": ("apps.imaging.services", "import zarr"),
    "zarr in a plugin": ("analyses.bulk.rve", "from zarr.storage import LocalStore"),
    "tensorstore": ("apps.imaging.chunks", "import tensorstore as ts"),
    "prov": ("apps.web.views", "from prov.model import ProvDocument"),
    "environment": ("apps.core.storage", "import os\nroot = os.environ['X']"),
    "environment by name": ("analyses.sdk.spatial", "from os import environ"),
    "pickle": ("apps.jobs.log", "import pickle"),
    "xml": ("apps.imaging.readers.tiff", "import xml.etree.ElementTree as ET"),
    "delay": ("apps.imaging.services", "run.delay(job.id)"),
    "apply_async": ("apps.jobs.services", "run.apply_async((job.id,))"),
    "send_task": ("apps.analysis.services.submit", "current_app.send_task('x')"),
    "save in a view": ("apps.web.views", "def f(request):\n    project.save()"),
    "create in the API": ("apps.imaging.api.views", "Image.objects.create(name='x')"),
    "bulk in the admin": ("apps.catalog.admin", "def act(self, request, queryset):\n    queryset.update(name='x')"),
    "delete in a command": ("apps.web.management.commands.demo", "Project.objects.filter(name='x').delete()"),
    "update in a task": ("apps.jobs.tasks", "Job.objects.filter(pk=1).update(status='x')"),
    "related manager": ("apps.catalog.api", "specimen.states_set.create()"),
    "write in a selector": ("apps.audit.selectors", "Thing.objects.get_or_create(x=1)"),
    "asynchronous write": ("apps.web.views", "async def f():\n    await Job.objects.acreate()"),
}
CLEAN = {
    "permission rows": ("apps.projects.models", "from guardian.models import UserObjectPermissionBase"),
    "access": ("apps.projects.access", "from guardian.shortcuts import assign_perm"),
    "omezarr module": ("analyses.sdk.omezarr", "import zarr"),
    "omezarr's neighbour": ("analyses.sdk.omezarr_layout", "import zarr"),
    "omezarr package": ("analyses.sdk.omezarr.write", "import zarr"),
    "ome-zarr's other library": ("apps.imaging.readers.zarr_", "import ome_zarr_models"),
    "provenance": ("apps.provenance.serialisers", "from prov.model import ProvDocument"),
    "an attribute of that name": ("apps.web.views", "x = links.prov.label"),
    "env": ("corr_project.env", "import os\nx = os.environ"),
    "dispatch": ("apps.jobs.dispatch", "current_app.send_task('x')"),
    "service": ("apps.imaging.services.receive", "Image.objects.create(name='x')"),
    "kernel": ("apps.jobs.claim", "Job.objects.filter(pk=1).update(status='x')"),
    "a dictionary": ("apps.web.views", "context.update(name='x')"),
    "a picture": ("apps.web.present.slices", "picture.save(buffer, 'PNG', compress_level=4)"),
    "a hash": ("apps.imaging.api.views", "digest.update(block)"),
    "a reader's library": ("analyses.sdk.values", "array.save()"),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tree(check: Callable[[Source], Iterator[str]]) -> None:
    found = [line for source in project_sources() for line in check(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("name", "text"), PLANTED.values(), ids=PLANTED)
def test_planted_violation_is_caught(name: str, text: str) -> None:
    assert [line for check in CHECKS for line in check(Source(name, text))]


@pytest.mark.parametrize(("name", "text"), CLEAN.values(), ids=CLEAN)
def test_what_is_right_is_let_through(name: str, text: str) -> None:
    assert [line for check in CHECKS for line in check(Source(name, text))] == []


def test_ruff_names_the_replacement_for_each() -> None:
    lint = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    banned = lint["flake8-tidy-imports"]["banned-api"]
    for place in PLACES:
        assert any(name == place.thing or name.startswith(f"{place.thing}.") for name in banned), place.thing
