"""Launching with attempts that are counted, checkpoints and estimates as rows."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def mark_launched(apps, schema_editor):
    """What a trainer took, or waits for one, was launched here; the others were found by their folders."""
    runs = apps.get_model("experiments", "TrainingRun").objects.using(schema_editor.connection.alias)
    runs.filter(
        models.Q(started_by__isnull=False) | models.Q(lease_end__isnull=False) | models.Q(state="queued")
    ).update(launched=True)
    # No lease, no trainer: of a launched run that is called running, nobody is at work.
    runs.filter(launched=True, state="running", lease_end=None).update(
        state="failed", reason="The trainer ended without a word; resume the run."
    )


class Migration(migrations.Migration):
    dependencies = [
        ("experiments", "0001_initial"),
        ("prelabels", "0009_ready_without_joins"),
        ("snapshots", "0002_frozen"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Estimate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(
                        help_text="sha256 of config, overrides, clips, GPU and code.", max_length=64, unique=True
                    ),
                ),
                ("config", models.CharField(max_length=120)),
                ("overrides", models.JSONField(blank=True, default=dict)),
                ("clips", models.PositiveIntegerField()),
                ("gpu", models.CharField(blank=True, max_length=80)),
                (
                    "state",
                    models.CharField(
                        choices=[("queued", "queued"), ("done", "done"), ("failed", "failed")],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=1000)),
                ("answer", models.JSONField(blank=True, null=True)),
                ("asked_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="attempts",
            field=models.PositiveIntegerField(default=0, help_text="Times that a trainer took it."),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="host",
            field=models.CharField(
                blank=True, help_text="Where its folder is: the last trainer's host.", max_length=255
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="launched",
            field=models.BooleanField(default=False, help_text="By this workbench, whose trainer runs it."),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="losses",
            field=models.PositiveSmallIntegerField(
                default=0, help_text="Attempts that were killed, since a person started or resumed it."
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="text_only",
            field=models.BooleanField(default=False, help_text="Clips without media are trained on by their text."),
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Of its folder below checkpoints/.", max_length=40)),
                ("step", models.PositiveIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("file_stamp", models.CharField(help_text="Size and time of the file that was hashed.", max_length=60)),
                (
                    "lineage",
                    models.JSONField(
                        default=list,
                        help_text="The stages of training, oldest first: snapshot, split, number of clips.",
                    ),
                ),
                ("made_at", models.DateTimeField()),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "prelabeller",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="checkpoint",
                        to="prelabels.prelabeller",
                    ),
                ),
                (
                    "training_run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="checkpoints",
                        to="experiments.trainingrun",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="init",
            field=models.ForeignKey(
                blank=True,
                help_text="Started from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="used_by",
                to="experiments.checkpoint",
            ),
        ),
        migrations.RunPython(mark_launched, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("launched", True), ("state", "running"), _negated=True),
                    ("lease_end__isnull", False),
                    _connector="OR",
                ),
                name="training_running_has_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="estimate",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["queued", "done", "failed"])), name="estimate_state_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="estimate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "done"), _negated=True), ("answer__isnull", False), _connector="OR"
                ),
                name="estimate_done_answers",
            ),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at", None)), fields=("training_run", "name"), name="checkpoint_one_kept"
            ),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.UniqueConstraint(fields=("training_run", "name", "sha256"), name="checkpoint_once"),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("sha256__length", 64)), name="checkpoint_sha256_whole"
            ),
        ),
    ]
