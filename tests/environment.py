"""Pytest plugin loaded before Django's settings: a data root of the run's own, and the option that forbids skipping.

It stands beside ``conftest.py`` because pytest-django imports the settings before any ``conftest.py`` is read.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


def _own_data_root() -> None:
    """Give this run, and each xdist worker in it, a data root that ends with it.

    The path is short: the embedded broker's unix socket lies below it, and such a path must stay under 108 bytes.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        root = Path(os.environ["CORR_DATA_ROOT"]) / worker
        root.mkdir(exist_ok=True)
    else:
        root = Path(tempfile.mkdtemp(prefix="corr-"))
        owner = os.getpid()

        def remove() -> None:
            if os.getpid() == owner:  # a forked child leaves its parent's files alone
                shutil.rmtree(root, ignore_errors=True)

        atexit.register(remove)
    (root / "static").mkdir(exist_ok=True)  # as `serve` makes it
    os.environ["CORR_DATA_ROOT"] = str(root)
    os.environ.setdefault("CORR_SECRET_KEY", "tests-only-" + "0123456789abcdef" * 4)
    # A manage.py that a test starts belongs to this environment already.
    os.environ["CORR_NO_BOOTSTRAP"] = "1"


_own_data_root()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--no-skips`` (where everything is installed, a skipped test is a hole in the run) and ``--on-servers``."""
    parser.addoption("--no-skips", action="store_true", help="fail the run if any test was skipped")
    parser.addoption(
        "--on-servers",
        action="store_true",
        help="run what asks for the database or the broker alone: the rest says the same whichever they are",
    )


class _Together(LoadScopeScheduling):
    """Modules go to the processes of ``-n 2`` as wholes, as do folders that share an installation or a broker."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


# A broker is there once: its tests, and those that start servers and kill them, stay in one process.
_SHARED = {"e2e": "broker", "tests/web/test_demo.py": "broker", "contract": "contract", "bootstrap": "bootstrap"}
# What takes minutes is handed out first, so that no process is left with it alone in the end.
_FIRST = ("broker", "tests/readers/test_damage.py", "tests/readers/test_fuzz.py", "bootstrap", "contract")
_DATABASE = frozenset(
    {"db", "transactional_db", "django_db_setup", "django_db_blocker", "postgres_url", "rabbitmq_url", "redis_url"}
)
_SERVERS = ("django_db", "broker", "browser", "chaos", "postgres")


def scope_of(nodeid: str) -> str:
    """What a test is handed out with."""
    module = nodeid.partition("::")[0]
    folder = module.removeprefix("tests/").partition("/")[0]
    return _SHARED.get(module) or _SHARED.get(folder) or module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hand out the tests so, in the order in which they were collected."""
    config.option.loadscopereorder = False
    return _Together(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what speaks of other servers than those this run is on: nothing to test here, so no skip."""
    on_postgres = os.environ.get("CORR_DATABASE_URL", "").startswith(("postgres://", "postgresql://"))
    other = "sqlite_only" if on_postgres else "postgres_only"
    left_out = [
        item
        for item in items
        if item.get_closest_marker(other) or (config.getoption("--on-servers") and not asks_for_servers(item))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    if os.environ.get("PYTEST_XDIST_WORKER"):
        put_long_ones_first(items)


def asks_for_servers(item: pytest.Item) -> bool:
    """True if a test touches the database or the broker, itself or by a fixture."""
    names = getattr(item, "fixturenames", ())
    return bool(_DATABASE.intersection(names)) or any(item.get_closest_marker(mark) for mark in _SERVERS)


def put_long_ones_first(items: list[Any]) -> None:
    """Sort what is handed out together: the long ones, then by number."""
    sizes = Counter(scope_of(item.nodeid) for item in items)

    def rank(item: Any) -> tuple[int, int, str]:
        scope = scope_of(item.nodeid)
        return _FIRST.index(scope) if scope in _FIRST else len(_FIRST), -sizes[scope], scope

    items.sort(key=rank)


def _skipped(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not config.getoption("--no-skips"):
        return []
    return sorted(f"{report.nodeid}: {_reason(report)}" for report in reporter.stats.get("skipped", []))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a run that skipped something into a failed one, if asked to."""
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was skipped although nothing may be."""
    skipped = _skipped(config)
    if skipped:
        terminalreporter.section("skipped, and --no-skips was given", red=True)
        for line in skipped:
            terminalreporter.line(line)
