"""manage.py from a bare checkout: one environment, made once, whatever interrupts it or comes at the same time."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bootstrap.conftest import REPO_ROOT, Checkout


def _said(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_bare_checkout_installs_then_runs_in_its_own_environment(checkout: Checkout) -> None:
    first = checkout.run("migrate", "--plan")
    assert _said(first) == {"prefix": str(checkout.venv), "argv": ["migrate", "--plan"]}
    assert "installing 1 packages" in first.stderr


def test_second_run_installs_nothing_and_needs_no_index(checkout: Checkout) -> None:
    checkout.run("check")
    shutil.rmtree(checkout.wheels)
    second = checkout.run("check", PIP_FIND_LINKS="")
    assert _said(second)["prefix"] == str(checkout.venv)
    assert second.stderr == ""


def test_changed_lock_is_followed(checkout: Checkout) -> None:
    checkout.run("check")
    checkout.lock("2.0")
    done = checkout.run("check")
    assert _said(done)["prefix"] == str(checkout.venv)
    assert list(checkout.venv.glob("lib/*/site-packages/django-2.0.dist-info"))
    assert not list(checkout.venv.glob("lib/*/site-packages/django-1.0.dist-info"))


def test_wheel_with_another_digest_is_refused_and_leaves_no_stamp(checkout: Checkout) -> None:
    lock = checkout.root / "requirements.lock"
    good = lock.read_text()
    lock.write_text(good[:-10] + "0" * 9 + "\n")
    refused = checkout.run("check")
    assert refused.returncode == 1
    assert "HASH" in refused.stderr.upper()
    assert not (checkout.venv / ".corrspace-lock").exists()
    lock.write_text(good)
    assert _said(checkout.run("check"))["prefix"] == str(checkout.venv)


def test_killed_at_a_random_instant_the_next_run_finishes(checkout: Checkout) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    process = checkout.start("check")
    time.sleep(random.Random(seed).uniform(0.1, 3.0))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert _said(checkout.run("check"))["prefix"] == str(checkout.venv)


def test_half_laid_package_is_laid_again(checkout: Checkout) -> None:
    checkout.run("check")
    # As a kill in the middle of copying leaves it: registered, its files missing, the mark still standing.
    shutil.rmtree(next(checkout.venv.glob("lib/*/site-packages/django")))
    (checkout.venv / ".corrspace-installing").touch()
    done = checkout.run("check")
    assert _said(done)["prefix"] == str(checkout.venv)
    assert "again after a break" in done.stderr


def test_broken_interpreter_is_replaced(checkout: Checkout) -> None:
    checkout.run("check")
    for name in ("python", "python3", "python3.11"):
        (checkout.venv / "bin" / name).unlink(missing_ok=True)
    assert _said(checkout.run("check"))["prefix"] == str(checkout.venv)


def test_two_at_once_make_one_environment(checkout: Checkout) -> None:
    processes = [checkout.start("check") for _ in range(2)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert sum("installing" in err for _, err in results) == 1
    assert sum("waiting for it" in err for _, err in results) == 1


def test_switched_off_it_says_what_is_missing_and_makes_nothing(checkout: Checkout) -> None:
    done = checkout.run("check", CORR_NO_BOOTSTRAP="1")
    assert done.returncode == 1
    assert "pip install --require-hashes" in done.stderr
    assert not checkout.venv.exists()


def test_environment_with_the_project_installed_by_hand_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", mine], check=True)
    packages = next(mine.glob("lib/*/site-packages"))
    (packages / "corrspace-0.1.0.dist-info").mkdir()
    done = subprocess.run(
        [mine / "bin" / "python", "manage.py", "check"],
        cwd=checkout.root, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("CORR_")},
    )  # fmt: skip
    assert "Django is not installed here" in done.stderr
    assert not checkout.venv.exists()


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 11, 0), (3, 12, 0)])
def test_wrong_python_is_told_which_one(version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, object] = {"__name__": "manage", "__file__": str(REPO_ROOT / "manage.py")}
    exec(compile((REPO_ROOT / "manage.py").read_text(), "manage.py", "exec"), scope)  # noqa: S102
    monkeypatch.setattr(sys, "version_info", version)
    main = scope["main"]
    assert callable(main)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11") as refusal:
        main()
    assert ".".join(map(str, version)) in str(refusal.value)
