"""The one place that reads environment variables."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

REPO_ROOT = Path(__file__).resolve().parent.parent
_env = environ.Env()
_SOCKET_BYTES = 96
_SHARE = re.compile(r"^[a-z0-9][a-z0-9_-]{0,31}$")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TZ", "PYTHONHASHSEED")


@dataclass(frozen=True)
class OidcProvider:
    """An OpenID Connect provider that people may log in with."""

    issuer: str
    client_id: str
    client_secret: str
    name: str
    makes_accounts: bool

    @property
    def origin(self) -> str:
        """Scheme and host, as a content security policy names them."""
        split = urlsplit(self.issuer)
        return f"{split.scheme}://{split.netloc}"


@dataclass(frozen=True)
class Environment:
    """Settings of one installation; names and defaults are in ``docs/reference/settings.md``."""

    data_root: Path
    secret_key: str
    database_url: str
    broker_url: str
    base_uri: str
    lease_seconds: float
    reaper_seconds: float
    debug: bool
    allowed_hosts: tuple[str, ...]
    https: bool
    job_memory_bytes: int
    job_seconds: float
    max_upload_bytes: int
    worker_concurrency: int
    broker_socket: Path
    proxy_count: int
    shares: dict[str, Path]
    oidc: OidcProvider | None

    @property
    def embedded_broker(self) -> bool:
        """True where this installation starts its own broker."""
        return self.broker_url == ""


def _secret_key(data_root: Path) -> str:
    """Return the installation's secret, generated once into the data root, readable by its owner only."""
    given = _env.str("CORR_SECRET_KEY", default="")
    if given:
        return given
    path = data_root / "secret_key"
    if path.exists():
        return path.read_text().strip()
    data_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = data_root / f".secret_key.{secrets.token_hex(8)}"
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_text(secrets.token_urlsafe(64))
    with suppress(FileExistsError):  # another process was first; nobody ever reads half a secret
        os.link(draft, path)
    draft.unlink()
    return path.read_text().strip()


def _broker_socket(data_root: Path) -> Path:
    """Path of the embedded broker's unix socket, the same for every process of the installation.

    It lies in the data root where the path is short enough for the kernel (``sun_path`` holds 108 bytes with the final
    NUL).  Else it lies in a private folder for temporary files, whose name is kept in the data root.
    """
    near = data_root / "run" / "broker.sock"
    if len(os.fsencode(near)) <= _SOCKET_BYTES:
        return near
    note = data_root / "run" / "broker.folder"
    note.parent.mkdir(parents=True, exist_ok=True)
    with note.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(note.read_text().strip()) if note.exists() else None
        if folder is None or not _is_private(folder):
            folder = Path(tempfile.mkdtemp(prefix="corr-"))
            note.write_text(f"{folder}\n")
    return folder / "broker.sock"


def _is_private(folder: Path) -> bool:
    """True for a folder, not a link to one, that belongs to this account and that nobody else may enter."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def child_environment() -> dict[str, str]:
    """What a job's process inherits: where programs and libraries are, the language; no setting of ours."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    paths = [str(REPO_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return kept | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _oidc() -> OidcProvider | None:
    """Return the provider that the settings name; None where they name none."""
    issuer = _env.str("CORR_OIDC_ISSUER", default="").rstrip("/")
    if not issuer:
        return None
    return OidcProvider(
        issuer=issuer,
        client_id=_env.str("CORR_OIDC_CLIENT_ID"),
        client_secret=_env.str("CORR_OIDC_CLIENT_SECRET", default=""),
        name=_env.str("CORR_OIDC_NAME", default="single sign-on"),
        makes_accounts=_env.bool("CORR_OIDC_MAKES_ACCOUNTS", default=False),
    )


def _shares() -> dict[str, Path]:
    """Return the folders that files may be taken from, by name; ImproperlyConfigured for an entry that names none."""
    found: dict[str, Path] = {}
    for entry in _env.list("CORR_SHARES", default=[]):
        name, _, folder = str(entry).strip().partition("=")
        if not _SHARE.match(name) or not folder.startswith("/") or name in found:
            raise ImproperlyConfigured(
                f"CORR_SHARES has the entry {entry!r}; write name=/absolute/folder, a name once, of a-z, 0-9, - and _"
            )
        found[name] = Path(folder)
    return found


def read_environment() -> Environment:
    """Read and check every ``CORR_*`` variable."""
    data_root = Path(_env.str("CORR_DATA_ROOT", default=str(REPO_ROOT / "var"))).resolve()
    return Environment(
        data_root=data_root,
        secret_key=_secret_key(data_root),
        database_url=_env.str("CORR_DATABASE_URL", default=""),
        broker_url=_env.str("CORR_BROKER_URL", default=""),
        base_uri=_env.str("CORR_BASE_URI", default=""),
        lease_seconds=_env.float("CORR_LEASE_SECONDS", default=60.0),
        reaper_seconds=_env.float("CORR_REAPER_SECONDS", default=1.0),
        debug=_env.bool("CORR_DEBUG", default=False),
        allowed_hosts=tuple(_env.list("CORR_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])),
        https=_env.bool("CORR_HTTPS", default=False),
        job_memory_bytes=_env.int("CORR_JOB_MEMORY_BYTES", default=16 * 2**30),
        job_seconds=_env.float("CORR_JOB_SECONDS", default=24 * 3600.0),
        max_upload_bytes=_env.int("CORR_MAX_UPLOAD_BYTES", default=64 * 2**30),
        worker_concurrency=_env.int("CORR_WORKER_CONCURRENCY", default=1),
        broker_socket=_broker_socket(data_root),
        proxy_count=_env.int("CORR_PROXY_COUNT", default=0),
        shares=_shares(),
        oidc=_oidc(),
    )
