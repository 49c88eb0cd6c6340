"""The parts of the set-up, each on its own."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from tests.bootstrap.conftest import REPO_ROOT

LOCK = r"""Some.Pkg[extra]==1.2 \
    --hash=sha256:aa \
    --hash=sha256:bb
uv==0.9 ; python_version > '3' \
    --hash=sha256:cc
"""


def _distribution(packages: Path, name: str, version: str) -> None:
    info = packages / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def full(bootstrap: ModuleType, tmp_path: Path) -> object:
    """An environment that holds LOCK."""
    environment = bootstrap.Environment(tmp_path, tmp_path / "site-packages")
    _distribution(environment.packages, "some_pkg", "1.2")
    _distribution(environment.packages, "uv", "0.9")
    return environment


def test_pins_are_read_by_normal_name(bootstrap: ModuleType) -> None:
    assert bootstrap.pinned("# note\n" + LOCK) == {"some-pkg": "1.2", "uv": "0.9"}


def test_one_entry_comes_with_its_digests_alone(bootstrap: ModuleType) -> None:
    assert bootstrap.entry_of(LOCK, "some_pkg") == "\n".join(LOCK.splitlines()[:3]) + "\n"
    assert bootstrap.entry_of(LOCK, "absent") == ""


def test_lacking_names_what_is_missing_and_what_differs(bootstrap: ModuleType, tmp_path: Path) -> None:
    _distribution(tmp_path, "uv", "0.8")
    assert bootstrap.lacking(LOCK, tmp_path) == ["some-pkg 1.2", "uv 0.9 (has 0.8)"]


def test_empty_lock_is_a_damaged_checkout(bootstrap: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(bootstrap.BootstrapError, match="pins nothing"):
        bootstrap.lacking("", tmp_path)


def test_fresh_stamp_spares_the_look_at_every_package(
    bootstrap: ModuleType, full: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bootstrap.holds_lock(full, LOCK)
    monkeypatch.setattr(bootstrap, "installed", lambda _: pytest.fail("looked at every package"))
    assert bootstrap.holds_lock(full, LOCK)


def test_stamp_does_not_outlive_a_changed_lock_or_a_removed_package(bootstrap: ModuleType, full: object) -> None:
    assert bootstrap.holds_lock(full, LOCK)
    assert not bootstrap.holds_lock(full, LOCK.replace("1.2", "1.3"))
    packages = full.packages  # type: ignore[attr-defined]
    (packages / "uv-0.9.dist-info" / "METADATA").unlink()
    (packages / "uv-0.9.dist-info").rmdir()
    os.utime(packages, ns=(1, 1))
    assert not bootstrap.holds_lock(full, LOCK)


def test_unfinished_installation_does_not_hold_the_lock(bootstrap: ModuleType, full: object) -> None:
    (full.prefix / bootstrap.UNFINISHED).touch()  # type: ignore[attr-defined]
    assert not bootstrap.holds_lock(full, LOCK)


def test_inside_a_full_environment_nothing_is_run(
    bootstrap: ModuleType, full: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setattr(bootstrap.Environment, "current", classmethod(lambda _: full))
    monkeypatch.setattr(bootstrap, "run", lambda _: pytest.fail("started a program"))
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("exec"))
    bootstrap.ensure(root=tmp_path, argv=["manage.py", "check"])
    assert not (tmp_path / ".venv").exists()


def test_environment_that_never_comes_right_ends_with_a_message(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    empty = bootstrap.Environment(tmp_path / "elsewhere", tmp_path / "elsewhere")
    monkeypatch.setattr(bootstrap.Environment, "current", classmethod(lambda _: empty))
    with pytest.raises(bootstrap.BootstrapError, match="delete it and try again"):
        bootstrap.prepare(tmp_path, already=str(tmp_path / ".venv"))


def test_missing_lock_is_named(bootstrap: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"requirements\.lock is missing"):
        bootstrap.ensure(root=tmp_path, argv=["manage.py"])


def test_debian_without_ensurepip_is_told_the_package(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(bootstrap.BootstrapError, match="apt install python3-venv"):
        bootstrap.make_venv(bootstrap.Environment.beside(tmp_path))


@pytest.mark.parametrize(("failing", "tools"), [(set(), ["pip", "uv"]), ({"uv"}, ["pip", "uv", "pip"])])
def test_pip_brings_uv_and_steps_in_for_it(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: set[str], tools: list[str]
) -> None:
    called: list[tuple[str, str]] = []

    def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        tool = "uv" if Path(command[0]).name == "uv" else "pip"
        called.append((tool, Path(command[-1]).read_text()))
        assert "--require-hashes" in command
        return subprocess.CompletedProcess(command, int(tool in failing), "", "no route")

    monkeypatch.setattr(bootstrap, "run", run)
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK)
    bootstrap.install(bootstrap.Environment.beside(tmp_path), lock, afresh=False)
    assert [tool for tool, _ in called] == tools
    assert called[0][1] == bootstrap.entry_of(LOCK, "uv")
    assert called[-1][1] == LOCK


def test_failure_of_both_tools_carries_their_words(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bootstrap, "run", lambda command: subprocess.CompletedProcess(command, 2, "", "no route to index")
    )
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK)
    with pytest.raises(bootstrap.BootstrapError, match="no route to index"):
        bootstrap.install(bootstrap.Environment.beside(tmp_path), lock, afresh=False)


def test_installer_is_not_sent_elsewhere(bootstrap: ModuleType) -> None:
    assert bootstrap.clean_environ({"PIP_TARGET": "x", "PYTHONPATH": "y", "HOME": "z"})["HOME"] == "z"
    assert not {"PIP_TARGET", "PYTHONPATH"} & set(bootstrap.clean_environ({"PIP_TARGET": "x", "PYTHONPATH": "y"}))


def test_lock_has_digests_for_everything_and_names_no_host(bootstrap: ModuleType) -> None:
    text = (REPO_ROOT / "requirements.lock").read_text()
    for name in bootstrap.pinned(text):
        assert "--hash=sha256:" in bootstrap.entry_of(text, name), name
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links| @ ", text)


def test_lock_answers_what_pyproject_asks_for(bootstrap: ModuleType) -> None:
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    pins = bootstrap.pinned((REPO_ROOT / "requirements.lock").read_text())
    asked = [Requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    unanswered = [
        str(requirement)
        for requirement in asked
        if not requirement.specifier.contains(pins.get(bootstrap.normal_name(requirement.name), "0"), prereleases=True)
        or bootstrap.normal_name(requirement.name) not in pins
    ]
    assert unanswered == [], "compile the lock again: docs/howto/develop.md"
