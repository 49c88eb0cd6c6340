"""Nothing points upward, not even where an import checker does not look."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.direction import CHECKS, LAYERS
from tests.architecture.sources import REPO_ROOT, Source, project_sources

PLANTED = {
    "foreign key by string": ("apps.core.models", "x = ForeignKey('imaging.Image', on_delete=PROTECT)"),
    "foreign key by keyword": ("apps.catalog.models", "x = ForeignKey(to='spatial.Frame')"),
    "user model from below": ("apps.provenance.models", "x = ForeignKey(settings.AUTH_USER_MODEL)"),
    "module by string": ("apps.jobs.dispatch", "send('apps.analysis.tasks.run')"),
    "get_model": ("apps.web.views", "x = apps.get_model('core', 'Store')"),
    "import_string": ("apps.core.api.parsers", "x = import_string(name)"),
    "generic key": ("apps.results.models", "class A:\n    x = fields.GenericForeignKey()"),
    "generic relation": ("apps.results.models", "x = GenericRelation(Comment)"),
    "receiver without sender": ("apps.core.models", "@receiver(post_save)\ndef f(**_): ..."),
    "receiver of several": ("apps.core.models", "@receiver([signals.post_save, signals.post_delete])\ndef f(**_): ..."),
    "connect without sender": ("apps.provenance.apps", "post_delete.connect(f)"),
    "local import": ("apps.spatial.services", "def f():\n    from apps.imaging import models"),
    "local plain import": ("analyses.bulk.rve", "def f():\n    import analyses.registry"),
    "local relative import": ("apps.core.ids", "async def f():\n    from . import models"),
}
CLEAN = {
    "downward key": ("apps.imaging.models", "x = ForeignKey('spatial.Frame', on_delete=PROTECT)"),
    "user model from above": ("apps.jobs.models", "x = ForeignKey(settings.AUTH_USER_MODEL)"),
    "own room": ("apps.jobs.dispatch", "send('apps.jobs.tasks.run')"),
    "plugin name": ("analyses.bulk.rve", "name = 'bulk.rve'"),
    "signal with sender": ("apps.core.apps", "post_save.connect(f, sender=Store)"),
    "django's own signal": ("apps.provenance.apps", "post_migrate.connect(f)"),
    "own model": ("apps.jobs.apps", "def ready(self):\n    x = self.get_model('Job')"),
    "ready": ("apps.core.apps", "def ready(self):\n    from apps.core import models"),
    "third-party local import": ("apps.core.apps", "def f():\n    import numpy"),
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


def test_layers_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = next(contract for contract in contracts if contract["id"] == "rooms")
    assert [layer.strip("()") for layer in reversed(rooms["layers"])] == list(LAYERS)


def test_every_app_stands_in_the_layers_and_in_the_contract_for_its_inside() -> None:
    contracts = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(contract for contract in contracts if contract["id"] == "floors")
    built = {f"apps.{path.parent.name}" for path in (REPO_ROOT / "apps").glob("*/__init__.py")}
    assert built <= set(LAYERS)
    assert built == set(floors["containers"])
