"""Makes ``.venv`` from ``requirements.lock`` and continues in it; with the standard library alone, since that is there.

An environment *holds the lock* when every pinned distribution is installed in the pinned version. Inside one nothing
happens: no network, no exec. Nor does anything happen in an environment into which the project itself was installed
(``pip install -e .[dev]``): whoever did that chose its versions. Everywhere else ``.venv`` beside ``manage.py`` is
used.

The stamp in an environment's root names the lock's digest and the state of its package folder, so that the usual start
costs two ``stat`` calls and one hash. It is written last: an interrupted installation has none, and is taken up again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

STAMP = ".corrspace-lock"
UNFINISHED = ".corrspace-installing"
PROJECT = "corrspace"
NO_VENV = (
    "This Python cannot make virtual environments: its ensurepip module is missing.\n"
    "On Debian and Ubuntu: apt install python3-venv (as root), then run the same command again."
)
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
# Set for the one exec into .venv, so that an environment that never comes right ends with a message, not in a loop.
_GUARD = "CORR_BOOTSTRAPPED"


class BootstrapError(Exception):
    """The environment could not be made; the message says what to do."""


@dataclass(frozen=True)
class Environment:
    """A Python environment, looked at from outside or inside."""

    prefix: Path
    packages: Path

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.prefix / "bin" / "python"

    @classmethod
    def current(cls) -> Environment:
        """Return the environment this process runs in."""
        return cls(Path(sys.prefix), Path(sysconfig.get_paths()["purelib"]))

    @classmethod
    def beside(cls, root: Path) -> Environment:
        """Return the project's own environment, made or not."""
        prefix = root / ".venv"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return cls(prefix, prefix / "lib" / version / "site-packages")


