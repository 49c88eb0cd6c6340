"""Files on the server's own disks, below folders that the operator named: listed, and taken in by path.

The attack: a path or a link that leads out of the share and reads what the server may read and the caller may not.  A
path is therefore walked step by step from the share's own descriptor, each step opened without following a link; only
plain files are read; and a file whose identity, size or times differ after it was read is refused.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from apps.core.errors import ConflictError, InvalidValueError, NotFoundError, PermissionRefusedError, TooLargeError
from apps.imaging.models import Acquisition, SourceFile
from apps.imaging.readers.groups import PEEK_BYTES, Group, Peek, recognise
from apps.imaging.services.receipts import open_receipt
from apps.imaging.services.receive import Receipt
from apps.projects import access
from apps.projects.models import User

MAX_ENTRIES = 5_000
MAX_FILES = 2_000  # taken in at once
MAX_DEPTH = 32
_PROJECT_DEPTH = 3  # folders below a project file that its parts lie in
_SHORT_PEEK = 64
_LONG_PEEKS = (".txt", ".hdr", ".mhd", ".nhdr", ".asw", ".emxml")
_PROJECTS = (".asw",)
_BLOCK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK opening a pipe would wait for its other end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A plain file of a share: path below the listed folder, bytes, time of the last change."""

    name: str
    size: int
    changed_at: str


@dataclass(frozen=True)
class Listing:
    """What lies in one folder of a share; ``left_out`` names what is never read, and why."""

    share: str
    path: str
    folders: tuple[str, ...]
    files: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]


def share_names(*, actor: User) -> list[str]:
    """Names of the shares that are there, for those who may take files in.

    Raises
    ------
    PermissionRefusedError
        The caller contributes to no project.
    """
    _require_contributor(actor)
    return sorted(settings.CORR_SHARES)


def _require_contributor(actor: User) -> None:
    """A share belongs to no project: who can take files in anywhere may look."""
    if not access.project_ids(actor, access.Action.CONTRIBUTE).exists():
        raise PermissionRefusedError("this takes the role contributor or manager in a project")


def split_path(path: str, *, field: str = "path") -> tuple[str, ...]:
    """The steps of a path below a share.

    Raises
    ------
    InvalidValueError
        An absolute path, an empty step, ``.``, ``..``, a backslash or a NUL, or too many steps.
    """
    parts = tuple(path.split("/")) if path else ()
    odd = "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts)
    if odd or len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > 255 for part in parts):
        raise InvalidValueError(
            f"{path[:200]!r} is no path below a share: folders and a name, with / between them, without .. or empty "
            "steps",
            field=field,
        )
    return parts


