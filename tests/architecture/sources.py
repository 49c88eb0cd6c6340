"""The project's modules as text: what the architecture checks look at."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("analyses", "apps", "corr_project")


@dataclass(frozen=True)
class Source:
    """One module: its dotted name and its text."""

    name: str
    text: str

    @property
    def app(self) -> str:
        """The room it stands in: ``apps.core``, ``analyses`` or ``corr_project``."""
        parts = self.name.split(".")
        return ".".join(parts[:2]) if parts[0] == "apps" else parts[0]

    @property
    def inside(self) -> tuple[str, ...]:
        """Its place in the room, as parts of a dotted name."""
        return tuple(self.name.split(".")[len(self.app.split(".")) :])


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name of a module file below a root."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def project_sources(root: Path = REPO_ROOT) -> list[Source]:
    """Return every module of the product, migrations left out: they are written by Django and replayed, not read."""
    return [
        Source(module_name(path, root), path.read_text())
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        if "migrations" not in path.parts
    ]


def tracked_files(root: Path = REPO_ROOT) -> Iterator[Path]:
    """Yield the files under version control, new ones included; in an unpacked archive, what is not made by a run."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        names = [root / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        hidden = {".venv", "var", "__pycache__", "_build"}
        names = [path for path in root.rglob("*") if not hidden & set(path.relative_to(root).parts)]
    yield from (path for path in names if path.is_file() and not path.is_symlink())
