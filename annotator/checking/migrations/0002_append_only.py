"""What people and runs said is never rewritten: annotations, checks, reviews and record revisions."""

from django.db import migrations

from annotator.core import triggers


class Migration(migrations.Migration):
    dependencies = [("checking", "0001_initial"), ("core", "0002_append_only")]
    operations = [
        triggers.append_only("checking_draft", allow_delete=True),
        triggers.append_only("checking_summary", allow_delete=True),
        triggers.append_only("checking_annotation"),
        triggers.append_only("checking_check"),
        triggers.append_only("checking_review"),
        triggers.append_only("checking_recordrevision"),
    ]
