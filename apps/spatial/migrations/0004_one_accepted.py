"""Between two frames one transform is accepted: a calibration's, else the newest; the others become candidates again.

No decision is written for these: nobody made one.
"""

from django.db import migrations


def keep_one(apps, schema_editor):
    transform = apps.get_model("spatial", "Transform")
    kept = set()
    rows = list(transform.objects.filter(status="accepted").order_by("-created_at"))
    for row in sorted(rows, key=lambda row: row.calibration_id is None):
        pair = frozenset((row.source_id, row.target_id))
        if pair in kept:
            transform.objects.filter(pk=row.pk).update(status="candidate")
        kept.add(pair)


class Migration(migrations.Migration):

    dependencies = [("spatial", "0003_graph")]

    operations = [migrations.RunPython(keep_one, migrations.RunPython.noop)]
