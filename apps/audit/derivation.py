"""The story of a thing in sentences: plain, but each one says only what the record holds."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.analysis.models import MethodStatus
from apps.audit.calibrations import calibration_words, number_words
from apps.audit.decisions import acquisition_words, method_words, move_words, outside_words, reconstruction_gaps
from apps.audit.labels import Label
from apps.audit.placing import PLACING, placing_words
from apps.catalog.models import MaterialProperty, SpecimenEvent
from apps.imaging.models import Acquisition, Image, OutsideActivity, SourceFile
from apps.jobs.models import Job
from apps.provenance.relations import VERSION_ROLE
from apps.provenance.rows import EdgeRow, NodeRow
from apps.results.models import Property

_DAY = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True)
class Sentence:
    """One step of the story and the things it links to."""

    text: str
    activity: uuid.UUID | None
    things: tuple[uuid.UUID, ...] = ()


@dataclass
class Graph:
    """A redacted lineage with labels, indexed for telling."""

    nodes: dict[uuid.UUID, NodeRow]
    edges: list[EdgeRow]
    labels: dict[uuid.UUID, Label]
    out: dict[tuple[uuid.UUID, str], list[EdgeRow]] = field(init=False)
    into: dict[tuple[uuid.UUID, str], list[EdgeRow]] = field(init=False)

    def __post_init__(self) -> None:
        self.out, self.into = defaultdict(list), defaultdict(list)
        for edge in self.edges:
            self.out[edge.subject, edge.relation].append(edge)
            self.into[edge.object, edge.relation].append(edge)

    def title(self, pk: uuid.UUID) -> str:
        """What a person calls a node; hidden parts stay hidden."""
        node = self.nodes.get(pk)
        if node is None or node.hidden:
            return "something you may not see"
        thing = next((edge.object for edge in self.out[pk, "specializationOf"] if edge.role == VERSION_ROLE), pk)
        return self.labels[thing].title if thing in self.labels else str(pk)

    def row(self, pk: uuid.UUID) -> Any:
        """The database row of a node, None where there is none (any more)."""
        return self.labels[pk].row if pk in self.labels else None

    def used(self, activity: uuid.UUID) -> list[EdgeRow]:
        """What an activity used."""
        return self.out[activity, "used"]

    def made(self, activity: uuid.UUID) -> list[uuid.UUID]:
        """What an activity generated, as far as the lineage reaches."""
        return [edge.subject for edge in self.into[activity, "wasGeneratedBy"]]

    def reconstruction_gaps(self) -> list[tuple[Image, str]] | None:
        """Volumes that came without their projections; None where there is nothing to ask."""
        return reconstruction_gaps({pk: label.row for pk, label in self.labels.items()}, self.edges)

    def agents(self, activity: uuid.UUID, kind: str) -> list[str]:
        """Titles of the agents of one PROV type that had a part in an activity."""
        found = []
        for edge in self.out[activity, "wasAssociatedWith"]:
            node = self.nodes.get(edge.object)
            if node is not None and (node.hidden or node.type == kind):
                found.append(self.title(edge.object))
        return sorted(set(found))


def join_words(parts: Iterable[str], empty: str = "nothing") -> str:
    words = list(dict.fromkeys(parts))
    if not words:
        return empty
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _number(value: float) -> str:
    return f"{value:.6g}"


def spacing_words(spacing: Mapping[str, Any] | None) -> str:
    """Say the spacing of an image, its uncertainty and where it comes from."""
    if not spacing or not any(spacing.values()):
        return "without a scale (uncalibrated)"
    parts = []
    for axis in ("x", "y", "z"):
        entry = spacing.get(axis)
        if entry:
            said = quantity_words(entry["value"], entry.get("u"), entry["unit"], None)
            origin = {"user": "typed by hand", "file": "read from the file", "derived": "derived"}
            said += ", uncertainty not stated" if entry.get("u") is None else ""
            parts.append((said, origin.get(entry["source"], entry["source"])))
    where = [axis for axis in ("x", "y", "z") if spacing.get(axis)]
    along = "every axis" if len(where) == len(spacing) else join_words(where)
    if len(set(parts)) == 1:
        return f"with a spacing of {parts[0][0]} along {along}, {parts[0][1]}"
    each = zip(where, parts, strict=True)
    return "with spacings " + join_words(f"{value} along {axis} ({origin})" for axis, (value, origin) in each)


def value_words(value: Any, *, inner: bool = False) -> str:
    """Say a JSON value in a line: numbers to six digits, nested objects in brackets."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list):
        return f"[{', '.join(value_words(item, inner=True) for item in value)}]"
    if isinstance(value, Mapping):
        parts = [f"{key} = {value_words(item, inner=True)}" for key, item in value.items() if item is not None]
        return f"({', '.join(parts)})" if inner else ", ".join(parts)
    return str(value)


