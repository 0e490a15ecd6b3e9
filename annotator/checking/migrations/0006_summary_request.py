import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checking", "0005_queue")]

    operations = [
        migrations.CreateModel(
            name="SummaryRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("evidence", models.JSONField(help_text="Clues as they were checked, and the subtitle.")),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("asked", "asked"), ("done", "done"), ("failed", "failed")],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("code", models.CharField(blank=True, help_text="Of a failure.", max_length=40)),
                ("reason", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "claim",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="summary_requests",
                        to="checking.claim",
                    ),
                ),
                (
                    "summary",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="request",
                        to="checking.summary",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("waiting", "asked", "done", "failed"))),
                        name="summary_request_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "done"), ("summary__isnull", False)),
                            models.Q(models.Q(("state", "done"), _negated=True), ("summary", None)),
                            _connector="OR",
                        ),
                        name="summary_request_done_has_it",
                    ),
                ],
            },
        ),
    ]
