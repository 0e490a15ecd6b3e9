"""Workers take jobs from the table by themselves: no job is sent any more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("prelabels", "0005_runs_in_chunks")]

    operations = [
        migrations.RemoveIndex(model_name="job", name="job_send"),
        migrations.RemoveIndex(model_name="job", name="job_ready"),
        migrations.RemoveField(model_name="job", name="dispatched_at"),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("ready", True), ("state", "queued")),
                fields=["run", "queue", "step", "id"],
                name="job_free",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("losses__gte", 3), ("state", "queued")),
                fields=["queue", "run"],
                name="job_suspect",
            ),
        ),
    ]
