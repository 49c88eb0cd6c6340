"""One case: submit an ingest or an analysis, kill a part at a random instant, and see how the job ends."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tifffile

from apps.web.chaos.installation import ChaosError, Installation, wait_for

KINDS = ("ingest", "analysis")
TARGETS = ("child", "group", "reaper", "web")
_SIDE = 96
_END_SECONDS = 180.0
_OPEN = ("queued", "running")


@dataclass
class Case:
    """What was done and what came of it."""

    kind: str
    target: str
    round: int
    after_seconds: float
    hit: bool = False
    job: str = ""
    status: str = ""
    attempts: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """All cases, and what ``sweep`` and ``fsck`` said after them."""

    seed: int
    setup: str
    cases: list[Case] = field(default_factory=list)
    swept: str = ""
    findings: str = ""
    sound: bool = False

    @property
    def failed(self) -> list[Case]:
        """Cases with a problem."""
        return [case for case in self.cases if case.problems]


class Chaos:
    """Runs cases on one installation; every choice follows from the seed."""

    def __init__(self, installation: Installation, *, seed: int, setup: str, say: Callable[[str], None]) -> None:
        self._at = installation
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret  # nosec B311
        self._say = say
        self.outcome = Outcome(seed, setup)
        self._usual: dict[str, float] = {}
        self._project = ""
        self._image = ""

    def run(self, rounds: int) -> Outcome:
        """Learn how long each kind takes undisturbed, run all cases, then sweep and check."""
        self._prepare()
        for number in range(1, rounds + 1):
            for kind in KINDS:
                for target in TARGETS:
                    self._case(kind, target, number)
        self._check()
        return self.outcome

    # ------------------------------------------------------------------------------------------------------- submitting

    def _prepare(self) -> None:
        self._project = self._at.call("POST", "projects/", {"name": "chaos"})["id"]
        for kind in KINDS:
            for _ in range(2):  # the first run of a kind in a worker also loads what the later ones find loaded
                began = time.monotonic()
                job, result = self._submit(kind)
                found = self._wait(job)
                self._usual[kind] = time.monotonic() - began
                if problems := self._problems(found, result):
                    raise ChaosError(f"{kind} fails undisturbed: {problems} {found['message']}")
                if kind == "ingest":
                    self._image = result()[0]
            self._say(f"{kind} takes {self._usual[kind]:.1f} s undisturbed")

    def _submit(self, kind: str) -> tuple[str, Callable[[], list[str]]]:
        return self._submit_ingest() if kind == "ingest" else self._submit_analysis()

    def _submit_ingest(self) -> tuple[str, Callable[[], list[str]]]:
        """Hand in a volume that nobody handed in before; returns the job and how to find its images."""
        name = f"specimen {self._random.getrandbits(64):x}"
        specimen = self._at.call("POST", "specimens/", {"project": self._project, "name": name})["id"]
        body = {"project": self._project, "specimen": specimen, "modality": "xrm"}
        acquisition = self._at.call("POST", "acquisitions/", body)["id"]
        self._at.upload(f"acquisitions/{acquisition}/files/", "volume.tif", self._volume())
        typed = {"spacing_um": {"x": 1.0, "y": 1.0, "z": 1.0}, "spacing_u_um": 0.05}
        job = self._at.call("POST", f"acquisitions/{acquisition}/ingest/", {"overrides": typed})["job"]
        return job, lambda: list(self._at.patient_get(f"acquisitions/{acquisition}/")["images"])

    def _volume(self) -> bytes:
        samples = np.random.default_rng(self._random.getrandbits(32)).integers(0, 4096, (_SIDE,) * 3, dtype=np.uint16)
        stream = io.BytesIO()
        tifffile.imwrite(stream, samples, imagej=True, metadata={"axes": "ZYX"})
        return stream.getvalue()

    def _submit_analysis(self) -> tuple[str, Callable[[], list[str]]]:
        """Ask for a threshold that nobody asked for before; returns the job and how to find its label images."""
        params = {"method": "fixed", "thresholds": [self._random.uniform(1000, 3000)]}
        body = {
            "project": self._project,
            "plugin": "segmentation.threshold",
            "params": params,
            "inputs": {"image": self._image},
        }
        job = self._at.call("POST", "jobs/", body)["id"]
        return job, lambda: [self._at.patient_get(f"jobs/{job}/")["outputs"]["labels"]["id"]]

    # ---------------------------------------------------------------------------------------------------------- killing

    def _case(self, kind: str, target: str, number: int) -> None:
        wait_for(self._at.is_healthy, 120, "all parts to be up before a case")
        case = Case(kind, target, number, self._random.uniform(0.0, self._usual[kind]))
        began = time.monotonic()
        case.job, result = self._submit(kind)
        time.sleep(case.after_seconds)
        case.hit = self._kill(target, case.job)
        try:
            found = self._wait(case.job)
            case.status, case.attempts = found["status"], found["attempt"]
            case.problems = self._problems(found, result)
        except ChaosError as error:
            case.problems = [str(error)]
        case.seconds = time.monotonic() - began
        self.outcome.cases.append(case)
        late = "" if case.hit else " (too late)"
        self._say(
            f"round {number}: {kind}, {target} killed after {case.after_seconds:.2f} s{late}: "
            f"{case.status}, attempt {case.attempts}, {case.seconds:.1f} s {'; '.join(case.problems)}"
        )

    def _kill(self, target: str, job: str) -> bool:
        """Kill now; a child that has not been started yet is waited for as long as the job is open."""
        if self._at.kill(target):
            return True
        while target == "child" and self._at.patient_get(f"jobs/{job}/")["status"] in _OPEN:
            if self._at.kill(target):
                return True
        return False

    # ---------------------------------------------------------------------------------------------------------- judging

    def _wait(self, job: str) -> dict[str, Any]:
        def ended() -> Any:
            found = self._at.patient_get(f"jobs/{job}/")
            return found if found["status"] not in _OPEN else None

        found: dict[str, Any] = wait_for(ended, _END_SECONDS, f"job {job} to end")
        return found

    def _problems(self, found: dict[str, Any], result: Callable[[], list[str]]) -> list[str]:
        if found["status"] != "succeeded":
            return [f"ended {found['status']} {found['exit_code']}: {found['message']}"]
        images = result()
        if len(set(images)) != 1 or len(images) != 1:
            return [f"{len(images)} results instead of one: {images}"]
        image = self._at.patient_get(f"images/{images[0]}/")
        return [] if image["digest"] else ["the result has no digest"]

    def _check(self) -> None:
        wait_for(self._at.is_healthy, 120, "all parts to be up at the end")
        self.outcome.swept = self._at.command("sweep").stdout.strip()
        checked = self._at.command("fsck")
        self.outcome.findings = (checked.stdout + checked.stderr).strip()
        self.outcome.sound = checked.returncode == 0
        self._say(f"sweep: {self.outcome.swept or 'nothing to remove'}")
        self._say(f"fsck: {self.outcome.findings}")
