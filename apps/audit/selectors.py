"""How things came to be, as far as the caller may see it."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import Model

from apps.audit import derivation as story
from apps.audit.calibrations import calibrations_told
from apps.audit.completeness import check_completeness
from apps.audit.decisions import release_words, review_words
from apps.audit.labels import Label, api_url, label_nodes, page_url
from apps.core.errors import InvalidValueError, NotFoundError
from apps.imaging.models import Image
from apps.projects import access
from apps.projects.selectors import visible_project_ids
from apps.provenance import graph, registry, sight
from apps.provenance import selectors as ledger
from apps.provenance.rows import EdgeRow, Neighbourhood, NodeRow
from apps.results.models import Property, Table
from apps.spatial.models import Roi

MAX_NODES = sight.MAX_NODES
_PERSON = "prov:Person"


@dataclass(frozen=True)
class Lineage:
    """A redacted part of the graph with labels; the asked node comes first."""

    target: uuid.UUID
    nodes: list[NodeRow]
    edges: list[EdgeRow]
    labels: dict[uuid.UUID, Label]
    truncated: bool
    stale: set[uuid.UUID] = field(default_factory=set)


def _start(target: uuid.UUID, user: access.Caller) -> sight.Viewer:
    """Refuse a start that is unknown or hidden in the same words, so that existence does not leak.

    What a person did is asked of the things they made; from the person itself only they may begin.
    """
    viewer = sight.Viewer(str(user.pk), visible_project_ids(user))
    found = ledger.type_and_project(target)
    if found is None or viewer.is_hidden(found[1]) or (found[0] == _PERSON and target != user.pk):
        raise NotFoundError(f"there is nothing recorded under {target} that you can see")
    return viewer


def lineage(
    user: access.Caller,
    target: uuid.UUID,
    *,
    direction: graph.Direction = "upstream",
    limit: int = 1000,
    filters: graph.Filters = graph.NO_FILTERS,
) -> Lineage:
    """Return what a thing rests on, or what rests on it.

    Parameters
    ----------
    user : User
        Hidden parts become opaque stubs: connectivity stays, ids, labels and counts do not leak.  No stubs with any
        filter, and none below site-wide things; see ``apps.provenance.sight``.
    target : UUID
        Id of any recorded thing.
    direction : {"upstream", "downstream", "both"}
    limit : int
        At most so many visible nodes each way, 1 to 10,000; ``truncated`` says that there are more.
    filters : graph.Filters

    Raises
    ------
    NotFoundError
        Nothing is recorded under the id, or it is hidden from the caller, or it is another person.
    """
    if not 1 <= limit <= MAX_NODES:
        raise InvalidValueError(f"limit is {limit}, it must lie between 1 and {MAX_NODES}", field="limit")
    viewer = _start(target, user)
    found = sight.lineage(target, viewer, direction=direction, limit=limit, filters=filters)
    shown = [node for node in found.nodes if not node.hidden]
    stale = ledger.is_stale([node.id for node in shown])
    return Lineage(target, found.nodes, found.edges, label_nodes(shown), found.truncated, stale)


def node_dict(found: Lineage, node: NodeRow) -> dict[str, Any]:
    """Return one node for JSON; a hidden one shows its pseudonym and nothing else."""
    if node.hidden:
        return {"id": str(node.id), "kind": node.kind, "type": node.type, "hidden": True}
    label = found.labels[node.id]
    return {
        "id": str(node.id),
        "kind": node.kind,
        "type": node.type,
        "hidden": False,
        "label": label.title,
        "project": str(node.project) if node.project else None,
        "attributes": dict(node.attributes),
        "recorded_at": node.recorded_at.isoformat() if node.recorded_at else None,
        "url": api_url(node.type, node.id) if label.row is not None else None,
        "page": label.url,
        "stale": node.id in found.stale,
    }


def edge_dict(edge: EdgeRow) -> dict[str, Any]:
    """Return one edge for JSON."""
    return {
        "relation": edge.relation,
        "subject": str(edge.subject),
        "object": str(edge.object),
        "role": edge.role,
        "time": edge.time.isoformat() if isinstance(edge.time, dt.datetime) else None,
    }


def lineage_dict(found: Lineage) -> dict[str, Any]:
    """Return a lineage as the REST surface gives it."""
    return {
        "nodes": [node_dict(found, node) for node in found.nodes],
        "edges": [edge_dict(edge) for edge in found.edges],
        "truncated": found.truncated,
        "next": None,
    }


def derivation(obj: Model, user: access.Caller) -> dict[str, Any]:
    """Tell how a thing came to be.

    Returns
    -------
    dict
        ``sentences`` (``text``, ``activity``, ``things``), ``asserted`` (typed by hand or done outside: ``what``,
        ``thing``, ``label``, ``value``, ``by``, ``text``), ``completeness`` (``score`` 0 to 1, ``checks``), ``scale``
        (which numbers move with the
        spacing, the thing and its siblings of one job included), ``calibrations`` (those that the images it rests on
        are under, with what speaks against them), ``stale``, ``truncated``.
    """
    newest = _newest(obj)
    found = lineage(user, newest, limit=MAX_NODES)
    told = story.Graph({node.id: node for node in found.nodes}, found.edges, found.labels)
    checks = check_completeness(told, found.target)
    satisfied = sum(check.satisfied for check in checks)
    sentences = story.Teller(told).tell()
    return {
        "id": str(obj.pk),
        "label": told.title(uuid.UUID(str(obj.pk))),
        "sentences": [
            {"text": s.text, "activity": str(s.activity) if s.activity else None, "things": [str(t) for t in s.things]}
            for s in [*sentences, *_decided(obj)]
        ],
        "asserted": _asserted(told),
        "completeness": {
            "score": round(satisfied / len(checks), 3) if checks else 0.0,
            "checks": [vars(check) for check in checks],
        },
        "scale": _scale(obj),
        "calibrations": calibrations_told(row.row for row in found.labels.values() if isinstance(row.row, Image)),
        "stale": [_mark(mark) for mark in _marks(obj, newest)],
        "truncated": found.truncated,
    }


def _newest(obj: Model) -> uuid.UUID:
    """Return the id under which a thing is found as it stands: of a region, the decision that it was last sent by."""
    pk = uuid.UUID(str(obj.pk))
    return ledger.newest_versions([pk]).get(pk, pk) if isinstance(obj, Roi) else pk


def _marks(obj: Model, newest: uuid.UUID) -> list[dict[str, Any]]:
    """Return the marks on a thing and on what the last change made of it, each cause once."""
    marks = ledger.stale_marks([uuid.UUID(str(obj.pk)), newest])
    return list({mark["cause"]: mark for mark in reversed(marks)}.values())[::-1]


def _decided(obj: Model) -> list[story.Sentence]:
    """What people decided about a result after it was made, oldest first; who sees the result sees that."""
    if not isinstance(obj, Property | Table):
        return []
    said: list[tuple[dt.datetime, Model, list[str]]] = [
        (row.created_at, row, [review_words(row)]) for row in obj.reviews.select_related("reviewed_by")
    ]
    releases = obj.releases.select_related("released_by", "withdrawal__withdrawn_by")
    said += [(row.created_at, row, release_words(row)) for row in releases]
    ordered = sorted(said, key=lambda entry: entry[0])
    return [story.Sentence(text, None, (obj.pk, row.pk)) for _, row, texts in ordered for text in texts]


def _asserted(told: story.Graph) -> list[dict[str, Any]]:
    visible = [node.id for node in told.nodes.values() if not node.hidden]
    listed = []
    for said in ledger.assertions(visible):
        people = told.agents(said["by"], "prov:Person")
        value = said["value"]
        listed.append(
            {
                "what": said["what"],
                "thing": str(said["thing"]),
                "label": told.title(said["thing"]),
                "value": value,
                "by": people,
                "text": f"{_subject(said['what'], told.title(said['thing']))}: "
                f"{story.asserted_words(said['what'], value)}"
                + (f", asserted by {story.join_words(people)}" if people else ""),
            }
        )
    return listed


def _subject(what: str, title: str) -> str:
    """Name what was asserted of what, once: the title of a material's value begins with the quantity already."""
    return title.partition(":")[0] if title.startswith(what) else f"{what} of {title}"


