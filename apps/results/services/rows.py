"""Rows for what a job computed; called while a job is published, inside its act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.models import Store
from apps.imaging.models import Image, OutsideActivity
from apps.jobs.models import Job
from apps.provenance.record import Act
from apps.results import scale
from apps.results.models import Property, Table
from apps.results.selectors import describe_scale, scale_sources


def create_property(*, act: Act, job: Job, name: str, value: Mapping[str, Any], image: Image | None) -> Property:
    """Write a property.  One whose value moves with the spacing carries the scale's uncertainty of ``image``.

    A spacing declared exact (u = 0) adds nothing, and no interval is made of it: the facts say so instead.  The facts
    name the sources of the scale, so that two numbers can be told to share an error; see ``describe_scale``.

    Parameters
    ----------
    value : mapping
        ``value``, ``unit``, ``interval``, ``error``, ``facts``, ``scale_exponent``, ``depends_on_anisotropy`` of a
        :class:`analyses.sdk.values.PropertyValue`.
    image : Image or None
        The image whose scale the value rests on.
    """
    interval, error, facts = value["interval"], dict(value["error"]), dict(value["facts"])
    exponent = value["scale_exponent"]
    sources = scale_sources(image) if image else None
    facts["scale"] = describe_scale(image, sources, exponent, ratios=value["depends_on_anisotropy"])
    if exponent:
        relative = None if sources is None else scale.combined_uncertainty(sources)
        if relative is None:
            facts["scale_uncertainty"] = "not stated"
        elif relative == 0:
            facts["scale_uncertainty"] = "declared zero"
        else:
            error["scale"] = scale.scale_error(value["value"], exponent, relative)
            interval = scale.widen_interval(value["value"], interval, error["scale"])
    row = Property.objects.create(
        project_id=job.project_id,
        job=job,
        image=image,
        name=name,
        value=value["value"],
        unit=value["unit"],
        interval=interval,
        error=error,
        facts=facts,
        scale_exponent=exponent,
        depends_on_anisotropy=value["depends_on_anisotropy"],
    )
    act.created(row, attributes={"corr:name": name, "corr:unit": row.unit, "prov:value": row.value})
    return row


def create_table(
    *,
    act: Act,
    job: Job,
    name: str,
    columns: list[dict[str, Any]],
    rows: int,
    store: Store,
    image: Image | None,
    outside_activity: OutsideActivity | None = None,
) -> Table:
    """Write a table whose Parquet file lies in ``store``; ``outside_activity`` names the work that left it."""
    row = Table.objects.create(
        project_id=job.project_id,
        job=job,
        image=image,
        outside_activity=outside_activity,
        name=name,
        columns=columns,
        rows=rows,
        store=store,
    )
    act.created(row, attributes={"corr:name": name, "corr:rows": rows, "corr:digest": store.digest})
    return row
