"""The report of a chaos run: JSON for programs, one table a set-up for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apps.web.chaos.rounds import KINDS, TARGETS, Outcome


def write(folder: Path, outcome: Outcome) -> Path:
    """Put a run into ``chaos.json`` beside the runs of other set-ups, write ``chaos.md`` anew and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "chaos.json"
    runs: dict[str, Any] = json.loads(data.read_text()) if data.is_file() else {}
    runs[outcome.setup] = asdict(outcome)
    data.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n")
    page = folder / "chaos.md"
    page.write_text("\n".join(_lines(runs)) + "\n")
    return page


_HEAD = """\
# Killed with -9

Written by `manage.py chaos`. A part of a throw-away installation is killed at a random instant while an ingest
or an analysis runs; *child* is the process of the job, *group* the worker's whole process group. Every job must
end `succeeded` with exactly one result; then, after `sweep`, `fsck` must find nothing."""


def _lines(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [_HEAD, *(line for setup in sorted(runs) for line in _section(setup, runs[setup]))]


def _section(setup: str, run: Mapping[str, Any]) -> list[str]:
    cases = run["cases"]
    failed = [case for case in cases if case["problems"]]
    hit, good = sum(case["hit"] for case in cases), len(cases) - len(failed)
    summary = (
        f"Seed {run['seed']}: {len(cases)} kills, {hit} of them of a living process; "
        f"{good} of {len(cases)} jobs ended with one result; fsck: {run['findings'].splitlines()[-1]}."
    )
    lines = ["", f"## {setup}", "", summary, ""]
    lines += ["| killed | in | kills | one result | attempts, most | slowest s |", "|---|---|---|---|---|---|"]
    lines += [_row(kind, target, cases) for kind in KINDS for target in TARGETS]
    lines += [f"\nround {case['round']}, {case['kind']}, {case['target']}: {case['problems']}" for case in failed]
    return lines


def _row(kind: str, target: str, cases: list[Mapping[str, Any]]) -> str:
    mine = [case for case in cases if (case["kind"], case["target"]) == (kind, target)]
    good = sum(not case["problems"] for case in mine)
    most = max((case["attempts"] for case in mine), default=0)
    slowest = max((case["seconds"] for case in mine), default=0.0)
    return f"| {target} | {kind} | {len(mine)} | {good} | {most} | {slowest:.1f} |"
