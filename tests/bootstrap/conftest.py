"""A checkout in small: the real manage.py and bootstrap, and a lock of one tiny wheel that plays Django. No network."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

REPO_ROOT = Path(__file__).resolve().parents[2]
MANAGEMENT = """
import json, sys
def execute_from_command_line(argv):
    print(json.dumps({"prefix": sys.prefix, "argv": argv[1:]}))
"""


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up module, loaded by its path as manage.py does it."""
    spec = importlib.util.spec_from_file_location("_bootstrap_tested", REPO_ROOT / "corr_project" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def build_wheel(folder: Path, *, name: str, version: str, files: dict[str, str]) -> Path:
    """Write a pure wheel, RECORD included."""
    info = f"{name}-{version}.dist-info"
    content = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in content.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return wheel


@dataclass(frozen=True)
class Checkout:
    """A temporary checkout with its wheels and the command line to start its manage.py."""

    root: Path
    wheels: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def lock(self, version: str) -> None:
        """Pin the stand-in for Django to a version, making its wheel."""
        wheel = build_wheel(
            self.wheels,
            name="django",
            version=version,
            files={
                "django/__init__.py": "",
                "django/core/__init__.py": "",
                "django/core/management/__init__.py": MANAGEMENT,
            },
        )
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.root / "requirements.lock").write_text(f"django=={version} \\\n    --hash=sha256:{digest}\n")

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start manage.py with a Python outside every environment, and no index to reach."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("CORR_", "PIP_", "UV_"))}
        environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull} | variables
        python = Path(sys.base_prefix) / "bin" / "python3.11"
        return subprocess.Popen(
            [python, "manage.py", *arguments],
            cwd=self.root,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run manage.py to its end."""
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout whose lock pins version 1."""
    root = tmp_path / "checkout"
    (root / "corr_project").mkdir(parents=True)
    shutil.copy(REPO_ROOT / "manage.py", root)
    shutil.copy(REPO_ROOT / "corr_project" / "bootstrap.py", root / "corr_project")
    (root / "corr_project" / "__init__.py").write_text("raise ImportError('needs what is not installed yet')\n")
    made = Checkout(root, tmp_path / "wheels")
    made.lock("1.0")
    return made
