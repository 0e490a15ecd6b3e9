"""The first clips of a speaker: what a voice is compared with is asked for by every measured clip."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("clips", "0003_people")]
    operations = [
        migrations.AddIndex(
            model_name="clip",
            index=models.Index(fields=["corpus", "speaker", "name"], name="clip_speaker", condition=~Q(speaker="")),
        ),
    ]
