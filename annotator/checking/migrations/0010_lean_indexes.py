"""Each claim and submission writes less: no index of a foreign key's own where another one begins with it."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("checking", "0009_planted_gate"),
        ("clips", "0006_clip_source"),
        ("prelabels", "0009_ready_without_joins"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="annotation",
            name="claim",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="annotations",
                to="checking.claim",
            ),
        ),
        migrations.AlterField(
            model_name="annotation",
            name="clip",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="annotations", to="clips.clip"
            ),
        ),
        migrations.AlterField(
            model_name="check",
            name="annotation",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="checks",
                to="checking.annotation",
            ),
        ),
        migrations.AlterField(
            model_name="claim",
            name="planted",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="claims",
                to="checking.plantederror",
            ),
        ),
        migrations.AlterField(
            model_name="claim",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="claims",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="draft",
            name="claim",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="drafts", to="checking.claim"
            ),
        ),
        migrations.AlterField(
            model_name="record",
            name="clip",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="records", to="clips.clip"
            ),
        ),
        migrations.AlterField(
            model_name="record",
            name="corpus",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="records", to="clips.corpus"
            ),
        ),
        migrations.AlterField(
            model_name="recordrevision",
            name="draft",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="prelabels.descriptiondraft",
            ),
        ),
        migrations.AlterField(
            model_name="recordrevision",
            name="record",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="revisions",
                to="checking.record",
            ),
        ),
        migrations.AlterField(
            model_name="recordrevision",
            name="review",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="checking.review",
            ),
        ),
        migrations.AlterField(
            model_name="slot",
            name="clip",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="slots", to="clips.clip"
            ),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(
                condition=models.Q(("planted__isnull", False)), fields=["planted"], name="claim_planted"
            ),
        ),
    ]
