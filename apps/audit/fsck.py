"""Do database, stores, chain and triggers agree?  One line a finding, none where all is well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from django.db import connection
from django.db.models import Exists, Model, OuterRef

from analyses.sdk.manifest import Manifest, verify_store
from apps.audit.fsck_scale import calibration_findings, release_findings
from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import Image, SourceFile
from apps.jobs.models import FINISHED, Job
from apps.projects.access import permission_findings
from apps.provenance import checks, registry
from apps.provenance.models import Node
from apps.provenance.relations import Kind
from apps.results.models import Property, Table
from apps.spatial import coverage_index
from apps.spatial.checks import transform_findings

_BLOCK = 1 << 20
_BATCH = 500


def file_sha256(path: Path) -> str:
    """Return ``sha256:<hex>`` of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _store_findings(store: Store, *, deep: bool) -> Iterator[str]:
    path = storage.path(store.key)
    if store.kind == Store.Kind.FILE:
        if not path.is_file():
            yield f"store {store.pk}: the file {store.key} is missing"
        elif path.stat().st_size != store.size_bytes:
            yield f"store {store.pk}: {store.key} has {path.stat().st_size} bytes, recorded are {store.size_bytes}"
        elif deep and file_sha256(path) != store.digest:
            yield f"store {store.pk}: the bytes of {store.key} are not those recorded"
        return
    if not path.is_dir():
        yield f"store {store.pk}: the folder {store.key} is missing"
        return
    manifest = Manifest.from_json(store.manifest)
    if manifest.digest != store.digest:
        yield f"store {store.pk}: the manifest's digest is {manifest.digest}, recorded is {store.digest}"
    yield from (f"store {store.pk}: {finding}" for finding in verify_store(path, manifest))


def store_findings(*, deep: bool = True) -> Iterator[str]:
    """Bytes against rows; with ``deep`` every byte is read and hashed."""
    for store in Store.objects.filter(state=Store.State.READY).iterator(chunk_size=_BATCH):
        yield from _store_findings(store, deep=deep)
    for store in Store.objects.filter(state=Store.State.STAGED):
        yield f"store {store.pk}: staged under {store.key}; `sweep` removes it when nobody holds it"
    keys = set(Store.objects.values_list("key", flat=True))
    yield from (f"{key} lies on disk and no row names it" for key in storage.final_keys() if key not in keys)
    yield from (f"{folder.name} lies in staging" for folder, *_ in storage.job_folders())
    yield from (f"upload {folder.name} lies in staging" for folder, _ in storage.upload_folders())


def reference_findings() -> Iterator[str]:
    """Rows that point at bytes which are not ready, and bytes that nothing points at."""
    for model in (Image, SourceFile, Table):
        for row in model._default_manager.exclude(store__state=Store.State.READY).select_related("store"):
            yield f"{model._meta.verbose_name} {row.pk}: its store {row.store_id} is {row.store.state}"
    orphans = Store.objects.filter(state=Store.State.READY)
    for model in (Image, SourceFile, Table):
        orphans = orphans.exclude(Exists(model._default_manager.filter(store=OuterRef("pk"))))
    yield from (f"store {store.pk}: ready, and nothing points at it" for store in orphans)


def job_findings() -> Iterator[str]:
    """Finished jobs whose outputs are not there."""
    models: dict[str, type[Model]] = {"property": Property, "table": Table, "image": Image, "labels": Image}
    for job in Job.objects.filter(status__in=FINISHED).iterator(chunk_size=_BATCH):
        for port, output in _outputs(job):
            model = models.get(output["type"])
            if model is not None and not model._default_manager.filter(pk=output["id"]).exists():
                yield f"job {job.pk}: its output {port} {output['id']} is missing"


def _outputs(job: Job) -> Iterator[tuple[str, dict[str, str]]]:
    for port, output in job.outputs.items():
        for item in output if isinstance(output, list) else [output]:
            yield port, item


def record_findings() -> Iterator[str]:
    """Rows of registered models that no node of the ledger knows: a write past the services."""
    for model, entry in registry.registered_models().items():
        if entry.kind == Kind.AGENT:  # an account is recorded when it first acts
            continue
        known = Node.objects.filter(pk=OuterRef("pk"))
        rows = model._default_manager.annotate(recorded=Exists(known)).filter(recorded=False)
        for pk in rows.values_list("pk", flat=True)[:_BATCH]:
            yield f"{model._meta.verbose_name} {pk} is not recorded in the ledger"


def find(*, deep: bool = True) -> Iterator[str]:
    """Yield every finding, one line each."""
    yield from store_findings(deep=deep)
    yield from reference_findings()
    yield from job_findings()
    yield from record_findings()
    yield from permission_findings()
    yield from calibration_findings()
    yield from release_findings()
    yield from transform_findings()
    yield from coverage_index.findings(connection)
    yield from (f"trigger missing: {name}" for name in checks.missing_triggers())
    yield from (f"chain: {finding}" for finding in checks.verify_chain())
