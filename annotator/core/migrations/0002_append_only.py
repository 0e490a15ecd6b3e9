"""The audit trail is append-only; the trigger function serves every app."""

from django.db import migrations

from annotator.core import triggers


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [triggers.function(), triggers.append_only("core_auditentry")]