def quantity_words(value: float | None, u: float | None, unit: str | None, source: str | None) -> str:
    """Say a value with its standard uncertainty, unit and where it comes from."""
    said = "no value" if value is None else _number(value)
    said += f" ± {_number(u)}" if u is not None else ""
    said += f" {unit.replace('um', 'µm')}" if unit and unit != "1" else ""
    return f"{said} ({source})" if source else said


def asserted_words(what: str, value: Any) -> str:
    """Say what was asserted by hand; spacings, phases and material values in the words used everywhere for them."""
    if not isinstance(value, Mapping):
        return value_words(value)
    if what == "spacing" and any(isinstance(value.get(axis), Mapping) for axis in ("x", "y", "z")):
        return spacing_words(value).removesuffix(", typed by hand")
    if "k" in value:
        return quantity_words(value["k"], value.get("u"), value.get("unit"), value.get("source") or "without source")
    if "value" in value and "unit" in value:
        sourced = "a source is given" if value.get("sourced") else "without source"
        return quantity_words(value["value"], value.get("u"), value["unit"], sourced)
    return value_words(value)


def params_words(params: Mapping[str, Any], materials: Mapping[str, str]) -> str:
    """Say the parameters of a run: phases as values with their origin, everything else as it is.

    ``materials``: id of a material value -> what a person calls it.
    """
    said: list[str] = []
    for name, value in params.items():
        if name == "phases" and isinstance(value, Mapping):
            said += [_phase_words(key, phase, params.get("unit"), materials) for key, phase in value.items()]
        elif value is not None and not (name == "unit" and "phases" in params):
            said.append(f"{name} = {value_words(value, inner=True)}")
    return ", ".join(said)


def _phase_words(key: str, phase: Any, unit: Any, materials: Mapping[str, str]) -> str:
    if not isinstance(phase, Mapping):
        return f"phase {key} = {value_words(phase, inner=True)}"
    origin = materials.get(str(phase.get("material_property")))
    if origin is None:
        origin = "a material's value" if phase.get("material_property") else phase.get("source") or "without source"
    return f"phase {key} = {quantity_words(phase.get('k'), phase.get('u'), unit, origin)}"


def scale_words(row: Property) -> str:
    """Say whether a property moves with the spacing."""
    if row.scale_exponent is None:
        return "how it moves with the spacing is not simply said"
    if row.scale_exponent == 0:
        more = "; unequal changes per axis would move it" if row.depends_on_anisotropy else ""
        return f"it does not depend on the spacing{more}"
    return f"it depends on the spacing: it goes as length to the power {row.scale_exponent}{number_words(row)}"


