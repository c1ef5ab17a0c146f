"""What an account may do and why, and who accepted which policy."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("iam", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="request_reason",
            field=models.TextField(
                blank=True,
                help_text="What they wrote when they asked for the account.",
                max_length=1000,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="state",
            field=models.CharField(
                choices=[
                    ("active", "active"),
                    ("waiting", "waiting for approval"),
                    ("rejected", "rejected"),
                    ("suspended", "suspended"),
                    ("deleted", "deleted"),
                ],
                default="active",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="state_reason",
            field=models.TextField(
                blank=True, help_text="Why; the person sees it when they log in.", max_length=1000
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="state_since",
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.RunSQL(
            "UPDATE iam_user SET state = 'suspended' WHERE NOT is_active", migrations.RunSQL.noop
        ),
        migrations.CreateModel(
            name="PolicyAcceptance",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.CharField(max_length=40)),
                ("accepted_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "version"), name="accepted_once")
                ],
            },
        ),
    ]
