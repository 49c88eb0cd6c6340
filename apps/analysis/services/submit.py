"""Submitting analyses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db.models import Model

from analyses.sdk.contract import Cost
from apps.analysis import resolve
from apps.analysis.models import MethodStatus
from apps.analysis.selectors import method_status
from apps.analysis.starts import missing_start
from apps.core.errors import ConflictError, InvalidValueError
from apps.jobs import services as jobs
from apps.jobs.models import FINISHED, Job
from apps.jobs.selectors import job_with_key
from apps.jobs.services import SameJobError
from apps.projects import access
from apps.projects.models import Project, User
from apps.provenance import record
from apps.spatial.models import Transform
from apps.spatial.services import ensure_start, known_start

KIND = "analysis"
MAX_SEED = 2**53 - 1  # the largest integer that JSON numbers hold exactly


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= MAX_SEED:
        raise InvalidValueError(f"the seed is {seed}; it must lie between 0 and {MAX_SEED}", field="seed")


def refuse_retired(plugin: str) -> None:
    """Raise ConflictError if the installed version of a plugin is retired; what it gave before stays as it is."""
    spec = resolve.get_spec(plugin)
    found = method_status(spec.name, spec.version)
    if found is not None and found.status == MethodStatus.Status.RETIRED:
        raise ConflictError(
            f"{spec.name} {spec.version} was retired on {found.created_at:%Y-%m-%d}: {found.reason}", field="plugin"
        )


def submit(
    *, actor: User, project: Project, plugin: str, params: Mapping[str, Any], inputs: Mapping[str, Any], seed: int = 0
) -> tuple[Job, bool]:
    """Ask for a run of a plugin.

    Parameters
    ----------
    actor : User
        Needs to contribute to the project.
    project : Project
        All inputs must belong to it.
    plugin : str
        Dotted name.
    params, inputs : mapping
        As the plugin's SPEC says; inputs are ids by port.
    seed : int
        Of the plugin's random numbers.

    A registration that is to start from the stage or from history, and is not given that, gets it here: composed of
    transforms and found positions, and written as a candidate of its own.

    Returns
    -------
    (Job, bool)
        The job, and True if it is new: an equal request that is queued, running or succeeded is given back instead.

    Raises
    ------
    ConflictError
        The plugin is retired.
    """
    access.require(actor, access.Action.CONTRIBUTE, project)
    _check_seed(seed)
    refuse_retired(plugin)
    resolved = resolve.resolve(actor=actor, project=project, plugin=plugin, params=params, inputs=inputs)
    filling = missing_start(resolved)
    if filling is not None:
        start = ensure_start(actor=actor, start=filling.start, source=filling.moving, target=filling.fixed)
        resolved = _with_start(resolved, filling.port, start)
    key = resolve.content_key(resolved, project, seed)
    existing = job_with_key(key)
    if existing is not None:
        return existing, False
    try:
        return _create(actor, project, resolved, seed, key, None), True
    except SameJobError as same:  # the same request came in at the same instant and was first
        return same.job, False


def _with_start(resolved: resolve.Resolved, port: str, start: Transform) -> resolve.Resolved:
    """The submission with a start that the server gives: an input like any other, in the key and in the lineage."""
    rows: dict[str, list[Model]] = {**resolved.rows, port: [start]}
    described = resolve.describe_inputs(resolved.spec, rows)
    return replace(resolved, inputs={**resolved.inputs, port: str(start.pk)}, rows=rows, described=described)


def _create(
    actor: User, project: Project, resolved: resolve.Resolved, seed: int, key: str, rerun_of: Job | None
) -> Job:
    spec = resolved.spec
    with record.act("submit_analysis", actor=actor, project=project.pk) as act:
        return jobs.create_job(
            actor=actor,
            project=project,
            kind=KIND,
            params=resolved.params,
            inputs=resolved.inputs,
            plugin=spec.name,
            plugin_version=spec.version,
            seed=seed,
            content_key=key,
            rerun_of=rerun_of,
            act=act,
        )


def estimate(
    *, actor: User, project: Project, plugin: str, params: Mapping[str, Any], inputs: Mapping[str, Any], seed: int = 0
) -> dict[str, Any]:
    """Dry run: check everything, estimate the cost, make nothing.

    Returns
    -------
    dict
        ``start`` (the port that the server would fill, or None),
        ``valid`` (True; a refusal raises), ``params`` with defaults, ``existing`` (job that an equal request gave, or
        None), ``cost``
        (``memory_bytes``, ``cpu_seconds``, ``output_shapes``) or None where the plugin gives no estimate.
    """
    access.require(actor, access.Action.CONTRIBUTE, project)
    _check_seed(seed)
    refuse_retired(plugin)
    resolved = resolve.resolve(actor=actor, project=project, plugin=plugin, params=params, inputs=inputs)
    filling = missing_start(resolved)
    start = None if filling is None else known_start(filling.start, filling.moving, filling.fixed)
    if filling is not None and start is not None:
        resolved = _with_start(resolved, filling.port, start)
    existing = job_with_key(resolve.content_key(resolved, project, seed))
    return {
        "valid": True,
        "plugin": resolved.spec.name,
        "version": resolved.spec.version,
        "params": resolved.params,
        "existing": existing.pk if existing else None,
        "cost": _cost(resolved),
        "start": None if filling is None else filling.port,
    }


def _cost(resolved: resolve.Resolved) -> dict[str, Any] | None:
    if resolved.spec.cost is None:
        return None
    params = resolved.spec.params.model_validate(resolved.params)
    cost: Cost = resolved.spec.cost(params, resolve.as_values(resolved.described))
    return {
        "memory_bytes": cost.memory_bytes,
        "cpu_seconds": cost.cpu_seconds,
        "output_shapes": {name: list(shape) for name, shape in cost.output_shapes.items()},
    }


def rerun(*, actor: User, job: Job) -> Job:
    """Run a finished analysis again, equal in all; the new job's verdict compares the two results."""
    access.require(actor, access.Action.CONTRIBUTE, job)
    if job.kind != KIND:
        raise ConflictError(f"a job of kind {job.kind} is not run again; analyses are")
    if job.status != Job.Status.SUCCEEDED:
        where = "has not finished" if job.status not in FINISHED else f"ended {job.status}"
        raise ConflictError(f"only a job that succeeded can be run again; this one {where}")
    spec = resolve.get_spec(job.plugin)
    if spec.version != job.plugin_version:
        raise ConflictError(
            f"the job ran {job.plugin} {job.plugin_version}; "
            f"{spec.version} is installed and would be another computation"
        )
    rows, ids = resolve.resolve_inputs(spec, job.inputs, actor, job.project)
    resolved = resolve.Resolved(spec, job.params, ids, rows, resolve.describe_inputs(spec, rows))
    return _create(actor, job.project, resolved, job.seed, resolve.content_key(resolved, job.project, job.seed), job)
