"""A request for every route that is in order: an address of a thing that is there, and a body that is taken.

A writing route without a builder here is an error of ``requests_of``: whoever adds a route says what is sent to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model

from apps.analysis.selectors import list_plugins
from apps.audit.selectors import things
from apps.projects import access
from tests.contract import spatial_requests, upload_requests
from tests.contract.routes import Route, all_routes
from tests.contract.world import SPACING, World, member_of, tiff_bytes

API = "/api/v1/"
WHEN = "2024-06-01T12:00:00Z"
PASSWORD = "correct-horse-battery-staple"
Build = Callable[[World], Any]


@dataclass(frozen=True)
class Call:
    """One request; ``key`` names its row, ``body`` is made anew for each sending, ``form`` says how it is sent.

    A ``form`` that is a media type is sent as it is; ``headers`` go with it.
    """

    key: str
    method: str
    url: str
    body: Build | None = None
    form: str = "json"
    headers: Mapping[str, str] = field(default_factory=dict)
    route: Route = field(default_factory=lambda: Route("", ""))

    @property
    def writes(self) -> bool:
        return self.method in ("post", "put", "patch", "delete")


# --------------------------------------------------------------------------------------------- what is sent, by route

BODIES: dict[str, Build | None] = {
    **spatial_requests.BODIES,
    **upload_requests.BODIES,
    "POST auth/token/": lambda w: {"username": "viewer", "password": PASSWORD},
    "POST projects/": lambda w: {"name": "Another"},
    "PATCH projects/{pk}/": lambda w: {"description": "said anew"},
    "POST projects/{pk}/members/": lambda w: {"username": "outsider", "role": "viewer"},
    "DELETE projects/{pk}/members/{member}/": None,
    "POST projects/{pk}/break-glass/": lambda w: {"reason": "a disputed result"},
    "DELETE auth/tokens/{pk}/": None,
    "POST materials/": lambda w: {
        "name": "Glass",
        "properties": [{"quantity": "density", "value": 2.5, "unit": "g/cm3"}],
    },
    "POST materials/{pk}/properties/": lambda w: {"quantity": "density", "value": 1.2, "unit": "g/cm3", "u": 0.1},
    "POST instruments/": lambda w: {"name": "Second microscope", "modality": "sem"},
    "POST calibrations/": lambda w: {
        "instrument": w.id("instrument"),
        "factor": 1.02,
        "u_factor": 0.001,
        "standard": "grating 2 um",
        "measured_at": "2024-07-01",
        "supersedes": w.id("calibration"),
    },
    "POST calibrations/{pk}/apply/": lambda w: {"reason": "it was measured since", "project": w.id("project")},
    "POST calibrations/{pk}/withdraw/": lambda w: {"reason": "the grating was damaged"},
    "POST specimens/": lambda w: {"project": w.id("project"), "name": "another", "parent": w.id("specimen")},
    "PATCH specimens/{pk}/": lambda w: {"tags": ["polished"]},
    "POST specimen-events/": lambda w: {
        "specimen": w.id("specimen"),
        "kind": "polish",
        "occurred_at": WHEN,
        "conditions": {"grain": {"value": 3.0, "unit": "um"}},
    },
    "POST series/": lambda w: {
        "project": w.id("project"),
        "specimen": w.id("specimen"),
        "kind": "tilt",
        "name": "tilts",
    },
    "POST acquisitions/": lambda w: {"project": w.id("project"), "specimen": w.id("specimen"), "modality": "sem"},
    "PATCH acquisitions/{pk}/": lambda w: {"tags": ["pilot"], "external_ids": {"notebook": "12"}},
    "POST acquisitions/{pk}/files/": lambda w: {"file": SimpleUploadedFile("new.tif", tiff_bytes(9), "image/tiff")},
    "POST acquisitions/{pk}/preview/": None,
    "POST acquisitions/{pk}/ingest/": lambda w: {"overrides": SPACING},
    "POST acquisitions/{pk}/move/": lambda w: {"specimen": w.id("piece"), "reason": "the wrong one"},
    "POST attachments/": lambda w: {
        "specimen": w.id("specimen"),
        "file": SimpleUploadedFile("certificate.pdf", b"%PDF-1.7 and so on", "application/pdf"),
    },
    "POST external-activities/": lambda w: {
        "project": w.id("project"),
        "kind": "reconstruction",
        "software": "Reconstructor",
        "version": "4.2",
        "parameters": {"filter": "Ram-Lak"},
        "operator": {"name": "Otto Perator"},
        "files": [w.id("source_file")],
        "specimen": w.id("specimen"),
    },
    "POST plugins/{name}/status/": lambda w: {
        "status": "validated",
        "reason": "compared with layers",
        "text": "the bounds to 1e-9",
    },
    "POST properties/{pk}/review/": lambda w: {"verdict": "approved", "comment": "checked"},
    "POST properties/{pk}/release/": lambda w: {"comment": "for the data sheet"},
    "POST properties/{pk}/withdraw-release/": lambda w: {"reason": "the wrong phases"},
    "POST tables/{pk}/review/": lambda w: {"verdict": "rejected", "comment": "the border was counted"},
    "POST tables/{pk}/release/": lambda w: {"comment": "for the data sheet"},
    "POST tables/{pk}/withdraw-release/": lambda w: {"reason": "the border was counted"},
    "POST images/{pk}/calibrate/": lambda w: {**SPACING, "reason": "measured anew"},
    "POST images/{pk}/apply-calibration/": lambda w: {"calibration": w.id("calibration"), "reason": "a grating"},
    "POST prov/validate/": lambda w: {
        "prefix": {"ex": "http://example.org/"},
        "entity": {"ex:e": {"prov:label": "an image"}},
        "wasGeneratedBy": {"_:g": {"prov:entity": "ex:e", "prov:activity": "ex:a"}},
    },
    "POST jobs/": lambda w: {
        "project": w.id("project"),
        "plugin": "segmentation.threshold",
        "inputs": {"image": w.id("image")},
        "params": {"method": "fixed", "thresholds": [77.0]},
    },
    "POST jobs/{pk}/cancel/": None,
    "POST jobs/{pk}/retry/": None,
    "POST jobs/{pk}/rerun/": None,
    "POST {path}": None,
    "PUT {path}": None,
    "PATCH {path}": None,
    "DELETE {path}": None,
}
MULTIPART = {"POST acquisitions/{pk}/files/", "POST attachments/"}
# Pages take forms; the admin's take those of its services.
PAGES: dict[str, Build | None] = {
    **spatial_requests.PAGES,
    "POST /images/{pk}/calibrate/": lambda w: {"x": "0.4", "y": "0.4", "z": "0.4", "u": "0.01", "reason": "measured"},
    "POST /jobs/{pk}/cancel/": None,
    "POST /jobs/{pk}/retry/": None,
    "POST /login/": lambda w: {"username": "viewer", "password": PASSWORD},
    "POST /logout/": None,
    "POST /account/profile/": lambda w: {"first_name": "Ada", "last_name": "Lovelace"},
    "POST /account/password/": lambda w: {
        "current": PASSWORD,
        "new": "a-rather-long-word-7",
        "again": "a-rather-long-word-7",
    },
    "POST /account/tokens/": lambda w: {"name": "by the page", "scope": "read"},
    "POST /account/tokens/{pk}/revoke/": None,
    "POST /new-project/": lambda w: {"name": "By the page"},
    "POST /projects/{pk}/members/": lambda w: {"username": "outsider", "role": "viewer"},
    "POST /projects/{pk}/members/{member}/role/": lambda w: {"role": "contributor"},
    "POST /projects/{pk}/members/{member}/remove/": lambda w: {"reason": "left"},
    "POST /new-specimen/{pk}/": lambda w: {"name": "by the page"},
    "POST /specimens/{pk}/events/add/": lambda w: {"kind": "polish", "occurred_at": "2024-06-01T12:00"},
    "POST /specimens/{pk}/import/": lambda w: {"modality": "sem"},
    "POST /acquisitions/{pk}/files/": lambda w: {"file": SimpleUploadedFile("new.tif", tiff_bytes(9), "image/tiff")},
    "POST /acquisitions/{pk}/look/": None,
    "POST /acquisitions/{pk}/ingest/": lambda w: {"x": "0.4", "y": "0.4", "z": "0.4", "u": "0.01"},
    "POST /images/{pk}/analyses/{name}/": lambda w: {"do": "run", "method": "fixed", "thresholds": "78"},
    "POST /numbers/{pk}/review/": lambda w: {"verdict": "approved"},
    "POST /numbers/{pk}/release/": None,
    "POST /numbers/{pk}/withdraw/": lambda w: {"reason": "the wrong one"},
    "POST /calibrations/{pk}/withdraw/": lambda w: {"reason": "the grating was damaged"},
}
_DATE = {"0": "2024-06-01", "1": "12:00:00"}
ADMIN: dict[str, Build] = {
    "auth/group/add": lambda w: {"name": "a group"},
    "projects/user/add": lambda w: {"username": "newcomer", "password": "a-rather-long-word-7"},
    "projects/project/add": lambda w: {"name": "By the admin"},
    "projects/project/change": lambda w: {"name": "Named anew"},
    "projects/membership/add": lambda w: {
        "project": w.id("project"),
        "user": str(w.users["outsider"].pk),
        "role": "viewer",
    },
    "projects/membership/change": lambda w: {"role": "contributor"},
    "catalog/specimen/add": lambda w: {"project": w.id("project"), "name": "by the admin"},
    "catalog/specimen/change": lambda w: {"name": "named anew"},
    "catalog/specimenevent/add": lambda w: {
        "specimen": w.id("specimen"),
        "kind": "polish",
        **{f"occurred_at_{part}": value for part, value in _DATE.items()},
    },
    "catalog/material/add": lambda w: {"name": "Steel"},
    "catalog/materialproperty/add": lambda w: {
        "material": w.id("material"),
        "quantity": "density",
        "value": "1.2",
        "unit": "g/cm3",
    },
    "catalog/instrument/add": lambda w: {"name": "Third microscope", "modality": "sem"},
    "catalog/calibration/add": lambda w: {
        "instrument": w.id("instrument"),
        "factor": "1.0",
        "u_factor": "0.001",
        "standard": "grating",
        "measured_at": "2024-06-01",
        "supersedes": w.id("calibration"),
    },
    "imaging/acquisition/add": lambda w: {
        "project": w.id("project"),
        "specimen": w.id("specimen"),
        "modality": "sem",
    },
    "imaging/series/add": lambda w: {
        "project": w.id("project"),
        "specimen": w.id("specimen"),
        "kind": "tilt",
        "name": "by the admin",
    },
    **spatial_requests.ADMIN,
}

# ----------------------------------------------------------------------------------------- where it is sent, by address

# Things behind an address, where it is not the one that the address is named after.
TARGETS = {
    **spatial_requests.TARGETS,
    "POST acquisitions/{pk}/files/": "empty",
    "POST acquisitions/{pk}/preview/": "waiting",
    "POST acquisitions/{pk}/ingest/": "waiting",
    **dict.fromkeys(("GET images/{pk}/spectrum/", "GET images/{pk}/element-map/"), "spectrum"),
    "POST properties/{pk}/withdraw-release/": "released",
    "POST tables/{pk}/withdraw-release/": "released_table",
    "POST jobs/{pk}/cancel/": "queued",
    "POST jobs/{pk}/retry/": "failed",
    "POST jobs/{pk}/rerun/": "threshold",
    "POST /numbers/{pk}/withdraw/": "released",
    "POST /acquisitions/{pk}/files/": "empty",
    "POST /acquisitions/{pk}/look/": "waiting",
    "POST /acquisitions/{pk}/ingest/": "waiting",
    "POST /jobs/{pk}/cancel/": "queued",
    "POST /jobs/{pk}/retry/": "failed",
}
NAMES = {
    "new-specimen": "project",
    "projects": "project",
    "jobs": "threshold",
    "materials": "material",
    "instruments": "instrument",
    "calibrations": "calibration",
    "specimens": "specimen",
    "specimen-events": "event",
    "frames": "frame",
    "found": "found",
    "mounts": "mount",
    "transforms": "transform",
    "rois": "roi",
    "regions": "roi",
    "acquisitions": "acquisition",
    "series": "series",
    "attachments": "attachment",
    "uploads": "upload",
    "external-activities": "outside",
    "images": "image",
    "properties": "property",
    "numbers": "property",
    "tables": "table",
    "lineage": "property",
}
ZARR_KEYS = {"metadata": "zarr.json", "level": "0/zarr.json", "chunk": None}
VARIANTS: dict[str, tuple[str, ...]] = {
    "GET tables/{pk}/": ("", "?format=csv", "?format=parquet"),
    "GET lineage/{pk}/": ("", "?direction=both"),
    "POST jobs/": ("", "?dry_run=1"),
    "GET images/{pk}/element-map/": ("?low=0.1&high=0.3",),
}


def short(route: Route) -> str:
    return f"{route.method.upper()} {route.path.removeprefix(API)}" if route.is_api else route.key


def _chunk_key(world: World) -> str:
    """Key of one chunk of the image's store, as its folder has it."""
    root = world.store_path
    return next(str(p.relative_to(root)) for p in sorted(root.glob("0/c/**/*")) if p.is_file())


