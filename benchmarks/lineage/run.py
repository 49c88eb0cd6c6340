"""Lineage at ten thousand and one million edges beside the raw recursive query, on SQLite and PostgreSQL.

Run from the root of the checkout: ``python -m benchmarks.lineage.run``.  CORR_TEST_POSTGRES_URL names the server where
a database may be made.  Writes ``benchmarks/results/lineage.{json,md}``; ends with 1 if a target is missed.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SERVER = os.environ.get("CORR_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
SIZES = ((10_000, 200), (1_000_000, 10_000))
FACTOR, SLACK_MS = 5.0, 1.0


@contextmanager
def sqlite_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/ledger.sqlite3"


@contextmanager
def postgres_database() -> Iterator[str]:
    name = f"lineage_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def measured(url: str, edges: int, deep: int) -> dict:
    env = os.environ | {"LEDGER_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "benchmarks.lineage.ledger_settings"}
    command = [sys.executable, "-m", "benchmarks.lineage.measure", str(edges), str(deep)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def versions() -> dict[str, str]:
    with psycopg.connect(SERVER) as server:
        postgres = server.execute("SHOW server_version").fetchone()[0]
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": postgres,
        "cores": str(os.cpu_count()),
    }


def table(results: list[dict]) -> str:
    lines = [
        "| database | edges | case | found | ours (ms) | raw CTE (ms) | ratio | allowed (ms) | held |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {result['database']} | {result['edges']:,} | {walk['case']} | {walk['found']:,} |"
        f" {walk['ours_ms']:.2f} | {walk['raw_ms']:.2f} | {walk['ours_ms'] / walk['raw_ms']:.2f} |"
        f" {allowed(walk):.2f} | {'yes' if held(walk) else 'NO'} |"
        for result in results
        for walk in result["walks"]
    ]
    return "\n".join(lines)


def writing_table(results: list[dict]) -> str:
    lines = ["| database | edges before | one derivation (ms) | bulk (records/s) |", "|---|---|---|---|"]
    lines += [
        f"| {result['database']} | {result['edges']:,} | {result['derivation_ms']:.1f} |"
        f" {result['bulk_records_per_s']:,.0f} |"
        for result in results
    ]
    return "\n".join(lines)


def allowed(walk: dict) -> float:
    return FACTOR * walk["raw_ms"] + SLACK_MS


def held(walk: dict) -> bool:
    return walk["ours_ms"] <= allowed(walk)


def main() -> None:
    results = []
    for name, database in (("SQLite", sqlite_database), ("PostgreSQL", postgres_database)):
        for edges, deep in SIZES:
            with database() as url:
                results.append({"database": name, **measured(url, edges, deep)})
    report = {"versions": versions(), "target": f"{FACTOR} x raw CTE + {SLACK_MS} ms", "results": results}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lineage.json").write_text(json.dumps(report, indent=2) + "\n")
    words = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    (RESULTS / "lineage.md").write_text(
        "# Lineage beside the raw recursive query\n\n"
        "`python -m benchmarks.lineage.run`. Median of 25 in turns (5 for the deep chains) on a shared machine.\n"
        "The raw query is the bare recursion over the same table and connection, without filters; both answer the\n"
        "same ids, which is checked.\n"
        f"Target: at most {FACTOR:g} times the raw query plus {SLACK_MS:g} ms. {words}.\n\n"
        f"{table(results)}\n\n## Writing\n\n"
        "Through `record.act`, commit included. A record is a node or a relation.\n\n"
        f"{writing_table(results)}\n"
    )
    sys.exit(0 if all(held(walk) for result in results for walk in result["walks"]) else 1)


if __name__ == "__main__":
    main()
