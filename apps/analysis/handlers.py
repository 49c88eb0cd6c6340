"""The job kind "analysis": ids to values before, rows and lineage after."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db.models import Model

from analyses.sdk.contract import PluginSpec
from apps.analysis import compare, resolve
from apps.analysis.selectors import method_status
from apps.catalog.models import MaterialProperty
from apps.core.errors import CorrError
from apps.imaging.models import Image
from apps.imaging.services import create_image
from apps.jobs.models import Job
from apps.jobs.registry import ChildPlan, ChildResult, JobFailure
from apps.jobs.services import write_verdict
from apps.provenance import record
from apps.provenance.record import Act
from apps.results.models import Property, Table
from apps.results.services import create_property, create_table
from apps.spatial.geometry import clean_covariance, clean_matrix
from apps.spatial.models import Frame, Transform
from apps.spatial.services import transforms

TARGET = "analyses.runner:run"
_THREADS = 2


class AnalysisHandler:
    """Prepares and publishes runs of plugins."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        """Resolve inputs to paths and values; a vanished or unreadable one fails the job by name."""
        try:
            spec = resolve.get_spec(job.plugin)
            if spec.version != job.plugin_version:
                raise JobFailure(
                    "plugin_changed",
                    f"{job.plugin} {job.plugin_version} was asked for; {spec.version} is installed now",
                )
            rows, _ = resolve.resolve_inputs(spec, job.inputs, job.created_by, job.project)
            described = resolve.describe_inputs(spec, rows)
        except CorrError as error:
            raise JobFailure(error.code, error.message, error.details) from error
        request = {"plugin": spec.name, "version": spec.version, "params": job.params, "inputs": described}
        return ChildPlan(target=TARGET, request=request, threads=_THREADS)

    def publish(self, job: Job, result: ChildResult, act: Act) -> dict[str, Any]:
        """Write images, tables and properties with their lineage; returns ``{port: {type, id}}`` or lists of these."""
        spec = resolve.get_spec(job.plugin)
        inputs = self._record_inputs(job, spec, act)
        outputs: dict[str, Any] = {}
        made: list[tuple[str, Any]] = []
        images = [row for rows in inputs.values() for row in rows if isinstance(row, Image)]
        basis = images[0] if images else None
        for port, described in result.value.items():
            many = described if isinstance(described, list) else [described]
            rows = [self._create(job, port, item, result, basis, inputs, act) for item in many]
            made += [(port, row) for row in rows]
            named = [{"type": item["type"], "id": str(row.pk)} for item, row in zip(many, rows, strict=True)]
            outputs[port] = named if isinstance(described, list) else named[0]
        sources = [source for rows in inputs.values() for source in rows]
        for _, row in made:
            for source in sources:
                act.derived(row, source)
        self._inherit_staleness(made, sources, act)
        if job.rerun_of is not None:
            write_verdict(job=job, verdict=self._verdict(job.rerun_of, made))
        return outputs

    def _inherit_staleness(self, made: list[tuple[str, Any]], sources: list[Any], act: Act) -> None:
        """A job that ran on what went stale meanwhile finishes, and its result is born stale."""
        act.inherit_stale(
            [row.pk for _, row in made],
            [source.pk for source in sources],
            "an input was stale when the job finished",
        )

    def ended(self, job: Job, act: Act) -> None:
        """A run without result used its inputs all the same."""
        try:
            spec = resolve.get_spec(job.plugin)
        except CorrError:  # the plugin was taken out since; the job's own row still names what it was given
            return
        self._record_inputs(job, spec, act)

    def _record_inputs(self, job: Job, spec: PluginSpec, act: Act) -> dict[str, list[Any]]:
        act.associated(record.software_agent(spec.name, spec.version), role="plugin")
        status = method_status(spec.name, spec.version, at=job.started_at)
        if status is not None:
            act.used(status, role="method status")
        inputs: dict[str, list[Any]] = {}
        for port in spec.inputs:
            given = job.inputs.get(port.name)
            if given is None:
                continue
            ids = given if isinstance(given, list) else [given]
            rows = resolve.INPUT_MODELS[port.type]._default_manager.filter(pk__in=[uuid.UUID(pk) for pk in ids])
            inputs[port.name] = list(rows)
            for row in inputs[port.name]:
                act.used(row, role=port.name)
        self._record_phases(job, act)
        return inputs

    def _record_phases(self, job: Job, act: Act) -> None:
        """A phase's value is a material's, which was used, or a number typed by hand, which is listed as such."""
        phases = job.params.get("phases")
        if not isinstance(phases, Mapping):
            return
        for name, phase in phases.items():
            if not isinstance(phase, Mapping):
                continue
            if phase.get("material_property"):
                act.used(MaterialProperty.objects.get(pk=phase["material_property"]), role=f"phase {name}")
            else:
                typed = {key: phase.get(key) for key in ("k", "u", "source")} | {"unit": job.params.get("unit")}
                act.asserted(job, f"value of phase {name}", typed)

    def _create(
        self,
        job: Job,
        port: str,
        described: Mapping[str, Any],
        result: ChildResult,
        basis: Image | None,
        inputs: Mapping[str, list[Any]],
        act: Act,
    ) -> Image | Table | Property | Transform:
        if described["type"] == "property":
            return create_property(act=act, job=job, name=port, value=described["value"], image=basis)
        if described["type"] == "transform":
            return self._candidate(job, described["value"], inputs, act)
        store = result.stores[described["store"]].store
        if described["type"] == "table":
            return create_table(
                act=act,
                job=job,
                name=port,
                columns=described["columns"],
                rows=described["rows"],
                store=store,
                image=basis,
            )
        like, shown = self._like(described["like"], inputs), self._like(described["of"], inputs)
        return create_image(
            act=act,
            job=job,
            project=job.project,
            specimen=shown.specimen,
            state=shown.state,
            acquisition=None,
            store=store,
            description=dict(described),
            like=like,
            shown=shown,
            name=f"{shown.name}: {described['name']}",
        )

    def _candidate(self, job: Job, value: Mapping[str, Any], inputs: Mapping[str, list[Any]], act: Act) -> Transform:
        """Write what a registration found: a candidate, which a person accepts or not."""
        pairs = [transforms.Pair(**pair) for pair in value["landmarks"]]
        covariance = value["covariance"]
        transform = Transform(
            source=self._frame(value["source"], inputs),
            target=self._frame(value["target"], inputs),
            kind=value["kind"],
            method=Transform.Method.LANDMARKS if pairs else Transform.Method.REGISTRATION,
            matrix=clean_matrix(value["matrix"], kind=value["kind"]),
            covariance=None if covariance is None else clean_covariance(covariance),
            degrees_of_freedom=value["degrees_of_freedom"],
            residual_um=value["residual_um"],
            no_residual_reason=value["no_residual_reason"],
            facts=value["facts"],
            job=job,
            created_by=job.created_by,
        )
        return transforms.add_transform(act, transform, pairs=pairs)

    def _frame(self, name: str, inputs: Mapping[str, list[Any]]) -> Frame:
        """Return the frame in which the plugin was given the lengths of an input image."""
        image = self._like(name, inputs)
        frame = image.calibrated_frame or image.frame
        if frame is None:
            raise LookupError(f"the image on port {name!r} has no frame; its port must ask for a calibrated one")
        return frame

    def _like(self, name: str, inputs: Mapping[str, list[Any]]) -> Image:
        for port, rows in inputs.items():
            for row in rows:
                if isinstance(row, Image) and name in (port, str(row.pk)):
                    return row
        raise LookupError(f"the plugin names {name!r} as what its output is like; it is none of its inputs")

    def _verdict(self, original: Job, made: list[tuple[str, Any]]) -> dict[str, Any]:
        old: dict[str, list[Any]] = {}
        for port, output in original.outputs.items():
            old[port] = [self._comparable(item) for item in (output if isinstance(output, list) else [output])]
        new: dict[str, list[Any]] = {}
        for port, row in made:
            new.setdefault(port, []).append(self._plain(row))
        several = {port for port, rows in (*old.items(), *new.items()) if len(rows) > 1}
        before, after = (
            {port: rows if port in several else rows[0] for port, rows in named.items() if rows} for named in (old, new)
        )
        return compare.compare_values(before, after)

    def _comparable(self, output: Mapping[str, str]) -> Any:
        models: dict[str, type[Model]] = {"property": Property, "table": Table, "transform": Transform}
        return self._plain(models.get(output["type"], Image)._default_manager.get(pk=output["id"]))

    def _plain(self, row: Any) -> Any:
        if isinstance(row, Property):
            return {"value": row.value, "unit": row.unit, "interval": row.interval, "error": row.error}
        if isinstance(row, Transform):
            return {"kind": row.kind, "matrix": row.matrix, "residual_um": row.residual_um}
        return {"digest": row.store.digest}