def _addresses(route: Route, world: World, role: str) -> Iterator[tuple[str, str]]:
    """Yield (row name, address) of a route: one for each kind of thing or form that it serves."""
    path, name = route.path, short(route)
    if "{things}" in path:
        for kind in sorted(things()):
            for variant in ("", "?format=provn") if (kind, path[-12:]) == ("properties", "/provenance/") else ("",):
                row = f"{route.method.upper()} {path.replace('{things}', kind)}{variant}"
                yield row, path.replace("{things}", kind).replace("{pk}", world.id(NAMES[kind])) + variant
        return
    if "{key}" in path:
        for kind, key in ZARR_KEYS.items():
            filled = path.replace("{pk}", world.id("image")).replace("{key}", key or _chunk_key(world))
            yield route.key.replace("{key}", f"{{key}} ({kind})"), filled
        return
    asked = spatial_requests.QUERIES.get(name, lambda _: "")(world)
    for variant in VARIANTS.get(name, ("",)):
        yield route.key + variant, _filled(route, world, role) + variant + asked


def _filled(route: Route, world: World, role: str) -> str:
    path = route.path
    if route.is_admin:
        return _admin_address(path, world)
    if "{" not in path:
        return path
    if "auth/tokens/" in path or "account/tokens/" in path:
        owner = "manager" if role in ("anonymous", "read_token") else role
        return path.replace("{pk}", world.id(f"token_{owner}"))
    path = (
        path.replace("{path}", "no-such-thing/")
        .replace("{frame}", world.id("frame"))
        .replace("{member}", world.id("membership"))
        .replace("{name}", "segmentation.threshold" if "/analyses/" in path else str(list_plugins()[0]["name"]))
    )
    if "{pk}" in path:
        thing = TARGETS.get(short(route)) or NAMES[path.removeprefix(API).strip("/").split("/")[0]]
        path = path.replace("{pk}", world.id(thing))
    return path


