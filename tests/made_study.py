"""The study of ``fixtures/made_study`` put in by REST, over a test client or over the wire, as a lab would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

FOLDER: Final = Path(__file__).resolve().parent.parent / "fixtures" / "made_study"
TRUTH: Final[dict[str, Any]] = json.loads((FOLDER / "truth.json").read_text())
ACQUIRED: Final = "2024-08-01T10:00:00"
STAGE: Final = {
    "x": 1,
    "y": -1,
    "z": 1,
    "length_unit": "mm",
    "angle_unit": "deg",
    "field_of_view_um": 300,
    "x_min_um": -50_000,
    "x_max_um": 50_000,
    "tilt_max_deg": 60,
}
INSTRUMENTS: Final[dict[str, dict[str, Any]]] = {
    "light": {"name": "Made light microscope", "modality": "light"},
    "xrm": {"name": "Made XRM", "modality": "xrm"},
    "sem": {"name": "Made FIB-SEM", "modality": "sem", "stage_axes": STAGE},
}
# File, instrument, modality: the EDS map is of the scan of the electron microscope.
IMAGES: Final = {
    "light": ("made_light.tif", "light", "light"),
    "xrm": ("made_xrm.tif", "xrm", "xrm"),
    "sem": ("made_sem.tif", "sem", "sem"),
    "eds": ("made_eds_carbon.tif", "sem", "eds"),
}
FIBRE_FROM: Final = 118.0  # grey value of the XRM; fibres are brighter
Matrix = list[list[float]]


class Rest(Protocol):
    """Who calls: one account, by a test client or over the wire."""

    def get(self, path: str) -> Any:
        """Return the answer of 200."""

    def post(self, path: str, **body: Any) -> Any:
        """Return the answer of 2xx."""

    def upload(self, acquisition: str, name: str, data: bytes) -> None:
        """Send a file to an acquisition."""

    def finish(self, job: str) -> Any:
        """Wait until a job has ended, and return it; it succeeded."""


@dataclass
class MadeStudy:
    """Ids of what was made."""

    project: str
    specimen: str
    mount: str
    stage_frame: str
    instruments: dict[str, str]
    calibrations: dict[str, str]
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    def frame(self, name: str) -> str:
        """The frame in which an image's lengths are calibrated."""
        return str(self.images[name]["calibrated_frame"])


def make(
    staff: Rest, member: Rest, *, names: Mapping[str, Any] = IMAGES, project: str = "Made: one place in four"
) -> MadeStudy:
    """Instruments and calibrations by staff, the rest by a member: images under calibrations, the piece on a stage."""
    instruments = {key: staff.post("instruments/", **about)["id"] for key, about in INSTRUMENTS.items()}
    calibrations = {
        key: staff.post(
            "calibrations/",
            instrument=instrument,
            factor=TRUTH["calibrations"][key]["factor"],
            u_factor=TRUTH["calibrations"][key]["u_factor"],
            standard="made grating",
            measured_at="2024-05-01",
            due_at="2025-05-01",
        )["id"]
        for key, instrument in instruments.items()
    }
    owner = member.post("projects/", name=project)["id"]
    specimen = member.post("specimens/", project=owner, name="Made fibre block")["id"]
    mount = member.post("mounts/", specimen=specimen, instrument=instruments["sem"], mounted_at="2024-08-01T08:00:00Z")
    study = MadeStudy(owner, specimen, mount["id"], mount["frame"], instruments, calibrations)
    for name in names:
        study.images[name] = _image(member, study, name)
    _on_stage(member, study)
    return study


def _image(member: Rest, study: MadeStudy, name: str) -> Any:
    file, instrument, modality = IMAGES[name]
    about: dict[str, Any] = {"instrument": study.instruments[instrument], "modality": modality}
    if instrument == "sem":
        x, y, z = TRUTH["stage_middle_um"]
        about["mount"] = study.mount
        about["position"] = {"x": x, "y": -y, "z": z, "rotation": 35.0, "tilt": 0.0}
    acquisition = member.post(
        "acquisitions/",
        project=study.project,
        specimen=study.specimen,
        acquired_at=ACQUIRED,
        operator={"name": "nobody: made"},
        **about,
    )["id"]
    member.upload(acquisition, file, (FOLDER / file).read_bytes())
    member.finish(member.post(f"acquisitions/{acquisition}/ingest/")["job"])
    (image,) = member.get(f"images/?acquisition={acquisition}")["results"]
    return member.get(f"images/{image['id']}/")


def shift_error(u_um: float) -> Matrix:
    """Covariance of a matrix whose shift alone is uncertain, by so much along each axis."""
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = u_um**2
    return covariance.tolist()


def _on_stage(member: Rest, study: MadeStudy) -> None:
    """The micrograph on its stage, with the error of the stage's reading, and the map on the micrograph."""
    made = member.post(
        "transforms/",
        source=study.frame("sem"),
        target=study.stage_frame,
        kind="rigid",
        method="manual",
        matrix=TRUTH["sem_to_stage"],
        covariance=shift_error(TRUTH["stage_u_um"]),
        no_residual_reason="made: the stage's reading at the middle of the image",
    )
    member.post(f"transforms/{made['id']}/accept/", reason="made")
    if "eds" in study.images:
        half = 1.5 * TRUTH["nominal_spacing_um"]["made_sem.tif"] * TRUTH["calibrations"]["sem"]["factor"]
        matrix = np.eye(4)
        matrix[:2, 3] = half  # one pixel of the map is four by four of the micrograph, their first centres apart
        made = member.post(
            "transforms/",
            source=study.frame("eds"),
            target=study.frame("sem"),
            kind="translation",
            method="geometry",
            matrix=matrix.tolist(),
            covariance=shift_error(0.0),
            no_residual_reason="one scan: four by four pixels of the micrograph are one of the map",
        )
        member.post(f"transforms/{made['id']}/accept/", reason="one scan")


def pairs(state: str | None = None) -> list[dict[str, Any]]:
    """The landmarks as picked, micrograph to volume; ``state`` active or held_out, both by default."""
    return [
        {"source": row["sem_picked"], "target": row["xrm_picked"], "state": row["state"]}
        for row in TRUTH["landmarks"]
        if state in (None, row["state"])
    ]


def light_pairs() -> list[dict[str, Any]]:
    """Four places of the face in the light image and in the micrograph, as exact as they are seen."""
    back = np.linalg.inv(np.array(TRUTH["light_to_face"]))
    known = TRUTH["calibrations"]["light"]
    found = []
    for row in [row for row in TRUTH["landmarks"] if row["state"] == "active"]:
        place = back @ np.append(row["sem_true_um"], 1.0)
        source = np.round(place[:3] * known["factor"] / known["true"], 1)
        found.append({"source": [*source[:2].tolist(), 0.0], "target": row["sem_picked"]})
    return found


def within_95(point: Any, covariance: Any, truth: Any, factor_of: Callable[[], float]) -> bool:
    """True if the truth lies in the 95 % ellipsoid about a mapped point; ``factor_of`` gives its factor."""
    off = np.array(point) - np.array(truth)
    return bool(off @ np.linalg.solve(np.array(covariance), off) <= factor_of() ** 2)
