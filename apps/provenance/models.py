"""The rows of the ledger.  All but the chain head are written once; triggers refuse anything else (``triggers.py``).

One event stands for one outermost act and holds every statement of it, in the form that is hashed.  Nodes, edges,
annotations, texts and stale marks say the same in a form that can be queried; ``seq`` names the event that wrote them,
and ``checks.verify_chain`` compares the two.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.core.ids import new_id
from apps.provenance.relations import Kind, Relation

HASH_LENGTH = 64


class Node(models.Model):
    """An entity, activity or agent; its id is the id of the thing, a version has an id of its own."""

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    type = models.CharField(max_length=100, help_text="e.g. corr:Specimen or prov:Person")
    project = models.UUIDField(null=True, help_text="none: site-wide")
    attributes = models.JSONField(default=dict, help_text="what was said of it when it was first recorded")
    seq = models.BigIntegerField(db_index=True)

    class Meta:
        constraints = [models.CheckConstraint(name="node_kind_known", condition=Q(kind__in=Kind.values))]
        indexes = [models.Index(fields=["project", "type"], name="node_project_type_idx")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class Edge(models.Model):
    """One PROV relation, from what came later (subject) to what it rests on (object)."""

    relation = models.CharField(max_length=20, choices=Relation)
    subject = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="+", db_index=False)
    object = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="+", db_index=False)
    activity = models.UUIDField(null=True, help_text="of a derivation or delegation: the activity it happened in")
    plan = models.UUIDField(null=True, help_text="of an association: the plan followed")
    role = models.CharField(max_length=100, blank=True)
    time = models.DateTimeField(null=True, help_text="claimed; the time of recording is the event's")
    seq = models.BigIntegerField(db_index=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="edge_relation_known", condition=Q(relation__in=Relation.values)),
            models.CheckConstraint(name="edge_joins_two", condition=~Q(subject=F("object"))),
        ]
        indexes = [  # both cover the recursion of graph.py: no table row is read while walking
            models.Index(fields=["subject", "relation", "object"], name="edge_upstream_idx"),
            models.Index(fields=["object", "relation", "subject"], name="edge_downstream_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.relation}({self.subject_id}, {self.object_id})"


class Annotation(models.Model):
    """Attributes said of a node after it was recorded: times of a finished job, an assertion by hand."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="annotations")
    attributes = models.JSONField()
    seq = models.BigIntegerField(db_index=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"of {self.node_id}: {', '.join(self.attributes)}"


class ErasableText(models.Model):
    """A name, reason or file name.  The record holds its salted commitment; text and salt can be erased."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="texts")
    name = models.CharField(max_length=100, help_text="what the text is: name, reason, file_name, ...")
    salt = models.CharField(
        max_length=64, null=True, help_text="hex; erased with the text, so that guesses cannot be tried"
    )
    text = models.TextField(null=True)
    commitment = models.CharField(max_length=HASH_LENGTH, help_text="sha256(salt || text), hex")
    seq = models.BigIntegerField(db_index=True)
    erased_seq = models.BigIntegerField(null=True, help_text="event that recorded the erasure")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="text_erased_whole",
                condition=Q(text__isnull=True, salt__isnull=True, erased_seq__isnull=False)
                | Q(text__isnull=False, salt__isnull=False, erased_seq__isnull=True),
            )
        ]
        indexes = [models.Index(fields=["node", "name"], name="text_node_name_idx")]

    def __str__(self) -> str:
        return f"{self.name} of {self.node_id}"


class Stale(models.Model):
    """A thing rests on something that was withdrawn or superseded.  Never taken back: a new version takes its place."""

    thing = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="+")
    cause = models.UUIDField(help_text="what was withdrawn or superseded")
    commitment = models.CharField(max_length=HASH_LENGTH, help_text="of the reason, which is an erasable text")
    seq = models.BigIntegerField(db_index=True)

    class Meta:
        verbose_name = "stale mark"

    def __str__(self) -> str:
        return f"{self.thing_id} because of {self.cause}"


class Event(models.Model):
    """One outermost act.  ``hash = sha256(version byte || previous hash || payload)``, the hashes as 32 bytes."""

    seq = models.BigIntegerField(primary_key=True, editable=False, help_text="1, 2, 3, ... without gap")
    recorded_at = models.DateTimeField(help_text="clock of the database")
    activity = models.UUIDField(db_index=True)
    project = models.UUIDField(null=True)
    verb = models.CharField(max_length=100)
    version = models.PositiveSmallIntegerField(help_text="form of the payload; a single byte in the hash")
    payload = models.TextField(help_text="canonical JSON (RFC 8785)")
    prev_hash = models.CharField(max_length=HASH_LENGTH)
    hash = models.CharField(max_length=HASH_LENGTH)

    class Meta:
        ordering = ["seq"]
        constraints = [
            models.UniqueConstraint(fields=["prev_hash"], name="event_no_fork"),
            models.UniqueConstraint(fields=["hash"], name="event_hash_once"),
            models.CheckConstraint(name="event_seq_positive", condition=Q(seq__gte=1)),
            models.CheckConstraint(name="event_version_is_byte", condition=Q(version__gte=1, version__lte=255)),
        ]
        indexes = [
            models.Index(fields=["project", "seq"], name="event_project_idx"),
            models.Index(fields=["recorded_at"], name="event_recorded_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.verb}"


class ChainHead(models.Model):
    """The end of the chain, in a single row that every writer locks last before commit."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=HASH_LENGTH)

    class Meta:
        constraints = [models.CheckConstraint(name="chain_head_is_single", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"{self.seq} {self.hash[:12]}"
