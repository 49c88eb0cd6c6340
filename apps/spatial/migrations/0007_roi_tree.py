"""The boxes of regions in a tree."""

from django.db import migrations

from apps.spatial import coverage_index


def put(apps, schema_editor):
    coverage_index.install(schema_editor.connection)


def take(apps, schema_editor):
    coverage_index.remove(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [("spatial", "0006_found")]

    operations = [migrations.RunPython(put, take)]
