"""The queue in the database: how far each person got in it, and tables that are vacuumed as they change.

Autovacuum follows the queue's tables closely: every claim leaves a dead entry at the head of slot_next, over which the
next claim would have to step.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

OFTEN_CHANGED = ("checking_slot", "checking_claim", "checking_queueplace", "checking_record", "accounts_apitoken")
APPENDED = (
    *("checking_annotation", "checking_check", "checking_draft", "checking_recordrevision"),
    *("core_auditentry", "core_idempotentrequest"),
)


def _autovacuum() -> str:
    changed = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0"
    appended = "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_insert_threshold = 20000"
    analyse = "autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 2000"
    lines = [f"ALTER TABLE {table} SET ({changed}, {analyse});" for table in OFTEN_CHANGED]
    lines += [f"ALTER TABLE {table} SET ({appended}, {analyse});" for table in APPENDED]
    return "\n".join([*lines, "ALTER TABLE checking_queueplace SET (fillfactor = 50);"])


class Migration(migrations.Migration):
    dependencies = [
        ("checking", "0004_standing_since"),
        ("clips", "0001_initial"),
        ("core", "0002_append_only"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="QueuePlace",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=10)),
                ("priority", models.SmallIntegerField()),
                ("score", models.FloatField()),
                ("slot_id", models.BigIntegerField()),
                (
                    "corpus",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="queue_places",
                        to="clips.corpus",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="queue_places",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "corpus", "kind"), name="place_once"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(fields=["corpus"], name="claim_returned", condition=Q(state="returned")),
        ),
        migrations.RunSQL(_autovacuum(), migrations.RunSQL.noop),
    ]
