import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    # apart from the step before: PostgreSQL alters no table that has changed rows in the same transaction

    dependencies = [("imaging", "0003_outside_work_and_attachments")]

    operations = [
        migrations.AlterField(
            model_name="sourcefile",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="source_files", to="projects.project"
            ),
        ),
    ]
