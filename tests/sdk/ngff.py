"""The conformance cases of the shared data as a list, empty where they are not at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def shared_folder(name: str) -> Path:
    return Path(os.environ.get("CORR_SHARED_DATA", ROOT.parent / "shared" / "data")) / name


def cases() -> list[dict[str, Any]]:
    folder = shared_folder("ngff-cases")
    if not folder.is_dir():
        return []
    found = []
    for item in json.loads((folder / "expected.json").read_text()):
        if item["file"].startswith(("0.4/", "0.5/")):
            case = json.loads((folder / item["file"]).read_text())
            found.append(case | {"id": item["file"], "expected": item["valid"]})
    return found
