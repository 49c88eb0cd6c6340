"""No body makes a 5xx: it is refused with a problem document, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.mutations import Mutation, fields, of_bodies, of_fields
from tests.contract.openapi import operation
from tests.contract.refusals import NOWHERE, send, state, writing
from tests.contract.requests import Call, short
from tests.factories import FrameFactory, ProjectFactory, SpecimenFactory, TransformFactory

pytestmark = pytest.mark.django_db

# Calls of which every field is optional.
MAY_BE_EMPTY = {
    "POST prov/validate/",  # a document that says nothing is a document
    "POST transforms/{pk}/accept/",
    "POST acquisitions/{pk}/ingest/",
    "POST properties/{pk}/release/",
    "POST tables/{pk}/release/",
}


def test_odd_bodies_are_refused(world, manager, nothing_stored):
    findings = []
    calls = writing(world)
    for call in calls:
        body = call.body(world) if call.body else {}
        findings += [send(manager, call, mutation) for mutation in of_bodies(body)]
        if call.method == "post" and call.body:
            needed = short(call.route) not in MAY_BE_EMPTY
            findings.append(send(manager, call, Mutation("nothing", b"", refused=needed)))
            findings.append(send(manager, call, Mutation("an empty object", b"{}", refused=needed)))
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert len(calls) > 20
    assert len(findings) > 500


def test_odd_values_are_refused(world, manager, document, nothing_stored):
    findings, tried = [], 0
    for call in writing(world):
        types = fields(document, operation(document, call.method, call.url.split("?")[0]))
        body = call.body(world) if call.body else {}
        for mutation in of_fields(body, types):
            tried += 1
            findings.append(send(manager, call, mutation))
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert tried > 1500


NESTED = {
    "POST specimen-events/": [
        {"conditions": {"grain": {"value": 3.0, "unit": "furlong"}}},
        {"conditions": {"grain": {"value": "3", "unit": "um"}}},
        {"conditions": {"grain": {"value": 3.0, "unit": "um", "odd": 1}}},
        {"conditions": {"grain": [3.0, "um"]}},
        {"occurred_at": "2024-05-01T12:00:00"},
        {"occurred_at": "2024-02-31T12:00:00Z"},
        {"occurred_at": "99999-01-01T00:00:00Z"},
        {"child": {"name": "x", "odd": 1}},
        {"child": {}},
    ],
    "POST acquisitions/{pk}/ingest/": [
        {"overrides": {"spacing_um": {"x": 0.5, "y": 0.5, "z": 0.5}}},
        {"overrides": {"spacing_um": {"x": -1, "y": 0.5, "z": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_um": {"x": 0, "y": 0.5, "z": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_um": {"x": "0.5", "y": 0.5, "z": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_um": {"w": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_u_um": 0.1}},
        {"overrides": {"handedness": "both"}},
        {"overrides": {"name": "../../etc/passwd"}},
        {"overrides": {"odd": 1}},
    ],
    "POST images/{pk}/calibrate/": [
        {"spacing_um": {}},
        {"spacing_um": {"x": 1e309, "y": 1, "z": 1}},
        {"spacing_um": {"x": 1e-320, "y": 1, "z": 1}},
        {"spacing_um": {"x": 1e308, "y": 1e308, "z": 1e308}},
        {"spacing_u_um": 1e308},
        {"spacing_u_um": -0.1},
        {"spacing_u_um": {"q": 0.1}},
        {"reason": ""},
    ],
    "POST materials/{pk}/properties/": [
        {"unit": "furlong"},
        {"unit": "um"},
        {"unit": "(" * 5000},
        {"unit": "m" + "2" * 300},
        {"u": -1},
        {"value": 1e308, "unit": "Ym"},
        {"quantity": "no such quantity"},
    ],
    "POST transforms/": [
        {"matrix": [[0.0] * 4] * 4},
        {"matrix": [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0.5, 1.0]]},
        {"matrix": [1, 2, 3]},
        {"matrix": [["a"] * 4] * 4},
        {"matrix": [[1e308] * 4] * 4},
        {"covariance": [[1.0]]},
        {"covariance": [[-1.0] * 12] * 12},
        {"landmarks": [{"source": [0, 0], "target": [0, 0, 0]}]},
        {"landmarks": [{"source": [0, 0, 0], "target": [0, 0, "z"]}]},
        {"valid_states": [NOWHERE]},
        {"target": None},
    ],
    "POST rois/": [
        {"geometry": {"type": "blob"}},
        {"geometry": {"type": "point", "coordinates": [1, 2]}},
        {"geometry": {"type": "point", "coordinates": [1, 2, "3"]}},
        {"geometry": {"type": "polygon", "coordinates": [[0, 0, 0]]}},
        {"geometry": {"type": "box", "coordinates": {"min": [1, 1, 1], "max": [0, 0, 0]}}},
        {"geometry": {"type": "mesh", "coordinates": {"vertices": [], "faces": []}}},
        {"geometry": {"type": "point", "coordinates": [1, 2, 3], "odd": 1}},
    ],
    "POST jobs/": [
        {"plugin": "no.such"},
        {"plugin": "../../etc"},
        {"params": {"method": "magic"}},
        {"params": {"method": "fixed", "thresholds": [2, 1]}},
        {"params": {"odd": 1}},
        {"inputs": {}},
        {"inputs": {"image": "no id"}},
        {"inputs": {"image": [NOWHERE]}},
        {"inputs": {"image": NOWHERE}},
        {"inputs": {"image": {"id": NOWHERE}}},
        {"inputs": {"odd": NOWHERE}},
        {"seed": -1},
        {"seed": 2**53},
    ],
    "POST calibrations/": [
        {"factor": 0},
        {"factor": -1.0},
        {"u_factor": -0.1},
        {"measured_at": "yesterday"},
        {"measured_at": "2024-13-01"},
        {"axes": ["w"]},
    ],
    "POST instruments/": [{"detectors": [[[]]]}],
    "POST acquisitions/": [
        {"acquired_at": "soon"},
        {"acquired_zone": "Mars/Olympus"},
        {"settings": {"voltage": {"value": 1, "unit": "furlong"}}},
        {"settings": {"voltage": {"value": "NaN", "unit": "V"}}},
        {"position": {"x": "left"}},
        {"position": {"q": 1}},
        {"operator": "nobody-of-that-name"},
        {"operator": {"name": "x", "odd": 1}},
        {"operator": {"name": ""}},
        {"series_index": -1},
    ],
    "POST projects/{pk}/members/": [{"username": "nobody"}, {"role": "king"}, {"username": ""}],
    "POST specimens/": [{"key_values": {"a": {"b": 1}}}, {"tags": [""]}, {"tags": [{}]}, {"external_ids": {"": "x"}}],
    "POST mounts/": [{"unmounted_at": "2020-01-01T00:00:00Z"}, {"mounted_at": "2024-05-01"}],
}


def test_values_that_cannot_be_are_refused(world, manager, nothing_stored):
    findings, seen = [], set()
    for call in writing(world):
        for change in NESTED.get(short(call.route), ()):
            seen.add(short(call.route))
            raw = json.dumps({**call.body(world), **change}).encode()
            findings.append(send(manager, call, Mutation(f"{change}"[:120], raw)))
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert seen == set(NESTED)


# ----------------------------------------------------------------------------------------------- ids of other projects


def references(body: dict[str, Any], taken: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield bodies with one reference replaced by what another project has of that kind."""
    kinds = {"supersedes": "roi" if "geometry" in body else "transform", "parent": "specimen", "child": "specimen"}
    for field in ("project", "specimen", "state", "mount", "frame", "source", "target", *kinds):
        if field in body or field in kinds or (field == "state" and "specimen" in body):
            yield field, {**body, field: taken[kinds.get(field, field)]}


