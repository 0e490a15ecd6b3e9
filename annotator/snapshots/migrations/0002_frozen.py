"""Frozen is frozen."""

from django.db import migrations

from annotator.core import triggers


class Migration(migrations.Migration):
    dependencies = [("snapshots", "0001_initial"), ("core", "0002_append_only")]
    operations = [
        triggers.append_only("snapshots_snapshot"),
        triggers.append_only("snapshots_snapshotentry"),
        triggers.append_only("snapshots_snapshotfile"),
    ]
