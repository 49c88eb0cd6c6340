"""From a file to a number with its lineage, over REST alone (standard library only).

    python docs/tutorials/rest_study.py http://127.0.0.1:8000 NAME PASSWORD fibres.tif

Ingests a volume with a spacing typed by hand, thresholds it, measures the fibres, solves for the conductivity,
asks whether the volume is representative, and prints the story of the tensor.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

PHASES = {
    "0": {"k": 0.2, "u": 0.02, "source": "data sheet of the epoxy"},
    "1": {"k": 10.0, "u": 1.0},  # no source: the derivation will say so
}


class RefusedError(RuntimeError):
    """The server refused a request; the problem document says why."""


class Corrspace:
    """The few calls this study needs."""

    def __init__(self, address: str) -> None:
        self.base = address.rstrip("/") + "/api/v1/"
        self.token = ""

    def call(self, method: str, path: str, body: Any = None, *, raw: tuple[bytes, str] | None = None) -> Any:
        """Send a request and return the parsed answer."""
        data, media_type = raw or (json.dumps(body).encode() if body is not None else None, "application/json")
        request = urllib.request.Request(  # noqa: S310  the address is the user's own
            self.base + path, data=data, method=method
        )
        if data is not None:
            request.add_header("Content-Type", media_type)
        if self.token:
            request.add_header("Authorization", f"Token {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                text = answer.read().decode()
                return json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except urllib.error.HTTPError as error:
            raise RefusedError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def log_in(self, username: str, password: str) -> None:
        """Exchange name and password for a token."""
        self.token = self.call("POST", "auth/token/", {"username": username, "password": password})["token"]

    def upload(self, path: str, file: Path) -> Any:
        """Send one file as multipart/form-data."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        return self.call("POST", path, raw=(body, f"multipart/form-data; boundary={boundary}"))

    def wait(self, job: str) -> dict[str, Any]:
        """Wait until a job has ended; it must have succeeded."""
        while True:
            answer: dict[str, Any] = self.call("GET", f"jobs/{job}/")
            if answer["status"] not in ("queued", "running"):
                break
            time.sleep(0.5)
        if answer["status"] != "succeeded":
            raise RefusedError(f"job {job} {answer['status']}: {answer['exit_code']} {answer['message']}")
        return answer

    def run(self, project: str, plugin: str, params: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """Submit an analysis and wait for it; returns its outputs by port."""
        body = {"project": project, "plugin": plugin, "params": params, "inputs": inputs}
        job = self.wait(self.call("POST", "jobs/", body)["id"])
        print(f"  {plugin} {job['plugin_version']}: {', '.join(job['outputs'])}")
        outputs: dict[str, Any] = job["outputs"]
        return outputs


def ingest(server: Corrspace, project: str, file: Path) -> str:
    """Register a specimen and an acquisition, hand in the file, and return the id of its image."""
    specimen = server.call("POST", "specimens/", {"project": project, "name": f"fibres {uuid.uuid4().hex[:8]}"})["id"]
    acquisition = server.call(
        "POST",
        "acquisitions/",
        {"project": project, "specimen": specimen, "modality": "xrm", "operator": {"name": "A. Microscopist"}},
    )["id"]
    received = server.upload(f"acquisitions/{acquisition}/files/", file)["files"][0]
    print(f"  received {received['name']}, sha256 {received['sha256']}")
    typed = {"spacing_um": {"x": 1.0, "y": 1.0, "z": 1.0}, "spacing_u_um": 0.05}
    job = server.call("POST", f"acquisitions/{acquisition}/ingest/", {"overrides": typed})["job"]
    server.wait(job)
    return str(server.call("GET", f"acquisitions/{acquisition}/")["images"][0])


def study(server: Corrspace, file: Path) -> str:
    """Do the whole study and return the id of the tensor."""
    print("project and file")
    project = server.call("POST", "projects/", {"name": "REST study"})["id"]
    image = ingest(server, project, file)
    print("analyses")
    labels = server.run(project, "segmentation.threshold", {"method": "otsu"}, {"image": image})["labels"]["id"]
    server.run(project, "segmentation.measure", {}, {"labels": labels})
    material = {"phases": PHASES, "unit": "W/(m.K)"}
    server.run(project, "bulk.bounds", material, {"labels": labels})
    outputs = server.run(project, "bulk.conductivity", {**material, "boundary": "periodic"}, {"labels": labels})
    server.run(project, "bulk.rve", material, {"labels": labels})
    return str(outputs["tensor"]["id"])


def report(server: Corrspace, tensor: str) -> None:
    """Print the number, its lineage and its story."""
    number = server.call("GET", f"properties/{tensor}/")
    print(f"\nconductivity [{number['unit']}], rows and columns x, y, z")
    for row in number["value"]:
        print("  " + "  ".join("      -" if entry is None else f"{entry:7.4f}" for entry in row))
    found = server.call("GET", f"lineage/{tensor}/?direction=upstream")
    print(f"lineage: {len(found['nodes'])} nodes, {len(found['edges'])} edges")
    told = server.call("GET", f"properties/{tensor}/derivation/")
    print("\nHow it came to be")
    for sentence in told["sentences"]:
        print(f"- {sentence['text']}")
    print("\nAsserted by hand")
    for entry in told["asserted"]:
        print(f"- {entry['text']}")
    print("\nWhich numbers of this job move with the spacing")
    for entry in told["scale"]:
        print(f"- {entry['name']}: {entry['sentence']}")
    print(f"\ncompleteness {told['completeness']['score']:.0%}")
    for check in told["completeness"]["checks"]:
        print(f"  [{'x' if check['satisfied'] else ' '}] {check['question']} {check['note']}".rstrip())


def main() -> None:
    """Run the study as the command line says."""
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    address, username, password, file = sys.argv[1:]
    server = Corrspace(address)
    server.log_in(username, password)
    report(server, study(server, Path(file)))


if __name__ == "__main__":
    main()