class Teller:
    """Turns the activities of a lineage into sentences."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.gaps = graph.reconstruction_gaps()

    def tell(self) -> list[Sentence]:
        """One sentence an activity that made, changed or used something of the lineage, oldest first."""
        activities = [node for node in self.graph.nodes.values() if node.kind == "activity" or node.hidden]
        ordered = sorted(activities, key=lambda node: (node.seq or 0, str(node.id)))
        told = [sentence for node in ordered if (sentence := self._sentence(node)) is not None]
        return told + [Sentence(text, None, (image.pk,)) for image, text in self.gaps or ()]

    def _sentence(self, node: NodeRow) -> Sentence | None:
        if node.hidden:
            return Sentence("A part of the story lies in a project you may not see.", None)
        row = self.graph.row(node.id)
        made = self.graph.made(node.id)
        things = (*made, *(edge.object for edge in self.graph.used(node.id)))
        if isinstance(row, Job):
            text = self._job(node, row, made)
        elif isinstance(row, Acquisition):
            text = acquisition_words(row)
        elif isinstance(row, OutsideActivity):
            text = self._outside(node, row)
        elif isinstance(row, SpecimenEvent):
            text = self._event(row)
        elif made or node.texts.get("reason"):
            text = self._act(node, made)
        else:
            return None
        return Sentence(text, node.id, things)

    def _outside(self, node: NodeRow, row: OutsideActivity) -> str:
        inputs = [self.graph.title(edge.object) for edge in self.graph.used(node.id) if edge.role == "input"]
        return outside_words(row, join_words(inputs, ""), value_words(row.parameters) if row.parameters else "")

    def _event(self, row: SpecimenEvent) -> str:
        by = row.performed_by or "not stated"
        conditions = f", {value_words(row.conditions)}" if row.conditions else ""
        when = row.occurred_at.strftime(_DAY)
        return f"{row.specimen.name} underwent '{row.get_kind_display()}' ({when}, by {by}{conditions})."

    def _who(self, node: NodeRow) -> str:
        return join_words(self.graph.agents(node.id, "prov:Person"), "the system")

    def _when(self, node: NodeRow) -> str:
        return node.recorded_at.strftime(_DAY) if node.recorded_at else "at an unknown time"

    def _job(self, node: NodeRow, job: Job, made: list[uuid.UUID]) -> str:
        used = join_words(
            self.graph.title(edge.object)
            for edge in self.graph.used(node.id)
            # named with the phase it stands for, and with the plugin
            if not isinstance(self.graph.row(edge.object), MaterialProperty | MethodStatus)
        )
        results = join_words((self._made_words(pk) for pk in made), "nothing")
        when = (job.finished_at or job.created_at).strftime(_DAY)
        if job.kind in ("ingest", "outside"):
            software = join_words(self.graph.agents(node.id, "prov:SoftwareAgent"), "the reader")
            return f"{self._who(node)} had {used} read by {software} ({when}), which gave {results}."
        used_rows = [self.graph.row(edge.object) for edge in self.graph.used(node.id)]
        status = next((row for row in used_rows if isinstance(row, MethodStatus)), None)
        plugin = f"{job.plugin} {job.plugin_version}".strip() or job.kind
        materials = {
            str(edge.object): row.material.name
            for edge in self.graph.used(node.id)
            if isinstance(row := self.graph.row(edge.object), MaterialProperty)
        }
        params = params_words(job.params, materials)
        return (
            f"{self._who(node)} ran {plugin} ({method_words(status)}) on {used} ({when}) "
            f"with {params or 'no parameters'}; seed {job.seed}. It gave {results}."
        )

    def _made_words(self, pk: uuid.UUID) -> str:
        row = self.graph.row(pk)
        title = self.graph.title(pk)
        if isinstance(row, Image):
            return f"{title} {spacing_words(row.spacing)}{calibration_words(row)}"
        if isinstance(row, Property):
            unit = "" if row.unit == "1" else f" {row.unit.replace('um', 'µm')}"
            return f"{row.name} = {value_words(row.value)}{unit} ({scale_words(row)})"
        return title

    def _act(self, node: NodeRow, made: list[uuid.UUID]) -> str:
        verb = str(node.attributes.get("corr:verb", ""))
        reason = node.texts.get("reason")
        why = f', because "{reason}"' if reason else ""
        results = join_words(self._thing_words(pk) for pk in made)
        used = [self.graph.title(edge.object) for edge in self.graph.used(node.id)]
        if verb in PLACING:
            by_role = defaultdict(list)
            for edge in self.graph.used(node.id):
                by_role[edge.role].append(self.graph.title(edge.object))
            return placing_words(verb, self._who(node), by_role, self._when(node), reason)
        if verb == "move_acquisition":
            return move_words(self._who(node), join_words(used), self._when(node), reason)
        if verb == "receive_files":
            were = "was" if len(made) == 1 else "were"
            return f"{results[:1].upper()}{results[1:]} {were} uploaded by {self._who(node)} ({self._when(node)}){why}."
        if not made:  # a decision, such as a move to the right specimen
            deed = verb.replace("_", " ").replace(".", " ")
            return f"{self._who(node)} did '{deed}' for {join_words(used)} ({self._when(node)}){why}."
        on = f" using {join_words(used)}" if used else ""
        return f"{self._who(node)} {_did(verb)} {results}{on} ({self._when(node)}){why}."

    def _thing_words(self, pk: uuid.UUID) -> str:
        row = self.graph.row(pk)
        if isinstance(row, SourceFile):
            return f"file {row.name} of {row.size:,} bytes, sha256 {row.sha256[:16]}..."
        return self._made_words(pk)


_DEEDS = {
    "create": "registered",
    "calibrate": "typed a scale, which gave",
    "apply": "applied a calibration, which gave",
    "add": "entered",
    "status": "declared",
}


def _did(verb: str) -> str:
    """Put the verb of an act into the past: ``specimen.create`` and ``create_specimen`` both "registered"."""
    words = verb.replace(".", "_").split("_")
    known = next((_DEEDS[word] for word in words if word in _DEEDS), None)
    return known or f"did '{verb.replace('_', ' ').replace('.', ' ')}', which gave"


def scale_dependence(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Say of every property among the rows whether a change of spacing moves it."""
    return [
        {"id": row.pk, "name": row.name, "scale_exponent": row.scale_exponent, "sentence": scale_words(row)}
        for row in rows
        if isinstance(row, Property)
    ]
