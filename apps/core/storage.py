"""Where bytes live: keys below one data root, written in staging and moved to a key that was never used before.

``stores/<2 hex>/<uuid>.zarr`` and ``files/<2 hex>/<uuid>`` are final and never change; ``staging/`` lies on the same
file system, so that publishing is one rename.  Nothing here knows what the bytes mean; a reader finds a key through a
:class:`~apps.core.models.Store` row that is ready.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal

from django.conf import settings

from analyses.sdk.manifest import fsync_tree
from apps.core.errors import CorrError
from apps.core.ids import new_id

KeyKind = Literal["zarr", "file"]

_KEY = re.compile(r"^(?:stores/[0-9a-f]{2}/[0-9a-f-]{36}\.zarr|files/[0-9a-f]{2}/[0-9a-f-]{36})$")
_JOB_FOLDER = re.compile(r"^(?P<job>[0-9a-f-]{36})\.(?P<attempt>\d+)$")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNLINKABLE = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV)
_PRIVATE = 0o700


class StorageFullError(CorrError):
    """The disk, or the quota, has no room left; nothing was published."""

    status = 507
    code = "storage_full"
    title = "No room left on the server's disk"


class BadKeyError(CorrError):
    """A key that does not lie below the data root."""

    code = "bad_key"
    title = "Not a storage key"


def is_full(error: BaseException | None) -> bool:
    """True if an error, or what caused it, says that the disk or the quota is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, StorageFullError) or (isinstance(error, OSError) and error.errno in _FULL):
            return True
        if "database or disk is full" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Turn the operating system's "no space left" into :class:`StorageFullError`; other errors pass."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageFullError("the server's disk is full; nothing was stored") from error


def root() -> Path:
    """The data root of this installation."""
    return Path(settings.CORR_DATA_ROOT)


def path(key: str) -> Path:
    """Absolute path of a key.

    Raises
    ------
    BadKeyError
        The key is empty or absolute, has a ``.``, ``..`` or empty part, a backslash or a NUL.
    """
    parts = PurePosixPath(key).parts
    plain = "/".join(parts) == key and not {".", ".."} & set(parts)
    if not key or key.startswith("/") or "\\" in key or "\0" in key or not plain:
        raise BadKeyError(f"{key!r} is not a storage key: it must be relative, without '..', '.' or empty parts")
    return root() / key


def new_key(kind: KeyKind) -> str:
    """A final key that was never used, for a Zarr store or a file."""
    name = str(new_id())
    return f"stores/{name[:2]}/{name}.zarr" if kind == "zarr" else f"files/{name[:2]}/{name}"


def _made(folder: Path) -> Path:
    with full_disk_named():
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    return folder


def staging_root() -> Path:
    """Folder of everything unfinished; on the same file system as the final keys."""
    return root() / "staging"


def staging_dir(job_id: uuid.UUID | str, attempt: int) -> Path:
    """The folder one attempt of a job writes into; made if absent."""
    return _made(staging_root() / "jobs" / f"{uuid.UUID(str(job_id))}.{int(attempt)}")


def upload_dir(store_id: uuid.UUID | str) -> Path:
    """The folder one upload writes into, named by its Store row; made if absent."""
    return _made(staging_root() / "uploads" / str(uuid.UUID(str(store_id))))


def staged_file(store_id: uuid.UUID | str) -> Path:
    """Where the bytes of an upload lie until they are published; its folder is made if absent."""
    return upload_dir(store_id) / "received"


def lend(source: Path, target: Path) -> None:
    """Give a finished file a second name, without its bytes being written again where the file system can do that."""
    with full_disk_named():
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _UNLINKABLE:
                raise
            shutil.copyfile(source, target)


def free_bytes() -> int:
    """Room on the disk of the data root."""
    return shutil.disk_usage(root()).free


def job_folders() -> Iterator[tuple[Path, uuid.UUID | None, int]]:
    """Every folder in the jobs' staging with the job and attempt its name says (None, 0: a name nobody here gives)."""
    folder = staging_root() / "jobs"
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _JOB_FOLDER.match(entry.name)
        yield (entry, uuid.UUID(match["job"]), int(match["attempt"])) if match else (entry, None, 0)


def upload_folders() -> Iterator[tuple[Path, uuid.UUID | None]]:
    """Every folder in the uploads' staging with the id of its Store row (None: a name nobody here gives)."""
    folder = staging_root() / "uploads"
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            yield entry, uuid.UUID(entry.name)
        except ValueError:
            yield entry, None


def final_keys() -> Iterator[str]:
    """Every key under which something lies in its final place, other names there included."""
    for kind in ("stores", "files"):
        folder = root() / kind
        for shelf in sorted(folder.iterdir()) if folder.is_dir() else ():
            if shelf.is_dir():
                yield from (f"{kind}/{shelf.name}/{entry.name}" for entry in sorted(shelf.iterdir()))


def is_final_key(key: str) -> bool:
    """True for a key as :func:`new_key` makes it."""
    return bool(_KEY.match(key))


def _fsync(target: Path) -> None:
    handle = os.open(target, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _place(staged: Path, key: str) -> Path:
    """Rename ``staged`` to the key and make the new name durable; an existing key is refused, never replaced."""
    final = path(key)
    if not is_final_key(key):
        raise BadKeyError(f"{key!r} is not a key made by new_key()")
    with full_disk_named():
        shelf, room = final.parent, final.parent.parent
        shelf.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        if final.exists() or final.is_symlink():
            raise FileExistsError(errno.EEXIST, "a key is used once", str(final))
        former = staged.parent
        staged.rename(final)
        for folder in (shelf, room, root(), former):
            _fsync(folder)
    return final


def publish_dir(staged: Path, key: str) -> Path:
    """Make a staged folder durable and move it to its final key.

    Parameters
    ----------
    staged : Path
        Folder below :func:`staging_root`; every file in it and its folders are synced first.
    key : str
        From ``new_key("zarr")``; a Store row with it, staged, is already committed.

    Raises
    ------
    FileExistsError
        Something lies under the key already.
    StorageFullError
        No room; the staged folder is where it was.
    """
    with full_disk_named():
        fsync_tree(staged)
    return _place(staged, key)


def publish_file(staged: Path, key: str) -> Path:
    """Make a staged file durable and move it to its final key; errors as for :func:`publish_dir`."""
    with full_disk_named():
        _fsync(staged)
    return _place(staged, key)


def discard(target: Path) -> None:
    """Remove a folder or file that nothing refers to, below the data root; absent is fine.

    Raises
    ------
    BadKeyError
        The target is the data root itself or lies outside of it: a bug of the caller.
    """
    base = root().resolve()
    if base not in target.parent.resolve().joinpath(target.name).parents:
        raise BadKeyError(f"{target} does not lie below the data root")
    if target.is_dir() and not target.is_symlink():
        _discard_tree(target)
    else:
        target.unlink(missing_ok=True)


def _discard_tree(folder: Path) -> None:
    # Renamed first: a reader of the key sees all of it or nothing, also while thousands of chunks are unlinked.
    doomed = folder.with_name(f".{folder.name}.{new_id().hex[:8]}.discarded")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    except OSError:  # no room for a new name on some file systems: unlink in place
        doomed = folder
    shutil.rmtree(doomed, ignore_errors=True)