def _scale(obj: Model) -> list[dict[str, Any]]:
    job = getattr(obj, "job", None)
    rows = list(job.properties.all()) if job is not None else []
    return [entry | {"id": str(entry["id"])} for entry in story.scale_dependence(rows)]


def _mark(mark: dict[str, Any]) -> dict[str, Any]:
    return {
        "cause": str(mark["cause"]),
        "reason": mark["reason"],
        "recorded_at": mark["recorded_at"].isoformat() if mark["recorded_at"] else None,
    }


def stale(obj: Model, user: access.Caller) -> dict[str, Any]:
    """Say whether a thing rests on something withdrawn or superseded, and what would go stale with it.

    Returns
    -------
    dict
        ``stale``, ``marks``, ``dependents`` (what rests on it, as far as visible), ``truncated``.
    """
    found = lineage(user, uuid.UUID(str(obj.pk)), direction="downstream", limit=MAX_NODES)
    marks = _marks(obj, _newest(obj))
    resting = [node for node in found.nodes if node.id != found.target and node.kind == "entity" and not node.hidden]
    dependents = [node_dict(found, node) for node in resting]
    return {
        "stale": bool(marks),
        "marks": [_mark(mark) for mark in marks],
        "dependents": dependents,
        "truncated": found.truncated,
    }


def get_recorded(model: type[Model], user: access.Caller, pk: uuid.UUID) -> Model:
    """Return one visible row of a registered model."""
    return access.get_visible(model._default_manager.all(), user, pk)


def provenance_part(user: access.Caller, obj: Model) -> Neighbourhood:
    """Return the upstream part of a thing for export, redacted."""
    found = lineage(user, uuid.UUID(str(obj.pk)), limit=MAX_NODES)
    return Neighbourhood(found.nodes, found.edges, found.truncated)


def base_uri(request_root: str) -> str:
    """Base of exported identifiers: the installation's, or the address the request came to."""
    return settings.CORR_BASE_URI or request_root


def things() -> dict[str, type[Model]]:
    """Models with a detail route, by the name of its address (``images``, ``jobs``, ...)."""
    named = {}
    for model, entry in registry.registered_models().items():
        if entry.url_name is not None:
            path = api_url(entry.type, uuid.UUID(int=0)) or ""
            named[path.rstrip("/").split("/")[-2]] = model
    return named


__all__ = [
    "Lineage",
    "base_uri",
    "derivation",
    "edge_dict",
    "get_recorded",
    "lineage",
    "lineage_dict",
    "page_url",
    "provenance_part",
    "stale",
    "things",
]
