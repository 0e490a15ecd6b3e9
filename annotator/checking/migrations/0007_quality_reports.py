import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("checking", "0006_summary_request"),
        ("clips", "0004_clips_by_speaker"),
    ]

    operations = [
        migrations.CreateModel(
            name="QualityReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("quality", "quality"), ("dashboard", "dashboard")], max_length=12)),
                ("days", models.PositiveSmallIntegerField(help_text="How far back; 0: from the beginning.")),
                ("body", models.JSONField(help_text="Null: being counted for the first time.", null=True)),
                ("seconds", models.FloatField(help_text="What counting took.", null=True)),
                ("counted_at", models.DateTimeField(null=True)),
                ("requested_at", models.DateTimeField()),
                (
                    "corpus",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quality_reports",
                        to="clips.corpus",
                    ),
                ),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.AddConstraint(
            model_name="qualityreport",
            constraint=models.UniqueConstraint(fields=("corpus", "kind", "days"), name="quality_report_once"),
        ),
        migrations.AddConstraint(
            model_name="qualityreport",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ("quality", "dashboard"))), name="quality_report_kind_known"
            ),
        ),
        migrations.AddIndex(
            model_name="annotation",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["submitted_at"], name="annotation_when"
            ),
        ),
    ]
