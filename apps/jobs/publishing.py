"""From what a child left in staging to stores under their final keys.

The order is what makes it safe: verify, sync, commit a staged row that names the final key, rename, and only then the
transaction that makes the row ready.  Killed anywhere in between, the sweeper finds row or staging and removes both.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.db import OperationalError, transaction

from analyses.sdk.manifest import Manifest, build_manifest
from apps.core import storage
from apps.core.models import Store
from apps.jobs import kernel
from apps.jobs.registry import Claim, StagedStore

T = TypeVar("T")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")


class BadOutputError(Exception):
    """The child left something in staging that is no store, or not the store it said."""


@dataclass(frozen=True)
class _Candidate:
    name: str
    folder: Path
    manifest: Manifest


def _examine(folder: Path, sealed: Mapping[str, str]) -> _Candidate:
    if not _NAME.match(folder.name):
        raise BadOutputError(f"the output {folder.name!r} is not named by letters, digits, '_', '-' and '.'")
    if folder.is_symlink() or not folder.is_dir():
        raise BadOutputError(f"the output {folder.name!r} is not a folder")
    try:
        manifest = build_manifest(folder)
    except ValueError as error:
        raise BadOutputError(f"the output {folder.name!r} is not a store: {error}") from error
    if not manifest.entries:
        raise BadOutputError(f"the output {folder.name!r} is empty")
    expected = sealed.get(folder.name)
    if expected is not None and expected != manifest.digest:
        raise BadOutputError(
            f"the output {folder.name!r} has the digest {manifest.digest}, it was written as {expected}"
        )
    return _Candidate(folder.name, folder, manifest)


def examine(workdir: Path, sealed: Mapping[str, str], *, most: int | None) -> list[_Candidate]:
    """Read back every store that was left in staging.

    Parameters
    ----------
    workdir : Path
        The attempt's folder.
    sealed : mapping
        Store name -> digest of the manifest that the child says it wrote.
    most : int or None
        How many stores there may be.

    Raises
    ------
    BadOutputError
        A name, a link, an empty or a changed store, one that was announced and is missing, or too many.
    """
    folders = sorted((workdir / "staging").iterdir())
    if missing := sorted(set(sealed) - {folder.name for folder in folders}):
        raise BadOutputError(f"announced and not written: {', '.join(missing)}")
    if most is not None and len(folders) > most:
        raise BadOutputError(f"{len(folders)} stores were written, at most {most} were announced")
    return [_examine(folder, sealed) for folder in folders]


def _announce(claim: Claim, candidates: list[_Candidate]) -> dict[str, Store]:
    """Commit staged rows for the final keys, under the fence."""
    rows = {
        item.name: Store(kind=Store.Kind.ZARR, key=storage.new_key("zarr"), job_id=claim.job_id, attempt=claim.attempt)
        for item in candidates
    }
    with transaction.atomic():
        if not kernel.heartbeat(claim):
            raise kernel.LeaseLostError(f"attempt {claim.attempt} of job {claim.job_id} has lost its lease")
        Store.objects.bulk_create(rows.values())
    return rows


def publish(
    claim: Claim,
    candidates: list[_Candidate],
    *,
    retrying: Callable[[Callable[[], dict[str, Store]]], dict[str, Store]],
) -> dict[str, StagedStore]:
    """Move examined stores to final keys; their rows stay staged until the job's last transaction.

    Parameters
    ----------
    claim : Claim
        The attempt, which must hold its lease.
    candidates : list
        From :func:`examine`.
    retrying : callable
        Runs the piece that talks to the database, again where that helps.

    Raises
    ------
    LeaseLostError
        The claim is void; what was moved is named by staged rows and swept.
    StorageFullError
        No room.
    """
    if not candidates:
        return {}
    rows = retrying(lambda: _announce(claim, candidates))
    return {
        item.name: StagedStore(
            name=item.name,
            path=storage.publish_dir(item.folder, rows[item.name].key),
            digest=item.manifest.digest,
            manifest=item.manifest.to_bytes().decode(),
            size_bytes=item.manifest.size,
            file_count=len(item.manifest.entries),
            store=rows[item.name],
        )
        for item in candidates
    }


def discard(claim: Claim, workdir: Path) -> None:
    """Remove what an attempt left unpublished: its folder first (a full disk needs the room for rows), then stores."""
    storage.discard(workdir)
    try:
        discard_staged(claim.job_id, claim.attempt)
    except OperationalError as error:
        if not storage.is_full(error):
            raise
        # SQLite without room for a deletion; nothing of it is in flight, so the bytes may go before their rows
        for _, key in _staged(claim.job_id, claim.attempt):
            storage.discard(storage.path(key))
        discard_staged(claim.job_id, claim.attempt)


def _staged(job_id: uuid.UUID, attempt: int) -> list[tuple[uuid.UUID, str]]:
    rows = Store.objects.filter(state=Store.State.STAGED, job_id=job_id, attempt=attempt)
    return list(rows.values_list("pk", "key"))


def discard_staged(job_id: uuid.UUID, attempt: int) -> int:
    """Remove the staged stores of one attempt that is over; returns how many.

    The row goes first, if it is still staged: a commit whose answer was lost on the way may have made it ready.
    """
    removed = 0
    for pk, key in _staged(job_id, attempt):
        if Store.objects.filter(pk=pk, state=Store.State.STAGED).delete()[0]:
            storage.discard(storage.path(key))
            removed += 1
    return removed
