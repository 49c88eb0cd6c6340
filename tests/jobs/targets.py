"""What the child process of a probe job can be asked to do.  No Django here."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from analyses.sdk.child import ChildContext, ChildFailure
from analyses.sdk.contract import PluginError
from analyses.sdk.manifest import build_manifest


def nothing(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    return {"seed": ctx.seed, "draw": float(ctx.rng.random())}


def store(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Write stores of a few files each; slowly where asked."""
    for name in request.get("names", ["out"]):
        for number in range(request.get("files", 4)):  # 0: announced, never written
            ctx.check_cancelled()
            path = ctx.staging / name / "c" / str(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes([number % 256]) * int(request.get("bytes", 1000)))
            ctx.progress(number / request.get("files", 4), f"file {number}")
            time.sleep(request.get("pause", 0.0))
        ctx.seal(name, build_manifest(ctx.staging / name).digest)
    if request.get("spoil"):
        (ctx.staging / "out" / "c" / "0").write_bytes(b"something else")
    return {"stores": request.get("names", ["out"])}


def sleep(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Sleep, looking for a cancel request now and then."""
    end = time.monotonic() + request["seconds"]
    while time.monotonic() < end:
        ctx.check_cancelled()
        ctx.progress(1 - (end - time.monotonic()) / request["seconds"], "sleeping")
        time.sleep(0.02)
    return {}


def deaf(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Hang, and ignore every request to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctx.log("deaf now")
    time.sleep(request["seconds"])
    return {}


def talk(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    ctx.log("said through the context")
    print("printed")
    print("to stderr", file=sys.stderr)
    os.write(1, b"bytes \xff\x00 without an end of line")
    return {}


def chatter(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    for number in range(request["lines"]):
        print(number, "x" * 90)
    return {}


def fail(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    raise ChildFailure("no_contrast", "all samples are 7", {"value": 7})


def plugin_error(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    raise PluginError("no_contrast", value=7)


def bug(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    raise ZeroDivisionError("an unforeseen one")


def memory(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 2**20))


def spin(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    while True:
        pass


def crash(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    os.kill(os.getpid(), getattr(signal, request["signal"]))
    time.sleep(10)
    return {}


def leave(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    os._exit(request["status"])


def full(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, "No space left on device")


def fill(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Write until the disk is full."""
    (ctx.staging / "out").mkdir()
    with (ctx.staging / "out" / "0").open("wb") as stream:
        while True:
            stream.write(bytes(2**20))


def not_json(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    return {"value": float("nan")}


def link(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    (ctx.staging / "out").mkdir()
    (ctx.staging / "out" / "secret").symlink_to("/etc/passwd")
    return {}


def offspring(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Start a process that would outlive this one, and leave its id."""
    started = subprocess.Popen(["sleep", "600"])
    Path(request["note"]).write_text(str(started.pid))
    if request.get("wait"):
        time.sleep(600)
    return {}


def environment(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    return {"names": sorted(os.environ), "cwd": str(Path.cwd()), "stdin": sys.stdin.read(), "umask": os.umask(0o077)}


def threads(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Report from several threads at once."""

    def say(who: int) -> None:
        for number in range(50):
            ctx.log(f"thread {who} line {number} " + "y" * 200)

    workers = [threading.Thread(target=say, args=(who,)) for who in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"threads": ctx.threads}


def odd_text(request: dict[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Text that no database holds, by every way a target has to say something."""
    odd = "half \ud800, none \0"
    ctx.log(odd)
    ctx.progress(1.0, odd)
    time.sleep(request.get("seconds", 0.0))
    if request["end"] == "plugin":
        raise PluginError("no_contrast", value=odd)
    if request["end"] == "child":
        raise ChildFailure("no_contrast", odd, {odd: [odd]})
    if request["end"] == "bug":
        raise ValueError(odd)
    return {"said": odd}