@contextmanager
def _walk(share: str, folders: Sequence[str], field: str) -> Iterator[int]:
    """The descriptor of a folder of a share, reached without following a link."""
    root: Path | None = settings.CORR_SHARES.get(share)
    if root is None:
        error = NotFoundError(f"there is no share {share[:80]!r}", field=field)
        error.status = 400 if field == "path" else 404
        raise error
    try:
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConflictError(f"the share {share!r} cannot be read now; the operator must look at it") from error
    try:
        for number, folder in enumerate(folders):
            below = _open(here, folder, _FOLDER, "/".join(folders[: number + 1]), field)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _open(folder: int, name: str, flags: int, shown: str, field: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise InvalidValueError(f"there is no {shown!r} in the share", field=field) from error
        if _is_link(folder, name):
            raise InvalidValueError(f"{shown!r} is a symbolic link; links are not followed", field=field) from error
        if error.errno == errno.ENOTDIR:
            raise InvalidValueError(f"{shown!r} is no folder", field=field) from error
        raise InvalidValueError(f"{shown!r} cannot be read: {os.strerror(error.errno or 0)}", field=field) from error


def _is_link(folder: int, name: str) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


# -------------------------------------------------------------------------------------------------------------- listing


def list_share(*, actor: User, share: str, path: str = "") -> Listing:
    """What lies in a folder of a share, and which files belong together.

    Names and first bytes alone are looked at; no decoder runs.

    Raises
    ------
    PermissionRefusedError
        The caller contributes to no project.
    NotFoundError
        No such share.
    InvalidValueError
        A path that leads out, through a link, or to nothing.
    TooLargeError
        More entries than are listed.
    """
    _require_contributor(actor)
    parts = split_path(path)
    with _walk(share, parts, "share" if share not in settings.CORR_SHARES else "path") as folder:
        folders, files, left_out = _scan(folder)
        peeks = [_peek(folder, entry.name) for entry in files]
        if any(entry.name.lower().endswith(_PROJECTS) for entry in files):
            peeks += _peeks_below(folder, folders, "", _PROJECT_DEPTH)
    return Listing(share, path, tuple(folders), tuple(files), tuple(left_out), tuple(recognise(peeks)))


def _scan(folder: int) -> tuple[list[str], list[Entry], list[tuple[str, str]]]:
    folders, files, left_out = [], [], []
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_ENTRIES:
                raise TooLargeError(f"the folder has more than {MAX_ENTRIES} entries; sort them into folders")
            name, found = _shown(entry.name), entry.stat(follow_symlinks=False)
            if name is None:
                left_out.append((os.fsencode(entry.name).decode("utf-8", "replace"), "its name is no text"))
            elif stat.S_ISDIR(found.st_mode):
                folders.append(name)
            elif stat.S_ISREG(found.st_mode):
                changed = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
                files.append(Entry(name, found.st_size, changed))
            else:
                link = stat.S_ISLNK(found.st_mode)
                left_out.append((name, "a symbolic link" if link else "no plain file"))
    return sorted(folders), sorted(files, key=lambda entry: entry.name), sorted(left_out)


def _shown(name: str) -> str | None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return name


def _peek(folder: int, name: str, shown: str | None = None) -> Peek:
    count = PEEK_BYTES if name.lower().endswith(_LONG_PEEKS) else _SHORT_PEEK
    head = b""
    with suppress(OSError):  # what was removed or may not be read since is listed without its beginning
        handle = os.open(name, _FILE, dir_fd=folder)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                head = os.read(handle, count)
        finally:
            os.close(handle)
    return Peek(shown or name, head)


def _peeks_below(folder: int, names: Sequence[str], prefix: str, depth: int) -> list[Peek]:
    found: list[Peek] = []
    for name in names if depth else ():
        with suppress(OSError):
            below = os.open(name, _FOLDER, dir_fd=folder)
            try:
                folders, files, _ = _scan(below)
                found += [_peek(below, entry.name, f"{prefix}{name}/{entry.name}") for entry in files]
                found += _peeks_below(below, folders, f"{prefix}{name}/", depth - 1)
            finally:
                os.close(below)
    return found


# -------------------------------------------------------------------------------------------------------------- taking


def import_files(*, actor: User, acquisition: Acquisition, paths: Sequence[str]) -> list[SourceFile]:
    """Take files of a share into an acquisition: copied and hashed as an upload is, all of them or none.

    Parameters
    ----------
    paths : sequence of str
        ``share/folder/file`` each; the file keeps its last name.

    Returns
    -------
    list of SourceFile

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The caller may not contribute to the acquisition's project.
    InvalidValueError
        No path, too many, one that leads out, through a link, to nothing or to no plain file.
    ConflictError
        A file changed while it was read, is in the acquisition already, or the acquisition takes no more files.
    CorrError
        As for an upload.
    """
    if not 1 <= len(paths) <= MAX_FILES:
        raise InvalidValueError(f"{len(paths)} paths; 1 to {MAX_FILES} are taken at once", field="path")
    split = [split_path(path) for path in paths]
    for path, parts in zip(paths, split, strict=True):
        if len(parts) < 2:
            raise InvalidValueError(f"{path[:200]!r} names no file; write share/folder/file", field="path")
    with open_receipt(actor=actor, acquisition=acquisition) as receipt:
        for share, *folders, name in split:
            with _walk(share, folders, "path") as folder:
                _copy(receipt, folder, name, "/".join((*folders, name)))
        return receipt.commit()


def _copy(receipt: Receipt, folder: int, name: str, shown: str) -> None:
    handle = _open(folder, name, _FILE, shown, "path")
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise InvalidValueError(f"{shown!r} is no plain file", field="path")
        item = receipt.begin(name)
        while item.size <= before.st_size and (block := os.read(handle, _BLOCK)):
            item.write(block)
        if item.size != before.st_size or _state(os.fstat(handle)) != _state(before) or not _same(folder, name, before):
            raise ConflictError(
                f"{shown!r} changed while it was read; take it in when the program that writes it has ended",
                field="path",
            )
        item.finish()
    finally:
        os.close(handle)


def _same(folder: int, name: str, found: os.stat_result) -> bool:
    """True if the name still stands for the file that was read: programs replace a file by renaming another to it."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
