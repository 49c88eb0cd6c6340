"""How payloads state things; the writer makes them from what was said, the checks from the rows that stand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from apps.core.ids import urn
from apps.provenance.buffer import EdgeSpec
from apps.provenance.canonical import instant
from apps.provenance.models import ErasableText


def urn_or_none(value: uuid.UUID | None) -> str | None:
    """Return ``urn:uuid:...`` or None."""
    return None if value is None else urn(value)


def node_statement(
    node: uuid.UUID, kind: str, type_name: str, project: uuid.UUID | None, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a node as payloads state it."""
    return {
        "id": urn(node),
        "kind": str(kind),
        "type": type_name,
        "project": urn_or_none(project),
        "attributes": attributes,
    }


def edge_statement(edge: EdgeSpec) -> dict[str, Any]:
    """Return an edge as payloads state it; what was not said is left out."""
    optional = {
        "activity": urn_or_none(edge.activity),
        "plan": urn_or_none(edge.plan),
        "role": edge.role or None,
        "time": instant(edge.time) if edge.time else None,
    }
    return {"relation": str(edge.relation), "subject": urn(edge.subject), "object": urn(edge.object)} | {
        name: value for name, value in optional.items() if value is not None
    }


def annotation_statement(node: uuid.UUID, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an annotation as payloads state it."""
    return {"node": urn(node), "attributes": attributes}


def text_statement(text: ErasableText) -> dict[str, Any]:
    """Return an erasable text as payloads state it: by its commitment."""
    return {"id": urn(text.id), "node": urn(text.node_id), "name": text.name, "commitment": text.commitment}


def stale_statement(thing: uuid.UUID, cause: uuid.UUID, reason_commitment: str) -> dict[str, Any]:
    """Return a stale mark as payloads state it."""
    return {"thing": urn(thing), "cause": urn(cause), "commitment": reason_commitment}
