"""What a job ran on: software with versions, threads, machine; and one digest over all that can change a result."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import rfc8785
from django.conf import settings

_NAMED = ("numpy", "scipy", "zarr", "tensorstore", "scikit-image", "simpleitk", "django", "corrspace")


def _digest(value: Any) -> str:
    return "sha256:" + hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _packages() -> dict[str, str]:
    """Installed distributions, name (lower case) to version."""
    return {str(dist.metadata["Name"]).lower(): dist.version for dist in distributions() if dist.metadata["Name"]}


def _git_commit(repository: Path) -> str:
    """The commit checked out, read from files; empty where this is no checkout."""
    folder = repository / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
        packed = (folder / "packed-refs").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")


@functools.cache
def _fixed() -> dict[str, Any]:
    packages = _packages()
    lock = Path(settings.REPO_ROOT) / "requirements.lock"
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count() or 1,
        "packages": _digest(packages),
        "versions": {name: packages[name] for name in _NAMED if name in packages},
        "lock": f"sha256:{hashlib.sha256(lock.read_bytes()).hexdigest()}" if lock.is_file() else "",
        "commit": _git_commit(Path(settings.REPO_ROOT)),
    }


def capture(*, threads: int, memory_bytes: int) -> dict[str, Any]:
    """Describe where a job runs.

    Returns
    -------
    dict
        ``python``, ``platform``, ``machine``, ``cpu_count``, ``packages`` (digest of all distributions and versions),
        ``versions`` of the main ones, ``lock`` (digest), ``commit``, ``threads``, ``memory_bytes``, and ``digest``:
        sha256 of the canonical JSON (RFC 8785) of all of these.
    """
    found = {**_fixed(), "threads": threads, "memory_bytes": memory_bytes}
    return {**found, "digest": _digest(found)}