def normal_name(name: str) -> str:
    """Return a distribution's name in its one comparable spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock_text: str) -> dict[str, str]:
    """Return what a lock pins, as normal name -> version."""
    entries = (_ENTRY.match(line) for line in lock_text.splitlines())
    return {normal_name(entry["name"]): entry["version"] for entry in entries if entry}


def entry_of(lock_text: str, name: str) -> str:
    """Return the lines of one distribution, with its digests; empty if the lock does not name it."""
    lines: list[str] = []
    inside = False
    for line in lock_text.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            inside = normal_name(entry["name"]) == normal_name(name)
        if inside and line.strip():
            lines.append(line)
    return "\n".join(lines) + "\n" if lines else ""


def installed(packages: Path) -> dict[str, str]:
    """Return what a package folder holds, as normal name -> version."""
    found = metadata.distributions(path=[str(packages)])
    return {normal_name(item.metadata["Name"]): item.version for item in found if item.metadata["Name"]}


def lacking(lock_text: str, packages: Path) -> list[str]:
    """Return in words what a package folder lacks of the lock; empty if it holds all of it."""
    have = installed(packages)
    wanted = pinned(lock_text)
    if not wanted:
        raise BootstrapError("requirements.lock pins nothing: the checkout is damaged; restore that file.")
    return [
        f"{name} {version}" + (f" (has {have[name]})" if name in have else "")
        for name, version in sorted(wanted.items())
        if have.get(name) != version
    ]


def stamp_text(lock_text: str, packages: Path) -> str:
    """Return the stamp that a finished environment carries: it changes with the lock and with what is installed."""
    digest = hashlib.sha256(lock_text.encode()).hexdigest()
    return f"{digest} {packages.stat().st_mtime_ns}\n"


def holds_lock(environment: Environment, lock_text: str) -> bool:
    """Tell whether an environment holds the lock, by its stamp if that is fresh, else by looking at every package."""
    if not environment.packages.is_dir() or (environment.prefix / UNFINISHED).exists():
        return False
    stamp = environment.prefix / STAMP
    try:
        if stamp.read_text() == stamp_text(lock_text, environment.packages):
            return True
    except OSError:
        pass  # no stamp yet, or not ours to read: look
    if lacking(lock_text, environment.packages):
        return False
    write_stamp(environment, lock_text)
    return True


def chosen_by_hand(environment: Environment) -> bool:
    """Tell whether the project itself was installed into an environment, with whatever versions pip then took."""
    return any(environment.packages.glob(f"{PROJECT}-*.dist-info"))


def write_stamp(environment: Environment, lock_text: str) -> None:
    """Note that an environment holds the lock; an environment that is not ours to write stays without the note."""
    try:
        (environment.prefix / STAMP).write_text(stamp_text(lock_text, environment.packages))
    except OSError:
        return


def say(text: str) -> None:
    """Print a line of progress; on stderr, since a command's own output may be piped on."""
    sys.stderr.write(f"corrspace: {text}\n")
    sys.stderr.flush()


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the lock of the checkout; it ends with the process, so a killed set-up leaves nothing to clear away."""
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another manage.py is making .venv; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for an installer, without those that make it install somewhere else."""
    elsewhere = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
    kept = {name: value for name, value in environ.items() if name not in elsewhere}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def run(command: Sequence[str | os.PathLike[str]]) -> subprocess.CompletedProcess[str]:
    """Run an installer quietly; its words are kept for when it fails."""
    return subprocess.run(
        [os.fspath(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=clean_environ(os.environ),
    )


def make_venv(environment: Environment) -> None:
    """Make the environment, or make it anew where a start was broken off or its interpreter is gone.

    Raises
    ------
    BootstrapError
        If this Python cannot make one.
    """
    version = ".".join(map(str, sys.version_info[:2]))
    if os.access(environment.python, os.X_OK):
        probe = "import pip, sys; print('.'.join(map(str, sys.version_info[:2])))"
        if run([environment.python, "-c", probe]).stdout.strip() == version:
            return
    if importlib.util.find_spec("ensurepip") is None:
        raise BootstrapError(NO_VENV)
    say(f"making {environment.prefix}")
    made = run([sys.executable, "-m", "venv", "--clear", environment.prefix])
    if made.returncode:
        raise BootstrapError(f"{NO_VENV}\n\npython -m venv said:\n{made.stdout}{made.stderr}")


def _install(requirements: Path, *, tool: Sequence[str]) -> str:
    """Install a hashed list with one tool; return its complaint, empty on success."""
    done = run([*tool, "--require-hashes", "--no-deps", "--quiet", "-r", requirements])
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip() or f"ended with {done.returncode}"


def install(environment: Environment, lock: Path, *, afresh: bool) -> None:
    """Install the lock with uv, which itself comes from the lock through pip; with pip alone where uv will not.

    Parameters
    ----------
    environment
        An environment with pip.
    lock
        The hashed lock.
    afresh
        Lay down every package again: after an interruption a package may be registered but only half there.

    Raises
    ------
    BootstrapError
        If neither can; with pip's words.
    """
    python, uv = os.fspath(environment.python), os.fspath(environment.prefix / "bin" / "uv")
    with_pip = [python, "-m", "pip", "install", *(["--force-reinstall"] if afresh else [])]
    with_uv = [uv, "pip", "install", "--python", python, *(["--reinstall"] if afresh else [])]
    entry = entry_of(lock.read_text(), "uv")
    if entry:
        with tempfile.NamedTemporaryFile("w", prefix="corr-uv-", suffix=".txt") as own:
            own.write(entry)
            own.flush()
            trouble = _install(Path(own.name), tool=with_pip)
        trouble = trouble or _install(lock, tool=with_uv)
        if not trouble:
            return
        say(f"uv could not ({trouble.splitlines()[-1][:200]}); trying pip, which takes a few minutes")
    trouble = _install(lock, tool=with_pip)
    if trouble:
        raise BootstrapError(
            f"The packages could not be installed; what is there is kept for the next try.\n\n{trouble}"
        )


def set_up(environment: Environment, lock: Path) -> None:
    """Bring an environment to the lock. Safe to break off at any instant, and to call again.

    Raises
    ------
    BootstrapError
        If the environment cannot be made or filled.
    """
    text = lock.read_text()
    began = time.monotonic()
    make_venv(environment)
    unfinished = environment.prefix / UNFINISHED
    afresh = unfinished.exists()
    unfinished.touch()
    say(f"installing {len(pinned(text))} packages of requirements.lock" + (", again after a break" if afresh else ""))
    install(environment, lock, afresh=afresh)
    missing = lacking(text, environment.packages)
    if missing:
        raise BootstrapError(f"After the installation {environment.prefix} still lacks: {', '.join(missing)}")
    unfinished.unlink()
    write_stamp(environment, text)
    say(f"environment ready after {time.monotonic() - began:.0f} s")


def ensure(*, root: str | os.PathLike[str], argv: Sequence[str]) -> None:
    """Return if this process's environment will do; otherwise make ``.venv`` and continue there, by ``exec``.

    Parameters
    ----------
    root
        The checkout, where ``requirements.lock`` lies.
    argv
        The command line to continue with, its first part the script.
    """
    try:
        target = prepare(Path(root), already=os.environ.pop(_GUARD, ""))
    except BootstrapError as error:
        sys.exit(f"corrspace: {error}")
    except KeyboardInterrupt:
        sys.exit("\ncorrspace: stopped; the next call goes on from here")
    if target is None:
        return
    script = os.path.abspath(argv[0])  # noqa: PTH100 - a symbolic link keeps its name
    os.execve(
        target.python, [os.fspath(target.python), script, *argv[1:]], os.environ | {_GUARD: os.fspath(target.prefix)}
    )


def prepare(root: Path, *, already: str = "") -> Environment | None:
    """Return the environment to continue in, made if need be; None if the present one will do.

    Parameters
    ----------
    root
        The checkout.
    already
        Root of the environment that a previous call continued in, if this process is that continuation.

    Raises
    ------
    BootstrapError
        If the environment cannot be made, or was made and still does not hold the lock.
    """
    lock = root / "requirements.lock"
    if not lock.is_file():
        raise BootstrapError(f"{lock} is missing: the checkout is incomplete.")
    text = lock.read_text()
    current = Environment.current()
    target = Environment.beside(root)
    ours = current.prefix.resolve() == target.prefix.resolve()
    if holds_lock(current, text) or (not ours and chosen_by_hand(current)):
        return None
    if already:
        raise BootstrapError(f"{target.prefix} was made but is not used by its own Python; delete it and try again.")
    if sys.prefix != sys.base_prefix and not ours:
        say(f"{current.prefix} does not hold what requirements.lock pins; using .venv (CORR_NO_BOOTSTRAP=1: stay)")
    if not (os.access(target.python, os.X_OK) and holds_lock(target, text)):
        with one_at_a_time(root):
            if not (os.access(target.python, os.X_OK) and holds_lock(target, text)):
                set_up(target, lock)
    return target
