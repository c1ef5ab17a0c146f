"""Messages that are not delivered yet."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("iam", "0004_consents")]

    operations = [
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("template", models.CharField(max_length=60)),
                ("to", models.CharField(max_length=254)),
                ("subject", models.CharField(max_length=300)),
                ("body", models.TextField()),
                ("written_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tries", models.IntegerField(default=0)),
                ("try_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("problem", models.CharField(blank=True, max_length=100)),
            ],
        ),
    ]
