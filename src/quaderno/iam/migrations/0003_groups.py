"""Who manages groups, and who asks to be in them."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_GROUP = models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.group")
_USER = models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("iam", "0002_states"),
    ]

    operations = [
        migrations.CreateModel(
            name="GroupManager",
            fields=[("id", _ID), ("group", _GROUP.clone()), ("user", _USER.clone())],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "group"), name="manages_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="MembershipRequest",
            fields=[
                ("id", _ID.clone()),
                ("reason", models.TextField(max_length=1000)),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("group", _GROUP.clone()),
                ("user", _USER.clone()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "group"), name="asked_once")
                ],
            },
        ),
    ]