WITH_PARENT = {"POST specimens/": "parent", "POST specimen-events/": "child"}


def crossed(world, taken: dict[str, str]) -> Iterator[tuple[Call, Mutation]]:
    """Yield every writing call with one reference into another project."""
    for call in writing(world):
        name, body = short(call.route), call.body(world) if call.body else {}
        for field, changed in references(body, taken):
            fits = field in body or WITH_PARENT.get(name) == field or field == "state"
            fits = fits or (field == "supersedes" and name in ("POST rois/", "POST transforms/"))
            if fits:
                yield call, Mutation(f"{field} of another project", json.dumps(changed).encode())
        if name == "POST jobs/":
            for other in (taken["specimen"], taken.get("image", NOWHERE)):
                changed = {**body, "inputs": {"image": other}}
                yield call, Mutation("an input of another project", json.dumps(changed).encode())


def test_ids_of_a_hidden_project_are_refused(world, manager, nothing_stored):
    """The caller may not know of the other project at all."""
    findings = [send(manager, call, mutation) for call, mutation in crossed(world, world.foreign)]
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert len(findings) > 15


def test_two_projects_of_one_account_are_not_mixed(world, manager):
    """The caller may write in both, and still nothing of one is built into the other."""
    specimen = SpecimenFactory(project=ProjectFactory(actor=world.users["staff_manager"]))
    frame = FrameFactory(specimen=specimen)
    transform = TransformFactory(source=frame)
    rows = {
        "specimen": specimen,
        "state": specimen.current_state,
        "mount": frame.mount,
        "frame": frame,
        "source": frame,
        "target": frame,
        "transform": transform,
        "roi": transform,
        "project": specimen.project,
    }
    twin = {name: str(row.pk) for name, row in rows.items()}
    calls = [(call, m) for call, m in crossed(world, twin) if not builds_there(call, m)]
    before = state()
    findings = [send(manager, call, mutation) for call, mutation in calls]
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert state() == before
    assert len(findings) > 10


def builds_there(call: Call, mutation: Mutation) -> bool:
    """True if the changed body names the other project alone: then it is in order there."""
    name, field = short(call.route), mutation.name.split()[0]
    return (name, field) in {
        ("POST specimen-events/", "specimen"),
        ("POST mounts/", "specimen"),
        ("POST rois/", "frame"),
        ("POST calibrations/{pk}/apply/", "project"),
    }
