"""Made images whose truth is one point, put in by REST: dark volumes with one bright sample, at several scales."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
import tifffile

from tests.e2e.served import wait_for

PASSWORD = "correct-horse-battery-staple"
_JOB_SECONDS = 300.0
DARK, BRIGHT = 1000, 60_000

# Where the bright sample is, (z, y, x), and the spacing.  No two indices are equal, none is in the middle.
SHAPE = (40, 48, 64)
COARSE_AT, COARSE_UM = (11, 30, 45), 1.0
FINE_AT, FINE_UM = (25, 9, 17), 0.125
FAR_UM = 0.005
FAR_FROM_ORIGIN = np.array([50_000.0, -30_000.0, 12_345.678])
SPECIMEN_AT, SPECIMEN_U_UM = np.array([1000.0, 2000.0, 3000.0]), 0.2
LONG_SHAPE, LONG_AT, BLOCK = (24, 40, 600), (4, 12, 400), 4  # one sample of the pyramid's third level


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def place(index: tuple[int, int, int], um: float) -> np.ndarray:
    """Centre of a sample in its image's frame, (x, y, z) um."""
    return np.array(index[::-1]) * um


def joining(turn: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rigid map that turns and takes one point to another."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = target - turn @ source
    return matrix


class Rest:
    """A caller of the REST surface."""

    def __init__(self, address: str, name: str = "ada", password: str = PASSWORD) -> None:
        self.address, self.session = address, requests.Session()
        answer = self.post("auth/token/", username=name, password=password, name="viewer tests", scope="write")
        self.session.headers["Authorization"] = f"Token {answer['token']}"

    def post(self, path: str, **body: Any) -> Any:
        answer = self.session.post(f"{self.address}/api/v1/{path}", json=body, timeout=60)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.address}/api/v1/{path}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def image(self, specimen: dict[str, Any], name: str, samples: np.ndarray, um: float | None) -> dict[str, Any]:
        """Ingest a made volume."""
        about = {"project": specimen["project"], "specimen": specimen["id"], "modality": "xrm"}
        acquisition = self.post("acquisitions/", **about)["id"]
        file = io.BytesIO()
        tifffile.imwrite(file, samples, photometric="minisblack")
        sent = {"file": (f"{name.replace(' ', '-')}.tif", file.getvalue(), "image/tiff")}
        url = f"{self.address}/api/v1/acquisitions/{acquisition}/files/"
        assert self.session.post(url, files=sent, timeout=60).status_code == 201
        scale = {"spacing_um": dict.fromkeys("xyz", um), "spacing_u_um": 0.0} if um else {}
        job = self.post(f"acquisitions/{acquisition}/ingest/", overrides={"name": name, **scale})["job"]
        wait_for(lambda: self.get(f"jobs/{job}/")["status"] not in ("queued", "running"), _JOB_SECONDS, "ingest")
        found = self.get(f"images/?acquisition={acquisition}")["results"]
        assert len(found) == 1, self.get(f"jobs/{job}/")
        return found[0]

    def join(self, source: Any, target: Any, matrix: np.ndarray, u_um: float = 0.0) -> None:
        """Make a transform between two frames whose shift has a standard error along each axis, and accept it."""
        covariance = np.zeros((12, 12))
        covariance[[3, 7, 11], [3, 7, 11]] = u_um**2  # of the 3 x 4 entries, row by row
        body = {"kind": "rigid", "method": "manual", "matrix": matrix.tolist(), "no_residual_reason": "made"}
        if u_um:
            body["covariance"] = covariance.tolist()
        made = self.post("transforms/", source=source["frame"], target=target["frame"], **body)
        self.post(f"transforms/{made['id']}/accept/", reason="made")


@dataclass(frozen=True)
class Made:
    """Ids of the images, and of the frames."""

    images: dict[str, str]
    frames: dict[str, str]

    def view(self, *names: str, frame: str = "") -> str:
        ids = ",".join(self.images[name] for name in names)
        return f"/view/?images={ids}" + (f"&frame={self.frames[frame]}" if frame else "")


def phantom(shape: tuple[int, int, int], at: tuple[int, int, int]) -> np.ndarray:
    """A dark volume with one bright sample."""
    samples = np.full(shape, DARK, np.uint16)
    samples[at] = BRIGHT
    return samples


def grating() -> np.ndarray:
    """A dark volume with a block whose outer two of four columns are bright: even in the coarser levels."""
    samples = np.full(LONG_SHAPE, DARK, np.uint16)
    z, y, x = LONG_AT
    samples[z : z + BLOCK, y : y + BLOCK, [x, x + BLOCK - 1]] = BRIGHT
    return samples


def specimen_frame(rest: Rest, specimen: dict[str, Any]) -> str:
    """The frame of the state in which the images were taken: a piece is cut out of it, which opens it."""
    pose = {"pose": np.eye(4).tolist()}
    body = {
        "kind": "lift_out",
        "occurred_at": "2020-01-01T00:00:00Z",
        "geometry": pose,
        "child": {"name": "made piece"},
    }
    rest.post("specimen-events/", specimen=specimen["id"], **body)
    frames = rest.get(f"frames/?kind=state&specimen={specimen['id']}")["results"]
    assert len(frames) == 1
    return str(frames[0]["id"])


def make(rest: Rest) -> Made:
    """Two volumes at two scales joined by an oblique turn, one far from the origin, a long one, one without scale."""
    project = rest.post("projects/", name="Made phantoms")
    specimen = rest.post("specimens/", project=project["id"], name="Made specimen")
    rows = {
        "coarse": rest.image(specimen, "made coarse", phantom(SHAPE, COARSE_AT), COARSE_UM),
        "fine": rest.image(specimen, "made fine", phantom(SHAPE, FINE_AT), FINE_UM),
        "far": rest.image(specimen, "made far", phantom(SHAPE, FINE_AT), FAR_UM),
        "long": rest.image(specimen, "made long", grating(), COARSE_UM),
        "bare": rest.image(specimen, "made bare", phantom(SHAPE, COARSE_AT), None),
    }
    turn = rotation((1.0, 2.0, 3.0), 30.0)
    rest.join(rows["fine"], rows["coarse"], joining(turn, place(FINE_AT, FINE_UM), place(COARSE_AT, COARSE_UM)))
    far = joining(rotation((3.0, -1.0, 2.0), 25.0), place(FINE_AT, FAR_UM), FAR_FROM_ORIGIN)
    rest.join(rows["far"], rows["coarse"], far)
    frames = {name: row["frame"] for name, row in rows.items() if row["frame"]}
    frames["specimen"] = specimen_frame(rest, specimen)
    rest.join(
        rows["coarse"], {"frame": frames["specimen"]}, joining(np.eye(3), np.zeros(3), SPECIMEN_AT), SPECIMEN_U_UM
    )
    return Made({name: row["id"] for name, row in rows.items()}, frames)