def _admin_address(path: str, world: World) -> str:
    if "{object_id}" in path and "{content_type_id}" not in path:
        app, model = path.split("/")[2:4]
        path = path.replace("{object_id}", admin_object(world, app, model))
    return (
        path.replace("{content_type_id}", "1")
        .replace("{object_id}", world.id("project"))
        .replace("{app_label}", "catalog")
        .replace("{url}", "no-such-page/")
    )


def admin_object(world: World, app: str, name: str) -> str:
    """Id of a row of a model: of the project where the model has one."""
    model = next(m for m in admin.site._registry if (m._meta.app_label, m._meta.model_name) == (app, name))
    rows: Any = model._default_manager.order_by("pk")
    lookup = access._lookup(model) if hasattr(model, "PROJECT_PATH") else None
    if model.__name__ == "Membership":
        rows = rows.filter(pk=member_of(world, "leaver").pk)
    elif model.__name__ in ("User", "ApiToken"):
        rows = rows.filter(**{"pk" if model.__name__ == "User" else "user": world.users["manager"].pk})
    elif lookup is not None:
        rows = rows.filter(**{lookup: [world.project.pk]})
    elif model.__name__.startswith("Project"):
        rows = rows.filter(content_object=world.project)
    row: Model | None = rows.first()
    return str(row.pk) if row is not None else "1"


def _body(route: Route) -> tuple[Build | None, str]:
    """Return what a writing route is sent, and how."""
    name = short(route)
    if route.is_api:
        if name not in BODIES:
            raise LookupError(f"{route.key}: say in tests/contract/requests.py, BODIES, what this route is sent")
        return BODIES[name], upload_requests.RAW.get(name) or ("multipart" if name in MULTIPART else "json")
    if route.is_admin:
        found = re.fullmatch(r"/admin/(\w+/\w+)/(?:\{object_id\}/)?(add|change|delete)/", route.path)
        return ADMIN.get("/".join(found.groups()) if found else "", lambda w: {}), "multipart"
    if name not in PAGES:
        raise LookupError(f"{route.key}: say in tests/contract/requests.py, PAGES, what this route is sent")
    return PAGES[name], "multipart"


def requests_of(world: World, role: str) -> Iterator[Call]:
    """Yield a request in order for every route; addresses differ by role where one sees only one's own."""
    for route in all_routes():
        call = Call("", route.method, "", route=route)
        if call.writes:
            body, form = _body(route)
            call = replace(call, body=body, form=form, headers=upload_requests.HEADERS.get(short(route), {}))
        for key, url in _addresses(route, world, role):
            yield replace(call, key=key, url=url)
