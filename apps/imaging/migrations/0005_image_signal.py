from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("imaging", "0004_source_file_project")]

    operations = [
        migrations.AddField(
            model_name="image",
            name="signal",
            field=models.JSONField(
                help_text="of a spectrum image, what its axis e is: list of {name, size, offset, step, unit}", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="image",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "spectrum"), ("signal__isnull", False)),
                    models.Q(models.Q(("kind", "spectrum"), _negated=True), ("signal__isnull", True)),
                    _connector="OR",
                ),
                name="image_signal_of_spectrum",
            ),
        ),
    ]
