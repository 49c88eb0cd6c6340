"""Between two frames one transform is accepted: the newest stays, the others become candidates again."""

from django.db import migrations

REASON = "between two frames one transform is accepted; a later one was, and stays"


def keep_the_newest(apps, schema_editor):
    transform = apps.get_model("spatial", "Transform")
    decision = apps.get_model("spatial", "TransformDecision")
    newest = {}
    accepted = decision.objects.filter(status="accepted", transform__status="accepted").select_related("transform")
    for made in accepted.order_by("-created_at"):
        pair = frozenset((made.transform.source_id, made.transform.target_id))
        kept = newest.setdefault(pair, made)
        if kept.transform_id != made.transform_id:
            transform.objects.filter(pk=made.transform_id).update(status="candidate")
            decision.objects.create(
                transform_id=made.transform_id,
                status="candidate",
                other_id=kept.transform_id,
                reason=REASON,
                decided_by_id=kept.decided_by_id,
            )


class Migration(migrations.Migration):

    dependencies = [("spatial", "0003_graph")]

    operations = [migrations.RunPython(keep_the_newest, migrations.RunPython.noop)]
