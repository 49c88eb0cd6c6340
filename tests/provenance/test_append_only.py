# ruff: noqa: S608 - raw statements against the tables are what is tested here
"""Both databases refuse to change what was recorded, also after a table was remade."""

from __future__ import annotations

import contextlib
import inspect

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.core.management.commands import flush
from django.db import DatabaseError, connection, models, transaction
from django.db.migrations.executor import MigrationExecutor

from apps.provenance import checks, record, triggers
from apps.provenance.models import ChainHead, Edge, ErasableText, Event, Node
from apps.provenance.testing import flushing_allowed, reset_ledger
from apps.provenance.writer import LedgerBrokenError
from tests.provenance.tampering import run, tamper
from tests.provenance.things import Image

TABLES = [guard.table for guard in triggers.GUARDS]
UPDATES = {
    "provenance_node": "type = 'corr:Other'",
    "provenance_edge": "role = 'other'",
    "provenance_annotation": "seq = 7",
    "provenance_stale": "seq = 7",
    "provenance_event": "verb = 'other'",
    "provenance_erasabletext": "text = 'other'",
    "provenance_chainhead": "seq = 0",
}


@pytest.fixture
def ledger(ann, project) -> None:
    image = Image(project_id=project)
    with record.act("ingest", actor=ann, project=project, reason="because") as act:
        act.created(image)
        act.asserted(image, "spacing", {"x": 1})
        act.stale([image.id], image.id, "old")


def attempt_all() -> dict[str, list[str]]:
    """Return table -> statements that were NOT refused."""
    passed: dict[str, list[str]] = {table: [] for table in TABLES}
    for table in TABLES:
        statements = [f"UPDATE {table} SET {UPDATES[table]}", f"DELETE FROM {table}"]
        if connection.vendor == "postgresql":
            statements.append(f"TRUNCATE {table} CASCADE")
        else:
            statements += [
                f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
                f"REPLACE INTO {table} SELECT * FROM {table}",
                f"UPDATE OR REPLACE {table} SET {UPDATES[table]}",
            ]
        for statement in statements:
            with contextlib.suppress(DatabaseError):
                run(statement)
                passed[table].append(statement)
    return passed


@pytest.mark.django_db
def test_update_delete_truncate_and_replace_are_refused(ledger):
    assert attempt_all() == {table: [] for table in TABLES}
    assert checks.verify_chain() == []


@pytest.mark.django_db
def test_the_orm_is_refused_too(ledger):
    for change in (
        lambda: Node.objects.update(type="corr:Other"),
        lambda: Edge.objects.first().delete(),
        lambda: Event.objects.first().save(force_update=True),
        lambda: ErasableText.objects.update(name="other"),
        lambda: ErasableText.objects.filter(name="reason").update(text=None, salt=None, erased_seq=1, commitment="x"),
        lambda: ChainHead.objects.update(seq=models.F("seq") + 2, hash="ff" * 32),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert checks.verify_chain() == []


@pytest.mark.django_db
@pytest.mark.sqlite_only
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="REPLACE is SQLite's")
def test_replace_is_refused_on_a_connection_without_recursive_triggers(ledger):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers=OFF")
        try:
            for table in TABLES:
                with pytest.raises(DatabaseError, match="append-only"):
                    run(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
        finally:
            cursor.execute("PRAGMA recursive_triggers=ON")


@pytest.mark.django_db
def test_a_missing_or_changed_trigger_is_named():
    assert checks.missing_triggers() == []
    on_table = " ON provenance_event" if connection.vendor == "postgresql" else ""
    run(f"DROP TRIGGER provenance_event_no_update{on_table}")
    assert checks.missing_triggers() == ["provenance_event_no_update"]
    if connection.vendor == "sqlite":
        run("CREATE TRIGGER provenance_event_no_update BEFORE UPDATE ON provenance_event BEGIN SELECT 1; END")
    else:
        run("ALTER TABLE provenance_edge DISABLE TRIGGER provenance_edge_no_delete")
        assert checks.missing_triggers() == ["provenance_edge_no_delete", "provenance_event_no_update"]
        triggers.install(connection)
        declaration = f"CREATE OR REPLACE FUNCTION {triggers._FUNCTION}() RETURNS trigger LANGUAGE plpgsql"
        run(f"{declaration} AS 'BEGIN RETURN NEW; END'")
        assert len(checks.missing_triggers()) == 3 * len(triggers.guards())
    assert "provenance_event_no_update" in checks.missing_triggers()
    triggers.install(connection)
    assert checks.missing_triggers() == []


@pytest.mark.django_db(transaction=True)
def test_after_a_table_remake_migrate_puts_the_triggers_back(ledger):
    """Changing a column remakes the table on SQLite; the next `migrate` is what every upgrade ends with."""
    old, new = Event._meta.get_field("verb"), models.CharField(max_length=101)
    new.set_attributes_from_name("verb")
    new.model = Event
    for before, after in ((old, new), (new, old)):
        with connection.schema_editor() as editor:
            editor.alter_field(Event, before, after)
    if connection.vendor == "sqlite":
        assert [name for name in checks.missing_triggers() if "_event_" in name]
    call_command("migrate", verbosity=0)
    assert checks.missing_triggers() == []
    assert attempt_all() == {table: [] for table in TABLES}
    assert checks.verify_chain() == []


@pytest.mark.django_db(transaction=True)
def test_the_first_migration_can_be_undone_and_redone():
    loader = MigrationExecutor(connection).loader
    if ("provenance", "0001_initial") not in loader.applied_migrations:
        pytest.skip("tables were made without migrations (--nomigrations)")
    call_command("migrate", "provenance", "zero", verbosity=0)
    try:
        assert not set(TABLES) & set(connection.introspection.table_names())
    finally:
        call_command("migrate", "provenance", verbosity=0)
    assert checks.missing_triggers() == []
    assert (ChainHead.objects.get().seq, ChainHead.objects.get().hash) == (0, "0" * 64)


@pytest.mark.django_db(transaction=True)
def test_flush_is_refused_unless_a_test_allows_it(ledger, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(flush.Command, "handle", inspect.unwrap(flush.Command.handle))
        with pytest.raises(CommandError):
            call_command("flush", interactive=False, verbosity=0)
    assert Event.objects.count() == 1
    with flushing_allowed():
        call_command("flush", interactive=False, verbosity=0)
    assert not Event.objects.exists()
    assert checks.missing_triggers() == []


@pytest.mark.django_db(transaction=True)
def test_after_a_flush_the_chain_begins_anew(ledger, ann, project):
    call_command("flush", interactive=False, verbosity=0)
    with record.act("ingest", actor=ann, project=project):
        pass
    assert Event.objects.get().seq == 1
    assert checks.verify_chain() == []


@pytest.mark.django_db
def test_reset_empties_the_ledger_with_triggers_in_place(ledger, ann, project):
    reset_ledger()
    assert not Node.objects.exists()
    assert checks.missing_triggers() == []
    with record.act("ingest", actor=ann, project=project):
        pass
    assert checks.verify_chain() == []


@pytest.mark.django_db
def test_a_lost_head_stops_writing(ledger, ann, project):
    tamper("DELETE FROM provenance_chainhead")
    with pytest.raises(LedgerBrokenError), record.act("ingest", actor=ann, project=project):
        pass
    assert "head" in {finding.code for finding in checks.verify_chain()}
